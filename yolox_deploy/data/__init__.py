"""Data sets on disk: COCO, VOC and YOLO text, opened as one kind of value and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.data.checks import check_splits
    from yolox_deploy.data.dataset import DetectionDataset
    from yolox_deploy.data.layouts import open_dataset

__all__ = ["DetectionDataset", "check_splits", "open_dataset"]

__getattr__, __dir__ = lazy_face(
    __name__, {"checks": ("check_splits",), "dataset": ("DetectionDataset",), "layouts": ("open_dataset",)}
)
