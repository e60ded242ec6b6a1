"""The names that mmdetection gives the parts of YOLOX, and ours (the authors') for the same.

Its network computes the same, so names are all that differs: BatchNorm has eps 1e-3 too, the phases of Focus are
in the same order, and its configurations read BGR pixels 0-255 padded with 114.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

MARKS = ("backbone.stem.conv.conv.weight", "bbox_head.multi_level_conv_cls.0.weight")
"""Keys that are in each of its YOLOX files."""

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "backbone.stem.": "backbone.backbone.stem.",
        "backbone.stage1.": "backbone.backbone.dark2.",
        "backbone.stage2.": "backbone.backbone.dark3.",
        "backbone.stage3.": "backbone.backbone.dark4.",
        "backbone.stage4.": "backbone.backbone.dark5.",
        "neck.reduce_layers.0.": "backbone.lateral_conv0.",
        "neck.reduce_layers.1.": "backbone.reduce_conv1.",
        "neck.top_down_blocks.0.": "backbone.C3_p4.",
        "neck.top_down_blocks.1.": "backbone.C3_p3.",
        "neck.downsamples.0.": "backbone.bu_conv2.",
        "neck.downsamples.1.": "backbone.bu_conv1.",
        "neck.bottom_up_blocks.0.": "backbone.C3_n3.",
        "neck.bottom_up_blocks.1.": "backbone.C3_n4.",
        "neck.out_convs.": "head.stems.",
        "bbox_head.multi_level_cls_convs.": "head.cls_convs.",
        "bbox_head.multi_level_reg_convs.": "head.reg_convs.",
        "bbox_head.multi_level_conv_cls.": "head.cls_preds.",
        "bbox_head.multi_level_conv_reg.": "head.reg_preds.",
        "bbox_head.multi_level_conv_obj.": "head.obj_preds.",
    }
)
"""Where a part begins, theirs -> ours."""

LAYERS: Mapping[str, str] = MappingProxyType(
    {
        ".main_conv.": ".conv1.",
        ".short_conv.": ".conv2.",
        ".final_conv.": ".conv3.",
        ".blocks.": ".m.",
        ".depthwise_conv.": ".dconv.",
        ".pointwise_conv.": ".pconv.",
    }
)
"""Layers inside a part, theirs -> ours; all others are called alike."""


def renamed(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state_dict` under our names; a key that is in none of the parts keeps its own."""
    return {_our_name(key): tensor for key, tensor in state_dict.items()}


def _our_name(key: str) -> str:
    part = next((part for part in PARTS if key.startswith(part)), None)
    if part is None:
        return key
    name = PARTS[part] + key.removeprefix(part)
    for theirs, ours in LAYERS.items():
        name = name.replace(theirs, ours)
    return name
