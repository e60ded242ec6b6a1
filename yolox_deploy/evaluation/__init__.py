"""Accuracy of a Detector on annotated images."""

from yolox_deploy.evaluation.coco import coco_ap

__all__ = ["coco_ap"]
