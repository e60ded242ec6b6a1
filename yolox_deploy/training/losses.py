"""The YOLOX losses: IoU, objectness, class and L1 (paper, section 2.1; weights and targets of the released code)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolox_deploy.errors import UsageError
from yolox_deploy.models.zoo import STRIDES
from yolox_deploy.training.anchors import AnchorPoints, anchor_points, decode_boxes, encode_boxes
from yolox_deploy.training.assigners import simota_batch
from yolox_deploy.training.assignment import (
    Assigner,
    BatchAssignment,
    Predictions,
    Targets,
    take_rows,
    trim_padding,
)
from yolox_deploy.training.boxes import box_iou

IOU_LOSS_WEIGHT = 5.0


@dataclass(frozen=True)
class Losses:
    """Scalar float32 tensors, each divided by max(positives, 1).

    `iou` is already weighted; `total` = iou + obj + cls + l1. `positives` int64 counts the positive anchor
    points of the batch.
    """

    total: Tensor
    iou: Tensor
    obj: Tensor
    cls: Tensor
    l1: Tensor
    positives: Tensor

    def to_floats(self) -> dict[str, float]:
        """Plain numbers for logs and finite checks, in one transfer; on a GPU this waits for the step."""
        names = [field.name for field in fields(self)]
        values = torch.stack([getattr(self, name).detach().float() for name in names]).tolist()
        return dict(zip(names, values, strict=True))


def compute_losses(
    model: nn.Module, images: Tensor, targets: Tensor, *, use_l1: bool = False
) -> dict[str, Tensor]:
    """Run `model` in training mode and return its losses `total`, `iou` (weighted), `obj`, `cls`, `l1`.

    Args:
        images: (B, 3, H, W) float, BGR 0-255; H and W divide by 32.
        targets: (B, M, 5) class, cx, cy, w, h in pixels of `images`, rows of zeros being padding. On the host
            they are cut to the rows in use first, which makes the assignment cheaper.
        use_l1: add the L1 loss on the box code, as in the last epochs.

    Raises:
        UsageError: the model is in evaluation mode, or shapes do not fit.
    """
    if not model.training:
        raise UsageError("The losses need logits, and the model is in evaluation mode; call model.train().")
    height, width = images.shape[-2:]
    losses = losses_from_predictions(model(images), (height, width), targets, use_l1=use_l1)
    return {name: getattr(losses, name) for name in ("total", "iou", "obj", "cls", "l1")}


def losses_from_predictions(
    raw: Tensor,
    image_size: tuple[int, int],
    targets: Tensor,
    *,
    assigner: Assigner = simota_batch,
    use_l1: bool = False,
    strides: Sequence[int] = STRIDES,
) -> Losses:
    """The losses of training-mode predictions; float32 whatever autocast is in force.

    Args:
        raw: (B, A, 5 + C) tx, ty, tw, th, objectness logit, class logits, of any floating dtype.
        image_size: height, width of the network's input in pixels.
        targets: (B, M, 5) as in `compute_losses`.
        assigner: decides which anchor points are positive, and for what.

    Raises:
        UsageError: shapes do not fit.
    """
    anchors = anchor_points(image_size, strides, raw.device)
    _check(raw, anchors, targets)
    if targets.device.type == "cpu":
        targets = trim_padding(targets)
    truth = Targets.from_padded(targets.to(raw.device, non_blocking=True))
    with torch.autocast(raw.device.type, enabled=False):
        assignment = assigner(_predictions(raw, anchors), anchors, truth)
        return losses_of_assignment(raw, anchors, truth, assignment, use_l1=use_l1)


def losses_of_assignment(
    raw: Tensor, anchors: AnchorPoints, targets: Targets, assignment: BatchAssignment, *, use_l1: bool = False
) -> Losses:
    """The losses once it is decided which anchor points are positive; shapes as in `losses_from_predictions`."""
    code, objectness, classes = torch.split(raw, [4, 1, raw.shape[2] - 5], dim=2)
    count = assignment.positive.sum()
    scale = 1.0 / count.clamp(min=1)
    iou, l1 = _box_losses(code, anchors, targets, assignment, use_l1)
    obj = _objectness_loss(objectness.squeeze(2), assignment) * scale
    cls = _class_loss(classes, targets, assignment) * scale
    iou, l1 = IOU_LOSS_WEIGHT * iou * scale, l1 * scale
    return Losses(iou + obj + cls + l1, iou, obj, cls, l1, count)


def _check(raw: Tensor, anchors: AnchorPoints, targets: Tensor) -> None:
    batch, total = raw.shape[0], len(anchors.points)
    if raw.shape[1] != total:
        raise UsageError(f"Found predictions for {raw.shape[1]} anchor points; the image size makes {total}.")
    if targets.ndim != 3 or targets.shape[0] != batch or targets.shape[2] != 5:
        raise UsageError(
            f"Found targets of shape {tuple(targets.shape)}; expected ({batch}, M, 5): class, cx, cy, w, h."
        )


@torch.no_grad()
def _predictions(raw: Tensor, anchors: AnchorPoints) -> Predictions:
    boxes = decode_boxes(raw[..., :4].float(), anchors.points, anchors.strides)
    return Predictions(boxes, raw[..., 4], raw[..., 5:])


def _box_losses(
    code: Tensor, anchors: AnchorPoints, targets: Targets, assignment: BatchAssignment, use_l1: bool
) -> tuple[Tensor, Tensor]:
    """Sums over the positives of 1 - IoU^2, and of the L1 distance of box codes (0 without `use_l1`)."""
    # A slot not in use shows some prediction whose exp may overflow, and 0 * inf is no gradient.
    code = take_rows(code, assignment.index).float()
    code = code.masked_fill(~assignment.positive.unsqueeze(2), 0.0)
    points, strides = anchors.points[assignment.index], anchors.strides[assignment.index]
    wanted = targets.boxes.gather(1, assignment.gt.unsqueeze(2).expand(-1, -1, 4))
    ious = box_iou(decode_boxes(code, points, strides), wanted)
    iou = _sum_of_positives(1 - ious.square(), assignment)
    if not use_l1:
        return iou, torch.zeros_like(iou)
    distance = (code - encode_boxes(wanted, points, strides)).abs().sum(dim=2)
    return iou, _sum_of_positives(distance, assignment)


def _objectness_loss(logits: Tensor, assignment: BatchAssignment) -> Tensor:
    """Binary cross-entropy of all anchor points (B, A), summed."""
    wanted = assignment.foreground(logits.shape[1]).float()
    return F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="sum")


def _class_loss(logits: Tensor, targets: Targets, assignment: BatchAssignment) -> Tensor:
    """Binary cross-entropy of the positives against one-hot * IoU, summed.

    BCE(x, t) = softplus(x) - t x, and t is zero but for one class.
    """
    rows = take_rows(logits, assignment.index).float()
    classes = targets.classes.gather(1, assignment.gt)
    own = rows.gather(2, classes.unsqueeze(2)).squeeze(2)
    return _sum_of_positives(F.softplus(rows).sum(dim=2) - assignment.iou * own, assignment)


def _sum_of_positives(values: Tensor, assignment: BatchAssignment) -> Tensor:
    """The sum of `values` (B, P) over the slots in use."""
    return torch.where(assignment.positive, values, 0.0).sum()
