"""COCO's run-length masks, as far as boxes need them: their extent and area, without a mask in memory.

Source: maskApi.c of the COCO API (`rleFrString`, `rleToBbox`): runs go down the columns, the first is of background.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Extent(NamedTuple):
    """box is (x, y, w, h) in pixels, area in pixels²."""

    box: tuple[float, float, float, float]
    area: float


def extent(mask: Any) -> Extent | None:
    """Of a mask {"size": [height, width], "counts": runs or their text}; None for an empty or malformed one."""
    try:
        height, width = map(int, mask["size"])
        runs = np.array(_counts(mask["counts"]), np.int64)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    if height <= 0 or width <= 0 or runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        return None
    ends = np.cumsum(runs)[1::2]
    starts = ends - runs[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return None
    left, right = starts // height, (ends - 1) // height
    across = right > left
    top = np.where(across, 0, starts % height).min()
    bottom = np.where(across, height - 1, (ends - 1) % height).max()
    x, y = float(left.min()), float(top)
    box = (x, y, float(right.max()) + 1 - x, float(bottom) + 1 - y)
    return Extent(box, float((ends - starts).sum()))


def _counts(counts: Any) -> list[int] | NDArray[np.int64]:
    """The runs; in text each is a number in base 32, and from the fourth on the difference to the one before last."""
    if not isinstance(counts, str | bytes):
        return list(counts)
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            if shift > 60:
                raise ValueError("a run has more than 64 bits")
            digit = text[position] - 48
            value |= (digit & 0x1F) << shift
            more = bool(digit & 0x20)
            position, shift = position + 1, shift + 5
            if not more and digit & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
