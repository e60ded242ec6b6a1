"""`yolox-deploy bench`: latency by a protocol that others can repeat."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli.bench_output import Compared, show, writer
from yolox_deploy.cli.common import AsJson, Device, console, parse_size
from yolox_deploy.errors import UsageError

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.plan import BenchPlan
    from yolox_deploy.benchmarks.protocol import Protocol

ALL = "all"

Images = Annotated[Path | None, typer.Option(help="Folder of pictures [default: generated ones].")]
Annotations = Annotated[
    Path | None, typer.Option(help="COCO file of --images: AP of the same file in the same row.")
]
MaxApDrop = Annotated[
    float, typer.Option(min=0, max=1, help="AP (0-1) a row may lose against its model's float32 row.")
]
ThreadCounts = Annotated[
    str | None, typer.Option("--threads", help="CPU threads of one inference; several to sweep: 1,2,4.")
]
Out = Annotated[
    list[Path] | None, typer.Option(help="Write the report; the suffix says how: .json .csv .md .html.")
]


def bench_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Model files [default: yolox_s on all that is installed].")
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
    imgsz: Annotated[str | None, typer.Option(help="N or HxW of exported files.")] = None,
    calib: Annotated[Path | None, typer.Option(help="Folder of pictures for INT8 calibration.")] = None,
    images: Images = None,
    annotations: Annotations = None,
    max_ap_drop: MaxApDrop = 0.01,
    quick: Annotated[bool, typer.Option("--quick", help="3 s for each row and scope.")] = False,
    mlperf: Annotated[
        bool, typer.Option("--mlperf", help="Single stream: 1,024 queries and 60 s, early-stopping p90.")
    ] = False,
    threads: ThreadCounts = None,
    device: Device = "auto",
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
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure latency by a protocol that others can repeat.

    Ends with code 5 when a row is struck out (AP, or the proof stored in its file), with 6 on a regression.
    """
    from yolox_deploy.benchmarks import measuring as harness
    from yolox_deploy.benchmarks.accuracy import Truth
    from yolox_deploy.benchmarks.machine.environment import describe
    from yolox_deploy.benchmarks.plan import PlanOptions, plan_models, with_threads, without_fixed_batches
    from yolox_deploy.benchmarks.report.compare import (
        check_comparable,
        check_regressions,
        compare_reports,
        missing_rows,
    )
    from yolox_deploy.benchmarks.report.results import BenchReport
    from yolox_deploy.benchmarks.rows import check_accuracy
    from yolox_deploy.benchmarks.throughput import ThroughputOptions, run_throughput

    limit = parse_share(max_slowdown)
    base = BenchReport.load(compare) if compare is not None else None
    writers = [writer(path) for path in out or []]
    protocol = choose_protocol(quick, mlperf)
    counts, asked = numbers(threads), ThroughputOptions(numbers(batches), numbers(streams))
    Truth.of(images, annotations, max_ap_drop)  # before minutes of exporting
    if base is not None:
        check_comparable(base, protocol, describe())  # before minutes of measuring
    options = harness.BenchOptions(
        protocol=protocol,
        images=images,
        annotations=annotations,
        max_ap_drop=max_ap_drop,
        startup=not latency_only,
        peaks=not latency_only,
    )
    wanted = PlanOptions(
        models=_models(models),
        backends=_names(backends),
        precisions=_names(precisions),
        weights=weights,
        fetch=annotations is not None,
        imgsz=parse_size(imgsz),
        calib=calib,
        device=device,
    )
    if files and models:
        raise UsageError("name model files or --models, not both")
    with steps() as tell:
        plan = several = plan_models(wanted, tell) if not files else plan_files(files, backends, device)
        if files and throughput:
            plan = without_fixed_batches(plan)
        candidates = with_threads(plan.candidates, counts)
        report = harness.run_bench(candidates, options, command=command_line(), report=tell)
        if throughput:
            several = several if files else plan_models(replace(wanted, batch=None), tell)
            pictures = harness.load_pictures(images, protocol)
            together = with_threads(several.candidates, counts)
            rows = run_throughput(together, protocol, asked, pictures, report=tell)
            report = replace(report, throughput=rows)
    report = replace(report, warnings=(*report.warnings, *(f"left out: {text}" for text in plan.skipped)))
    compared = None
    if base is not None and len(missing := missing_rows(base, report)) < len(base.rows):
        compared = Compared(compare_reports(base, report), missing, limit)
    show(report, as_json, paper, compared)
    for write in writers:
        write(report)
    check_accuracy(report.rows)
    if base is not None:
        changes = compared.changes if compared is not None else compare_reports(base, report)
        check_regressions(changes, limit, base, report, strict=strict)


def plan_files(files: Sequence[Path], backends: str | None, device: str) -> BenchPlan:
    """Each file on its suffix's default backend, on the ones named, or on all that open it.

    Raises:
        UsageError: no backend here opens any of the files.
    """
    from yolox_deploy.benchmarks.plan import BenchPlan, usable_entries
    from yolox_deploy.benchmarks.session import ModelUnderTest

    if backends is None:
        return BenchPlan(tuple(ModelUnderTest(file, device=device) for file in files))
    entries = usable_entries(_names(backends))
    found = [
        ModelUnderTest(file, entry.name, device=device)
        for file in files
        for entry in entries
        if file.suffix in entry.suffixes
    ]
    if not found:
        raise UsageError(f"none of {', '.join(entry.name for entry in entries)} opens these files")
    return BenchPlan(tuple(found))


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


def numbers(text: str | None) -> tuple[int, ...]:
    """`1,2,4` to numbers from 1; nothing to none."""
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise UsageError(f"expected numbers from 1, comma-separated, such as 1,2,4; found {text!r}")
    return tuple(dict.fromkeys(int(number) for number in text.split(",")))


def command_line() -> str:
    """This command as one would type it again."""
    return shlex.join(["yolox-deploy", *sys.argv[1:]])


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Say on standard error what is being done: a spinner on a terminal, else nothing but the slow steps."""
    out = console()
    if out.is_terminal:
        with out.status("starting") as spinner:
            yield spinner.update
        return
    yield lambda message: None if message.startswith("round ") else out.print(message)


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None or text == ALL:
        return None
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _models(text: str | None) -> tuple[str, ...]:
    from yolox_deploy.benchmarks.plan import DEFAULT_MODEL
    from yolox_deploy.models.zoo import ZOO

    return tuple(ZOO) if text == ALL else _names(text) or (DEFAULT_MODEL,)
