"""One run of the benchmark, from model files to a report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from yolox_deploy.benchmarks.accuracy import Truth, check_truth, measure_accuracy
from yolox_deploy.benchmarks.machine import environment as machine
from yolox_deploy.benchmarks.machine.peak import measure_peaks
from yolox_deploy.benchmarks.machine.processor import CpuClock, own_cores, use_by_others
from yolox_deploy.benchmarks.pictures import Pictures, from_folder, generated
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.results import (
    BenchReport,
    Environment,
    MachineState,
    Peak,
    Samples,
    Startup,
)
from yolox_deploy.benchmarks.rows import build_rows
from yolox_deploy.benchmarks.session import ModelUnderTest, Session, run_session
from yolox_deploy.benchmarks.startup import measure_startup
from yolox_deploy.benchmarks.timing import overhead_us

Report = Callable[[str], None]


@dataclass(frozen=True)
class BenchOptions:
    """What a run measures besides latency.

    Attributes:
        protocol: how latency is measured.
        images: folder or glob of pictures; None for generated ones.
        annotations: COCO file of `images`: AP is measured too.
        max_ap_drop: AP (0-1) that a row may lose against its model's float32 row before it is struck out.
        startup: measure loading, first inference and memory in a process for each file.
        peaks: measure the machine's matrix-multiply peak.
    """

    protocol: Protocol = field(default_factory=Protocol)
    images: Path | None = None
    annotations: Path | None = None
    max_ap_drop: float = 0.01
    startup: bool = True
    peaks: bool = True


def run_bench(
    candidates: Sequence[ModelUnderTest],
    options: BenchOptions,
    *,
    command: str = "",
    report: Report = lambda message: None,
) -> BenchReport:
    """Measure the candidates in turn and describe them and the machine.

    Args:
        command: how to run it again, for the report.
        report: called with a sentence at each step.

    Raises:
        UsageError: nothing to measure, or annotations without pictures.
        InputError: pictures or annotations that cannot be read, before anything is measured.
        ArtifactError, MissingExtraError, RuntimeFailure: a file that cannot be opened or run.
    """
    protocol = options.protocol
    truth = Truth.of(options.images, options.annotations, options.max_ap_drop)
    if truth is not None:
        check_truth(candidates, truth)
    pictures = load_pictures(options.images, protocol)
    startups = [_startup(candidate, options, report) for candidate in candidates]
    peaks = _peaks(candidates, options, report)
    overhead = overhead_us()
    sessions, environment = _observed(candidates, protocol, pictures, report)
    rows = build_rows(sessions, protocol, pictures, startups, peaks)
    if truth is not None:
        report("measuring accuracy")
        rows = measure_accuracy(rows, candidates, truth, report)
    environment = replace(environment, peaks=peaks)
    return BenchReport(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        protocol=protocol,
        environment=environment,
        rows=tuple(rows),
        image_decoding=decoding_samples(pictures),
        overhead_us=overhead,
        warnings=machine.warnings(environment, any(row.subject.device.startswith("cuda") for row in rows)),
    )


def load_pictures(images: Path | None, protocol: Protocol) -> Pictures:
    """The user's pictures, or generated ones."""
    if images is not None:
        return from_folder(images, protocol.images)
    return generated(protocol.images, protocol.seed)


def decoding_samples(pictures: Pictures) -> Samples | None:
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
        measured = run_session(
            list(group),
            protocol,
            pictures,
            report=report,
            midway=look,
        )
        sessions.append(measured)
    used = use_by_others(start, CpuClock.now(), cores)
    states.append(machine.state("after"))
    elsewhere, stolen = used or (None, None)
    environment = replace(machine.describe(), states=tuple(states), busy_elsewhere=elsewhere, stolen=stolen)
    return sessions, environment


def _startup(candidate: ModelUnderTest, options: BenchOptions, report: Report) -> Startup:
    if not options.startup:
        return Startup()
    report(f"loading {candidate.path.name} in a process of its own")
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
    report("measuring the machine's matrix-multiply peak")
    wanted = dict.fromkeys(candidate.threads for candidate in candidates)
    return tuple(peak for threads in wanted for peak in measure_peaks(threads))
