"""Ways that take turns, so that a disturbance of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def take_turns(ways: Mapping[str, Callable[[int], T]], turns: int, *, warm_up: int) -> dict[str, list[T]]:
    """What each way returned at each of its turns, by name; the first `warm_up` turns are not counted.

    Args:
        ways: by name; called with the number of the turn, from 0.
    """
    taken: dict[str, list[T]] = {name: [] for name in ways}
    for turn in range(warm_up + turns):
        for name, way in ways.items():
            value = way(turn)
            if turn >= warm_up:
                taken[name].append(value)
    return taken


def timed(call: Callable[[int], object]) -> Callable[[int], float]:
    """`call`, returning the milliseconds that it took."""

    def milliseconds(turn: int) -> float:
        start = time.perf_counter()
        call(turn)
        return 1e3 * (time.perf_counter() - start)

    return milliseconds
