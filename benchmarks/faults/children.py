"""Runs each case in a process of its own, with limits of time and memory.

A server has imported what the cases need and nothing more: no thread runs in it and no session is open. It forks once a
case, so that a case costs tens of milliseconds and a crash costs that case alone.

    python -m yolox_deploy.benchmarks.faults.children MODULE [MODULE …]

reads a line of JSON for each case, and answers each with one.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from yolox_deploy.benchmarks.faults.outcomes import Result
from yolox_deploy.errors import YoloxDeployError

SECONDS = 20.0
MEMORY_MIB = 2048
POLL_SECONDS = 0.005
AHEAD = 8
PR_SET_PDEATHSIG = 1
PAGE = os.sysconf("SC_PAGE_SIZE")

Key = TypeVar("Key")


class Asked(NamedTuple):
    """A case: the function that is called in a child, "package.module:name", with arguments that JSON can hold."""

    function: str
    arguments: dict[str, Any]
    seconds: float = SECONDS
    memory_mib: int = MEMORY_MIB


class Ended(NamedTuple):
    """How a child ended: None for a result that the caller has to judge by `answer`, which JSON can hold."""

    result: Result | None
    answer: Any = None
    detail: str = ""
    peak: float = 0.0


class Server:
    """A process that has imported `modules` and forks a child for each case."""

    def __init__(self, modules: Sequence[str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "yolox_deploy.benchmarks.faults.children", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, asked: Asked) -> Ended:
        """Run one case and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server of the cases ended with {self._process.wait()}")
        result, *others = json.loads(line)
        return Ended(result and Result(result), *others)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def run_one(asked: Asked, modules: Sequence[str] = ()) -> Ended:
    """Run a case, such as one that writes what others need."""
    with Server(modules) as server:
        return server.run(asked)


def run_all(
    modules: Sequence[str], cases: Iterable[tuple[Key, Asked]], jobs: int = 2
) -> Iterator[tuple[Key, Ended]]:
    """Run cases, `jobs` at a time, and yield each with how it ended, in their order.

    Each case is a key of the caller and what is asked; no more than `AHEAD` are made before they are run.
    """
    with ExitStack() as stack:
        free: SimpleQueue[Server] = SimpleQueue()
        for _ in range(jobs):
            free.put(stack.enter_context(Server(modules)))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        waiting: deque[tuple[Key, Future[Ended]]] = deque()
        for key, asked in cases:
            waiting.append((key, pool.submit(_run_on_free, free, asked)))
            if len(waiting) > AHEAD:
                key, ended = waiting.popleft()
                yield key, ended.result()
        for key, ended in waiting:
            yield key, ended.result()


def _run_on_free(free: SimpleQueue[Server], asked: Asked) -> Ended:
    server = free.get()
    try:
        return server.run(asked)
    finally:
        free.put(server)


def run_in_child(asked: Asked) -> Ended:
    """Fork, call the function there, watch it, and tell how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(asked, writer)
    os.close(writer)
    try:
        stopped, said = _watch(child, reader, asked)
    finally:
        os.close(reader)
    _, status, usage = os.wait4(child, 0)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # what it started itself
    peak = usage.ru_maxrss / 1024
    if stopped is Result.hang:
        return Ended(stopped, None, f"not done after {asked.seconds:.0f} s", peak)
    if stopped is Result.memory or peak > asked.memory_mib:
        return Ended(Result.memory, None, f"more than {asked.memory_mib} MiB", peak)
    if os.WIFSIGNALED(status):
        return Ended(Result.signal, None, signal.Signals(os.WTERMSIG(status)).name, peak)
    if not said.endswith(b"\n"):
        return Ended(Result.raw, None, f"exit status {os.WEXITSTATUS(status)} without an answer", peak)
    result, answer, detail = json.loads(said)
    return Ended(result and Result(result), answer, detail, peak)


def _watch(child: int, reader: int, asked: Asked) -> tuple[Result | None, bytes]:
    """Read what the child says until it ends or passes a limit, where it is killed."""
    said = b""
    end = time.monotonic() + asked.seconds
    while True:
        if select.select([reader], [], [], POLL_SECONDS)[0]:
            block = os.read(reader, 1 << 16)
            said += block
            if not block or said.endswith(b"\n"):
                return None, said
        over = _resident_mib(child) > asked.memory_mib
        if over or time.monotonic() > end:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            return (Result.memory if over else Result.hang), said


def _resident_mib(child: int) -> float:
    try:
        return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * PAGE / 2**20
    except (OSError, IndexError):
        return 0.0


def _be_child(asked: Asked, writer: int) -> None:
    """Call the function, tell through the pipe how it went, and end without what Python does at its end."""
    os.setsid()
    ctypes.CDLL(None).prctl(
        PR_SET_PDEATHSIG, signal.SIGKILL
    )  # so that none outlives a campaign that is ended
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    said: tuple[str | None, Any, str]
    try:
        module, name = asked.function.split(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        said = (None, function(**asked.arguments), "")
    except YoloxDeployError as error:
        said = (Result.refused.value, None, f"{type(error).__name__}: {error}")
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = "".join(traceback.format_exception_only(error)).strip()
        said = (Result.raw.value, None, f"{told[:300]} ({Path(place.filename).name}:{place.lineno})")
    block = json.dumps(said).encode() + b"\n"
    while block:
        block = block[os.write(writer, block) :]
    os._exit(0)


def serve(modules: Sequence[str]) -> None:
    """Import `modules`, then answer a line for each line."""
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run_in_child(Asked(*json.loads(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1:])
