"""SimOTA label assignment (paper, section 2.1 "SimOTA"; exact rules of the released code) for whole batches.

Nothing here loops over images or ground truths, and no shape depends on a value, so a GPU never waits for the
host. Work is restricted to candidates: K slots an image, the most that M ground truths can claim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from yolox_deploy.errors import UsageError
from yolox_deploy.training.assign.anchors import AnchorPoints, Level, box_iou, cell_centres
from yolox_deploy.training.assign.types import (
    BatchAssignment,
    Predictions,
    Targets,
    compact,
    no_positives,
    take_rows,
)

MAX_POSITIVES = 10
"""Positives a ground truth may have, and the number of best IoUs that decide how many it gets."""
IOU_WEIGHT = 3.0
IOU_EPS = 1e-8
LOG_FLOOR = -100.0
"""Where PyTorch's binary cross-entropy cuts off its logarithms."""

Rules = Literal["2025", "release"]


class Assignment(NamedTuple):
    """The positives of one image. `fg_mask` (A,) bool; for the positives in anchor order, `matched_gt` (P,) int64
    and `matched_iou` (P,) float32: the ground truth of each and the IoU of its prediction with it.
    """

    fg_mask: Tensor
    matched_gt: Tensor
    matched_iou: Tensor


def simota(
    pred_boxes: Tensor,
    cls_logits: Tensor,
    obj_logits: Tensor,
    anchor_points: Tensor,
    strides: Tensor,
    gt_boxes: Tensor,
    gt_classes: Tensor,
    *,
    center_radius: float = 1.5,
    rules: Rules = "2025",
) -> Assignment:
    """Assign anchor points to the ground truths of one image.

    Args:
        pred_boxes: (A, 4) decoded cx, cy, w, h in pixels.
        cls_logits: (A, C).
        obj_logits: (A, 1) or (A,).
        anchor_points: (A, 2) x, y in pixels, any arrangement.
        strides: (A,) pixels.
        gt_boxes: (G, 4) cx, cy, w, h in pixels; G may be 0.
        gt_classes: (G,) class ids.
        center_radius: half side of a centre region, in strides.
        rules: `2025`, or `release` for the candidate rule that the published weights were trained with; that one
            used a `center_radius` of 2.5.

    Raises:
        UsageError: an unknown `rules` or a radius that is not positive.
    """
    predictions = Predictions(pred_boxes[None].float(), obj_logits.reshape(1, -1), cls_logits[None])
    valid = torch.ones((1, len(gt_boxes)), dtype=torch.bool, device=gt_boxes.device)
    targets = Targets(gt_boxes[None].float(), gt_classes[None].long(), valid)
    anchors = AnchorPoints(anchor_points, strides)
    found = simota_batch(predictions, anchors, targets, center_radius=center_radius, rules=rules)
    used = found.positive[0]
    return Assignment(found.foreground(len(anchor_points))[0], found.gt[0, used], found.iou[0, used])


@torch.no_grad()
def simota_batch(
    predictions: Predictions,
    anchors: AnchorPoints,
    targets: Targets,
    *,
    center_radius: float | None = None,
    rules: Rules = "2025",
) -> BatchAssignment:
    """Assign anchor points to the ground truths of every image of a batch; an `Assigner`.

    cost = sum over classes of BCE(sqrt(sigmoid(class) * sigmoid(objectness)), one-hot) - 3 ln(IoU + 1e-8)
    + penalty (see `CandidateRule`). A ground truth claims its k cheapest candidates, k = the sum of its 10
    largest IoUs, truncated, at least 1. A candidate claimed more than once goes to the cheapest ground truth of
    all. Equal costs go to the first anchor point, then to the first ground truth.

    `center_radius` is in strides; None for the radius of the `rules`.

    Raises:
        UsageError: an unknown `rules` or a radius that is not positive.
    """
    rule = candidate_rule(rules, center_radius)
    if targets.boxes.shape[1] == 0:
        return no_positives(predictions.boxes)
    targets = move_padding_away(targets)
    index, used = find_candidates(anchors, targets, rule)
    near, penalty = near_and_penalty(anchors.points[index], anchors.strides[index], targets, rule)
    used = used & near
    # A slot not in use may show a prediction that overflowed; an empty box has IoU 0 with everything.
    boxes = take_rows(predictions.boxes, index).masked_fill_(~used.unsqueeze(2), 0.0)
    ious = box_iou(targets.boxes.unsqueeze(2), boxes.unsqueeze(1))
    cost = _class_cost(
        take_rows(predictions.classes, index), predictions.objectness.gather(1, index), targets
    )
    cost += (ious + IOU_EPS).log_().mul_(-IOU_WEIGHT)
    cost += penalty
    cost += _forbidden(~targets.valid).unsqueeze(2)
    cost += _forbidden(~used).unsqueeze(1)
    gt, positive = _match(cost, ious)
    iou = ious.gather(1, gt.unsqueeze(1)).squeeze(1)
    return _collect(index, gt, iou, positive, ious.shape[1])


def _class_cost(classes: Tensor, objectness: Tensor, targets: Targets) -> Tensor:
    """(B, M, K) float32 binary cross-entropy of K predictions against M one-hot classes, summed over classes.

    `classes` (B, K, C) and `objectness` (B, K) logits. A one-hot target changes one term of the sum, so the sum
    for no class at all is made once and one term exchanged: nothing of (B, M, K, C) exists.
    """
    score = classes.float().sigmoid().mul_(objectness.float().sigmoid().unsqueeze(2)).sqrt_()
    absent = score.neg().log1p_().clamp_(min=LOG_FLOOR)
    present = score.log_().clamp_(min=LOG_FLOOR)
    background = absent.sum(dim=2).neg_()
    image = torch.arange(len(score), device=score.device).unsqueeze(1)
    exchange = absent.sub_(present).transpose(1, 2)[image, targets.classes]
    return exchange.add_(background.unsqueeze(1))


def _forbidden(where: Tensor) -> Tensor:
    """An infinite cost `where` True, 0 elsewhere, float32."""
    return torch.zeros(where.shape, device=where.device).masked_fill_(where, math.inf)


def _match(cost: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
    """(gt (B, K) int64, positive (B, K) bool) from costs and IoUs (B, M, K); infinite costs are never claimed."""
    claims = _claims(cost, ious)
    claimants = claims.sum(dim=1)
    rows = torch.arange(cost.shape[1], dtype=cost.dtype, device=cost.device)
    claimant = claims.mul_(rows.unsqueeze(1)).sum(dim=1).long()
    # A contested candidate goes to the cheapest of all ground truths, not only of those that claim it.
    return torch.where(claimants > 1, cost.min(dim=1).indices, claimant), claimants > 0


def _claims(cost: Tensor, ious: Tensor) -> Tensor:
    """(B, M, K) 1 for the k cheapest candidates of each ground truth, ties going to the first; 0 elsewhere.

    Masks of this size stay float32, made in place: that is vectorised on a CPU, and bool results are not.
    """
    most = min(MAX_POSITIVES, cost.shape[2])
    count = ious.topk(most).values.sum(dim=2, keepdim=True).int().clamp(1, most)
    cheapest = cost.topk(most, largest=False).values
    last = cheapest.gather(2, count.long() - 1)
    room = count - (cheapest < last).sum(dim=2, keepdim=True)
    # Infinite - infinite is NaN, which is neither below nor equal to 0.
    below = (cost - last).lt_(0.0)
    ties = (cost - last).eq_(0.0)
    return below.addcmul_(ties, ties.cumsum(dim=2).le_(room))


def _collect(index: Tensor, gt: Tensor, iou: Tensor, positive: Tensor, rows: int) -> BatchAssignment:
    """Keep the positives of K candidates, all (B, K), in as many slots as M = `rows` ground truths can fill."""
    slot, used = compact(positive, min(MAX_POSITIVES * rows, index.shape[1]))
    return BatchAssignment(index.gather(1, slot), gt.gather(1, slot), iou.gather(1, slot), used)


@dataclass(frozen=True)
class CandidateRule:
    """Which anchor points a ground truth may claim.

    A candidate lies in the centre region (`radius` strides to each side) of any ground truth, or with `boxes`
    in any box. Claiming one outside one's own centre region, or with `boxes` outside one's own box or centre
    region, costs `penalty`.
    """

    radius: float
    penalty: float
    boxes: bool


CANDIDATE_RULES: dict[Rules, CandidateRule] = {
    "2025": CandidateRule(radius=1.5, penalty=1e6, boxes=False),
    "release": CandidateRule(radius=2.5, penalty=1e5, boxes=True),
}
"""`2025`: the official code of that year. `release`: the code that trained the published weights."""


def candidate_rule(rules: Rules, radius: float | None) -> CandidateRule:
    """The rule of `rules`, with `radius` strides in place of its own unless None.

    Raises:
        UsageError: no such rules, or a radius that is not positive.
    """
    if rules not in CANDIDATE_RULES:
        raise UsageError(
            f"the rules of candidates are {rules!r}; expected one of {', '.join(CANDIDATE_RULES)}"
        )
    rule = CANDIDATE_RULES[rules]
    if radius is None:
        return rule
    if not radius > 0:
        raise UsageError(f"the centre radius is {radius}; expected a positive number of strides")
    return CandidateRule(radius, rule.penalty, rule.boxes)


def move_padding_away(targets: Targets) -> Targets:
    """Move the boxes of padding infinitely far away, without area: near nothing, and IoU 0 with everything."""
    padding = ~targets.valid.unsqueeze(2)
    centre = targets.boxes[..., :2].masked_fill(padding, -math.inf)
    size = targets.boxes[..., 2:].masked_fill(padding, 0.0)
    return Targets(torch.cat((centre, size), dim=2), targets.classes, targets.valid)


def find_candidates(anchors: AnchorPoints, targets: Targets, rule: CandidateRule) -> tuple[Tensor, Tensor]:
    """(index (B, K), used (B, K)): slots that hold every candidate, and perhaps others, in anchor order."""
    batch, rows = targets.valid.shape
    total = len(anchors.points)
    if rule.boxes or not anchors.levels:
        index = torch.arange(total, device=targets.boxes.device).expand(batch, total)
        return index, torch.ones_like(index, dtype=torch.bool)
    mask = torch.cat([_near_centres(level, targets, rule.radius) for level in anchors.levels], dim=1)
    # An open interval 2 r long holds at most ceil(2 r) points 1 apart.
    return compact(mask, min(rows * len(anchors.levels) * math.ceil(2 * rule.radius) ** 2, total))


def _near_centres(level: Level, targets: Targets, radius: float) -> Tensor:
    """(B, H * W) bool: the cells of a level in the centre region of any ground truth.

    A region is a rectangle of cells, so their union is a sum of outer products.
    """
    x, y = targets.boxes[..., 0:1], targets.boxes[..., 1:2]
    half = radius * level.stride
    columns = _margin(cell_centres(level.width, level.stride, x.device), x, half) > 0
    rows = _margin(cell_centres(level.height, level.stride, x.device), y, half) > 0
    return (rows.float().transpose(1, 2) @ columns.float()).flatten(1) > 0


def near_and_penalty(
    points: Tensor, strides: Tensor, targets: Targets, rule: CandidateRule
) -> tuple[Tensor, Tensor]:
    """(near (B, K) bool, penalty (B, M, K) float32): which points are candidates, and what claiming one costs.

    `points` (B, K, 2), `strides` (B, K).
    """
    px, py = points.unsqueeze(1).unbind(dim=-1)
    x, y, width, height = targets.boxes.unsqueeze(2).unbind(dim=-1)
    half = rule.radius * strides.unsqueeze(1)
    in_centre = torch.minimum(_margin(px, x, half), _margin(py, y, half))
    if not rule.boxes:
        return in_centre.amax(dim=1) > 0, in_centre.le_(0.0).mul_(rule.penalty)
    in_box = torch.minimum(_margin(px, x, 0.5 * width), _margin(py, y, 0.5 * height))
    near = torch.maximum(in_centre, in_box).amax(dim=1) > 0
    return near, torch.minimum(in_centre, in_box).le_(0.0).mul_(rule.penalty)


def _margin(position: Tensor, middle: Tensor, half: Tensor | float) -> Tensor:
    """How far inside the interval `middle` +- `half` a position is, rounded as the official code rounds it."""
    return torch.minimum(position - (middle - half), (middle + half) - position)
