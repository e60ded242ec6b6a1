"""Signals that would end a program wait for the end of a block."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from yolox_deploy.training.interrupts import held_interrupts

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of the command line, for a test; the former ones afterwards."""
    former = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, lambda caught, _frame: (_ for _ in ()).throw(SystemExit(128 + caught)))
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    done: list[str] = []

    def run() -> None:
        with held_interrupts():
            signal.raise_signal(number)
            done.append("the block")

    with pytest.raises(SystemExit) as caught:
        run()
    assert done == ["the block"]
    assert caught.value.code == 128 + number


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with held_interrupts():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
