"""Accuracy of a Detector on annotated images, and on annotated streams.

Names are resolved on first use, so that figures of images load nothing of streams.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.evaluation.coco import coco_ap
    from yolox_deploy.evaluation.streaming import streaming_ap

__all__ = ["coco_ap", "streaming_ap"]

_MODULES = {"coco_ap": "coco", "streaming_ap": "streaming"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
