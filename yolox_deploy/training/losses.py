"""The YOLOX losses: IoU, objectness, class and L1 (paper, section 2.1; weights and targets of the released code).

End-to-end models have one more, of the selector branch, which keeps one prediction an object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from yolox_deploy.errors import UsageError
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.models.zoo import STRIDES
from yolox_deploy.training.assign.anchors import (
    AnchorPoints,
    anchor_points,
    box_giou,
    box_iou,
    decode_boxes,
    encode_boxes,
)
from yolox_deploy.training.assign.one_to_one import one_to_one
from yolox_deploy.training.assign.simota import simota_batch
from yolox_deploy.training.assign.types import (
    Assigner,
    BatchAssignment,
    Predictions,
    Targets,
    add_rows,
    take_rows,
    trim_padding,
)
from yolox_deploy.training.config import BoxLoss

IOU_LOSS_WEIGHT = 5.0

SELECTOR_LOSS_WEIGHT = 1.0


@dataclass(frozen=True)
class LossOptions:
    """What may differ from the released code, to which the defaults belong.

    `box_loss`: "iou" is 1 - IoU^2; "giou" is 1 - GIoU, which also moves a box that misses its target.
    `iou_aware`: the objectness of a positive is trained towards the IoU of its prediction, not towards 1. This
    is how the paper's baseline is read here (section 2.1 "IoU-aware branch"; Figure 2 draws an IoU output where
    YOLOv3 has objectness, and the parameters of Table 2 leave no other). The class target is one-hot * IoU anyway.
    """

    box_loss: BoxLoss = "iou"
    iou_aware: bool = False


RELEASED = LossOptions()


@dataclass(frozen=True)
class Losses:
    """Scalar float32 tensors, each divided by max(positives, 1).

    `iou` is already weighted; `total` = iou + obj + cls + l1 + selector. `positives` int64 counts the positive
    anchor points of the batch. `selector` is 0 for a model without one.
    """

    total: Tensor
    iou: Tensor
    obj: Tensor
    cls: Tensor
    l1: Tensor
    positives: Tensor
    selector: Tensor


def compute_losses(
    model: YOLOX,
    images: Tensor,
    targets: Tensor,
    *,
    assigner: Assigner = simota_batch,
    use_l1: bool = False,
    options: LossOptions = RELEASED,
) -> dict[str, Tensor]:
    """Run `model` in training mode and return its losses `total`, `iou` (weighted), `obj`, `cls`, `l1`.

    A model with a selector has the loss `selector` too.

    Args:
        images: (B, 3, H, W) float, BGR 0-255; H and W divide by 32.
        targets: (B, M, 5) class, cx, cy, w, h in pixels of `images`, rows of zeros being padding. On the host
            they are cut to the rows in use first, which makes the assignment cheaper.
        use_l1: add the L1 loss on the box code, as in the last epochs.

    Raises:
        UsageError: the model is in evaluation mode, or shapes do not fit.
    """
    if not model.training:
        raise UsageError("the losses need logits, and the model is in evaluation mode; call model.train()")
    height, width = images.shape[-2:]
    selector = model.config.selector
    losses = losses_from_predictions(
        model(images),
        (height, width),
        targets,
        assigner=assigner,
        use_l1=use_l1,
        priors=model.head.priors,
        selector=selector,
        options=options,
    )
    names = ("total", "iou", "obj", "cls", "l1", *(("selector",) if selector else ()))
    return {name: getattr(losses, name) for name in names}


def losses_from_predictions(
    raw: Tensor,
    image_size: tuple[int, int],
    targets: Tensor,
    *,
    assigner: Assigner = simota_batch,
    use_l1: bool = False,
    priors: Tensor | None = None,
    selector: bool = False,
    options: LossOptions = RELEASED,
) -> Losses:
    """The losses of training-mode predictions; float32 whatever autocast is in force.

    Args:
        raw: (B, A, 5 + C) tx, ty, tw, th, objectness logit, class logits, of any floating dtype. With `selector`
            one column more, the selector's logit: it is trained one-to-one, beside the kept losses of `assigner`.
        image_size: height, width of the network's input in pixels.
        targets: (B, M, 5) as in `compute_losses`.
        assigner: decides which anchor points are positive, and for what.
        priors: (levels, P, 2) w, h in pixels, of an anchor-based head.

    Raises:
        UsageError: shapes do not fit, or the assigner is not made for this head.
    """
    anchors = anchor_points(image_size, STRIDES, raw.device, priors)
    _check(raw, anchors, targets)
    if targets.device.type == "cpu":
        targets = trim_padding(targets)
    truth = Targets.from_padded(targets.to(raw.device, non_blocking=True))
    with torch.autocast(raw.device.type, enabled=False):
        logits = raw[..., -1] if selector else None
        raw = raw[..., :-1] if selector else raw
        predictions = _predictions(raw, anchors, logits)
        assignment = assigner(predictions, anchors, truth)
        losses = losses_of_assignment(raw, anchors, truth, assignment, use_l1=use_l1, options=options)
        if logits is None:
            return losses
        loss = selector_loss(logits, raw[..., 4], one_to_one(predictions, anchors, truth))
        return replace(losses, total=losses.total + loss, selector=loss)


def losses_of_assignment(
    raw: Tensor,
    anchors: AnchorPoints,
    targets: Targets,
    assignment: BatchAssignment,
    *,
    use_l1: bool = False,
    options: LossOptions = RELEASED,
) -> Losses:
    """The losses once it is decided which anchor points are positive; shapes as in `losses_from_predictions`."""
    rows, objectness = _Read.apply(raw, assignment.index)  # type: ignore[no-untyped-call]
    count = assignment.positive.sum()
    scale = 1.0 / count.clamp(min=1)
    iou, l1 = _box_losses(rows[..., :4], anchors, targets, assignment, use_l1, options.box_loss)
    obj = _objectness_loss(objectness, assignment, options.iou_aware) * scale
    cls = _class_loss(rows[..., 5:], targets, assignment) * scale
    iou, l1 = IOU_LOSS_WEIGHT * iou * scale, l1 * scale
    return Losses(iou + obj + cls + l1, iou, obj, cls, l1, count, torch.zeros_like(iou))


class _Read(torch.autograd.Function):
    """What the losses need of `raw` (B, A, D): its rows (B, P, D) at `index` (B, P), objectness (B, A); float32.

    Autograd would make a gradient as large as `raw` for each, and add them.
    """

    @staticmethod
    def forward(ctx: Any, raw: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(index)
        ctx.length, ctx.dtype = raw.shape[1], raw.dtype
        return take_rows(raw, index).float(), raw[..., 4].contiguous().float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, rows: Tensor, objectness: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        gradient = torch.zeros((len(rows), ctx.length, rows.shape[2]), dtype=ctx.dtype, device=rows.device)
        add_rows(gradient, index, rows.to(ctx.dtype))
        gradient[..., 4] += objectness
        return gradient, None


def _check(raw: Tensor, anchors: AnchorPoints, targets: Tensor) -> None:
    batch, total = raw.shape[0], len(anchors.points)
    if raw.shape[1] != total:
        raise UsageError(f"found predictions for {raw.shape[1]} anchor points; the image size makes {total}")
    if targets.ndim != 3 or targets.shape[0] != batch or targets.shape[2] != 5:
        raise UsageError(
            f"found targets of shape {tuple(targets.shape)}; expected ({batch}, M, 5): class, cx, cy, w, h"
        )


@torch.no_grad()
def _predictions(raw: Tensor, anchors: AnchorPoints, selector: Tensor | None) -> Predictions:
    boxes = decode_boxes(raw[..., :4].contiguous().float(), anchors.points, anchors.strides)
    return Predictions(boxes, raw[..., 4], raw[..., 5:], None if selector is None else selector.detach())


def _box_losses(
    code: Tensor,
    anchors: AnchorPoints,
    targets: Targets,
    assignment: BatchAssignment,
    use_l1: bool,
    box_loss: BoxLoss,
) -> tuple[Tensor, Tensor]:
    """Sums over the positives of 1 - IoU^2 or 1 - GIoU, and of the L1 distance of box codes (0 without `use_l1`)."""
    # A slot not in use shows some prediction whose exp may overflow, and 0 * inf is no gradient.
    code = code.masked_fill(~assignment.positive.unsqueeze(2), 0.0)
    points, strides = anchors.points[assignment.index], anchors.strides[assignment.index]
    wanted = targets.boxes.gather(1, assignment.gt.unsqueeze(2).expand(-1, -1, 4))
    boxes = decode_boxes(code, points, strides)
    similarity = box_giou(boxes, wanted) if box_loss == "giou" else box_iou(boxes, wanted).square()
    iou = _sum_of_positives(1 - similarity, assignment)
    if not use_l1:
        return iou, torch.zeros_like(iou)
    distance = (code - encode_boxes(wanted, points, strides)).abs().sum(dim=2)
    return iou, _sum_of_positives(distance, assignment)


def _objectness_loss(logits: Tensor, assignment: BatchAssignment, iou_aware: bool) -> Tensor:
    """Binary cross-entropy of all anchor points (B, A) but those ignored, summed."""
    wanted = assignment.foreground(logits.shape[1]).float()
    if iou_aware:
        share = torch.where(assignment.positive, assignment.iou, 0.0)
        wanted = torch.zeros_like(wanted).scatter_add_(1, assignment.index, share)
    weight = None if assignment.ignored is None else (~assignment.ignored).float()
    return F.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="sum")


def _class_loss(logits: Tensor, targets: Targets, assignment: BatchAssignment) -> Tensor:
    """Binary cross-entropy of the positives against one-hot * IoU, summed.

    BCE(x, t) = softplus(x) - t x, and t is zero but for one class.
    """
    classes = targets.classes.gather(1, assignment.gt)
    own = logits.gather(2, classes.unsqueeze(2)).squeeze(2)
    return _sum_of_positives(F.softplus(logits).sum(dim=2) - assignment.iou * own, assignment)


def _sum_of_positives(values: Tensor, assignment: BatchAssignment) -> Tensor:
    """The sum of `values` (B, P) over the slots in use."""
    return torch.where(assignment.positive, values, 0.0).sum()


def selector_loss(logits: Tensor, objectness: Tensor, assignment: BatchAssignment) -> Tensor:
    """Cross-entropy of selector * objectness over all anchor points, divided by max(positives, 1), weighted.

    `logits` and `objectness` (B, A) are those of the selector and of the objectness; only the first get gradients.
    The constant -ln(objectness) of the positives is left out: without gradient, it would only hide the progress.
    """
    logits, objectness = logits.float(), objectness.detach().float()
    # ln(1 - so) = ln((1 - o) + o (1 - s)), which stays exact where both probabilities are near 1.
    duplicate = F.logsigmoid(objectness) + F.logsigmoid(-logits)
    rejected = -torch.logaddexp(F.logsigmoid(-objectness), duplicate)
    loss = torch.where(assignment.foreground(logits.shape[1]), F.softplus(-logits), rejected).sum()
    return SELECTOR_LOSS_WEIGHT * loss / assignment.positive.sum().clamp(min=1)
