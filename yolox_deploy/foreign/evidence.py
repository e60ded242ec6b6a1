"""What the numbers tell that a network answers to a grey picture and to a photograph.

Each threshold stands between measured values: of sixteen right files and of the layouts that docs/files.md lists.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.outputs import detections
from yolox_deploy.postprocess import Grid
from yolox_deploy.types import OutputConvention

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
    follows = min(_correlation(exact[:, axis], points[:, axis]) for axis in (0, 1))
    if follows < FOLLOWS:
        near = np.abs(exact[:, :2]).mean() < MOST_CELLS * 2
        return ("raw", False) if near else None
    pixels = np.array((size[1], size[0]), np.float64)
    found = []
    for normalized in (False, True):
        scaled = exact * np.tile(pixels, 2) if normalized else exact
        first, second = scaled[:, :2], scaled[:, 2:]
        for form, centers in (("decoded", first), ("corners", (first + second) / 2)):
            extents = second if form == "decoded" else second - first
            if np.quantile(extents, 0.05) < 0:
                continue
            cells = float((np.abs(centers - points) / grid.strides[:, None]).mean())
            found.append((cells, form, normalized))
    best = min(found, default=(MOST_CELLS, "", False))
    return (best[1], best[2]) if best[0] < MOST_CELLS else None


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
    if np.median(grey[:, 1:].max(axis=1)) >= FAINTEST_CLASS:
        return True
    column, rest = photo[:, 0], photo[:, 1:].max(axis=1)
    sure = np.maximum(column, rest) > SURE
    both = np.minimum(column, rest)[sure] > SURE / 2
    return bool(sure.any() and both.mean() > 0.5)


def fits(images: list[Rows], output: OutputConvention, size: tuple[int, int]) -> bool:
    """Whether finished rows, read in this order, are boxes in a picture with scores and classes."""
    rows = np.concatenate(images)
    if not len(rows):
        return False
    corners, scores, labels = rows[:, :4], rows[:, 4], rows[:, 5]
    whole = bool((labels == np.round(labels)).all() and labels.max() < 10_000)
    proper = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    reach = 2.0 * max(size)
    return (
        whole
        and bool(scores.max() <= 1.001 and (scores != np.round(scores)).any())
        and float(proper.mean()) > 0.95
        and bool(np.abs(corners).max() < reach * 4 and np.median(np.abs(corners)) < reach)
    )


def are_shares(images: list[Rows]) -> bool:
    """Whether the corners of finished rows are shares of the input's size, not pixels."""
    rows = np.concatenate(images)
    return bool(len(rows) and np.quantile(np.abs(rows[:, :4]), 0.9) <= 1.5)


def order_of(
    tensors: list[NDArray[np.float32]], forms: list[OutputConvention], size: tuple[int, int], batch: int
) -> list[OutputConvention]:
    """Those of `forms` that the numbers of finished rows fit."""
    found = []
    for form in forms:
        if "batch" in form.columns and not _is_batch(tensors, form, batch):
            continue
        if fits(detections(tensors, batch, form), form, size):
            found.append(form)
    return found


def _is_batch(tensors: list[NDArray[np.float32]], form: OutputConvention, batch: int) -> bool:
    rows = tensors[0].reshape(-1, tensors[0].shape[-1])
    places = rows[:, form.columns.index("batch")]
    return bool(((places >= 0) & (places < batch) & (places == np.round(places))).all())
