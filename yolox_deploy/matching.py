"""Pairs the boxes of two sets that mean the same object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Boxes:
    """Final boxes of one image: (N, 4) x1, y1, x2, y2 in input pixels, (N,) scores and class ids."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


def match(
    left: Boxes, right: Boxes, least_iou: float, *, same_class_only: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pair boxes greedily by overlap, each at most once: indices into both sides and the overlaps.

    Equal overlaps go to the pair of the same class, so that one box under two labels finds both.

    Args:
        left, right: the two sets.
        least_iou: of a pair.
        same_class_only: pair no two classes.
    """
    overlaps = iou_matrix(left.boxes, right.boxes)
    same_class = left.class_ids[:, None] == right.class_ids[None]
    order = np.lexsort((~same_class.ravel(), -overlaps.ravel().round(3)))
    possible = overlaps >= least_iou
    if same_class_only:
        possible &= same_class
    order = order[possible.ravel()[order]]
    pairs: list[tuple[int, int]] = []
    used_left: set[int] = set()
    used_right: set[int] = set()
    for index in order:
        i, j = divmod(int(index), overlaps.shape[1])
        if i not in used_left and j not in used_right:
            pairs.append((i, j))
            used_left.add(i)
            used_right.add(j)
    a, b = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    return a, b, overlaps[a, b]


def iou_matrix(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of each pair: (N, 4) and (M, 4) x1, y1, x2, y2 to (N, M)."""
    a, b = left[:, None].astype(np.float64), right[None].astype(np.float64)
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    intersection = sides[..., 0] * sides[..., 1]
    areas = [(x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (a, b)]
    union = areas[0] + areas[1] - intersection
    ratio: NDArray[np.float64] = intersection / np.maximum(union, 1e-12)
    return ratio
