"""Training: the `Trainer`, and its core of label assignment, losses, optimiser, schedule, averaged weights.

Names are resolved on first use, so importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.training.assign.simota import Assignment, simota
    from yolox_deploy.training.config import TrainConfig
    from yolox_deploy.training.losses import compute_losses
    from yolox_deploy.training.recipes import recipe
    from yolox_deploy.training.trainer import Trainer, TrainResult

__all__ = [
    "Assignment",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "compute_losses",
    "recipe",
    "simota",
]

_MODULES = {
    "assign.simota": ("Assignment", "simota"),
    "config": ("TrainConfig",),
    "losses": ("compute_losses",),
    "recipes": ("recipe",),
    "trainer": ("Trainer", "TrainResult"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
