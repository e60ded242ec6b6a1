"""Several cameras on one network: what each of them gets, and what it costs against a process for each.

    python -m yolox_deploy.benchmarks.studies.stream_cameras --model F [--seconds 20]

The cameras are MJPEG servers on the loopback address, in this process; `yolox-deploy stream` runs in processes of its
own, whose processor time and memory the system tells when they end. The cost is measured where every frame is answered,
so that both sides do the same work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from yolox_deploy.benchmarks.studies.loopback import LoopbackCamera
from yolox_deploy.benchmarks.studies.stream_soak import MIB, encoded_scenes
from yolox_deploy.errors import UsageError

COMMAND = (sys.executable, "-c", "from yolox_deploy.cli import main; main()", "stream")
RATES = {"equal": (30.0, 30.0, 30.0), "unequal": (5.0, 60.0)}
"""Frames a second of cameras that are together faster than the detector."""
LIGHT = (3.0, 3.0, 3.0)
"""Of cameras whose every frame it answers."""


@dataclass(frozen=True)
class Run:
    """One process of `yolox-deploy stream`.

    Attributes:
        figures: as it printed them.
        processor_seconds: that it used, with start and end.
        mib: most resident memory.
    """

    figures: dict[str, Any]
    processor_seconds: float
    mib: float

    @property
    def answered(self) -> int:
        """Frames that it answered."""
        return int(self.figures["frames"]["answered"])


def stream_together(model: Path, rates: Sequence[float], seconds: float) -> Run:
    """One process that streams from a camera of each rate."""
    with _cameras(rates) as addresses:
        return _finish(_start(model, addresses, seconds))


def stream_apart(model: Path, rates: Sequence[float], seconds: float) -> list[Run]:
    """A process for a camera of each rate, at the same time."""
    with _cameras(rates) as addresses:
        started = [_start(model, [address], seconds) for address in addresses]
        return [_finish(process) for process in started]


class _cameras(ExitStack):
    """Cameras of these rates; their addresses."""

    def __init__(self, rates: Sequence[float]) -> None:
        super().__init__()
        self._rates, self._pictures = rates, encoded_scenes()

    def __enter__(self) -> list[str]:  # type: ignore[override]
        count = len(self._pictures)
        return [
            self.enter_context(LoopbackCamera(lambda i: self._pictures[i % count], rate=rate)).address
            for rate in self._rates
        ]


def _start(model: Path, addresses: Sequence[str], seconds: float) -> subprocess.Popen[bytes]:
    options = ["--model", str(model), "--seconds", str(seconds), "--threads", "1", "--json"]
    return subprocess.Popen([*COMMAND, *addresses, *options], stdout=subprocess.PIPE)


def _finish(process: subprocess.Popen[bytes]) -> Run:
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise UsageError(f"{' '.join(map(str, process.args[3:]))} ended with {process.returncode}")  # type: ignore[index]
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(json.loads(printed), used.ru_utime + used.ru_stime, used.ru_maxrss * unit / MIB)


def main(
    model: Annotated[Path, typer.Option(help="Model file.")],
    seconds: Annotated[float, typer.Option(min=1, help="Of each stream.")] = 20.0,
) -> None:
    """Measure turns and cost, and print them."""
    begun = time.monotonic()
    for name, rates in RATES.items():
        run = stream_together(model, rates, seconds)
        typer.echo(f"{name}, {seconds:g} s:")
        for rate, source in zip(rates, run.figures["sources"], strict=True):
            frames, age = source["frames"], source["age_ms"]
            typer.echo(
                f"  {rate:g} FPS: {frames['appeared']} appeared, {frames['answered']} answered, "
                f"{source['fps']:.2f} a second, age p50 {age['p50']} p95 {age['p95']} ms"
            )
    apart, together = stream_apart(model, LIGHT, seconds), stream_together(model, LIGHT, seconds)
    for name, runs in (("apart", apart), ("together", [together])):
        processor, answers = sum(run.processor_seconds for run in runs), sum(run.answered for run in runs)
        typer.echo(
            f"{name}: {len(runs)} processes, {answers} answers, {processor:.1f} s of a processor "
            f"({1e3 * processor / answers:.1f} ms an answer), {sum(run.mib for run in runs):.0f} MiB"
        )
    typer.echo(f"took {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    typer.run(main)
