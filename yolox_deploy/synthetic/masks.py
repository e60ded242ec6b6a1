"""The polygons of a mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.7
"""Pixels that a simplified ring may leave its contour by."""


def mask_to_rings(mask: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """The rings of a mask (H, W), one a connected piece, each (k, 2) x, y of pixels with k >= 3.

    COCO's polygons know no holes, so a hole is joined to its piece by a cut without width: `cv2.fillPoly` and
    pycocotools leave it empty again.
    """
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    simple = [
        np.asarray(cv2.approxPolyDP(contour, TOLERANCE, True)[:, 0], np.float32) for contour in contours
    ]
    rings = []
    for index, ring in enumerate(simple):
        if hierarchy[0, index, 3] >= 0:  # a hole, which its piece takes in
            continue
        for hole, relation in zip(simple, hierarchy[0], strict=True):
            if relation[3] == index:
                ring = _join(ring, hole)
        # A piece one pixel wide is a point or a line, which a format of polygons needs three corners for.
        rings.append(ring if len(ring) > 2 else ring[[0, -1, -1]])
    return tuple(rings)


def _join(ring: NDArray[np.float32], hole: NDArray[np.float32]) -> NDArray[np.float32]:
    """One ring that goes around, crosses to the hole where they are nearest, around it, and back."""
    distance = np.linalg.norm(ring[:, None] - hole[None], axis=2)
    start, turn = np.unravel_index(distance.argmin(), distance.shape)
    return np.vstack((ring[: start + 1], hole[turn:], hole[: turn + 1], ring[start:]))
