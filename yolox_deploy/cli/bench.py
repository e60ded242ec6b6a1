"""`yolox-deploy bench`: latency by a protocol that others can repeat."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.bench_output import show, writer
from yolox_deploy.cli.common import ALL, command_line, names_in, numbers, parse_size, reporting, split_name
from yolox_deploy.errors import UsageError

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.protocol import Protocol


def bench_command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Model files, or names as for --models [default: yolox_s on all that is installed]."
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Zoo names to export and measure, comma-separated, or 'all'.")
    ] = None,
    backends: Annotated[str | None, typer.Option(help="Runtimes, comma-separated, or 'all'.")] = None,
    precisions: Annotated[
        str | None, typer.Option(help="fp32, fp16, bf16, int8 of exported files, comma-separated.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint of the one model [default: cached official, or random].")
    ] = None,
    imgsz: Annotated[
        str | None, typer.Option(help="N or HxW of exported files, and of files that leave it free.")
    ] = None,
    calib: options.Calib = None,
    images: options.Images = None,
    annotations: options.Annotations = None,
    data: options.Data = None,
    split: options.SplitName = "val",
    max_ap_drop: options.MaxApDrop = 0.01,
    quick: Annotated[bool, typer.Option("--quick", help="3 s for each row and scope.")] = False,
    mlperf: Annotated[
        bool, typer.Option("--mlperf", help="Single stream: 1,024 queries and 60 s, early-stopping p90.")
    ] = False,
    threads: options.ThreadCounts = None,
    device: options.Device = "auto",
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Images per second with several at once, as another table.")
    ] = False,
    batches: Annotated[str, typer.Option(help="Batch sizes of --throughput.")] = "1,4,8",
    streams: Annotated[
        str | None, typer.Option(help="Streams of --throughput [default: 1 and one a core].")
    ] = None,
    latency_only: Annotated[
        bool, typer.Option("--latency-only", help="Leave out loading time, memory and the machine's peak.")
    ] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="Print the paper's tables with the measured figures beside them.")
    ] = False,
    compare: Annotated[Path | None, typer.Option(help="A saved report to compare with.")] = None,
    max_slowdown: Annotated[
        str, typer.Option(help="With --compare: a significant slowdown beyond this ends with code 6.")
    ] = "5%",
    strict: Annotated[
        bool, typer.Option("--strict", help="With --compare: undecided and missing rows end with code 6 too.")
    ] = False,
    out: options.Out = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure latency by a protocol that others can repeat.

    Ends with code 5 when a row is struck out (AP, or the proof stored in its file), with 6 on a regression.
    """
    from yolox_deploy.benchmarks import BenchReport, bench
    from yolox_deploy.benchmarks import compare as compare_reports
    from yolox_deploy.benchmarks.report.compare import common_rows

    limit = parse_share(max_slowdown)
    base = BenchReport.load(compare) if compare is not None else None
    writers = [writer(path) for path in out or []]
    if files and models:
        raise UsageError("name model files or --models, not both")
    with reporting(lines=True) as progress:
        report = bench(
            files or _models(models),
            protocol=choose_protocol(quick, mlperf),
            backends=names_in(backends),
            precisions=names_in(precisions),
            weights=weights,
            imgsz=parse_size(imgsz),
            calib=calib,
            device=device,
            threads=numbers(threads),
            images=images,
            annotations=annotations,
            data=data,
            split=split_name(split),
            max_ap_drop=max_ap_drop,
            startup=not latency_only,
            peaks=not latency_only,
            throughput=throughput,
            batches=numbers(batches),
            streams=numbers(streams),
            baseline=base,
            command=command_line(),
            report=progress,
        )
    compared = compare_reports(base, report) if base is not None and common_rows(base, report) else None
    show(report, as_json, paper, compared, limit)
    for write in writers:
        write(report)
    report.check_accuracy()
    if base is not None:
        (compared or compare_reports(base, report)).check(limit, strict=strict)


def choose_protocol(quick: bool, mlperf: bool) -> Protocol:
    """The protocol that the flags name."""
    from yolox_deploy.benchmarks.protocol import Protocol

    if quick and mlperf:
        raise UsageError("choose one of --quick and --mlperf")
    return Protocol.quick() if quick else Protocol.mlperf() if mlperf else Protocol()


def parse_share(text: str) -> float:
    """`5%` or `0.05` to 0.05."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if match is None:
        raise UsageError(f"the share is {text!r}; expected a percentage such as 5%, or a number such as 0.05")
    return float(match[1]) / (100 if match[2] else 1)


def _models(text: str | None) -> tuple[str, ...]:
    from yolox_deploy.benchmarks.plan import DEFAULT_MODEL
    from yolox_deploy.models.zoo import ZOO

    return tuple(ZOO) if text == ALL else names_in(text) or (DEFAULT_MODEL,)
