"""Several model files measured in turn in one process, so that their ratios survive a noisy machine.

Each round gives every file one block of iterations of every scope, in an order drawn anew; rounds go on until
every file and scope has its time or its count.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.benchmarks.pictures import Pictures
from yolox_deploy.benchmarks.protocol import PHASES, Protocol
from yolox_deploy.benchmarks.report.results import Samples
from yolox_deploy.benchmarks.stats import FEWEST_ROUNDS
from yolox_deploy.benchmarks.timing import (
    REFERENCE_LOOP_BLOCK,
    WARM_UP_LIMIT_MS,
    ReferenceLoop,
    Tensor,
    time_e2e,
    time_host,
    warm_up,
)
from yolox_deploy.detector import Detector
from yolox_deploy.detector_info import DetectorInfo
from yolox_deploy.errors import UsageError, require
from yolox_deploy.runtimes.registry import find
from yolox_deploy.types import SILENT, Report

OPENING_SHARE = 2.0
"""A file is opened anew once it was measured for so many times what opening it took."""

LATER_WARM_UP_LIMIT_MS = 1_000.0

TENSORS_AT_ONCE = 16
"""Input tensors kept for one block (5 MB each at 640), so that memory stays bounded."""


@dataclass(frozen=True)
class ModelUnderTest:
    """What to measure: a model file and how to open it; arguments as of `Detector`.

    `weights` says where the weights came from ("official", "random"), where that is known. Candidates of
    one `group` are measured in turn, the groups one after the other.
    """

    path: Path
    backend: str | None = None
    device: str = "auto"
    threads: int | None = None
    override: Mapping[str, Any] | None = None
    runtime_options: Mapping[str, Any] | None = None
    weights: str | None = None
    group: str = ""

    @property
    def takes_threads(self) -> bool:
        """Whether its backend runs on the CPU, where the number of threads means something."""
        return "cpu" in find(self.path, self.backend).load().capabilities.devices

    def open(self, protocol: Protocol) -> Detector:
        """A Detector with the protocol's thresholds."""
        return Detector(
            self.path,
            backend=self.backend,
            device=self.device,
            threads=self.threads,
            conf=protocol.conf,
            iou=protocol.iou,
            override=self.override,
            runtime_options=self.runtime_options,
        )


@dataclass(frozen=True)
class Measured:
    """The samples of one candidate, what it turned out to be, and how many distinct pictures each scope saw."""

    candidate: ModelUnderTest
    info: DetectorInfo
    steady: bool
    openings: int
    pictures: int
    scopes: Mapping[str, Samples]
    phases: Mapping[str, Samples]


@dataclass(frozen=True)
class Session:
    """All candidates of a run, and the reference loop's times in the same rounds."""

    measured: tuple[Measured, ...]
    reference_loop: Samples


class _Running:
    """A candidate while it is measured; closed at the end of the run."""

    def __init__(self, candidate: ModelUnderTest, protocol: Protocol, pictures: Pictures) -> None:
        self._candidate, self._protocol = candidate, protocol
        self._pictures = len(pictures.images)
        # A walk of its own for each use, so that each comes to every picture.
        self._settling, self._for_host, self._for_e2e = (itertools.cycle(pictures.images) for _ in range(3))
        self._host: list[float] = []
        self._device: list[float] = []
        self._phases: list[tuple[float, float, float]] = []
        self._steady = True
        self._openings = 0
        self._open()
        self._info = self._detector.info
        latency = self._warm_up.latency_ms
        self._block, self._settled = protocol.block(latency), protocol.settle(latency)

    def measure(self) -> None:
        """One block of each scope."""
        start = time.perf_counter()
        if self._info.backend == "torch":
            _restore_torch_threads(self._info)
        self._settle()
        host, device = time_host(self._detector, self._tensors(), self._detector.last_device_ms)
        self._host += host
        self._device += device
        self._phases += time_e2e(self._detector, list(itertools.islice(self._for_e2e, self._block)))
        self._seconds_since += time.perf_counter() - start

    def open_anew(self) -> None:
        """Close and open the file, once that takes less than half of what was measured since the last time."""
        cheap = self._seconds_since >= OPENING_SHARE * self._opening_seconds
        if cheap and self._openings < self._protocol.openings:
            self._detector.close()
            self._open()

    def close(self) -> None:
        """Free the model."""
        self._detector.close()

    def is_done(self) -> bool:
        """Whether both scopes have what the protocol asks for."""
        e2e, count = sum(map(sum, self._phases)), len(self._host)
        reached = self._protocol.is_reached
        return reached(count, sum(self._host)) and reached(count, e2e)

    def result(self) -> Measured:
        """What was measured so far."""
        scopes = {"host": self._host, "e2e": [round(sum(phases), 6) for phases in self._phases]}
        if len(self._device) == len(self._host):
            scopes["device"] = self._device
        parts = zip(*self._phases, strict=True)
        return Measured(
            candidate=self._candidate,
            info=self._info,
            steady=self._steady,
            openings=self._openings,
            pictures=min(self._pictures, len(self._host) // self._block * min(self._block, TENSORS_AT_ONCE)),
            scopes={name: Samples(tuple(times), self._block) for name, times in scopes.items()},
            phases={name: Samples(times, self._block) for name, times in zip(PHASES, parts, strict=True)},
        )

    def _open(self) -> None:
        start = time.perf_counter()
        self._detector = self._candidate.open(self._protocol)
        try:
            _check_batch(self._detector.info)
            limit_ms = LATER_WARM_UP_LIMIT_MS if self._openings else WARM_UP_LIMIT_MS
            self._warm_up = warm_up(self._detector, self._settling, self._protocol, limit_ms)
        except BaseException:
            self._detector.close()
            raise
        self._steady &= self._warm_up.steady
        self._openings += 1
        self._opening_seconds, self._seconds_since = time.perf_counter() - start, 0.0

    def _settle(self) -> None:
        time_e2e(self._detector, list(itertools.islice(self._settling, self._settled)))

    def _tensors(self) -> list[Tensor]:
        kept = [
            self._detector.prepare(image).tensor.copy()
            for image in itertools.islice(self._for_host, min(self._block, TENSORS_AT_ONCE))
        ]
        return [kept[index % len(kept)] for index in range(self._block)]


def _check_batch(info: DetectorInfo) -> None:
    """One picture in a file of batch 4 costs four: no latency that a reader could use."""
    if info.artifact.batch not in (None, 1):
        raise UsageError(
            f"{Path(info.path).name} takes {info.artifact.batch} pictures at a time; latency is measured at batch 1. "
            "Export it with --batch 1, or measure its images per second with `yolox-deploy bench --throughput`"
        )


def _restore_torch_threads(info: DetectorInfo) -> None:
    """PyTorch has one number of threads for the whole process: the last file opened has set it."""
    require("torch", "export").set_num_threads(info.details["threads"])


def run_session(
    candidates: Sequence[ModelUnderTest],
    protocol: Protocol,
    pictures: Pictures,
    *,
    report: Report = SILENT,
    midway: Callable[[], None] = lambda: None,
) -> Session:
    """Measure the candidates in turn.

    Args:
        report: told of each step and round.
        midway: called once, while it runs.

    Raises:
        UsageError: there is nothing to measure, or a file whose batch is fixed above 1.
        ArtifactError, MissingExtraError, RuntimeFailure: as `Detector`.
    """
    if not candidates:
        raise UsageError("there is nothing to measure: name a model file, or install a backend")
    rng = np.random.default_rng(protocol.seed)
    reference_loop = ReferenceLoop()
    with ExitStack() as stack:
        running = []
        for candidate in candidates:
            report.step(f"warming up {candidate.path.name}")
            running.append(_Running(candidate, protocol, pictures))
            stack.callback(running[-1].close)
        report.step("measuring in rounds")
        for number in itertools.count():
            if number >= FEWEST_ROUNDS and all(one.is_done() for one in running):
                break
            report.advance(number + 1, max(number + 1, protocol.rounds))
            anew = number > 0 and number % math.ceil(protocol.rounds / protocol.openings) == 0
            reference_loop.measure()
            for index in rng.permutation(len(running)):
                if anew:
                    running[index].open_anew()
                running[index].measure()
            if number == FEWEST_ROUNDS // 2:
                midway()
        return Session(
            tuple(one.result() for one in running),
            Samples(tuple(reference_loop.milliseconds), REFERENCE_LOOP_BLOCK),
        )
