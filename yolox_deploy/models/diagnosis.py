"""What weights are that no network here has: said by their names, their stem or the nearest model."""

from __future__ import annotations

import re

from yolox_deploy.models.recognition import Shapes, class_count, nearest, stem_channels
from yolox_deploy.models.state_dicts import listing
from yolox_deploy.types import USUAL_ORDERS

_OTHERS = (
    (r"(model\.)*\d+\.(conv|bn|cv\d|m|attn|dfl)\b", "a YOLO of Ultralytics (YOLOv5, YOLOv8 and later)"),
    (r"(model\.)*\d+\.(rbr_|conv\d?\.|im\.)", "YOLOv7"),
    (r"bbox_head\.head_module\.", "MMYOLO, whose names differ from mmdetection's"),
    (r"bbox_head\.|roi_head\.|rpn_head\.", "another detector of mmdetection"),
    (r"backbone\.body\.|roi_heads\.", "a detector of torchvision"),
    (r"(transformer|encoder|decoder)\.|class_embed\.", "a DETR"),
    (r"module_list\.\d", "a Darknet YOLOv3"),
)


def why_unknown(shapes: Shapes) -> str:
    """The end of a sentence on weights that `recognise` does not know."""
    for pattern, what in _OTHERS:
        if any(re.match(pattern, key) for key in shapes):
            return f"its names are those of {what}, not of YOLOX: export it with the tool that trained it"
    channels = stem_channels(shapes)
    if channels is None:
        return (
            "its names are not YOLOX's: expected backbone.backbone.stem.conv.conv.weight and so on, found "
            f"{listing(sorted(shapes))}"
        )
    if channels not in USUAL_ORDERS:
        return f"its first convolution reads {channels} channels; expected 1, 3 or 4"
    if class_count(shapes) is None:
        return "it has no head of YOLOX with class predictors (head.cls_preds.0.bias)"
    found = nearest(shapes)
    if found is None:
        return "its depth and width are those of no model"
    config, differences = found
    return f"the nearest is {config.name}, which differs in {listing(differences)}"
