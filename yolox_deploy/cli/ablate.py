"""`yolox-deploy ablate`: the paper's tables again, on a data set of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import (
    console,
    echo,
    is_quiet,
    parse_settings,
    parse_size,
    print_json,
    print_table,
    reporting,
)
from yolox_deploy.errors import NonFiniteLossError, TrainingError, UsageError, require
from yolox_deploy.files import check_place

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.roadmap.runs import Run, RunResult

LATENCIES = "latency.json"


def ablate_command(
    data: Annotated[Path, typer.Option(help="Data set: COCO, VOC or YOLO text.")],
    rows: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Rows to train. [default: those of --tables]")
    ] = None,
    table_numbers: Annotated[
        str, typer.Option("--tables", metavar="1,2,5", help="Tables of the paper to train.")
    ] = "2",
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Seeds of each row.")] = "0,1,2",
    width: Annotated[float | None, typer.Option(help="Width factor of all models. [default: 1]")] = None,
    imgsz: options.InputSize = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data. [default: 300]")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step. [default: 64]")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of `train`, for all rows."),
    ] = None,
    fit_priors: Annotated[
        bool, typer.Option("--fit-priors", help="Give the anchor-based rows priors of this data set.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the runs, tables and curves.")] = Path("runs/ablation"),
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; with 1 no process of its own prepares pictures.")
    ] = None,
    latency: Annotated[bool, typer.Option(help="Measure latency with ONNX Runtime.")] = True,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing: tables and curves of the finished runs.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Train rows of the paper's tables. Equal budgets and seeds; prints measured beside published.

    May be interrupted and repeated: finished runs are kept, an unfinished one goes on where it was.
    """
    check_place(out, "--out", folder=True)
    require("torch", "train")
    require("matplotlib", "train")  # before the runs, not after
    changes = parse_settings(settings or [])
    given = {"imgsz": parse_size(imgsz), "epochs": epochs, "batch": batch}
    changes |= {name: value for name, value in given.items() if value is not None}
    if threads is not None:
        _use_threads(threads)
        changes = {"workers": 0, **changes} if threads == 1 else changes
    names = rows.split(",") if rows else _rows_of_tables(table_numbers)
    runs = _plan(names, _numbers(seeds), data, out, width, changes, fit_priors)
    failures = [] if report_only else _train_all(runs)
    report(runs, out, threads=threads, latency=latency and not report_only, as_json=as_json)
    if failures:
        raise TrainingError("; ".join(failures))


def _plan(
    names: Sequence[str],
    seeds: Sequence[int],
    data: Path,
    out: Path,
    width: float | None,
    changes: dict[str, object],
    fit_priors: bool,
) -> list[Run]:
    """The runs; with `fit_priors` after writing the file that the anchor-based ones take."""
    from yolox_deploy.benchmarks.roadmap.runs import plan_runs
    from yolox_deploy.data.layouts import open_dataset
    from yolox_deploy.data.priors import fit_to_dataset
    from yolox_deploy.models.zoo import CLASSIC

    runs = plan_runs(names, seeds, data, out, width=width, changes=changes)
    if not fit_priors:
        return runs
    file = out / "priors.json"
    if not file.is_file():
        fitted = fit_to_dataset(open_dataset(data, "train"), runs[0].config.size, CLASSIC)
        fitted.save(file)
        console().print(
            f"priors fitted: mean best IoU {fitted.mean_iou:.3f}, classic {fitted.classic_iou:.3f}"
        )
    return plan_runs(names, seeds, data, out, width=width, changes={**changes, "priors": file})


def _train_all(runs: Sequence[Run]) -> list[str]:
    """Check the data, and train what is not finished; says beforehand what it costs. Returns why runs failed."""
    from yolox_deploy.benchmarks.roadmap.runs import read_result, run_to_end
    from yolox_deploy.cli.train import tell
    from yolox_deploy.data.opening import open_splits
    from yolox_deploy.data.report import raise_for_errors
    from yolox_deploy.host import keep_freed_memory
    from yolox_deploy.training.progress import RichProgress
    from yolox_deploy.training.splits import check_data

    data = open_splits(**runs[0].config.data_options)
    raise_for_errors(*check_data(runs[0].config, data, "pictures", tell))
    keep_freed_memory()
    left = [run for run in runs if read_result(run) is None]
    console().print(f"{len(runs)} runs, {len(runs) - len(left)} of them finished")
    if left:
        _warn_of_cost(left)
    failures = []
    for number, run in enumerate(left, start=1):
        begun = ", going on where it was" if run.last.is_file() else ""
        console().print(f"run {number} of {len(left)}: {run.row}, seed {run.config.seed}{begun}")
        try:
            result = run_to_end(run, [] if is_quiet() else [RichProgress()], data=data)
        except NonFiniteLossError as error:
            failures.append(f"{run.row}, seed {run.config.seed}: {error}")
            console().print(failures[-1], markup=False)
        else:
            console().print(f"{run.row}, seed {result.seed}: AP {result.figures['AP']:.4f}")
    return failures


def _warn_of_cost(runs: Sequence[Run]) -> None:
    """Time a step of each row, and say what all steps together will take."""
    from yolox_deploy.benchmarks.roadmap.cost import count_steps, seconds_per_step

    with reporting("timing a step of each row"):
        paces = {run.row: seconds_per_step(run.config) for run in {run.row: run for run in runs}.values()}
    steps = count_steps(runs[0].config)
    seconds = sum(steps * paces[run.row] for run in runs)
    told = ", ".join(f"{row} {1e3 * pace:.0f}" for row, pace in paces.items())
    console().print(f"milliseconds of a step: {told}", soft_wrap=True)
    console().print(
        f"{len(runs)} runs of {steps} steps will take about {seconds / 60:.1f} minutes on this machine, "
        "evaluations come on top; Ctrl-C saves, and the same command goes on",
        soft_wrap=True,
    )


def _use_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _rows_of_tables(text: str) -> list[str]:
    from yolox_deploy.benchmarks.roadmap.rows import TABLES

    numbers = _numbers(text)
    if set(numbers) - TABLES.keys():
        raise UsageError(f"--tables {text}: expected some of {', '.join(map(str, TABLES))}")
    return [row for number in numbers for row in TABLES[number]]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{text!r} is no list of whole numbers, such as 0,1,2") from error


def report(runs: Sequence[Run], out: Path, *, threads: int | None, latency: bool, as_json: bool) -> None:
    """Write ablation.json, ablation.md and curves.png of the finished runs into `out`, and print the tables.

    `latency` measures it, on so many `threads`; else it is as it was measured the last time.

    Raises:
        UsageError: no run is finished.
    """
    from yolox_deploy.benchmarks.roadmap import report
    from yolox_deploy.benchmarks.roadmap.runs import read_result
    from yolox_deploy.charts import draw_convergence
    from yolox_deploy.data.opening import open_splits
    from yolox_deploy.files import write_text

    results = [result for run in runs if (result := read_result(run)) is not None]
    if not results:
        raise UsageError(f"no run in {out} is finished; train some first, without --report-only")
    finished = [run for run in runs if run.result_path.is_file()]
    latencies = _latencies(finished, out, threads, measure=latency)
    splits = open_splits(**runs[0].config.data_options)
    figures = report.gather(runs, results, len(splits[0].class_names), latencies)
    notes = _notes(runs, results, bool(latencies), [len(split) for split in splits])
    content = report.to_json(figures, results, notes)
    write_text(out / "ablation.json", json.dumps(content, indent=1))
    write_text(out / "ablation.md", report.to_markdown(figures, notes))
    draw_convergence(report.convergence(figures), out / "curves.png")
    if as_json:
        print_json(content)
        return
    for table in report.tables(figures):
        print_table(table.columns, table.rows, table.title)
    for line in (*notes, report.LABEL):
        echo(line)
    echo(f"also in {out}: ablation.json, ablation.md, curves.png")


def _latencies(runs: Sequence[Run], out: Path, threads: int | None, *, measure: bool) -> dict[str, float]:
    """Milliseconds by model name, measured now or kept from the last time."""
    from yolox_deploy.benchmarks.roadmap.report import measure_latencies
    from yolox_deploy.files import write_text
    from yolox_deploy.records import FileKind, read

    file = out / LATENCIES
    if measure:
        with reporting("measuring latency") as progress:
            found = measure_latencies(runs, threads=threads, report=progress)
        write_text(file, json.dumps(found, indent=1))
    kept = FileKind("measure again with: yolox-deploy ablate --latency")
    return dict(read(file, kept)) if file.is_file() else {}


def _notes(
    runs: Sequence[Run], results: Sequence[RunResult], latency: bool, counts: Sequence[int]
) -> list[str]:
    """What a reader has to know of the figures; `counts` are of the pictures to train and to evaluate on."""
    config = runs[0].config
    data = config.data or config.train_annotations or config.out
    seeds = sorted({result.seed for result in results})
    notes = [
        f"{data.name}: {counts[0]} pictures to train on, {counts[1]} to evaluate, at "
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
