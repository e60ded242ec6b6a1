"""Draws detections on a copy of an image; what every drawn picture needs."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from yolox_deploy.types import Detections

GOLDEN_RATIO = 0.618034
MARGIN = 2
"""Pixels on either side of a label's text."""


def class_color(class_id: int) -> tuple[int, int, int]:
    """A saturated BGR colour; neighbouring ids differ as much as possible (golden-ratio hues)."""
    red, green, blue = colorsys.hsv_to_rgb((class_id * GOLDEN_RATIO) % 1.0, 0.85, 0.95)
    return int(blue * 255), int(green * 255), int(red * 255)


def draw(image: NDArray[np.uint8], detections: Detections) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3 uint8 BGR) with each box, class name and score; best drawn last."""
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(canvas.shape[:2]) / 300))
    for item in reversed(list(detections)):
        x1, y1, x2, y2 = (round(value) for value in item.box)
        color = class_color(item.class_id)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, thickness)
        _label(canvas, f"{item.class_name} {item.score:.2f}", (x1, y1), color, thickness)
    return canvas


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Encode by the suffix; nobody sees half a file."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    temporary.replace(path)


def _label(
    canvas: NDArray[np.uint8],
    text: str,
    corner: tuple[int, int],
    color: tuple[int, int, int],
    thickness: int,
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
