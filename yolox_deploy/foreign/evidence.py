"""What the numbers tell that a network answers to a grey picture and to a photograph.

Each threshold stands between measured values: of sixteen right files and of the layouts that docs/files.md lists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import BOXES
from yolox_deploy.postprocess import STRIDES, Grid

Rows = NDArray[np.float32]

MOST_CELLS = 4.0
"""Cells that a box's centre lies from its anchor point in the mean, at most: 0.3 to 1.1 in right files."""

FOLLOWS = 0.9
"""Correlation of columns 0 and 1 with the anchor points, from which they are positions."""

FAINTEST_CLASS = 0.002
"""The median of the best class probability on a grey picture, at least, where objectness stands apart: 0.015 to 0.16;
where the scores hold it, under 0.0001."""

SURE = 0.1
"""A score in a photograph that is no noise."""

LARGEST_LOGIT = 80.0

TWICE = 0.5, 0.7311
"""Where the sigmoid of a sigmoid lies."""

REVERSED = 1.1
"""How much more uneven the answers to a grey picture are, read as levels of stride 8, 16, 32 instead of 32, 16, 8, from
which they are in the latter order: 0.5 to 0.8 in right files, 1.2 to 1.9 in such ones."""

LEAST_PAIRS, APART = 3, 0.5
"""Pairs of neighbours that tell, and how many cells the centres of their boxes may lie apart: 0.05 to 0.2 in right
files, 1 where the axes are swapped."""

BEST = 20
"""Scores of a picture that are summed."""


def outside_unit(scores: Rows) -> bool:
    """Whether there is a number outside 0-1, but for rounding."""
    return bool(scores.size and (scores.min() < -1e-3 or scores.max() > 1.001))


def are_logits(scores: Rows) -> bool:
    """Whether objectness and class scores on a grey picture lack nothing but their sigmoid.

    There is nothing in it, so most objectness logits are far below zero; further box coordinates are not, and other
    columns than scores leave some within 0-1.
    """
    spread = np.abs(scores).max() < LARGEST_LOGIT and bool((scores.min(axis=0) < -1e-3).all())
    return bool(spread and np.median(scores[:, 0]) < -2)


def box_form(boxes: Rows, grid: Grid, size: tuple[int, int]) -> tuple[str, bool] | None:
    """("raw", "decoded" or "corners", whether they are shares of the input's size); None where it is none of these.

    Args:
        boxes: (N, 4), the answer to a grey picture.
        grid: the anchor points in cells.
        size: (H, W) in pixels.
    """
    exact: NDArray[np.float64] = boxes.astype(np.float64)
    points: NDArray[np.float64] = (grid.offsets * grid.strides[:, None]).astype(np.float64)
    found, swapped = [], False
    for normalized in (False, True):
        scaled = exact * np.tile((size[1], size[0]), 2) if normalized else exact
        for form, (centers, extents) in _readings(scaled[:, :2], scaled[:, 2:]).items():
            swapped |= _follow(centers[:, ::-1], points)
            if _follow(centers, points) and np.quantile(extents, 0.05) >= 0:
                cells = float((np.abs(centers - points) / grid.strides[:, None]).mean())
                found.append((cells, form, normalized))
    if found:
        cells, form, normalized = min(found, key=lambda item: item[0])
        return (form, normalized) if cells < MOST_CELLS and form in BOXES else None
    near = np.abs(exact[:, :2]).mean() < MOST_CELLS * 2
    return ("raw", False) if near and not swapped and not _look_like_shares(exact) else None


def _readings(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Centres and extents of boxes, (N, 2) each, by what their first and second two columns may be."""
    return {
        "decoded": (first, second),
        "corners": ((first + second) / 2, second - first),
        "left, top, width, height": (first + second / 2, second),
    }


def _follow(centers: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    return min(_correlation(centers[:, axis], points[:, axis]) for axis in (0, 1)) >= FOLLOWS


def _look_like_shares(boxes: NDArray[np.float64]) -> bool:
    """Whether each box may be a share of the picture: on few anchor points such ones do not follow them."""
    readings = list(_readings(boxes[:, :2], boxes[:, 2:]).values())[:2]
    return any(
        bool((extents > 0).all() and (extents <= 4).all() and (np.abs(centers - 0.5) <= 0.75).all())
        for centers, extents in readings
    )


def axes_swapped(boxes: Rows, scores: Rows, grid: Grid) -> bool:
    """Whether undecoded boxes (N, 4) hold y before x, or rows run down the columns of a level.

    Neighbours that are sure of an object mean the same box; where they do so by the other order of the axes alone, that
    is the order.
    """
    points = np.flatnonzero(scores > SURE)
    steps = grid.offsets[points[1:]] - grid.offsets[points[:-1]]
    pairs = (np.diff(points) == 1) & (steps == (1, 0)).all(axis=1)
    if pairs.sum() < LEAST_PAIRS:
        return False
    right, other = (
        np.median(np.abs(np.diff(boxes[points, :2][:, order], axis=0) + steps)[pairs].max(axis=1))
        for order in ([0, 1], [1, 0])
    )
    return bool(right > APART > other)


def levels_reversed(rows: Rows, size: tuple[int, int]) -> bool:
    """Whether rows (N, columns) of a grey picture lie in the order of strides 32, 16, 8.

    What is answered to it changes little from one anchor point to the next, unless levels are read in a wrong order.
    Answers that mostly do not change at all tell nothing.
    """
    if (np.diff(rows, axis=0) != 0).any(axis=1).mean() < 0.5:
        return False
    return _unevenness(rows, size, STRIDES) > REVERSED * _unevenness(rows, size, STRIDES[::-1])


def _unevenness(rows: Rows, size: tuple[int, int], strides: Sequence[int]) -> float:
    """The mean difference between neighbours, in deviations of their column."""
    deviations = rows.std(axis=0)
    scaled = rows[:, deviations > 0] / deviations[deviations > 0]
    start, total, count = 0, 0.0, 0
    for stride in strides:
        height, width = size[0] // stride, size[1] // stride
        level = scaled[start : start + height * width].reshape(height, width, -1)
        start += height * width
        for axis in (0, 1):
            steps = np.diff(level, axis=axis)
            total, count = total + float(np.abs(steps).sum()), count + steps.size
    return total / max(count, 1)


def twice(scores: Rows) -> bool:
    """Whether the scores lie where the sigmoid of a sigmoid does."""
    return bool(scores.size and scores.min() >= TWICE[0] and scores.max() <= TWICE[1])


def end_with_label(scores: Rows) -> bool:
    """Whether the second of two columns is the label of two classes, 0 or 1, not a score."""
    last = scores[:, -1]
    return bool(scores.shape[1] == 2 and np.isin(last, (0, 1)).all() and np.ptp(last) == 1)


def _correlation(values: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    if values.std() == 0 or points.std() == 0:
        return 1.0 if points.std() == 0 else 0.0  # one column of anchor points tells nothing
    return float(np.corrcoef(values, points)[0, 1])


def holds_objectness(grey: Rows, photo: Rows) -> bool:
    """Whether the first column of the scores (N, 1 + C) is objectness, not the first class times objectness.

    Classes are probabilities given an object, moderate where there is none; multiplied by objectness they vanish
    there. And where a class or the column itself is sure in the photograph, the other is as well.
    """
    if grey.shape[1] == 1:
        return False  # the score of the only class
    if np.median(grey.max(axis=1)) >= FAINTEST_CLASS:
        return True
    column, rest = photo[:, 0], photo[:, 1:].max(axis=1)
    sure = np.maximum(column, rest) > SURE
    both = np.minimum(column, rest)[sure] > SURE / 2
    return bool(sure.any() and both.mean() > 0.5)


def objectness_is_last(grey: Rows) -> bool:
    """Whether the last column of the scores (N, C + 1) is objectness, not the first.

    Objectness is what silences a grey picture; the first class does not.
    """
    if not np.median(grey[:, 0]) >= FAINTEST_CLASS > np.median(grey[:, -1]):
        return False
    first = best_sum(grey[:, 0] * grey[:, 1:].max(axis=1))
    last = best_sum(grey[:, -1] * grey[:, :-1].max(axis=1))
    return first > 0.05 and first > 3 * last


def best_sum(scores: Rows) -> float:
    """The sum of the best scores in a picture."""
    return float(np.sort(scores)[-BEST:].sum())
