"""The timed loops themselves: as little as possible between two readings of the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.benchmarks.protocol import Protocol as BenchProtocol

Image = NDArray[np.uint8]
Tensor = NDArray[Any]

WINDOW_MS = 100.0
WARM_UP_LIMIT_MS = 5_000.0
REFERENCE_LOOP_BLOCK = 4
REFERENCE_LOOP_PASSES = 100


class Steps(Protocol):
    """What is timed: a `Detector`, or anything with its three steps."""

    def prepare(self, image: Image) -> Any:
        """Decoded image to something with a `tensor`."""

    def run(self, tensor: Tensor) -> Any:
        """Input tensor to the network's outputs, one a batch entry, synchronously."""

    def finish(self, predictions: Any, prepared: Any) -> Any:
        """One output to detections."""


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up went: the latest e2e time of an iteration, and whether the windows agreed."""

    latency_ms: float
    steady: bool
    iterations: int


def time_host(
    steps: Steps, tensors: Sequence[Tensor], device_ms: Callable[[], float | None] = lambda: None
) -> tuple[list[float], list[float]]:
    """Run the network on each tensor: milliseconds by the wall clock, and by the device where it tells."""
    clock, run = time.perf_counter_ns, steps.run
    host: list[float] = []
    device: list[float] = []
    for tensor in tensors:
        start = clock()
        run(tensor)
        host.append((clock() - start) / 1e6)
        if (elapsed := device_ms()) is not None:
            device.append(round(elapsed, 6))
    return host, device


def time_e2e(steps: Steps, images: Sequence[Image]) -> list[tuple[float, float, float]]:
    """Detect in each image: milliseconds of letterbox, network and post-processing."""
    clock, prepare, run, finish = time.perf_counter_ns, steps.prepare, steps.run, steps.finish
    phases: list[tuple[float, float, float]] = []
    for image in images:
        start = clock()
        prepared = prepare(image)
        before = clock()
        predictions = run(prepared.tensor)
        after = clock()
        finish(predictions[0], prepared)
        end = clock()
        phases.append(((before - start) / 1e6, (after - before) / 1e6, (end - after) / 1e6))
    return phases


def warm_up(
    steps: Steps, images: Iterator[Image], protocol: BenchProtocol, limit_ms: float = WARM_UP_LIMIT_MS
) -> WarmUp:
    """Detect until the protocol's windows agree, or `limit_ms` have passed without that.

    A window lasts 100 ms and at least one iteration; its median stands for it.
    """
    medians: list[float] = []
    total, iterations = 0.0, 0
    while True:
        window: list[float] = []
        while sum(window) < WINDOW_MS:
            window.append(sum(time_e2e(steps, [next(images)])[0]))
        medians.append(float(np.median(window)))
        total += sum(window)
        iterations += len(window)
        last = medians[-protocol.warm_up_windows :]
        agree = len(last) == protocol.warm_up_windows and max(last) <= min(last) * (
            1 + protocol.warm_up_agreement
        )
        if (agree and total >= protocol.warm_up_ms) or (
            total > limit_ms and len(medians) >= protocol.warm_up_windows
        ):
            return WarmUp(medians[-1], agree, iterations)


class ReferenceLoop:
    """A fixed piece of work, the same on every run: how fast the machine itself was in each round.

    Square roots of 65,536 float32 in NumPy, on one thread: tried against sums and products of several sizes on
    a shared machine, its own noise was the least (4 %, others 12-30 %). It tells of other programs and lower
    clocks, not of slower memory. A large product of matrices would wake the threads of the BLAS library, which
    keep spinning for 0.1 s and slow down what is measured next.
    """

    def __init__(self) -> None:
        self._values = np.random.default_rng(0).random(1 << 16, np.float32)
        self._out = np.empty_like(self._values)
        self.milliseconds: list[float] = []

    def measure(self) -> None:
        """One round."""
        for _ in range(REFERENCE_LOOP_BLOCK):
            start = time.perf_counter_ns()
            for _ in range(REFERENCE_LOOP_PASSES):
                np.sqrt(self._values, out=self._out)
            self.milliseconds.append((time.perf_counter_ns() - start) / 1e6)


class _Nothing:
    """A runner that does nothing, to time the loop around it."""

    tensor = np.empty(0, np.float32)

    def prepare(self, image: Image) -> _Nothing:
        return self

    def run(self, tensor: Tensor) -> tuple[None]:
        return (None,)

    def finish(self, predictions: None, prepared: _Nothing) -> None:
        return None


def overhead_us(iterations: int = 20_000) -> float:
    """Microseconds that the e2e loop itself spends on one iteration: its whole wall time on a runner that
    does nothing, best of five."""
    images = [np.empty((1, 1, 3), np.uint8)] * iterations
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter_ns()
        time_e2e(_Nothing(), images)
        best = min(best, (time.perf_counter_ns() - start) / iterations / 1e3)
    return best
