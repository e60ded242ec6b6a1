"""Processes around Detectors: fork after loading, spawn, and hundreds of Detectors opened one after the other."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from yolox_deploy.benchmarks.faults.children import Asked, run_all
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result
from yolox_deploy.benchmarks.faults.threads import MODELS, difference, open_model, pictures_of
from yolox_deploy.errors import YoloxDeployError

HERE = "yolox_deploy.benchmarks.faults.processes"
OPENED, WARM = 200, 20
GROWN_MIB, GROWN_HANDLES, GROWN_THREADS = 60.0, 5, 2
"""By how much a process may grow between the Detector after the warm-up and the last."""
CHILD_SECONDS = 25.0
SECONDS = 300.0
TRIES = ("fork", "fork of two threads", "fork of forks", "spawn", "closed", "dropped")


def run(
    seed: int, count: int, folder: Path, until: float, first: int = 0, opened: int = OPENED
) -> Iterator[Outcome]:
    """Every try with every backend in turn, so many in all; see `outcomes.Run`."""
    asked = Asked(
        "yolox_deploy.benchmarks.faults.threads:prepare", {"folder": str(folder / "whole")}, 300, 8192
    )
    made = next(iter(run_all((), [(None, asked)], 1)))[1]
    if made.result is not None:
        yield Outcome("processes", "whole", Result.raw, f"the models cannot be made: {made.detail}")
        return
    cases = [(name, backend) for name in TRIES for backend in MODELS]

    def all_asked() -> Iterator[tuple[tuple[int, str], Asked]]:
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            name, backend = cases[number % len(cases)]
            arguments = {
                "name": name, "model": str(folder / "whole" / MODELS[backend]), "backend": backend,
                "seed": f"{seed}/processes/{number}", "opened": opened,
            }  # fmt: skip
            yield (number, f"{name}, {backend}"), Asked(f"{HERE}:try_one", arguments, SECONDS, 4096)

    for (number, done), ended in run_all((), all_asked(), 1):
        result, told = ended.result or Result(ended.answer[0]), ended.detail or ended.answer[1]
        detail = f"{done}: {told}" if told else done
        yield Outcome("processes", str(number), result, detail, peak=ended.peak)


def try_one(name: str, model: str, backend: str, seed: str, opened: int) -> tuple[str, str]:
    """In a child: how it ended, and what was seen."""
    chance = random.Random(seed)
    if name in ("closed", "dropped"):
        return _open_many(model, backend, chance, opened, close=name == "closed")
    if name == "spawn":
        return _spawn(model, backend, chance)
    return _fork(model, backend, chance, threads=2 if "two" in name else 1, deep=2 if "forks" in name else 1)


def _fork(model: str, backend: str, chance: random.Random, threads: int, deep: int) -> tuple[str, str]:
    """A Detector that was used before a fork is used in the child, and in this process again."""
    detector, (image,) = open_model(model, backend, threads), pictures_of(chance, 1)
    expected = detector.predict(image)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for _ in range(deep - 1):
            if inner := os.fork():
                os.waitpid(inner, 0)
                os._exit(0)
        os.write(writer, json.dumps(_answer(detector, image, expected)).encode())
        os._exit(0)
    os.close(writer)
    status = _wait(child, CHILD_SECONDS)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode() if status is not None else ""
    if told := difference(detector.predict(image), expected):
        return Result.silent.value, f"in the parent: {told}"
    if status is None:
        return Result.hang.value, f"the forked process does not end within {CHILD_SECONDS:.0f} s"
    if os.WIFSIGNALED(status):
        return Result.signal.value, f"the forked process died of signal {os.WTERMSIG(status)}"
    result, told = json.loads(said) if said else (Result.raw.value, "the forked process said nothing")
    return result, told


def _answer(detector: Any, image: Any, expected: Any) -> tuple[str, str]:
    try:
        told = difference(detector.predict(image), expected)
    except YoloxDeployError as error:
        return Result.refused.value, f"{type(error).__name__}: {error}"
    except BaseException as error:
        return Result.raw.value, f"{type(error).__name__}: {error}"
    return (Result.silent.value, told) if told else (Result.right.value, "")


def _wait(child: int, seconds: float) -> int | None:
    """The status of a process, or None where it had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def _spawn(model: str, backend: str, chance: random.Random) -> tuple[str, str]:
    """Two spawned processes open the model of which this one has a Detector too."""
    images = pictures_of(chance, 2)
    with open_model(model, backend, 2) as detector:
        expected = [detector.predict(image) for image in images]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            asked = pool.starmap_async(open_and_predict, [(model, backend, image) for image in images])
            try:
                found = asked.get(4 * CHILD_SECONDS)
            except multiprocessing.TimeoutError:
                return Result.hang.value, "the spawned processes do not answer"
    told = [text for pair in zip(found, expected, strict=True) if (text := difference(*pair))]
    return (Result.silent.value, told[0]) if told else (Result.right.value, "")


def open_and_predict(model: str, backend: str, image: Any) -> Any:
    """In a spawned process."""
    with open_model(model, backend, 2) as detector:
        return detector.predict(image)


def _open_many(
    model: str, backend: str, chance: random.Random, opened: int, *, close: bool
) -> tuple[str, str]:
    """Open, use and close, or drop, a Detector again and again; what the process takes stays the same."""
    (image,) = pictures_of(chance, 1)
    expected, before = None, _taken()
    for number in range(opened):
        detector = open_model(model, backend)
        found = detector.predict(image)
        if expected is not None and (told := difference(found, expected)):
            return Result.silent.value, f"Detector {number}: {told}"
        expected = found
        if close:
            detector.close()
        del detector, found
        if number + 1 == min(WARM, opened // 2):
            gc.collect()
            before = _taken()
    gc.collect()
    grown = [after - first for after, first in zip(_taken(), before, strict=True)]
    told = f"{opened} opened: {grown[0]:+.0f} MiB, {grown[1]:+.0f} handles, {grown[2]:+.0f} threads"
    over = grown[0] > GROWN_MIB or grown[1] > GROWN_HANDLES or grown[2] > GROWN_THREADS
    return (Result.memory if over else Result.right).value, told


def _taken() -> tuple[float, float, float]:
    """Resident memory in MiB, open handles and threads of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    handles = len(os.listdir("/proc/self/fd"))
    return int(status["VmRSS"].split()[0]) / 1024, handles, int(status["Threads"])
