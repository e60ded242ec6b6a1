"""The paper's roadmap from YOLOv3 to YOLOX as data: each row of Table 2, and Table 1, is a model and its training.

Importing this module costs the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from yolox_deploy.models.zoo import ZOO, ModelConfig, Published

_TABLE_1 = "paper, Table 1"
_TABLE_2 = "paper, Table 2"


@dataclass(frozen=True)
class RoadmapRow:
    """One row of Table 1 or 2.

    Attributes:
        title: as the paper prints it.
        model: the architecture; rows that differ in training alone share it.
        assigner: name of the label assigner (`training.assigner_table`).
        augmentation: "weak" (flip, colour, multi-scale) or "strong" (also Mosaic and MixUp).
        published: the paper's figures.
    """

    title: str
    model: ModelConfig
    assigner: str
    augmentation: Literal["weak", "strong"]
    published: Published


_YOLOX = ZOO["yolox_darknet53"]
_DECOUPLED = replace(_YOLOX, name="decoupled_head", priors=3, weights_url=None, published=())
_COUPLED = replace(_DECOUPLED, name="yolov3_baseline", head="coupled")
_NMS_FREE = replace(_YOLOX, name="nms_free", selector=True, weights_url=None, published=())
_END_TO_END = {
    "end_to_end_coupled": replace(_COUPLED, name="end_to_end_coupled", selector=True),
    "end_to_end_decoupled": replace(_DECOUPLED, name="end_to_end_decoupled", selector=True),
}


def _figures(ap: float, latency: float, parameters: float, gflops: float) -> Published:
    return Published(_TABLE_2, ap, None, latency, parameters, gflops)


TABLE_2 = {
    "yolov3_baseline": RoadmapRow(
        "YOLOv3 baseline", _COUPLED, "yolov3", "weak", _figures(38.5, 10.5, 63.00, 157.3)
    ),
    "decoupled_head": RoadmapRow(
        "+decoupled head", _DECOUPLED, "yolov3", "weak", _figures(39.6, 11.6, 63.86, 186.0)
    ),
    "strong_augmentation": RoadmapRow(
        "+strong augmentation", _DECOUPLED, "yolov3", "strong", _figures(42.0, 11.6, 63.86, 186.0)
    ),
    "anchor_free": RoadmapRow("+anchor-free", _YOLOX, "center", "strong", _figures(42.9, 11.1, 63.72, 185.3)),
    "multi_positives": RoadmapRow(
        "+multi positives", _YOLOX, "center3x3", "strong", _figures(45.0, 11.1, 63.72, 185.3)
    ),
    "simota": RoadmapRow("+SimOTA", _YOLOX, "simota", "strong", _figures(47.3, 11.1, 63.72, 185.3)),
    "nms_free": RoadmapRow(
        "+NMS free (optional)", _NMS_FREE, "simota", "strong", _figures(46.5, 13.5, 67.27, 205.1)
    ),
}
"""Row -> model and training, in the order of the paper."""

TABLE_1 = {
    "vanilla_coupled": replace(
        TABLE_2["yolov3_baseline"], title="Vanilla YOLO, coupled head", published=Published(_TABLE_1, 38.5)
    ),
    "vanilla_decoupled": replace(
        TABLE_2["decoupled_head"], title="Vanilla YOLO, decoupled head", published=Published(_TABLE_1, 39.6)
    ),
    "end_to_end_coupled": RoadmapRow(
        "End-to-end YOLO, coupled head",
        _END_TO_END["end_to_end_coupled"],
        "yolov3",
        "weak",
        Published(_TABLE_1, 34.3),
    ),
    "end_to_end_decoupled": RoadmapRow(
        "End-to-end YOLO, decoupled head",
        _END_TO_END["end_to_end_decoupled"],
        "yolov3",
        "weak",
        Published(_TABLE_1, 38.8),
    ),
}

ROADMAP = TABLE_2 | TABLE_1
"""All rows by name; `zoo.get_config` finds their models here."""
