"""Accuracy of a Detector on annotated images, and on annotated streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.evaluation.coco import coco_ap
    from yolox_deploy.evaluation.report import EvaluationReport
    from yolox_deploy.evaluation.running import evaluate
    from yolox_deploy.evaluation.streaming import streaming_ap

__all__ = ["EvaluationReport", "coco_ap", "evaluate", "streaming_ap"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "coco": ("coco_ap",),
        "report": ("EvaluationReport",),
        "running": ("evaluate",),
        "streaming": ("streaming_ap",),
    },
)
