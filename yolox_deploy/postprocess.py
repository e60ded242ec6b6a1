"""From a YOLOX network's output to boxes: decode, threshold, suppress, and back to the picture.

A row of the output is (x, y, w, h, objectness, C class scores), one row an anchor point; levels of stride 8,
16, 32 in this order and row-major inside a level (an anchor-based model has all rows of a level once for each
prior). Undecoded boxes become pixels of the input by
(t_xy + grid) · stride and exp(t_wh) · stride. score = objectness · class score.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import class_ids_of
from yolox_deploy.detections import Detections
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.nms import descending, nms
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import MOST_ROWS, Letterboxed

__all__ = ["decode", "postprocess"]

STRIDES = (8, 16, 32)
SCORE_ROUNDING = 0.01
"""How far above 1 a score may be: a step of INT8 outputs, which then is 1; beyond that the file has no such scores."""


@dataclass(frozen=True)
class Grid:
    """Where the N anchor points of one input size lie; the arrays are read-only.

    Attributes:
        offsets: (N, 2) float32 column and row inside the level.
        strides: (N,) float32 stride in pixels.
    """

    offsets: NDArray[np.float32]
    strides: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.offsets)


def anchor_grid(size: Sequence[int], strides: Sequence[int] = STRIDES, *, priors: int = 1) -> Grid:
    """Return the grid of an input of `size` (H, W) pixels; the same size gives the same object.

    With several `priors` each level's points come so many times, one after another.

    Raises:
        UsageError: a side is not a positive multiple of the largest stride, or there are too many anchor points.
    """
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(f"the input size is {size!r}; expected two integers (height, width)") from None
    step = max(strides)
    if min(height, width) < step or height % step or width % step:
        raise UsageError(f"the input size is {height}x{width}; both sides must be multiples of {step}")
    if not 1 <= priors * sum(height // stride * (width // stride) for stride in strides) <= MOST_ROWS:
        raise UsageError(
            f"the input size is {height}x{width} and priors is {priors}; expected at least 1, and at most {MOST_ROWS} "
            "anchor points"
        )
    return _grid(height, width, tuple(strides), priors)


@lru_cache(maxsize=32)
def _grid(height: int, width: int, strides: tuple[int, ...], priors: int) -> Grid:
    offsets, steps = [], []
    for stride in (stride for stride in strides for _ in range(priors)):
        rows, columns = np.mgrid[: height // stride, : width // stride]
        offsets.append(np.stack([columns, rows], axis=-1).reshape(-1, 2))
        steps.append(np.full(rows.size, stride))
    grid = Grid(np.concatenate(offsets).astype(np.float32), np.concatenate(steps).astype(np.float32))
    grid.offsets.flags.writeable = False
    grid.strides.flags.writeable = False
    return grid


def decode(raw: NDArray[Any], size: Sequence[int], priors: int = 1) -> NDArray[Any]:
    """Turn undecoded rows into centre x, centre y, width, height in pixels of the input.

    Args:
        raw: (..., N, 5 + C) floating, columns 0–3 undecoded; not modified.
        size: (H, W) of the network's input in pixels.
        priors: anchor boxes a location, 1 for an anchor-free model.

    Returns:
        A new array of the same shape (float32, or float64 where `raw` is). A size that overflows is Inf.

    Raises:
        UsageError: `size` is not a multiple of 32.
        ArtifactError: N is not the number of anchor points of `size`.
    """
    grid = anchor_grid(size, priors=priors)
    if raw.ndim < 2 or raw.shape[-1] < 6 or raw.shape[-2] != len(grid):
        raise ArtifactError(
            f"the output has shape {raw.shape}; expected (..., {len(grid)}, 5 + classes) "
            f"for an input of {size[0]}x{size[1]}"
        )
    decoded = np.array(raw, dtype=np.result_type(raw.dtype, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        _decode_in_place(decoded, grid.offsets, grid.strides)
    return decoded


def _decode_in_place(rows: NDArray[Any], offsets: NDArray[np.float32], strides: NDArray[np.float32]) -> None:
    np.exp(rows[..., 2:4], out=rows[..., 2:4])
    rows[..., :2] += offsets
    rows[..., :4] *= strides[:, None]


def postprocess(
    predictions: NDArray[Any],
    *,
    conf: float,
    iou: float,
    class_agnostic: bool = False,
    max_detections: int | None = None,
    multi_label: bool = False,
    classes: Sequence[int] | None = None,
    suppress: bool = True,
    grid: Grid | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Turn the output for one image into detections.

    Kept where objectness · class score ≥ `conf`; a box is suppressed where its IoU with a kept one of a
    higher score (and, unless `class_agnostic`, of the same class) is strictly above `iou`. Objectness alone
    is thresholded first, which is exact because a class score is at most 1. A detection whose box or score is
    NaN or Inf, or whose width or height is negative, is dropped. `predictions` is not modified.

    Args:
        predictions: (A, 5 + C) floating: centre x, centre y, width, height, objectness, class scores.
        conf: lowest score, 0 to 1.
        iou: highest IoU of two kept boxes, 0 to 1.
        class_agnostic: suppress across classes.
        max_detections: keep at most this many, those of the highest score.
        multi_label: every class that reaches `conf` is a detection, not only an anchor point's best.
        classes: ids of the classes that are kept; None keeps all. Others go before suppression, so that they suppress
            nothing where `class_agnostic`, and do not count for `max_detections`. Apart from these two the result is
            that of dropping them afterwards: an anchor point whose best class is another gives no detection.
        suppress: False leaves non-maximum suppression out, for networks that need none.
        grid: given, `predictions` are undecoded and only the rows that reach `conf` are decoded.

    Returns:
        boxes (N, 4) float32 x1, y1, x2, y2 in pixels of the input (not clipped), scores (N,) float32
        descending, equal ones in the order of the anchor points, and class_ids (N,) int64.

    Raises:
        UsageError: `conf`, `iou`, `max_detections` or a class id is out of range.
        ArtifactError: `predictions` has another shape or dtype, or does not fit `grid`.
    """
    conf, iou = _check_unit("conf", conf), _check_unit("iou", iou)
    if max_detections is not None and max_detections < 1:
        raise UsageError(f"max_detections is {max_detections}; expected at least 1, or None for no limit")
    _check_predictions(predictions, grid)
    chosen = None if classes is None else _chosen(classes, predictions.shape[1] - 5)
    with np.errstate(all="ignore"):
        points = np.flatnonzero(predictions[:, 4] >= conf)
        if chosen is not None:
            points = _reaching(predictions, points, np.flatnonzero(chosen), conf)
        rows = predictions[points].astype(np.float32, copy=False)
        picked, scores, class_ids = (_all_labels if multi_label else _best_label)(rows, conf)
        if chosen is not None:
            kept = np.flatnonzero(chosen[class_ids])
            picked, scores, class_ids = picked[kept], scores[kept], class_ids[kept]
        centred = rows[picked, :4]
        if grid is not None:
            points = points[picked]
            _decode_in_place(centred, grid.offsets[points], grid.strides[points])
        boxes = _corners(centred)
        sound = _sound(boxes, scores)
    if not sound.all():
        boxes, scores, class_ids = boxes[sound], scores[sound], class_ids[sound]
    kept = nms(boxes, scores, class_ids, iou, class_agnostic) if suppress else descending(scores)
    kept = kept[:max_detections]
    return boxes[kept], scores[kept], class_ids[kept]


def _check_unit(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} is {value}; expected 0 to 1")
    # A NumPy double would pull float32 comparisons up to double precision.
    return float(value)


def _check_predictions(predictions: NDArray[Any], grid: Grid | None) -> None:
    if predictions.ndim != 2 or predictions.shape[1] < 6:
        raise ArtifactError(
            f"the predictions have shape {predictions.shape}; expected (A, 5 + classes) of one image"
        )
    if not np.issubdtype(predictions.dtype, np.floating):
        raise ArtifactError(f"the predictions are {predictions.dtype}; expected floating numbers")
    if grid is not None and len(predictions) != len(grid):
        raise ArtifactError(
            f"the predictions have {len(predictions)} rows; the grid has {len(grid)} anchor points"
        )


def _chosen(classes: Sequence[int], count: int) -> NDArray[np.bool_]:
    """(count,) whether a class is kept."""
    ids = np.asarray(classes)
    if ids.ndim != 1 or not len(ids) or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= count:
        raise UsageError(f"classes is {classes!r}; expected ids from 0 to {count - 1}")
    chosen = np.zeros(count, np.bool_)
    chosen[ids] = True
    return chosen


def _reaching(
    predictions: NDArray[Any], points: NDArray[np.int64], class_ids: NDArray[np.int64], conf: float
) -> NDArray[np.int64]:
    """Return those of `points` where one of the classes reaches `conf`; columns of other classes are not read."""
    best = predictions[points[:, None], class_ids + 5].max(axis=1).astype(np.float32, copy=False)
    objectness = predictions[points, 4].astype(np.float32, copy=False)
    # A NaN stays one in the maximum, although another class of the point may reach `conf`.
    reaching: NDArray[np.int64] = points[(objectness * best >= conf) | np.isnan(best)]
    return reaching


def _best_label(
    rows: NDArray[np.float32], conf: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return (row, score, class) of each row whose best class reaches `conf`."""
    class_ids = rows[:, 5:].argmax(axis=1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), class_ids + 5]
    picked = np.flatnonzero(scores >= conf)
    return picked, scores[picked], class_ids[picked]


def _all_labels(
    rows: NDArray[np.float32], conf: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return (row, score, class) of each pair that reaches `conf`, row by row."""
    scores = rows[:, 4:5] * rows[:, 5:]
    picked, class_ids = np.nonzero(scores >= conf)
    return picked, scores[picked, class_ids], class_ids


def _corners(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    half = centred[:, 2:] * np.float32(0.5)
    boxes = np.empty_like(centred)
    np.subtract(centred[:, :2], half, out=boxes[:, :2])
    np.add(centred[:, :2], half, out=boxes[:, 2:])
    return boxes


def _sound(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    x1, y1, x2, y2 = boxes.T
    # A sum is finite only if its terms are, and one test of it is cheaper than five.
    sound: NDArray[np.bool_] = np.isfinite(x1 + y1 + x2 + y2 + scores) & (x2 >= x1) & (y2 >= y1)
    return sound


def split_batch(output: NDArray[Any], suppression: str, batch: int) -> list[NDArray[Any]]:
    """Return what a network answered, image by image: what `to_detections` takes.

    Args:
        output: (B, A, 5 + C), or (K, 7) of a graph that suppresses by itself: place in the batch, x1, y1, x2, y2,
            score, class.
        suppression: as in `ArtifactInfo`.
        batch: images that went in, which a graph that suppresses may have found nothing in.

    Raises:
        ArtifactError: `output` is not (K, 7) where the graph suppresses.
    """
    if suppression == "in_graph":
        if output.ndim != 2 or output.shape[1] != 7:
            raise ArtifactError(
                f"the output is {output.shape}; a graph that suppresses by itself answers (K, 7): state how this one "
                "answers with --override suppression=none"
            )
        return [output[output[:, 0] == place, 1:] for place in range(batch)]
    return list(output)


def to_detections(
    rows: NDArray[Any],
    letterbox: Letterboxed,
    *,
    thresholds: Thresholds,
    suppression: str,
    class_names: tuple[str, ...],
    grid: Grid | None,
) -> Detections:
    """Turn one image's rows into the objects in the picture that it was made from.

    Boxes are clipped to the picture, and those that lie in the padding alone are dropped.

    Args:
        rows: as `split_batch` gives them, (A, 5 + C) or (K, 6); not modified.
        letterbox: how the picture became the network's input.
        thresholds: what counts as a detection. A graph that suppresses by itself has those of its own, above which
            only `conf`, `classes` and `max_detections` matter.
        suppression: as in `ArtifactInfo`.
        class_names: of the C classes.
        grid: of rows whose boxes are undecoded, else None.

    Raises:
        ArtifactError: `rows` has another shape or dtype, or does not fit `grid` or `class_names`.
        UsageError: `thresholds.classes` names a class that is not in `class_names`.
    """
    classes = None if thresholds.classes is None else class_ids_of(thresholds.classes, class_names)
    if suppression == "in_graph":
        boxes, scores, class_ids = _final_rows(rows, thresholds, classes)
    else:
        boxes, scores, class_ids = postprocess(
            rows,
            suppress=suppression == "none",
            grid=grid,
            conf=thresholds.conf,
            iou=thresholds.iou,
            class_agnostic=thresholds.class_agnostic,
            max_detections=thresholds.max_detections,
            multi_label=thresholds.multi_label,
            classes=classes,
        )
    ratio, height, width, offset = letterbox
    if any(offset):
        boxes -= np.array(offset * 2, np.float32)
    boxes /= np.array(ratio * 2 if isinstance(ratio, tuple) else ratio, np.float32)
    np.clip(boxes, 0, np.array([width, height, width, height], np.float32), out=boxes)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if not inside.all():
        boxes, scores, class_ids = boxes[inside], scores[inside], class_ids[inside]
    if 1 < scores.max(initial=0) <= 1 + SCORE_ROUNDING:
        np.minimum(scores, 1, out=scores)
    return Detections(boxes, scores, class_ids, class_names, image_size=(height, width))


def _final_rows(
    rows: NDArray[np.float32], thresholds: Thresholds, classes: Sequence[int] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return the same three arrays as `postprocess`, of a graph's own detections (K, 6)."""
    if rows.ndim != 2 or rows.shape[1] != 6:
        raise ArtifactError(f"the graph's detections have shape {rows.shape}; expected (K, 6) of one image")
    rows = rows[rows[:, 4] >= thresholds.conf]
    if classes is not None:
        rows = rows[np.isin(rows[:, 5], classes)]
    rows = rows[descending(rows[:, 4])][: thresholds.max_detections]
    return rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int64)
