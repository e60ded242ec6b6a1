"""One run of the benchmark: from files or names of models to a report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from yolox_deploy.benchmarks.accuracy import Truth, check_truth, measure_accuracy
from yolox_deploy.benchmarks.machine import environment as machine
from yolox_deploy.benchmarks.machine.facts import Environment, MachineState, Peak
from yolox_deploy.benchmarks.machine.peak import measure_peaks
from yolox_deploy.benchmarks.machine.processor import CpuClock, own_cores, use_by_others
from yolox_deploy.benchmarks.pictures import Pictures, load_pictures
from yolox_deploy.benchmarks.plan import (
    DEFAULT_MODEL,
    BenchPlan,
    Files,
    PlanOptions,
    files_and_names,
    listed,
    make_plan,
)
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.compare import check_comparable
from yolox_deploy.benchmarks.report.results import BenchReport, Samples, Startup
from yolox_deploy.benchmarks.rows import build_rows
from yolox_deploy.benchmarks.session import ModelUnderTest, Session, run_session
from yolox_deploy.benchmarks.startup import measure_startup
from yolox_deploy.benchmarks.throughput import ThroughputOptions, run_throughput
from yolox_deploy.benchmarks.timing import overhead_us
from yolox_deploy.data.split_names import Split
from yolox_deploy.errors import UsageError
from yolox_deploy.types import SILENT, Report


@dataclass(frozen=True)
class BenchOptions:
    """What a run measures besides latency.

    Attributes:
        protocol: how latency is measured.
        images: folder or glob of pictures; None for those of `truth`, else generated ones.
        truth: what AP is measured against; None leaves it out.
        startup: measure loading, first inference and memory in a process for each file.
        peaks: measure the machine's matrix-multiply peak.
        throughput: measure images per second with several at once, as this says; None leaves it out.
    """

    protocol: Protocol = field(default_factory=Protocol)
    images: Path | None = None
    truth: Truth | None = None
    startup: bool = True
    peaks: bool = True
    throughput: ThroughputOptions | None = None


def bench(
    models: Files = DEFAULT_MODEL,
    *,
    protocol: Protocol | None = None,
    backends: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    weights: str | Path | None = None,
    imgsz: int | tuple[int, int] | None = None,
    calib: str | Path | None = None,
    device: str = "auto",
    threads: Sequence[int] = (),
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    data: str | Path | None = None,
    split: Split = "val",
    max_ap_drop: float = 0.01,
    startup: bool = True,
    peaks: bool = True,
    throughput: bool = False,
    batches: Sequence[int] = (1, 4, 8),
    streams: Sequence[int] = (),
    baseline: BenchReport | None = None,
    command: str = "",
    report: Report = SILENT,
) -> BenchReport:
    """Measure latency by a protocol that others can repeat; what `yolox-deploy bench` does.

    Model files run as they are. Models of the zoo are exported to every backend and precision that this machine
    has, into the cache, with the official weights where they are there, else random ones (timing only).
    Nothing is raised for a row whose accuracy failed, nor for a slow one: `BenchReport.check_accuracy()` and
    `compare(baseline, report).check()` do that.

    Args:
        models: one or several model files, or names in the zoo (texts without a suffix).
        protocol: how long and how often; None for `Protocol()`, a minute a row. `Protocol.quick()`: 3 s.
        backends: names of runtimes; None for each file's own, or all that are installed.
        precisions: of exported files: fp32, fp16, bf16, int8; None for those that suit this machine.
        weights: a checkpoint for the one model of the zoo.
        imgsz: side or (H, W) in pixels of exported files, and of files that leave it free.
        calib: folder of pictures for exports to INT8.
        device: as of `Detector`.
        threads: CPU threads of one inference; several are measured one after the other.
        images: folder or glob of pictures; None for generated ones.
        annotations: COCO file of the folder `images`: each row gets the AP of its file.
        data: folder of a COCO, VOC or YOLO data set, or its `data.yaml`, in place of `images` and `annotations`.
        split: of `data`: "train" or "val".
        max_ap_drop: AP (0-1) that a row may lose against its model's float32 row before it is struck out.
        startup: also measure loading, the first inference and memory, in a fresh process for each file.
        peaks: also measure the machine's matrix-multiply peak.
        throughput: also measure images per second with several at once, in a table of its own.
        batches: sizes to try for `throughput`, on files whose batch is free or that size.
        streams: inferences at once to try for `throughput`; empty for one, and as many as there are cores.
        baseline: a report that this one is to be compared with.
        command: how to run it again, for the report.
        report: told of each step.

    Raises:
        UsageError: nothing to measure, annotations without pictures, or a baseline of another protocol or
            machine, before anything is exported or measured.
        InputError: pictures or annotations that cannot be read, before anything is measured.
        ArtifactError, MissingExtraError, RuntimeFailure: a file that cannot be opened or run.
    """
    protocol = protocol or Protocol()
    pictures = None if images is None else Path(images)
    truth = Truth.of(images, annotations, max_ap_drop, data=data, split=split)
    if baseline is not None:
        check_comparable(baseline, protocol, machine.describe())
    files, names = files_and_names(models)
    if bool(files) == bool(names):
        raise UsageError(
            f"the models are {[str(one) for one in listed(models)]}; expected model files, or names of the zoo "
            "(`yolox-deploy models`), not both"
        )
    wanted = PlanOptions(
        models=names,
        backends=None if backends is None else tuple(backends),
        precisions=None if precisions is None else tuple(precisions),
        weights=None if weights is None else Path(weights),
        fetch=truth is not None,
        imgsz=(imgsz, imgsz) if isinstance(imgsz, int) else imgsz,
        calib=None if calib is None else Path(calib),
        device=device,
        files=files,
        threads=tuple(threads),
    )
    several = ThroughputOptions(tuple(batches), tuple(streams)) if throughput else None
    plan = make_plan(wanted, throughput=throughput, report=report)
    options = BenchOptions(protocol, pictures, truth, startup, peaks, several)
    return measure(plan, options, command=command, report=report)


def measure(
    plan: BenchPlan, options: BenchOptions, *, command: str = "", report: Report = SILENT
) -> BenchReport:
    """Measure what was planned in turn and describe it and the machine.

    Raises:
        UsageError, InputError, ArtifactError, MissingExtraError, RuntimeFailure: as `bench`.
    """
    protocol, truth, candidates = options.protocol, options.truth, plan.candidates
    if truth is not None:
        check_truth(candidates, truth)
    pictures = load_pictures(options.images, protocol, None if truth is None else truth.dataset)
    startups = [_startup(candidate, options, report) for candidate in candidates]
    peaks = _peaks(candidates, options, report)
    overhead = overhead_us()
    sessions, environment = _observed(candidates, protocol, pictures, report)
    rows = build_rows(sessions, protocol, pictures, startups, peaks)
    if truth is not None:
        report.step("measuring accuracy")
        rows = measure_accuracy(rows, candidates, truth, report)
    throughput = (
        run_throughput(plan.several, protocol, options.throughput, pictures, report=report)
        if options.throughput
        else ()
    )
    environment = replace(environment, peaks=peaks)
    warnings = machine.warnings(environment, any(row.subject.device.startswith("cuda") for row in rows))
    return BenchReport(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        protocol=protocol,
        environment=environment,
        rows=tuple(rows),
        throughput=throughput,
        image_decoding=_decoding(pictures),
        overhead_us=overhead,
        warnings=(*warnings, *(f"left out: {text}" for text in plan.skipped)),
    )


def _decoding(pictures: Pictures) -> Samples | None:
    """How long the files of the run's folder took to decode."""
    times = pictures.decoding_ms
    return Samples(times, len(times)) if times else None


def _observed(
    candidates: Sequence[ModelUnderTest], protocol: Protocol, pictures: Pictures, report: Report
) -> tuple[list[Session], Environment]:
    """A session for each group, with the machine looked at before, during and after."""
    states: list[MachineState] = [machine.state("before")]
    start, cores = CpuClock.now(), own_cores()

    def look() -> None:
        states.append(machine.state("during"))
        cores.update(own_cores())

    sessions = []
    for _, group in itertools.groupby(candidates, key=lambda candidate: candidate.group):
        measured = run_session(list(group), protocol, pictures, report=report, midway=look)
        sessions.append(measured)
    used = use_by_others(start, CpuClock.now(), cores)
    states.append(machine.state("after"))
    elsewhere, stolen = used or (None, None)
    environment = replace(machine.describe(), states=tuple(states), busy_elsewhere=elsewhere, stolen=stolen)
    return sessions, environment


def _startup(candidate: ModelUnderTest, options: BenchOptions, report: Report) -> Startup:
    if not options.startup:
        return Startup()
    report.step(f"loading {candidate.path.name} in a process of its own")
    return measure_startup(
        candidate.path,
        candidate.backend,
        candidate.device,
        candidate.threads,
        dict(candidate.runtime_options or {}),
    )


def _peaks(candidates: Sequence[ModelUnderTest], options: BenchOptions, report: Report) -> tuple[Peak, ...]:
    if not options.peaks:
        return ()
    report.step("measuring the machine's matrix-multiply peak")
    wanted = dict.fromkeys(candidate.threads for candidate in candidates)
    return tuple(peak for threads in wanted for peak in measure_peaks(threads))
