"""Random shifts of hue, saturation and value."""

from __future__ import annotations

import cv2
import numpy as np

from yolox_deploy.training.augment.geometry import Image

LIMITS = (5, 30, 30)
"""Greatest shift of hue (of 180), saturation and value (of 255)."""


def random_shifts(rng: np.random.Generator, probability: float) -> tuple[int, int, int]:
    """Whole shifts between the limits, each 0 unless drawn with `probability`."""
    shifts = rng.uniform(-1, 1, 3) * LIMITS * (rng.random(3) < probability)
    hue, saturation, value = shifts.astype(int).tolist()
    return hue, saturation, value


def shift_hsv(image: Image, shifts: tuple[int, int, int]) -> Image:
    """A BGR picture with shifted hue (which goes round), saturation and value (which stop at their ends)."""
    hue, saturation, value = shifts
    if shifts == (0, 0, 0):
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    if saturation or value:
        cv2.add(
            hsv, np.array([0, saturation, value, 0], np.float64), dst=hsv
        )  # saturates, faster than a table
    if hue:
        table = ((np.arange(256) + hue) % 180).astype(np.uint8)
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, 0), table), hsv, 0)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
