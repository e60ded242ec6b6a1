"""What an assigner is given for an annotated picture: for comparing and drawing assignments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from yolox_deploy.data.dataset import Objects
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.preprocess import letterbox
from yolox_deploy.training.assign.anchors import AnchorPoints, anchor_points, decode_boxes
from yolox_deploy.training.assign.types import Predictions, Targets


class Inspected(NamedTuple):
    """One picture as the network reads it, `canvas` (H, W, 3) uint8 BGR, and the inputs of an assigner for it."""

    canvas: NDArray[np.uint8]
    predictions: Predictions
    anchors: AnchorPoints
    targets: Targets


@torch.no_grad()
def inspect_picture(
    model: YOLOX, picture: NDArray[np.uint8], objects: Objects, size: tuple[int, int]
) -> Inspected:
    """Predict the (h, w, 3) BGR `picture`, letterboxed to `size` (height, width), with its annotated objects.

    On the CPU in float32. `model` is left in evaluation mode: BatchNorm uses its statistics, unlike in training.
    """
    canvas, ratio = letterbox(picture, size)
    images = torch.from_numpy(canvas.transpose(2, 0, 1).astype(np.float32))[None]
    model.eval()
    # Only the head's own flag: it then answers with logits, which the assigners take.
    model.head.training = True
    try:
        raw = model(images)
    finally:
        model.head.training = False
    anchors = anchor_points(size, model.strides, priors=model.head.priors)
    classes = raw[..., 5 : 5 + model.num_classes]
    selector = raw[..., -1] if raw.shape[2] > 5 + model.num_classes else None
    boxes = decode_boxes(raw[..., :4], anchors.points, anchors.strides)
    return Inspected(
        canvas, Predictions(boxes, raw[..., 4], classes, selector), anchors, _targets(objects, ratio)
    )


def _targets(objects: Objects, ratio: float) -> Targets:
    """The boxes in pixels of the canvas."""
    corners = torch.from_numpy(objects.boxes * np.float32(ratio))
    boxes = torch.cat(((corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]), dim=1)
    return Targets(
        boxes[None], torch.from_numpy(objects.classes.copy())[None], torch.ones(1, len(boxes)).bool()
    )
