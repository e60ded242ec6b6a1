"""What `yolox-deploy ablate` leaves: tables on standard output, and files in the folder of the runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from yolox_deploy.cli.common import print_json, print_table, status
from yolox_deploy.errors import UsageError

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.roadmap.runs import Run, RunResult

LATENCIES = "latency.json"


def report(runs: Sequence[Run], out: Path, *, threads: int | None, latency: bool, as_json: bool) -> None:
    """Write ablation.json, ablation.md and curves.png of the finished runs into `out`, and print the tables.

    `latency` measures it, on so many `threads`; else it is as it was measured the last time.

    Raises:
        UsageError: no run is finished.
    """
    from yolox_deploy.artifact import write_atomically
    from yolox_deploy.benchmarks.roadmap import report
    from yolox_deploy.benchmarks.roadmap.runs import read_result
    from yolox_deploy.charts import draw_convergence
    from yolox_deploy.data.layouts import open_dataset

    results = [result for run in runs if (result := read_result(run)) is not None]
    if not results:
        raise UsageError(f"no run in {out} is finished; train some first, without --report-only")
    finished = [run for run in runs if run.result_path.is_file()]
    latencies = _latencies(finished, out, threads, measure=latency)
    classes = len(open_dataset(runs[0].config.data, "train").class_names)
    figures = report.gather(runs, results, classes, latencies)
    notes = _notes(runs, results, bool(latencies))
    content = report.to_json(figures, results, notes)
    write_atomically(out / "ablation.json", json.dumps(content, indent=1))
    write_atomically(out / "ablation.md", report.to_markdown(figures, notes))
    draw_convergence(report.convergence(figures), out / "curves.png")
    if as_json:
        print_json(content)
        return
    for table in report.tables(figures):
        print_table(table.columns, table.rows, table.title)
    for line in (*notes, report.LABEL):
        typer.echo(line)
    typer.echo(f"also in {out}: ablation.json, ablation.md, curves.png")


def _latencies(runs: Sequence[Run], out: Path, threads: int | None, *, measure: bool) -> dict[str, float]:
    """Milliseconds by model name, measured now or kept from the last time."""
    from yolox_deploy.artifact import write_atomically
    from yolox_deploy.benchmarks.roadmap.report import measure_latencies

    file = out / LATENCIES
    if measure:
        with status("measuring latency"):
            write_atomically(file, json.dumps(measure_latencies(runs, threads=threads), indent=1))
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _notes(runs: Sequence[Run], results: Sequence[RunResult], latency: bool) -> list[str]:
    """What a reader has to know of the figures."""
    from yolox_deploy.data.layouts import open_dataset

    config = runs[0].config
    counts = [len(open_dataset(config.data, split)) for split in ("train", "val")]
    seeds = sorted({result.seed for result in results})
    notes = [
        f"{config.data.name}: {counts[0]} pictures to train on, {counts[1]} to evaluate, at "
        f"{config.size[0]}x{config.size[1]}; {config.epochs} epochs of {results[0].steps // config.epochs} steps, "
        f"batch {config.batch}, learning rate {config.learning_rate} x batch / 64; seeds "
        + ", ".join(map(str, seeds)),
        "AP in per cent: averaged weights after the last epoch, mean ± standard deviation over the seeds; "
        "end-to-end models without suppression",
        "params and GFLOPs: of the trained model at its own width and size",
    ]
    if latency:
        notes.append("ms: ONNX Runtime on this CPU, batch 1, without post-processing (`bench --quick`)")
    missing = [f"{run.row} seed {run.config.seed}" for run in runs if not run.result_path.is_file()]
    return [*notes, f"not finished: {', '.join(missing)}"] if missing else notes
