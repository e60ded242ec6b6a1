"""Where the report of `bench` and `tune` goes: the terminal, files, the comparison with a saved one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.cli.common import echo, print_json, print_table
from yolox_deploy.errors import UsageError

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.report.compare import ReportComparison
    from yolox_deploy.benchmarks.report.results import BenchReport
    from yolox_deploy.benchmarks.report.tables import Table

WIDE = 200
"""Columns of a table that goes to a file or a pipe."""


def show(
    report: BenchReport,
    as_json: bool,
    paper: bool = False,
    compared: ReportComparison | None = None,
    limit: float = 0.0,
) -> None:
    """Print the report to standard output: JSON without samples, or tables and notes.

    Args:
        limit: by how much (0.05 is 5 %) a row of the comparison may be slower.
    """
    from yolox_deploy.benchmarks.report.paper import paper_notes, paper_tables
    from yolox_deploy.benchmarks.report.tables import notes, tables

    if as_json:
        content = without_samples(report.to_dict())
        if compared is not None:
            content["comparison"] = [
                {**asdict(change), "verdict": change.verdict(limit)} for change in compared.changes
            ]
            content["missing"] = list(compared.missing)
        print_json(content)
        return
    print_tables(tables(report), [str(note) for note in notes(report)])
    if paper:
        print_tables(paper_tables(report), paper_notes(report))
    if compared is not None:
        _print_changes(compared, limit)


def _print_changes(compared: ReportComparison, limit: float) -> None:
    from yolox_deploy.benchmarks.protocol import HEADLINE
    from yolox_deploy.benchmarks.report.compare import UNDECIDED, describe

    rows = []
    verdicts: set[str | None] = set()
    for change in compared.changes:
        for scope, ratio in change.ratios.items():
            relative = change.relative.get(scope)
            verdict = change.verdict(limit) if scope == HEADLINE else None  # the gate looks at no other scope
            verdicts.add(verdict)
            told = describe(relative) if relative else None
            rows.append((change.label, scope, describe(ratio), told, verdict))
    print_table(
        ("time now over then", "scope", "ratio", "over the reference loop", f"slower than {limit:.0%}"), rows
    )
    if UNDECIDED in verdicts:
        echo(
            f"{UNDECIDED}: the interval reaches beyond the limit; measure longer, on a quiet machine, to know"
        )
    if compared.missing:
        echo(f"warning: only in the saved report, not compared: {', '.join(compared.missing)}")


def print_tables(content: Sequence[Table], notes: Sequence[str]) -> None:
    """Print tables, rows that were struck out crossed through, and the notes below them."""
    from rich import table as rich_table
    from rich.console import Console
    from rich.text import Text

    out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)
    for one in content:
        table = rich_table.Table(title=one.title, title_justify="left", box=None, pad_edge=False)
        for index, name in enumerate(one.columns):
            table.add_column(name, justify="right" if index else "left", overflow="fold")
        for index, row in enumerate(one.rows):
            style = "strike" if index in one.struck else ""
            table.add_row(*(Text(cell, style=style) for cell in row))
        out.print(table)
        out.print()
    for note in notes:
        out.print(note, soft_wrap=True)


def without_samples(value: Any) -> Any:
    """The report's plain values with statistics but without the single samples."""
    if isinstance(value, dict):
        return {key: without_samples(item) for key, item in value.items() if key != "milliseconds"}
    if isinstance(value, list):
        return [without_samples(item) for item in value]
    return value


def writer(path: Path) -> Callable[[BenchReport], object]:
    """What writes a report to `path`, by its suffix.

    Raises:
        UsageError: an unknown suffix, or a place that cannot be written to, before anything is measured.
    """
    from yolox_deploy.benchmarks.report.page import write_html
    from yolox_deploy.benchmarks.report.text import write_csv, write_markdown
    from yolox_deploy.files import check_writable

    writers: dict[str, Callable[[BenchReport, Path], Path]] = {
        ".json": lambda report, target: report.save(target),
        ".csv": write_csv,
        ".md": write_markdown,
        ".html": write_html,
    }
    if path.suffix not in writers:
        raise UsageError(f"--out {path}: expected a name that ends in {', '.join(writers)}")
    check_writable(path, f"--out {path}")
    return lambda report: writers[path.suffix](report, path)
