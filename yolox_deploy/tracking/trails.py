"""The ways that objects took during the last seconds, drawn into a picture."""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.drawing import track_color
from yolox_deploy.errors import UsageError

SHIFT = 4
"""Binary digits after the point in the coordinates of lines that OpenCV draws."""


class Trails:
    """Remembers where each identity was, for some seconds. A trail that nobody adds to fades away.

    Args:
        seconds: how long a place is remembered.
        bottom: of each box take the middle of its lower edge, where an object stands, and not its centre.

    Raises:
        UsageError: seconds that cannot work.
    """

    def __init__(self, seconds: float = 2.0, *, bottom: bool = True) -> None:
        if not 0 < seconds < math.inf:
            raise UsageError(f"trails of {seconds} s; expected seconds above 0")
        self.seconds, self.bottom = seconds, bottom
        self._places: dict[int, deque[tuple[float, float, float]]] = {}

    def add(self, detections: Detections, time: float) -> None:
        """Remember where the confirmed objects of a frame are.

        Args:
            detections: with `track_ids`.
            time: of the frame, in seconds, ascending.
        """
        if detections.track_ids is not None:
            for identity, (x1, y1, x2, y2) in zip(
                detections.track_ids.tolist(), detections.boxes.tolist(), strict=True
            ):
                if identity > 0:
                    place = ((x1 + x2) / 2, y2 if self.bottom else (y1 + y2) / 2, time)
                    self._places.setdefault(identity, deque()).append(place)
        for identity, places in list(self._places.items()):
            while places and places[0][2] < time - self.seconds:
                places.popleft()
            if not places:
                del self._places[identity]

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of `image` (H, W, 3 uint8 BGR) with a line along each trail, in the colour of its identity."""
        canvas = np.ascontiguousarray(image).copy()
        thickness = max(2, round(min(canvas.shape[:2]) / 200))
        for identity, places in self._places.items():
            points = np.array(places)[:, :2]
            line = np.round((points - 0.5) * 2**SHIFT).astype(
                np.int32
            )  # whole numbers are the centres of pixels
            cv2.polylines(canvas, [line], False, track_color(identity), thickness, cv2.LINE_AA, SHIFT)
        return canvas
