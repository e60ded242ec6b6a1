"""Which model, backend and input size is best on a stream: streaming AP beside offline AP and latency.

Every detector answers every frame once, timed on this machine with warm calls; the detectors take turns in short
blocks, so that all of them meet the same machine. The streams are then replayed in simulated time with latencies
drawn from these samples: the figures depend on the samples and the seed alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from yolox_deploy.benchmarks.machine.environment import describe
from yolox_deploy.benchmarks.plan import Files, PlanOptions, files_and_names, make_plan
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.benchmarks.streams.report import MeasuredDetector, SweepReport, SweepRow
from yolox_deploy.benchmarks.ways import CHECKPOINT_SUFFIX
from yolox_deploy.detections import Detections
from yolox_deploy.detector import Detector
from yolox_deploy.errors import UsageError
from yolox_deploy.evaluation.coco import METRICS
from yolox_deploy.evaluation.streaming import answers_at, streaming_ap
from yolox_deploy.streaming.clocks import NEWEST, SimulatedClock
from yolox_deploy.streaming.policies import Policy, policy_name
from yolox_deploy.streaming.record import StreamRecord
from yolox_deploy.streaming.recording import AnnotatedVideo, every, stride_of
from yolox_deploy.streaming.sequences import AnnotatedSequences
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import SILENT, Report

BLOCK = 20
"""Consecutive frames that one detector answers before the next has its turn."""
THRESHOLDS = Thresholds.evaluation()


@dataclass(frozen=True)
class SweepOptions:
    """The streams to replay, and how; attributes as the arguments of `sweep`."""

    footage: AnnotatedVideo
    frame_rates: tuple[float, ...] = (30.0,)
    policy: Policy = NEWEST
    forecast: bool = False
    seed: int = 0


def sweep(
    footage: AnnotatedVideo,
    models: Files = "yolox_nano",
    *,
    backends: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    weights: str | Path | None = None,
    frame_rates: Sequence[float] = (30.0,),
    policy: Policy = NEWEST,
    forecast: bool = False,
    threads: int | None = None,
    device: str = "auto",
    seed: int = 0,
    report: Report = SILENT,
) -> SweepReport:
    """Find the best model, backend and input size for a stream; what `yolox-deploy stream --sweep` does.

    Exports what is missing, lets every detector answer every frame once, and scores the streams at each frame rate.

    Args:
        footage: annotated streams, such as `streaming.read_video("sequences.json")`, at the highest
            of the frame rates or a multiple of each.
        models: names in the zoo, exported where needed, or model files, which have their own size and backend.
        backends: for models of the zoo; None for all that run here.
        sizes: sides of the square input in pixels, for models of the zoo; None for each one's own.
        weights: a checkpoint for the one model of the zoo; None for the official weights.
        frame_rates: frames a second.
        policy: which frames a detector takes.
        forecast: whether answers are moved to the query time.
        threads: CPU threads of one inference; None for the backend's choice.
        device: as of `Detector`.
        seed: of the latencies drawn.
        report: told of each step.

    Raises:
        UsageError: a frame rate does not divide the footage's, or nothing can be compared.
        InputError: a picture cannot be read.
        ArtifactError, MissingExtraError: a model or a backend that was named cannot be used here.
    """
    for rate in frame_rates:
        stride_of(rate, footage.data.frame_rate)
    files, names = files_and_names(models)
    wanted = PlanOptions(
        models=names,
        backends=None if backends is None else tuple(backends),
        precisions=("fp32",),
        weights=None if weights is None else Path(weights),
        fetch=True,
        device=device,
        files=files,
        threads=() if threads is None else (threads,),
    )
    candidates, skipped = _models_under_test(wanted, sizes, report)
    options = SweepOptions(footage, tuple(frame_rates), policy, forecast, seed)
    detectors = measure(candidates, footage, report)
    return score_detectors(detectors, options, report, skipped)


def measure(
    candidates: Sequence[ModelUnderTest], footage: AnnotatedVideo, report: Report = SILENT
) -> tuple[MeasuredDetector, ...]:
    """All answers of each candidate and the times they took, the candidates by turns."""
    with ExitStack() as stack:
        detectors = [stack.enter_context(_open(candidate)) for candidate in candidates]
        for detector in detectors:
            footage.data.categories_of(
                detector.info.artifact.class_names
            )  # fails now rather than when scored
        times: list[list[float]] = [[] for _ in detectors]
        answers: list[list[tuple[Detections, ...]]] = [[] for _ in detectors]
        for number, frames in enumerate(footage.frames):
            report.step(f"sequence {number + 1} of {len(footage.frames)}, {len(detectors)} detectors")
            found: list[list[Detections]] = [[] for _ in detectors]
            for start in range(0, len(frames), BLOCK):
                images = [frames[i] for i in range(start, min(start + BLOCK, len(frames)))]
                for detector, spent, kept in zip(detectors, times, found, strict=True):
                    detector.predict(images[0])  # the caches are another detector's
                    for image in images:
                        began = time.perf_counter()
                        kept.append(
                            detector.predict(
                                image, conf=THRESHOLDS.conf, iou=THRESHOLDS.iou, max_detections=None
                            )
                        )
                        spent.append(1000 * (time.perf_counter() - began))
            for kept, whole in zip(found, answers, strict=True):
                whole.append(tuple(kept))
        return tuple(
            _entrant(detector, spent, whole)
            for detector, spent, whole in zip(detectors, times, answers, strict=True)
        )


def score_detectors(
    detectors: Sequence[MeasuredDetector],
    options: SweepOptions,
    report: Report = SILENT,
    skipped: tuple[str, ...] = (),
) -> SweepReport:
    """Replay and score the streams of what was measured; the same for the same detectors, options and seed."""
    rows = []
    for rate in options.frame_rates:
        stride = stride_of(rate, options.footage.data.frame_rate)
        for index, detector in enumerate(detectors):
            report.step(f"scoring {detector.label} at {rate:g} frames a second")
            rows.append(_row(index, detector, options, stride))
    machine = describe()
    return SweepReport(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=f"{machine.cpu}, {machine.usable_cores} usable cores, {machine.system}",
        footage=f"{options.footage.name}: {len(options.footage.frames)} sequences, {len(options.footage.data)} frames "
        f"at {options.footage.data.frame_rate:g} FPS",
        policy=policy_name(options.policy),
        forecast=options.forecast,
        seed=options.seed,
        detectors=tuple(detectors),
        rows=tuple(rows),
        skipped=skipped,
    )


def replay(
    detector: MeasuredDetector, footage: AnnotatedVideo, stride: int, policy: Policy, seed: int
) -> list[StreamRecord]:
    """A record of each sequence at a part of its rate, with latencies drawn from the detector's."""
    records = []
    for number, (sequence, answers) in enumerate(zip(footage.data.sequences, detector.answers, strict=True)):
        clock = SimulatedClock(tuple(ms / 1000 for ms in detector.milliseconds), seed * 100_003 + number)
        records.append(
            clock.run(
                answers[::stride],
                lambda found: found,
                frame_rate=footage.data.frame_rate / stride,
                policy=policy,
                source=sequence.name,
                model={"path": detector.path, "backend": detector.backend, "imgsz": list(detector.size)},
            )
        )
    return records


def _row(index: int, detector: MeasuredDetector, options: SweepOptions, stride: int) -> SweepRow:
    data = every(options.footage.data, stride)
    records = replay(detector, options.footage, stride, options.policy, options.seed)
    instant = replay(replace(detector, milliseconds=(0.0,)), options.footage, stride, NEWEST, 0)
    offline = streaming_ap(data, instant)
    streaming = streaming_ap(data, records, forecast=options.forecast)
    ages = _ages(data, records)
    return SweepRow(
        detector=index,
        frame_rate=data.frame_rate,
        offline={name: offline[name] for name in METRICS},
        streaming={name: streaming[name] for name in METRICS},
        frames=int(streaming["frames"]),
        answered=int(streaming["answered"]),
        taken=sum(len(record.events) for record in records) / len(data),
        age_ms=1000 * sum(ages) / max(len(ages), 1),
    )


def _ages(data: AnnotatedSequences, records: Sequence[StreamRecord]) -> list[float]:
    """Seconds between each query and the frame that its answer is about."""
    ages = []
    for sequence, record in zip(data.sequences, records, strict=True):
        times = [frame.index / data.frame_rate for frame in sequence.frames]
        for moment, newest in zip(times, answers_at(record, times), strict=True):
            if newest >= 0:
                ages.append(moment - record.events[newest].captured)
    return ages


def _models_under_test(
    wanted: PlanOptions, sizes: Sequence[int] | None, report: Report
) -> tuple[tuple[ModelUnderTest, ...], tuple[str, ...]]:
    """What to open, and what was left out, with reasons."""
    if not (wanted.files or wanted.models):
        raise UsageError("no model is named; name some of the zoo (`yolox-deploy models`) or model files")
    if checkpoints := [file for file in wanted.files if file.suffix == CHECKPOINT_SUFFIX]:
        raise UsageError(f"{checkpoints[0]} is a checkpoint; name its model, and it as the weights")
    plans = [make_plan(replace(wanted, models=(), backends=None))] if wanted.files else []
    for size in (sizes or (None,)) if wanted.models else ():
        imgsz = (size, size) if size else None
        plans.append(make_plan(replace(wanted, files=(), imgsz=imgsz), report=report))
    skipped = (text for plan in plans for text in plan.skipped)
    return tuple(one for plan in plans for one in plan.candidates), tuple(dict.fromkeys(skipped))


def _open(candidate: ModelUnderTest) -> Detector:
    detector = candidate.open(Protocol())
    detector.warmup()
    return detector


def _entrant(
    detector: Detector, milliseconds: Sequence[float], answers: Sequence[tuple[Detections, ...]]
) -> MeasuredDetector:
    info = detector.info
    known = info.artifact.model != "unknown"
    return MeasuredDetector(
        model=info.artifact.model if known else Path(info.path).stem,
        backend=info.backend,
        precision=info.precision,
        size=info.artifact.input_size,
        path=info.path,
        milliseconds=tuple(milliseconds),
        answers=tuple(answers),
    )
