"""Damages files, pictures and descriptions by the thousand, and counts how it ends.

    python -m yolox_deploy.benchmarks.faults [--seed 0] [--n 100] [--only onnx,pictures] [--out DIR] [--budget SECONDS]
    python -m yolox_deploy.benchmarks.faults --only onnx --seed 0 --case 17 --out DIR

The second runs one case again. See docs/faults.md.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from yolox_deploy.benchmarks.faults.kinds import KINDS
from yolox_deploy.benchmarks.faults.outcomes import Report
from yolox_deploy.errors import UsageError, refuse_unknown
from yolox_deploy.files import write_text

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def campaign(
    seed: Annotated[int, typer.Option(help="The same seed damages the same bytes.")] = 0,
    n: Annotated[int, typer.Option(min=1, help="Cases of each kind.")] = 100,
    only: Annotated[str, typer.Option(help=f"Kinds, with commas between: {', '.join(KINDS)}.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and the inputs of faults.")] = None,
    budget: Annotated[float, typer.Option(min=1, help="Seconds for the whole, shared by the kinds.")] = 3500,
    case: Annotated[int | None, typer.Option(min=0, help="Run this case alone.")] = None,
) -> None:
    """Run the campaign, print its table, and end with 1 where there is any fault."""
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(KINDS)
    try:
        refuse_unknown("kind", wanted, list(KINDS))
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error
    report = Report(seed, f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    begun = time.monotonic()
    first, count = (0, n) if case is None else (case, 1)
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = out or Path(temporary)
        with suppress(KeyboardInterrupt):  # the table tells how far it came
            for number, name in enumerate(wanted):
                now = time.monotonic()
                until = now + (begun + budget - now) / (len(wanted) - number)
                report.begin(name, count)
                place = folder / name
                place.mkdir(parents=True, exist_ok=True)
                _clear(place)
                for outcome in KINDS[name](seed, count, place, until, first):
                    report.add(outcome)
                    if outcome.is_fault or case is not None:
                        line = f"{outcome.result.value}: {name} {outcome.case}: {outcome.detail}"
                        typer.echo(line, err=True)
                _clear(place)
        report.seconds = time.monotonic() - begun
        report.print(Console(width=None if os.isatty(1) else 160))
        if out:
            write_text(out / "report.json", report.to_json())
    raise typer.Exit(report.exit_code)


def _clear(place: Path) -> None:
    """Remove what a kind works with; what it kept stays."""
    for name in ("whole", "cases"):
        shutil.rmtree(place / name, ignore_errors=True)


if __name__ == "__main__":
    app()
