"""Images per second with several at once: a table of its own, never mixed with latency.

Two modes: "batch" hands several images to one inference; "streams" runs several inferences of one image at
once, a thread each. Timed is the network with its transfers ("host"), closed loop: a stream starts its next
inference when its last one ended.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from yolox_deploy.benchmarks.pictures import Pictures
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.results import Samples, ThroughputRow
from yolox_deploy.benchmarks.rows import describe_model
from yolox_deploy.benchmarks.session import Measured, ModelUnderTest
from yolox_deploy.benchmarks.timing import Tensor, warm_up
from yolox_deploy.detector import Detector
from yolox_deploy.errors import UsageError
from yolox_deploy.host import usable_cores
from yolox_deploy.runtimes.registry import find
from yolox_deploy.types import SILENT, Report

TENSORS = 16
OWN_STREAMS = {"openvino": {"hint": "throughput"}}
"""Backends that divide the cores among inferences themselves, and the option that makes them."""


@dataclass(frozen=True)
class ThroughputOptions:
    """What to try: each batch size on files whose batch is free or that size, each number of streams on all.

    `streams` empty: one, and as many as there are cores.
    """

    batches: tuple[int, ...] = (1, 4, 8)
    streams: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if any(number < 1 for number in (*self.batches, *self.streams)):
            raise UsageError(f"batches {self.batches} and streams {self.streams}: expected numbers from 1")


def run_throughput(
    candidates: Sequence[ModelUnderTest],
    protocol: Protocol,
    options: ThroughputOptions,
    pictures: Pictures,
    *,
    report: Report = SILENT,
) -> tuple[ThroughputRow, ...]:
    """Measure each candidate in each mode, one after the other, for the protocol's seconds each.

    Raises:
        ArtifactError, MissingExtraError, RuntimeFailure: as `Detector`.
    """
    rows: list[ThroughputRow] = []
    for candidate in candidates:
        report.step(f"throughput of {candidate.path.name}: batches")
        rows += _batches(candidate, protocol, options.batches, pictures)
        for streams in options.streams or sorted({1, usable_cores()}):
            report.step(f"throughput of {candidate.path.name}: {streams} streams")
            rows.append(_streams(candidate, protocol, streams, pictures))
    return tuple(rows)


def _batches(
    candidate: ModelUnderTest, protocol: Protocol, sizes: Sequence[int], pictures: Pictures
) -> list[ThroughputRow]:
    rows = []
    with candidate.open(protocol) as detector:
        warm = warm_up(detector, itertools.cycle(pictures.images), protocol)
        fixed = detector.info.artifact.batch
        for size in sizes if fixed is None else (fixed,):
            stack = _stack(detector, pictures, size)
            detector.run(stack)  # a new shape may be prepared at its first run
            seconds, (times,) = _timed(detector, [[stack]], protocol.seconds)
            measured = Measured(candidate, detector.info, warm.steady, 1, len(pictures.images), {}, {})
            rows.append(_row(measured, pictures, "batch", size, 1, seconds, times))
    return rows


def _streams(
    candidate: ModelUnderTest, protocol: Protocol, streams: int, pictures: Pictures
) -> ThroughputRow:
    """Several threads on one Detector, set up for that: every runtime allows it, and one whose calls cannot
    run at once lets them queue."""
    suited = _for_streams(candidate, streams)
    with suited.open(protocol) as detector:
        warm = warm_up(detector, itertools.cycle(pictures.images), protocol)
        batch = detector.info.artifact.batch or 1
        tensors = [_stack(detector, pictures, batch, start) for start in range(TENSORS)]
        work = [tensors[number % TENSORS :] + tensors[: number % TENSORS] for number in range(streams)]
        seconds, times = _timed(detector, work, protocol.seconds)
        measured = Measured(suited, detector.info, warm.steady, 1, len(pictures.images), {}, {})
    together = [value for stream in times for value in stream]
    return _row(measured, pictures, "streams", batch, streams, seconds, together)


def _for_streams(candidate: ModelUnderTest, streams: int) -> ModelUnderTest:
    """The candidate with the cores divided among the streams, unless the user or the backend divides them."""
    entry = find(candidate.path, candidate.backend)
    if entry.name in OWN_STREAMS:
        options = {**OWN_STREAMS[entry.name], **(candidate.runtime_options or {})}
        return replace(candidate, runtime_options=options)
    if candidate.threads is not None or not candidate.takes_threads:
        return candidate
    return replace(candidate, threads=max(1, usable_cores() // streams))


def _stack(detector: Detector, pictures: Pictures, size: int, start: int = 0) -> Tensor:
    """An input tensor (size, …) of consecutive pictures."""
    images = itertools.islice(itertools.cycle(pictures.images), start, start + size)
    return np.concatenate([detector.prepare(image).tensor for image in images])


def _timed(
    detector: Detector, work: Sequence[Sequence[Tensor]], seconds: float
) -> tuple[float, list[list[float]]]:
    """Run each list of tensors round and round in a thread of its own until `seconds` have passed.

    Returns:
        The seconds until the last thread ended, and each thread's times in milliseconds.
    """
    barrier = threading.Barrier(len(work) + 1)

    def loop(tensors: Sequence[Tensor]) -> list[float]:
        clock, run, times = time.perf_counter, detector.run, list[float]()
        barrier.wait()
        now = clock()
        end = now + seconds
        while now < end:
            run(tensors[len(times) % len(tensors)])
            later = clock()
            times.append((later - now) * 1000)
            now = later
        return times

    with ThreadPoolExecutor(len(work)) as pool:
        futures = [pool.submit(loop, tensors) for tensors in work]
        barrier.wait()
        start = time.perf_counter()
        times = [future.result() for future in futures]
        return time.perf_counter() - start, times


def _row(
    measured: Measured,
    pictures: Pictures,
    mode: str,
    batch: int,
    streams: int,
    seconds: float,
    times: Sequence[float],
) -> ThroughputRow:
    count = len(times) * batch
    subject = describe_model(measured, pictures.description)
    number = batch if mode == "batch" else streams
    return ThroughputRow(
        subject=replace(subject, label=f"{subject.label} {mode} {number}", batch=batch),
        mode=mode,
        batch=batch,
        streams=streams,
        images_per_second=count / seconds,
        seconds=seconds,
        count=count,
        samples=Samples(tuple(round(value, 6) for value in times), len(times)),
    )
