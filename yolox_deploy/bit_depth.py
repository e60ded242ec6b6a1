"""Pictures of 16 bits to 8: which value is white, by what the file states or by what the picture plainly holds.

Cameras of 10, 12 and 14 bits store their values in 16 bits as they are. Read as 16 bits they would be nearly black.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTHS = (8, 10, 12, 14)
"""Bits of the data that is met in 16-bit pictures whose upper bits are unused."""

_BREAK = rb"(?:\s|#[^\n]*\n)+"
_NETPBM = re.compile(rb"P([2356])" + _BREAK + rb"\d+" + _BREAK + rb"\d+" + _BREAK + rb"(\d+)\s")
_HEADER = 4096
"""Bytes in which the header of a Netpbm file ends, comments included."""


def stated_white(data: bytes) -> int | None:
    """The value that the header of a PGM or PPM file calls white; None where there is none, or OpenCV obeys it."""
    match = _NETPBM.match(data[:_HEADER])
    if match is None:
        return None
    white = int(match[2])
    # OpenCV obeys the header where the values are texts of 8 bits (P2, P3), and nowhere else.
    return None if white == 255 or (white < 255 and match[1] in b"23") else white


def to_eight_bits(image: NDArray[Any], white: int | None = None) -> NDArray[np.uint8]:
    """An (H, W) or (H, W, C) picture of uint16, scaled so that white is 255, rounded to nearest.

    Args:
        white: the value that becomes 255, where it is known; values above it become 255 too. None for 65535, or for
            the greatest value of 8, 10, 12 or 14 bits where none of the colours is above it, and that is warned of.
            A fourth channel is scaled as the colours are, or by 65535 where it holds more than they can.
    """
    colours = image[:, :, :3] if image.ndim == 3 else image
    if white is None:
        white = _plain_white(colours)
    scaled = _scaled(image, white)
    if image.ndim == 3 and image.shape[2] == 4 and image[:, :, 3].max() > white:
        scaled[:, :, 3] = _scaled(image[:, :, 3], 65535)
    return scaled


def _plain_white(values: NDArray[Any]) -> int:
    used = int(np.bitwise_or.reduce(values, axis=None))
    bits = next((depth for depth in DEPTHS if used < 1 << depth), 16)
    if bits == 16 or not used or not (values % 257).any():
        return 65535  # all values are multiples of 257: a dark picture of 8 bits that was scaled to 16
    white = (1 << bits) - 1
    warnings.warn(
        f"a picture of 16 bits has no value above {white}: it is read as {bits}-bit data, with {white} as white. "
        "If that is wrong, pass it as 8 bits: (picture >> (bits - 8)).astype(numpy.uint8)",
        stacklevel=2,
    )
    return white


def _scaled(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    levels = (np.arange(int(np.iinfo(values.dtype).max) + 1, dtype=np.uint32) * 255 + white // 2) // white
    scaled: NDArray[np.uint8] = levels.clip(max=255).astype(np.uint8)[values]
    return scaled
