"""YOLOX detectors from checkpoint to production.

    from yolox_deploy import Detector
    detections = Detector("yolox_l.engine").predict(image)

Importing this package imports nothing else; its names are loaded where they are first used.
"""

from __future__ import annotations

import importlib

from yolox_deploy._version import __version__

TYPE_CHECKING = False  # type checkers know this name; to load `typing` takes longer than all that is here
if TYPE_CHECKING:
    from yolox_deploy.detections import Detections
    from yolox_deploy.detector import Detector
    from yolox_deploy.exporter.pipeline import Artifact, export
    from yolox_deploy.inspection import Inspection, inspect
    from yolox_deploy.tracking.tracker import Tracker
    from yolox_deploy.training.start import train

__all__ = [
    "Artifact",
    "Detections",
    "Detector",
    "Inspection",
    "Tracker",
    "__version__",
    "export",
    "inspect",
    "train",
]

_LAZY = {
    "Artifact": "yolox_deploy.exporter.pipeline",
    "Detections": "yolox_deploy.detections",
    "Detector": "yolox_deploy.detector",
    "Inspection": "yolox_deploy.inspection",
    "Tracker": "yolox_deploy.tracking.tracker",
    "export": "yolox_deploy.exporter.pipeline",
    "inspect": "yolox_deploy.inspection",
    "train": "yolox_deploy.training.start",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
