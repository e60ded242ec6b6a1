"""Data sets on disk: COCO, VOC and YOLO text in any layout, opened as one kind of value, checked and converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.data.checks import check_splits
    from yolox_deploy.data.conversion import convert
    from yolox_deploy.data.dataset import DetectionDataset
    from yolox_deploy.data.layouts import open_dataset
    from yolox_deploy.data.opening import open_splits

__all__ = ["DetectionDataset", "check_splits", "convert", "open_dataset", "open_splits"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "checks": ("check_splits",),
        "conversion": ("convert",),
        "dataset": ("DetectionDataset",),
        "layouts": ("open_dataset",),
        "opening": ("open_splits",),
    },
)
