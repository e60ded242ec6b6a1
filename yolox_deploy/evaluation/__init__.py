"""Accuracy of a Detector on annotated images, and on annotated streams."""

from yolox_deploy.evaluation.coco import coco_ap
from yolox_deploy.evaluation.streaming import streaming_ap

__all__ = ["coco_ap", "streaming_ap"]
