"""The finished runs of an ablation as the paper's tables: what was measured beside what was published.

Latency: each architecture once, exported to ONNX with the weights of a finished run, by the protocol of
`yolox-deploy bench --quick` (closed loop, batch 1, host memory to host memory, without post-processing, the
models in turn): the p50 of ONNX Runtime on the CPU.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.tables import ABSENT, Table
from yolox_deploy.benchmarks.report.text import markdown_table
from yolox_deploy.benchmarks.roadmap.rows import SAME_TRAINING, TABLE_1, TABLE_2, TABLE_5, find_row
from yolox_deploy.files import temporary_folder
from yolox_deploy.types import SILENT, Report

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.roadmap.runs import Run, RunResult

LABEL = (
    "Trends at a small size on this data set, not COCO figures: compare rows with one another, never a measured "
    "figure with a published one."
)
MEASURED = ("AP", "AP50", "params M", "GFLOPs", "ms")
PUBLISHED = ("paper AP", "paper params M", "paper GFLOPs", "paper ms (V100)")


@dataclass(frozen=True)
class RowFigures:
    """A row over its seeds.

    Attributes:
        row, title: its name and what the paper calls it.
        model: with the width that was trained.
        seeds: of the finished runs, as `results`.
        ap, ap50: mean over the seeds (0-1).
        ap_spread: standard deviation over the seeds; None with one.
        curve: (finished epochs, mean AP over the seeds).
        parameters, gflops: of the trained model at the size it was trained at, see `models.complexity`.
        latency_ms: see the module; None where it was not measured.
    """

    row: str
    title: str
    model: str
    seeds: tuple[int, ...]
    ap: float
    ap50: float
    ap_spread: float | None
    curve: tuple[tuple[int, float], ...]
    parameters: int
    gflops: float
    latency_ms: float | None = None


def gather(
    runs: Sequence[Run], results: Sequence[RunResult], classes: int, latencies: Mapping[str, float]
) -> list[RowFigures]:
    """The figures of each row with a finished run, in the order of `runs`.

    Args:
        classes: of the data set.
        latencies: milliseconds by model name.
    """
    from yolox_deploy.models import build_model
    from yolox_deploy.models.complexity import count

    rows = []
    for name, config in {run.row: run.config for run in runs}.items():
        own = [result for result in results if result.row == name]
        if not own:
            continue
        aps = [result.figures["AP"] for result in own]
        counted = count(build_model(config.model, classes), config.size)
        rows.append(
            RowFigures(
                row=name,
                title=find_row(name).title,
                model=config.model,
                seeds=tuple(result.seed for result in own),
                ap=statistics.fmean(aps),
                ap50=statistics.fmean(result.figures["AP50"] for result in own),
                ap_spread=statistics.stdev(aps) if len(aps) > 1 else None,
                curve=_mean_curve([result.curve for result in own]),
                parameters=counted.parameters,
                gflops=counted.gflops,
                latency_ms=latencies.get(config.model),
            )
        )
    return rows


def tables(rows: Sequence[RowFigures]) -> list[Table]:
    """Tables 2, 1 and 5, each where one of its rows was trained."""
    found = {row.row: row for row in rows}
    made = []
    if found.keys() & TABLE_2.keys():
        made.append(_list("Table 2: the roadmap", TABLE_2, found))
    if found.keys() & (TABLE_1.keys() - SAME_TRAINING.keys()):
        made.append(_table_1(found))
    if found.keys() & TABLE_5.keys():
        made.append(_list("Table 5: augmentation and model size", TABLE_5, found))
    return made


def to_markdown(rows: Sequence[RowFigures], notes: Sequence[str]) -> str:
    """The tables with `LABEL` above and `notes` below."""
    parts = [f"**{LABEL}**", *(markdown_table(table) for table in tables(rows))]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def to_json(rows: Sequence[RowFigures], results: Sequence[RunResult], notes: Sequence[str]) -> dict[str, Any]:
    """Everything as numbers and texts, each row with its published figures."""
    return {
        "label": LABEL,
        "rows": [{**asdict(row), "published": asdict(find_row(row.row).published)} for row in rows],
        "runs": [asdict(result) for result in results],
        "notes": list(notes),
    }


def convergence(rows: Sequence[RowFigures]) -> dict[str, dict[str, tuple[tuple[int, float], ...]]]:
    """AP over epochs by chart and line: the paper's Figure 3, then all rows; a chart without lines is left out."""
    heads = {"yolov3_baseline": "coupled head", "decoupled_head": "decoupled head"}
    charts = {
        "Figure 3: AP, coupled and decoupled head": {heads[r.row]: r.curve for r in rows if r.row in heads},
        "AP of all rows": {row.row: row.curve for row in rows},
    }
    return {title: lines for title, lines in charts.items() if lines}


def measure_latencies(
    runs: Sequence[Run], *, threads: int | None, protocol: Protocol | None = None, report: Report = SILENT
) -> dict[str, float]:
    """Milliseconds by model name, of each architecture among the finished `runs`.

    Raises:
        YoloxDeployError: what `export` and `Detector` raise.
    """
    from yolox_deploy.benchmarks.pictures import load_pictures
    from yolox_deploy.benchmarks.session import ModelUnderTest, run_session
    from yolox_deploy.exporter.pipeline import export

    protocol = protocol or Protocol.quick()
    models = {run.config.model: run for run in reversed(runs)}
    with temporary_folder() as folder:
        files = {}
        for number, (model, run) in enumerate(models.items()):
            report.step(f"exporting {model}")
            path = folder / f"{number}.onnx"
            export(model, "onnx", weights=run.last, imgsz=run.config.size, out=path, verify=False)
            files[model] = path
        candidates = [ModelUnderTest(path, threads=threads) for path in files.values()]
        session = run_session(candidates, protocol, load_pictures(None, protocol), report=report)
    names = {path: model for model, path in files.items()}
    return {names[one.candidate.path]: one.scopes["host"].summary.p50 for one in session.measured}


def _list(title: str, rows: Mapping[str, Any], found: Mapping[str, RowFigures]) -> Table:
    lines = []
    for name, entry in rows.items():
        if name in found:
            lines.append((entry.title, *_measured(found[name]), *_published(entry.published)))
    return Table(title, ("row", *MEASURED, *PUBLISHED), tuple(lines))


def _measured(row: RowFigures) -> tuple[str, ...]:
    return (
        percent(row),
        f"{100 * row.ap50:.1f}",
        f"{row.parameters / 1e6:.3f}",
        f"{row.gflops:.3f}",
        ABSENT if row.latency_ms is None else f"{row.latency_ms:.2f}",
    )


def _published(published: Any) -> tuple[str, ...]:
    values = (published.ap_val, published.params_m, published.gflops, published.latency_ms)
    return tuple(ABSENT if value is None else str(value) for value in values)


def percent(row: RowFigures) -> str:
    """AP in per cent with its spread: "12.3 ± 0.4"."""
    return f"{100 * row.ap:.1f}" + ("" if row.ap_spread is None else f" ± {100 * row.ap_spread:.1f}")


def _table_1(found: Mapping[str, RowFigures]) -> Table:
    """Models in rows, heads in columns, as the paper has it; the published AP in brackets."""

    def cell(name: str) -> str:
        row = found.get(SAME_TRAINING.get(name, name))
        return f"{percent(row) if row else ABSENT} ({TABLE_1[name].published.ap_val})"

    lines = [
        (title, cell(f"{key}_coupled"), cell(f"{key}_decoupled"))
        for title, key in (("Vanilla YOLO", "vanilla"), ("End-to-end YOLO", "end_to_end"))
    ]
    columns = ("AP (in brackets: paper)", "coupled head", "decoupled head")
    return Table("Table 1: end-to-end with both heads", columns, tuple(lines))


def _mean_curve(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[tuple[int, float], ...]:
    """The mean AP of the epochs that all curves have."""
    by_epoch = [dict(curve) for curve in curves]
    common = [epoch for epoch in by_epoch[0] if all(epoch in one for one in by_epoch)]
    return tuple((epoch, statistics.fmean(one[epoch] for one in by_epoch)) for epoch in common)
