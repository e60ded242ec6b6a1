"""Assigners by geometry alone, the rows of Table 2 before SimOTA: `yolov3`, `center`, `center3x3`.

Where two ground truths want one anchor point the smaller box gets it, as in FCOS (Tian et al., ICCV 2019, section
3.2), then the first; the other keeps what else it wanted, perhaps nothing. A ground truth whose centre lies in no
cell of the image gets nothing. No shape depends on a value.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from yolox_deploy.errors import UsageError
from yolox_deploy.training.assign.anchors import AnchorPoints, box_iou
from yolox_deploy.training.assign.types import (
    BatchAssignment,
    Predictions,
    Targets,
    compact,
    no_positives,
    take_rows,
)

STRIDES_A_SIDE = 8
"""A level takes boxes whose longer side is at most so many of its strides: 64 pixels at stride 8, 128 at 16, the
rest at 32. The numbers are those of FCOS (section 3.2), which limits the greatest distance to a side of the box
and has five levels and inputs 800 pixels high; as limits of the side they divide boxes at 640 about as the classic
YOLOv3 anchors do. The YOLOX paper refers to FCOS and gives no numbers."""

IGNORED_IOU = 0.5
"""Of the YOLOv3 paper, section 2.1; the released Darknet configuration has 0.7."""


@torch.no_grad()
def center(predictions: Predictions, anchors: AnchorPoints, targets: Targets) -> BatchAssignment:
    """One positive a ground truth: the cell of its centre, at the level of its size (YOLOX paper, "Anchor-free").

    An `Assigner`.

    Raises:
        UsageError: the head is anchor-based, or `anchors` are not laid out in levels.
    """
    return _around_centre(predictions, anchors, targets, reach=0)


@torch.no_grad()
def center3x3(predictions: Predictions, anchors: AnchorPoints, targets: Targets) -> BatchAssignment:
    """The cell of the centre and its eight neighbours, where they exist (YOLOX paper, "Multi positives").

    Otherwise as `center`. Neighbours count even outside a small box: the paper takes the 3x3 area as it is.
    """
    return _around_centre(predictions, anchors, targets, reach=1)


@torch.no_grad()
def yolov3(
    predictions: Predictions, anchors: AnchorPoints, targets: Targets, *, ignored_iou: float = IGNORED_IOU
) -> BatchAssignment:
    """One positive a ground truth: the prior of all levels whose shape has the best IoU with it, at its centre.

    An `Assigner` (YOLOv3, Redmon and Farhadi 2018, section 2.1). Equal shapes go to the first prior. Anchor points
    that are not positive but predict a box of IoU > `ignored_iou` with any ground truth are ignored.

    Raises:
        UsageError: the head has no priors, or `anchors` are not laid out in levels.
    """
    if anchors.priors is None:
        raise UsageError("the yolov3 assigner needs an anchor-based head, and this one has no priors")
    starts = _starts(anchors, targets)
    shape = anchors.priors[starts]
    best = _shape_iou(targets.boxes[..., None, 2:], shape).max(dim=2).indices
    found = _assign(predictions, anchors, targets, *_cells(anchors, targets, best, reach=0))
    near = [
        (box_iou(truth[:, None], boxes) > ignored_iou).logical_and_(valid[:, None]).any(dim=0)
        for truth, valid, boxes in zip(targets.boxes, targets.valid, predictions.boxes, strict=True)
    ]
    return replace(found, ignored=torch.stack(near) & ~found.foreground(len(anchors.points)))


def _around_centre(
    predictions: Predictions, anchors: AnchorPoints, targets: Targets, reach: int
) -> BatchAssignment:
    if anchors.priors is not None:
        raise UsageError("this assigner is for an anchor-free head, and this one has priors; use yolov3")
    limits = STRIDES_A_SIDE * anchors.strides[_starts(anchors, targets)[:-1]]
    side = targets.boxes[..., 2:].amax(dim=2)
    level = (side.unsqueeze(2) > limits).sum(dim=2)
    return _assign(predictions, anchors, targets, *_cells(anchors, targets, level, reach))


def _starts(anchors: AnchorPoints, targets: Targets) -> Tensor:
    """(levels,) int64: the first anchor point of each level."""
    if not anchors.levels:
        raise UsageError("this assigner needs anchor points in levels, such as `anchor_points` makes")
    counts = [0, *(level.height * level.width for level in anchors.levels[:-1])]
    return torch.tensor(counts, device=targets.boxes.device).cumsum(dim=0)


def _shape_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of boxes of sizes (..., 2) w, h about one centre."""
    shared = torch.minimum(first, second).prod(dim=-1)
    return shared / (first.prod(dim=-1) + second.prod(dim=-1) - shared).clamp(min=1e-16)


def _cells(anchors: AnchorPoints, targets: Targets, level: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """The anchor points up to `reach` cells from each centre, at `level` (B, M).

    Returns (index (B, M, S), exists (B, M, S) bool), S = (2 * reach + 1)^2.
    """
    device = level.device
    heights = torch.tensor([one.height for one in anchors.levels], device=device)[level]
    widths = torch.tensor([one.width for one in anchors.levels], device=device)[level]
    start = _starts(anchors, targets)[level]
    cell = (targets.boxes[..., :2] / anchors.strides[start].unsqueeze(2)).floor().long()
    steps = torch.arange(-reach, reach + 1, device=device)
    rows = cell[..., 1, None, None] + steps[:, None]
    columns = cell[..., 0, None, None] + steps
    height, width = heights[..., None, None], widths[..., None, None]
    exists = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside = (cell[..., 0] >= 0) & (cell[..., 0] < widths) & (cell[..., 1] >= 0) & (cell[..., 1] < heights)
    exists &= (inside & targets.valid)[..., None, None]
    index = start[..., None, None] + rows * width + columns
    return index.flatten(2), exists.flatten(2)


def _assign(
    predictions: Predictions, anchors: AnchorPoints, targets: Targets, wanted: Tensor, exists: Tensor
) -> BatchAssignment:
    """Give each anchor point to the smallest of the ground truths that want it; `wanted`, `exists` (B, M, S)."""
    batch, rows, cells = wanted.shape
    if rows == 0:
        return no_positives(predictions.boxes)
    total = len(anchors.points)
    by_size = targets.boxes[..., 2:].prod(dim=2).argsort(dim=1, stable=True)
    rank = by_size.argsort(dim=1).unsqueeze(2).expand_as(wanted)
    # Ranks are unique, so the least one is the same whatever the order; one column more takes what does not exist.
    owner = torch.full((batch, total + 1), rows, device=wanted.device)
    owner.scatter_reduce_(1, torch.where(exists, wanted, total).flatten(1), rank.flatten(1), "amin")
    index, positive = compact(owner[:, :total] < rows, min(rows * cells, total))
    gt = by_size.gather(1, owner.gather(1, index).clamp(max=rows - 1))
    boxes = take_rows(predictions.boxes, index).masked_fill(~positive.unsqueeze(2), 0.0)
    iou = box_iou(take_rows(targets.boxes, gt), boxes)
    return BatchAssignment(index, gt, iou, positive)
