"""Detectors, streams and trackers that eight threads use at once.

Each thread has pictures of its own, whose boxes were found by one thread before. The answers have to be the same bit
for bit, of every backend: each inference has one thread.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.benchmarks.faults.children import Asked, run_all
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result
from yolox_deploy.detections import Detections
from yolox_deploy.detector import Detector
from yolox_deploy.errors import ClosedError

HERE = "yolox_deploy.benchmarks.faults.threads"
MODELS = {
    "onnxruntime": "nano.onnx", "openvino": "nano.xml", "ncnn": "nano.ncnn.param", "torch": "nano.pth"
}  # fmt: skip
SIDE, THREADS, CALLS, PICTURES = 64, 8, 1000, 4
SECONDS = 400.0
CONFS = (0.02, 0.05, 0.1, 0.2)

Image = NDArray[np.uint8]


def run(
    seed: int, count: int, folder: Path, until: float, first: int = 0, calls: int = CALLS
) -> Iterator[Outcome]:
    """Every scenario with every backend in turn, so many in all; see `outcomes.Run`."""
    asked = Asked(f"{HERE}:prepare", {"folder": str(folder / "whole")}, 300, 8192)
    made = next(iter(run_all((), [(None, asked)], 1)))[1]
    if made.result is not None:
        yield Outcome("threads", "whole", Result.raw, f"the models cannot be made: {made.detail}")
        return
    cases = [(scenario, backend) for scenario in SCENARIOS for backend in MODELS]

    def all_asked() -> Iterator[tuple[tuple[int, str], Asked]]:
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            scenario, backend = cases[number % len(cases)]
            arguments = {
                "scenario": scenario, "model": str(folder / "whole" / MODELS[backend]), "backend": backend,
                "seed": f"{seed}/threads/{number}", "calls": calls,
            }  # fmt: skip
            yield (number, f"{scenario}, {backend}"), Asked(f"{HERE}:try_one", arguments, SECONDS, 4096)

    for (number, done), ended in run_all((), all_asked(), 1):
        wrong = ended.answer["wrong"] if ended.result is None else ""
        result = ended.result or (Result.silent if wrong else Result.right)
        detail = "; ".join(text for text in (done, ended.detail, wrong) if text)
        yield Outcome("threads", str(number), result, detail, peak=ended.peak)


def prepare(folder: str) -> None:
    """In a child: the same small model for every backend."""
    import shutil

    from yolox_deploy.exporter import export
    from yolox_deploy.files import embedded_checkpoint

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for target, name in (("onnx", "nano.onnx"), ("openvino", "nano.xml"), ("ncnn", "nano.ncnn.param")):
        export("yolox_nano", weights="scenes", imgsz=SIDE, to=target, out=place / name, verify=False)
    shutil.copyfile(embedded_checkpoint(), place / "nano.pth")


def try_one(scenario: str, model: str, backend: str, seed: str, calls: int) -> dict[str, Any]:
    """In a child: what was wrong, or ""."""
    chance = random.Random(seed)
    wrong = SCENARIOS[scenario](lambda: open_model(model, backend), chance, calls)
    return {"wrong": "; ".join(wrong[:3])}


def open_model(model: str, backend: str, threads: int = 1) -> Detector:
    """A Detector at the small size, whatever the file."""
    override = {"input_size": SIDE} if backend == "torch" else None
    return Detector(model, backend=backend, conf=CONFS[0], threads=threads, override=override)


def pictures_of(chance: random.Random, count: int = PICTURES) -> list[Image]:
    """Scenes that nobody else has."""
    from yolox_deploy.synthetic.drawing import draw_scene

    generator = np.random.default_rng(chance.getrandbits(32))
    return [draw_scene(generator, (SIDE, 2 * SIDE)).image for _ in range(count)]


def difference(found: Detections, expected: Detections) -> str:
    """How two answers differ; "" where they are the same bit for bit."""
    if len(found) != len(expected):
        return f"{len(found)} boxes instead of {len(expected)}"
    same = (
        np.array_equal(getattr(found, name), getattr(expected, name))
        for name in ("boxes", "scores", "class_ids")
    )
    return "" if all(same) else f"{found} instead of {expected}"


def in_threads(tasks: Sequence[Callable[[], list[str]]]) -> list[str]:
    """Run all at once, from one moment on; returns what was wrong in any, and raises what any raised."""
    together = threading.Barrier(len(tasks))

    def begin(task: Callable[[], list[str]]) -> list[str]:
        together.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [wrong for future in [pool.submit(begin, task) for task in tasks] for wrong in future.result()]


def _calls(
    detector: Detector, images: list[Image], expected: list[Detections], calls: int, **thresholds: Any
) -> list[str]:
    wrong = []
    for number in range(calls):
        told = difference(
            detector.predict(images[number % len(images)], **thresholds), expected[number % len(images)]
        )
        if told:
            wrong.append(f"call {number}: {told}")
    return wrong


def _predict(
    detectors: Sequence[Detector], chance: random.Random, calls: int, confs: Sequence[float]
) -> list[str]:
    tasks: list[Callable[[], list[str]]] = []
    for number in range(THREADS):
        images, conf = pictures_of(chance), confs[number % len(confs)]
        expected = [detectors[0].predict(image, conf=conf) for image in images]
        detector = detectors[number % len(detectors)]
        tasks.append(partial(_calls, detector, images, expected, calls, conf=conf))
    return in_threads(tasks)


def one(open_one: Callable[[], Detector], chance: random.Random, calls: int) -> list[str]:
    """All threads on one Detector."""
    with open_one() as detector:
        return _predict([detector], chance, calls, CONFS[:1])


def eight(open_one: Callable[[], Detector], chance: random.Random, calls: int) -> list[str]:
    """A Detector a thread."""
    with ExitStack() as stack:
        return _predict([stack.enter_context(open_one()) for _ in range(THREADS)], chance, calls, CONFS[:1])


def thresholds(open_one: Callable[[], Detector], chance: random.Random, calls: int) -> list[str]:
    """Each thread asks one Detector with other thresholds."""
    with open_one() as detector:
        return _predict([detector], chance, calls, CONFS)


def closing(open_one: Callable[[], Detector], chance: random.Random, calls: int) -> list[str]:
    """One thread closes the Detector that the others call: each call is answered right, or a ClosedError."""
    wrong: list[str] = []
    for _ in range(max(1, calls // 100)):
        detector, images = open_one(), pictures_of(chance)
        expected = [detector.predict(image) for image in images]
        wait = chance.uniform(0, 0.05)

        def call(
            detector: Detector = detector, images: list[Image] = images, expected: Any = expected
        ) -> list[str]:
            found: list[str] = []
            while not found:
                try:
                    found = _calls(detector, images, expected, len(images))
                except ClosedError:
                    return []
            return found

        def close(detector: Detector = detector, wait: float = wait) -> list[str]:
            time.sleep(wait)
            detector.close()
            return []

        wrong += in_threads([call] * (THREADS - 1) + [close])
    return wrong


def streams(open_one: Callable[[], Detector], chance: random.Random, calls: int) -> list[str]:
    """Each thread streams files of its own through one Detector."""
    import cv2

    def watch(detector: Detector, paths: list[Path], expected: list[Detections]) -> list[str]:
        many = [paths[number % len(paths)] for number in range(calls)]
        told = [
            difference(found, expected[at % len(paths)])
            for at, (_, found) in enumerate(detector.stream(many))
        ]
        wrong = [f"frame {number}: {text}" for number, text in enumerate(told) if text]
        return wrong if len(told) == calls else [*wrong, f"{len(told)} of {calls} frames"]

    with open_one() as detector, tempfile.TemporaryDirectory() as folder:
        tasks: list[Callable[[], list[str]]] = []
        for thread in range(THREADS):
            images = pictures_of(chance)
            paths = [Path(folder, f"{thread}_{number}.png") for number in range(len(images))]
            for path, image in zip(paths, images, strict=True):
                cv2.imwrite(str(path), image)
            expected = [detector.predict(image) for image in images]
            tasks.append(partial(watch, detector, paths, expected))
        return in_threads(tasks)


def trackers(open_one: Callable[[], Detector], chance: random.Random, calls: int) -> list[str]:
    """A Tracker a thread, as its documentation wants it, on one Detector: the identities are those of one thread."""
    from yolox_deploy.tracking import Tracker

    def follow(detector: Detector, images: list[Image], calls: int) -> list[Any]:
        tracker = Tracker(detector, conf=0.1)
        found = (tracker.update(images[number % len(images)], number / 10) for number in range(calls))
        return [None if answer.track_ids is None else answer.track_ids.tolist() for answer in found]

    def compare(detector: Detector, images: list[Image], expected: list[Any]) -> list[str]:
        return [] if follow(detector, images, len(expected)) == expected else ["other identities"]

    with open_one() as detector:
        tasks: list[Callable[[], list[str]]] = []
        for _ in range(THREADS):
            images = pictures_of(chance)
            expected = follow(detector, images, max(1, calls // 4))
            tasks.append(partial(compare, detector, images, expected))
        return in_threads(tasks)


SCENARIOS: dict[str, Callable[[Callable[[], Detector], random.Random, int], list[str]]] = {
    "one": one,
    "eight": eight,
    "closing": closing,
    "thresholds": thresholds,
    "streams": streams,
    "trackers": trackers,
}
