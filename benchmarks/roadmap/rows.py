"""The paper's tables as data: each row of Table 2, of Table 1 and of Table 5 is a model and its training.

Importing this module costs the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from yolox_deploy.errors import refuse_unknown
from yolox_deploy.models.zoo import ROADMAP, ZOO, ModelConfig, Published

_TABLE_1 = "paper, Table 1"
_TABLE_2 = "paper, Table 2"
_TABLE_5 = "paper, Table 5"


@dataclass(frozen=True)
class RoadmapRow:
    """One row of Table 1 or 2.

    Attributes:
        title: as the paper prints it.
        model: the architecture; rows that differ in training alone share it.
        assigner: name of the label assigner (`training.assign.table`).
        augmentation: "weak" (flip, colour, multi-scale) or "strong" (also Mosaic and MixUp).
        published: the paper's figures.
        iou_aware: objectness is trained towards the IoU. The paper puts an IoU-aware branch on its baseline
            (section 2.1) and never takes it off; the released code, which begins where the head is anchor-free,
            has none. Here the anchor-based rows have it and the anchor-free ones do not.
    """

    title: str
    model: ModelConfig
    assigner: str
    augmentation: Literal["weak", "strong"]
    published: Published
    iou_aware: bool = False


@dataclass(frozen=True)
class AugmentationRow:
    """One row of Table 5: a released model with another augmentation.

    Attributes:
        title: as the paper prints it.
        model: the architecture.
        mosaic_scale: range of the mosaic's scale jitter.
        mixup, copy_paste: probability that a mosaic is mixed with another picture, or gets objects of it.
        published: the paper's figures.
        assigner, iou_aware: those of the final model.
    """

    title: str
    model: ModelConfig
    mosaic_scale: tuple[float, float]
    mixup: float
    copy_paste: float
    published: Published
    assigner: str = "simota"
    iou_aware: bool = False


def _figures(ap: float, latency: float, parameters: float, gflops: float) -> Published:
    return Published(_TABLE_2, ap, None, latency, parameters, gflops)


TABLE_2 = {
    "yolov3_baseline": RoadmapRow(
        "YOLOv3 baseline",
        ROADMAP["yolov3_baseline"],
        "yolov3",
        "weak",
        _figures(38.5, 10.5, 63.00, 157.3),
        True,
    ),
    "decoupled_head": RoadmapRow(
        "+decoupled head",
        ROADMAP["decoupled_head"],
        "yolov3",
        "weak",
        _figures(39.6, 11.6, 63.86, 186.0),
        True,
    ),
    "strong_augmentation": RoadmapRow(
        "+strong augmentation",
        ROADMAP["decoupled_head"],
        "yolov3",
        "strong",
        _figures(42.0, 11.6, 63.86, 186.0),
        True,
    ),
    "anchor_free": RoadmapRow(
        "+anchor-free", ROADMAP["anchor_free"], "center", "strong", _figures(42.9, 11.1, 63.72, 185.3)
    ),
    "multi_positives": RoadmapRow(
        "+multi positives", ROADMAP["anchor_free"], "center3x3", "strong", _figures(45.0, 11.1, 63.72, 185.3)
    ),
    "simota": RoadmapRow(
        "+SimOTA", ROADMAP["anchor_free"], "simota", "strong", _figures(47.3, 11.1, 63.72, 185.3)
    ),
    "nms_free": RoadmapRow(
        "+NMS free (optional)", ROADMAP["nms_free"], "simota", "strong", _figures(46.5, 13.5, 67.27, 205.1)
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
        ROADMAP["end_to_end_coupled"],
        "yolov3",
        "weak",
        Published(_TABLE_1, 34.3),
        True,
    ),
    "end_to_end_decoupled": RoadmapRow(
        "End-to-end YOLO, decoupled head",
        ROADMAP["end_to_end_decoupled"],
        "yolov3",
        "weak",
        Published(_TABLE_1, 38.8),
        True,
    ),
}

SAME_TRAINING = {"vanilla_coupled": "yolov3_baseline", "vanilla_decoupled": "decoupled_head"}
"""Rows of Table 1 that are rows of Table 2 under another name."""


def _table_5(
    model: str, ap: float, scale: tuple[float, float], mixup: float, copy_paste: float, title: str
) -> AugmentationRow:
    return AugmentationRow(title, ZOO[model], scale, mixup, copy_paste, Published(_TABLE_5, ap))


TABLE_5 = {
    "nano_weak_scale": _table_5("yolox_nano", 25.3, (0.5, 1.5), 0, 0, "YOLOX-Nano, [0.5, 1.5]"),
    "nano_mixup": _table_5("yolox_nano", 24.0, (0.1, 2.0), 1, 0, "YOLOX-Nano, [0.1, 2.0], MixUp"),
    "large_scale": _table_5("yolox_l", 48.6, (0.1, 2.0), 0, 0, "YOLOX-L, [0.1, 2.0]"),
    "large_mixup": _table_5("yolox_l", 49.5, (0.1, 2.0), 1, 0, "YOLOX-L, [0.1, 2.0], MixUp"),
    "large_copy_paste": _table_5("yolox_l", 49.4, (0.1, 2.0), 0, 1, "YOLOX-L, [0.1, 2.0], Copypaste"),
}
"""Row -> model and augmentation, in the order of the paper."""

TABLES: dict[int, Mapping[str, RoadmapRow | AugmentationRow]] = {1: TABLE_1, 2: TABLE_2, 5: TABLE_5}


ROWS: dict[str, RoadmapRow | AugmentationRow] = {**TABLE_2, **TABLE_1, **TABLE_5}


def row_name(text: str) -> str:
    """The name in the tables of the row that `text` means; hyphens and any case are accepted.

    Raises:
        UsageError: no such row; suggests the closest.
    """
    name = text.strip().lower().replace("-", "_")
    refuse_unknown("row", [name], list(ROWS))
    return name


def find_row(name: str) -> RoadmapRow | AugmentationRow:
    """The row that `name` means; otherwise as `row_name`."""
    return ROWS[row_name(name)]
