"""The latencies of a benchmark report as a clock: a stream as it would be on the machine that was measured."""

from __future__ import annotations

from pathlib import Path

from yolox_deploy.benchmarks.report.results import BenchReport
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.clocks import SimulatedClock


def clock_from_report(
    path: str | Path,
    *,
    label: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    scope: str = "e2e",
    seed: int = 0,
) -> SimulatedClock:
    """Draw from what `yolox-deploy bench --out F` measured, on this or on any other machine.

    Args:
        path: the report.
        label, backend, precision: tell which of its rows; together they must leave one.
        scope: "e2e" (image in, boxes out), "host" or "device", as measured.
        seed: of the drawing.

    Raises:
        InputError: no such file, or no benchmark report.
        UsageError: no row or several rows are meant, or the row lacks the scope.
    """
    rows = BenchReport.load(path).rows
    wanted = {"label": label, "backend": backend, "precision": precision}
    asked = {name: value for name, value in wanted.items() if value is not None}
    met = [row for row in rows if all(getattr(row.subject, key) == value for key, value in asked.items())]
    if len(met) != 1:
        labels = ", ".join(row.subject.label for row in met or rows)
        raise UsageError(f"{path}: {len(met)} rows for {asked}; name one by its label: {labels}")
    if scope not in met[0].scopes:
        raise UsageError(
            f"{path}: {met[0].subject.label} has no {scope!r}; it has {', '.join(met[0].scopes)}"
        )
    return SimulatedClock(tuple(value / 1000 for value in met[0].scopes[scope].milliseconds), seed)
