"""The YOLOX paper's Tables 2, 3, 4 and 6 with the figures of a report beside the published ones.

The published numbers live in `paper_tables.json`, with their source. They come from another protocol than
ours: a Tesla V100 in FP16 at batch 1, timed without post-processing. AP is in percent, times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from yolox_deploy import records
from yolox_deploy.benchmarks.report.results import BenchReport, Row
from yolox_deploy.benchmarks.report.tables import ABSENT, Table
from yolox_deploy.documents import parse_json

HEADINGS = {
    **{name: (name, ".1f") for name in ("AP50", "AP75", "APs", "APm", "APl")},
    "AP": ("AP %", ".1f"),
    "params_m": ("params M", ".2f"),
    "gflops": ("GFLOPs", ".2f"),
    "latency_ms": ("ms", ".1f"),
    "fps": ("FPS", ".1f"),
}
"""Column of `paper_tables.json` -> heading and format."""

SPEEDS = ("latency_ms", "fps")
FIGURE_TABLES = (3, 6)
"""Figure 1 is a drawing without numbers; its points are taken from these tables."""


@dataclass(frozen=True)
class PaperTable:
    """One table as published: `columns` are keys of `rows`, `size` is the side of the input in pixels."""

    number: int
    title: str
    data: str
    protocol: str
    size: int
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class PublishedPoint:
    """A point of the paper's Figure 1 (top): V100 latency in milliseconds, COCO AP in percent."""

    series: str
    method: str
    latency_ms: float
    ap: float
    table: int


@cache
def published() -> tuple[str, tuple[PaperTable, ...]]:
    """The source of the published numbers and the tables."""
    content = parse_json((resources.files(__package__) / "paper_tables.json").read_text(encoding="utf-8"))
    return str(content["source"]), records.convert(content["tables"], tuple[PaperTable, ...])


def figure_points() -> list[PublishedPoint]:
    """The detectors of Figure 1 (top) in order of latency within each series; FPS are turned into latency."""
    points = [
        PublishedPoint(
            str(row["series"]),
            str(row["method"]),
            float(row.get("latency_ms") or 1000 / row["fps"]),
            float(row["AP"]),
            table.number,
        )
        for table in published()[1]
        if table.number in FIGURE_TABLES
        for row in table.rows
        if "series" in row
    ]
    return sorted(points, key=lambda point: (point.series, point.latency_ms))


def paper_tables(report: BenchReport) -> list[Table]:
    """Tables 2, 3, 4 and 6: every published row, and each measured row of that model and size beside it.

    A measured cell holds the figure and, in brackets, its ratio to the published one (AP: the difference in
    points). Speed is that of the "host" scope, and of "device" in columns of its own where it was measured.
    """
    return [_with_measured(table, report) for table in published()[1]]


def paper_notes(report: BenchReport) -> list[str]:
    """What must be known to read `paper_tables`."""
    found = [
        f"published: {published()[0]}",
        "the paper's latency and FPS follow another protocol (Tesla V100, FP16, batch 1, timed without "
        "post-processing); here: mean of host memory to host memory, FPS = 1000 / mean",
        "in brackets: × is measured over published, a signed number is AP points above or below it",
        "the paper's weights are earlier than the released ones, and its AP is from COCO val or test-dev",
    ]
    counts = sorted({str(row.accuracy.images) for row in report.rows if row.accuracy is not None})
    pictures = f"AP here is from {', '.join(counts)} pictures of this run's --annotations"
    found.append(pictures if counts else "AP was not measured in this run; --images and --annotations do")
    if not any("V100" in gpu.name for gpu in report.environment.gpus):
        found.append("this machine has no V100: ratios of speed compare machines more than software")
    placed = {id(row) for table in published()[1] for row in _measured(report, table)}
    found += [
        f"not in the tables: {row.subject.label} (no published row of {row.subject.model} at "
        f"{'x'.join(map(str, row.subject.input_size))}, batch {row.subject.batch})"
        for row in report.rows
        if id(row) not in placed
    ]
    return found


def _with_measured(table: PaperTable, report: BenchReport) -> Table:
    measured = _measured(report, table)
    scopes = [scope for scope in ("host", "device") if any(scope in row.scopes for row in measured)]
    fields = _fields(table, scopes or ["host"])
    sizes = any("size" in row for row in table.rows)
    columns = (
        f"Table {table.number}",
        *(["size"] if sizes else []),
        "measured",
        *(name for name, *_ in fields),
    )
    cells: list[tuple[str, ...]] = []
    struck: set[int] = set()
    for paper in table.rows:
        own = [row for row in measured if row.subject.model == paper.get("model")]
        beside: list[Row | None] = [*own] or [None]
        for row in beside:
            if row is not None and row.rejected:
                struck.add(len(cells))
            start = (str(paper["method"]), *([str(paper.get("size", ABSENT))] if sizes else []))
            figures = (_cell(paper, row, key, scope) for _, key, scope in fields)
            cells.append((*start, _name(row), *figures))
    title = f"Table {table.number} of the paper: {table.title} ({table.data}; {table.protocol})"
    return Table(title, columns, tuple(cells), frozenset(struck))


def _measured(report: BenchReport, table: PaperTable) -> list[Row]:
    """The rows of the report that belong in `table`."""
    models = {row.get("model") for row in table.rows}
    side = (table.size, table.size)
    return [
        row
        for row in report.rows
        if row.subject.model in models and row.subject.input_size == side and row.subject.batch == 1
    ]


def _fields(table: PaperTable, scopes: list[str]) -> list[tuple[str, str, str | None]]:
    """(heading, key, scope) of each column of figures; scope None is the published one."""
    found: list[tuple[str, str, str | None]] = []
    speedless = not set(SPEEDS) & set(table.columns)
    for key in (*table.columns, *(SPEEDS if speedless else ())):
        heading, _ = HEADINGS[key]
        if key in table.columns:
            found.append((heading, key, None))
        own = scopes if key in SPEEDS else ["here"]
        found += [(f"{heading} {scope}", key, scope) for scope in own]
    return found


def _cell(paper: Mapping[str, Any], row: Row | None, key: str, scope: str | None) -> str:
    value = paper.get(key) if scope is None else _figure(row, key, scope)
    if value is None:
        return ABSENT
    text = format(value, HEADINGS[key][1])
    if scope is None or key not in paper:
        return text
    change = f"{value - paper[key]:+.1f}" if key.startswith("AP") else f"{value / paper[key]:.3g}×"
    return f"{text} ({change})"


def _figure(row: Row | None, key: str, scope: str) -> float | None:
    """A measured figure in the paper's units."""
    if row is None:
        return None
    if key in SPEEDS:
        if scope not in row.scopes:
            return None
        return row.scopes[scope].summary.mean if key == "latency_ms" else row.scopes[scope].summary.fps
    if key == "params_m":
        return None if row.subject.parameters is None else row.subject.parameters / 1e6
    if key == "gflops":
        return row.subject.gflops
    ap = row.accuracy.figures.get(key) if row.accuracy is not None else None
    return None if ap is None else 100 * ap


def _name(row: Row | None) -> str:
    return ABSENT if row is None else row.subject.label + (" (struck out)" if row.rejected else "")
