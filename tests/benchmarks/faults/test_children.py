"""A case in a child: each way to end is told, and the next case is not touched by it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from yolox_deploy.benchmarks.faults.children import Asked, Server, run_all
from yolox_deploy.benchmarks.faults.outcomes import Result
from yolox_deploy.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are watched by /proc")

ROOT = Path(__file__).resolve().parents[3]
HERE = "tests.benchmarks.faults.test_children"


def answer(value: int) -> list[int]:
    return [value, os.getpid()]


def refuse() -> None:
    raise InputError("this picture is broken")


def stumble() -> None:
    raise KeyError("boxes")


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def sleep() -> None:
    time.sleep(60)


def fill() -> None:
    kept = [b"x" * 2**20 for _ in range(2000)]
    time.sleep(len(kept))


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server finds this module."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("name", "result", "detail"),
    [
        ("refuse", Result.refused, "InputError: this picture is broken"),
        ("stumble", Result.raw, "KeyError: 'boxes'"),
        ("die", Result.signal, "SIGSEGV"),
        ("leave", Result.raw, "exit status 3"),
        ("sleep", Result.hang, "not done after 1 s"),
        ("fill", Result.memory, "more than 300 MiB"),
    ],
)
def test_each_end_is_told_and_the_server_goes_on(name: str, result: Result, detail: str) -> None:
    with Server([HERE]) as server:
        ended = server.run(Asked(f"{HERE}:{name}", {}, seconds=10 if name == "fill" else 1, memory_mib=300))
        assert ended.result is result
        assert detail in ended.detail
        again = server.run(Asked(f"{HERE}:answer", {"value": 7}))
        assert again.result is None
        assert again.answer[0] == 7
        assert again.peak > 1


def test_cases_come_in_their_order_each_from_a_process_of_its_own() -> None:
    cases = ((number, Asked(f"{HERE}:answer", {"value": number * 10})) for number in range(12))
    found = list(run_all([HERE], cases))
    assert [key for key, _ in found] == list(range(12))
    assert [ended.answer[0] for _, ended in found] == [number * 10 for number in range(12)]
    assert len({ended.answer[1] for _, ended in found}) == 12
