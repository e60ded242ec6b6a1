"""Draws labelled boxes on a copy of an image; what every drawn picture needs."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError
from yolox_deploy.files import write_bytes

GOLDEN_RATIO = 0.618034
GREY = (150, 150, 150)
MARGIN = 2
"""Pixels on either side of a label's text."""


def class_color(class_id: int) -> tuple[int, int, int]:
    """A saturated BGR colour; neighbouring ids differ as much as possible (golden-ratio hues)."""
    red, green, blue = colorsys.hsv_to_rgb((class_id * GOLDEN_RATIO) % 1.0, 0.85, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def track_color(track_id: int) -> tuple[int, int, int]:
    """The BGR colour of an identity; grey where it is not confirmed (-1)."""
    return GREY if track_id < 0 else class_color(track_id)


def draw(
    image: NDArray[np.uint8],
    boxes: NDArray[Any],
    texts: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3 uint8 BGR) with each of the boxes (N, 4), x1, y1, x2, y2, its text and BGR colour.

    The first box is drawn last, over the others.
    """
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(canvas.shape[:2]) / 300))
    for box, text, colour in reversed(list(zip(boxes.tolist(), texts, colours, strict=True))):
        x1, y1, x2, y2 = (round(value) for value in box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)
        _label(canvas, text, (x1, y1), colour, thickness)
    return canvas


def write_picture(path: Path, image: NDArray[np.uint8], flags: Sequence[int] = ()) -> None:
    """Encode (H, W, 3) uint8 BGR `image` by the suffix; nobody sees half a file.

    Args:
        flags: of `cv2.imencode`: an option and its value, in turn.

    Raises:
        InputError: OpenCV cannot encode it.
    """
    try:
        success, data = cv2.imencode(path.suffix, image, flags)
    except cv2.error:  # no encoder for this suffix, or one that takes no such size
        success = False
    if not success:
        size = "{}x{}".format(*image.shape[:2])
        raise InputError(
            f"{path}: OpenCV cannot write a picture of {size} as {path.suffix or 'a file without suffix'}; expected "
            "a suffix such as .png or .jpg"
        )
    write_bytes(path, data.tobytes())


def _label(
    canvas: NDArray[np.uint8], text: str, corner: tuple[int, int], color: tuple[int, int, int], thickness: int
) -> None:
    """Text on a filled rectangle above the box's corner, or inside the box where there is no room above."""
    scale = 0.4 + 0.1 * thickness
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    width += 2 * MARGIN
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = corner[1] if corner[1] >= height + baseline else corner[1] + height + baseline
    cv2.rectangle(canvas, (left, bottom - height - baseline), (left + width, bottom), color, cv2.FILLED)
    dark = (0.114, 0.587, 0.299) @ np.array(color) > 140  # BT.601 luma: black text on light colours
    ink = (0, 0, 0) if dark else (255, 255, 255)
    origin = (left + MARGIN, bottom - baseline // 2 - 1)
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
