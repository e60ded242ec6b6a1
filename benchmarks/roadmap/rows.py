"""The paper's tables as data: each row of Table 2, of Table 1 and of Table 5 is a model and its training.

Importing this module costs the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from yolox_deploy.errors import refuse_unknown
from yolox_deploy.models.model_config import ModelConfig, Published
from yolox_deploy.models.zoo import ROADMAP, ZOO

_TABLE_1 = "paper, Table 1"
_TABLE_2 = "paper, Table 2"
_TABLE_5 = "paper, Table 5"


@dataclass(frozen=True)
class RoadmapRow:
    """One row of Table 1 or 2.

    Attributes:
        title: as the paper prints it.
        model: the architecture; rows that differ in training alone share it.
        assigner: name of the label assigner (`training.assign`).
        augmentation: "weak" (flip, colour, multi-scale) or "strong" (also Mosaic and MixUp).
        published: the paper's figures.
    """

    title: str
    model: ModelConfig
    assigner: str
    augmentation: str
    published: Published

    @property
    def iou_aware(self) -> bool:
        """Whether objectness is trained towards the IoU: where the head is anchor-based.

        The paper puts an IoU-aware branch on its baseline (section 2.1) and never takes it off; the released code,
        which begins where the head is anchor-free, has none.
        """
        return self.model.priors > 1


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


TABLE_2 = {
    name: RoadmapRow(title, ROADMAP[name], assigner, augmentation, Published(_TABLE_2, ap, None, *costs))
    for name, title, assigner, augmentation, ap, costs in (
        ("yolov3_baseline", "YOLOv3 baseline", "yolov3", "weak", 38.5, (10.5, 63.00, 157.3)),
        ("decoupled_head", "+decoupled head", "yolov3", "weak", 39.6, (11.6, 63.86, 186.0)),
        ("strong_augmentation", "+strong augmentation", "yolov3", "strong", 42.0, (11.6, 63.86, 186.0)),
        ("anchor_free", "+anchor-free", "center", "strong", 42.9, (11.1, 63.72, 185.3)),
        ("multi_positives", "+multi positives", "center3x3", "strong", 45.0, (11.1, 63.72, 185.3)),
        ("simota", "+SimOTA", "simota", "strong", 47.3, (11.1, 63.72, 185.3)),
        ("nms_free", "+NMS free (optional)", "simota", "strong", 46.5, (13.5, 67.27, 205.1)),
    )
}
"""Row -> model and training, in the order of the paper; the last three figures are ms, parameters and GFLOPs."""

TABLE_1 = {
    name: RoadmapRow(title, ROADMAP[name], "yolov3", "weak", Published(_TABLE_1, ap))
    for name, title, ap in (
        ("vanilla_coupled", "Vanilla YOLO, coupled head", 38.5),
        ("vanilla_decoupled", "Vanilla YOLO, decoupled head", 39.6),
        ("end_to_end_coupled", "End-to-end YOLO, coupled head", 34.3),
        ("end_to_end_decoupled", "End-to-end YOLO, decoupled head", 38.8),
    )
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
