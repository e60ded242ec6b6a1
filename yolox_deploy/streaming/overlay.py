"""What is drawn over a frame of a stream: the boxes, and one line of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from yolox_deploy.types import Detections

FONT = cv2.FONT_HERSHEY_SIMPLEX
MARGIN = 6
"""Pixels around the text."""
INK = (255, 255, 255)
LARGEST_SCALE = 0.6


def draw_overlay(image: NDArray[np.uint8], detections: Detections, line: str) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3 uint8 BGR) with the boxes, and `line` on a darkened band along the bottom.

    The text is as large as the width allows, up to the size of the boxes' labels on a full-HD picture.
    """
    canvas = detections.plot(image)
    (width, height), baseline = cv2.getTextSize(line, FONT, 1.0, 1)
    scale = min(LARGEST_SCALE, (canvas.shape[1] - 2 * MARGIN) / max(width, 1))
    rows = min(canvas.shape[0], round((height + baseline) * scale) + 2 * MARGIN)
    canvas[-rows:] //= 3
    origin = (MARGIN, canvas.shape[0] - MARGIN - round(baseline * scale))
    cv2.putText(canvas, line, origin, FONT, scale, INK, 1, cv2.LINE_AA)
    return canvas
