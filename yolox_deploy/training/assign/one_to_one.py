"""One-to-one assignment, which lets a model learn to answer once an object: no NMS afterwards."""

from __future__ import annotations

import torch
from torch import Tensor

from yolox_deploy.training.assign.anchors import AnchorPoints, box_iou
from yolox_deploy.training.assign.simota import (
    candidate_rule,
    find_candidates,
    move_padding_away,
    near_and_penalty,
)
from yolox_deploy.training.assign.types import (
    BatchAssignment,
    Predictions,
    Targets,
    compact,
    no_positives,
    take_rows,
)

ALPHA = 0.8
"""Share of the IoU in the quality (POTO, section 3.2, Table 2)."""
TAKEN = -1.0


@torch.no_grad()
def one_to_one(
    predictions: Predictions, anchors: AnchorPoints, targets: Targets, *, alpha: float = ALPHA
) -> BatchAssignment:
    """One anchor point a ground truth, by quality = p^(1 - alpha) * IoU^alpha; an `Assigner`.

    Source: POTO (Wang et al., "End-to-End Object Detection with Fully Convolutional Network", CVPR 2021) with its
    spatial prior, the centre region: 1.5 strides to each side here as there, but not cut to the box, so that a
    small box keeps some. p is the probability with which the model answers: class * objectness, and * selector
    where the model has one, as in PSS (Zhou et al., "Object Detection Made Simpler by Eliminating Heuristic NMS",
    2021), which the YOLOX paper follows.

    Chosen here: POTO solves the bipartite matching exactly with SciPy, which this package does not need. Here the
    pair of highest quality goes first, then the highest of what remains: the same wherever no two ground truths
    prefer one anchor point. Equal qualities go to the first ground truth, then the first anchor point. A ground
    truth gets nothing if its centre region holds no free anchor point.
    """
    rule = candidate_rule("2025", None)
    rows = targets.boxes.shape[1]
    if rows == 0:
        return no_positives(predictions.boxes)
    targets = move_padding_away(targets)
    index, used = find_candidates(anchors, targets, rule)
    _, penalty = near_and_penalty(anchors.points[index], anchors.strides[index], targets, rule)
    boxes = take_rows(predictions.boxes, index).masked_fill(~used.unsqueeze(2), 0.0)
    ious = box_iou(targets.boxes.unsqueeze(2), boxes.unsqueeze(1))
    quality = _probability(predictions, index, targets).pow_(1 - alpha).mul_(ious.pow(alpha))
    allowed = (penalty == 0) & used.unsqueeze(1) & targets.valid.unsqueeze(2)
    gt = _match_greedily(quality.masked_fill_(~allowed, TAKEN))
    slot, positive = compact(gt >= 0, min(rows, index.shape[1]))
    gt = gt.gather(1, slot).clamp(min=0)
    iou = take_rows(ious.transpose(1, 2), slot).gather(2, gt.unsqueeze(2)).squeeze(2)
    return BatchAssignment(index.gather(1, slot), gt, iou, positive)


def _probability(predictions: Predictions, index: Tensor, targets: Targets) -> Tensor:
    """(B, M, K) float32: how probable each of K predictions finds the class of each ground truth."""
    score = predictions.objectness.gather(1, index).float().sigmoid()
    if predictions.selector is not None:
        score *= predictions.selector.gather(1, index).float().sigmoid()
    classes = take_rows(predictions.classes, index).float().sigmoid().transpose(1, 2)
    image = torch.arange(len(index), device=index.device).unsqueeze(1)
    return classes[image, targets.classes] * score.unsqueeze(1)


def _match_greedily(quality: Tensor) -> Tensor:
    """(B, K) int64: the ground truth of each candidate, or -1; `quality` (B, M, K) is consumed."""
    batch, rows, columns = quality.shape
    image = torch.arange(batch, device=quality.device)
    # One column more takes the turns of images with nothing left to match.
    owner = torch.full((batch, columns + 1), -1, device=quality.device)
    for _ in range(min(rows, columns)):
        best, place = quality.flatten(1).max(dim=1)
        row, column = place // columns, place % columns
        owner[image, torch.where(best > TAKEN, column, columns)] = row
        quality[image, row] = TAKEN
        quality[image, :, column] = TAKEN
    return owner[:, :columns]
