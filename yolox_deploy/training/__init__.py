"""Training: the `Trainer`, and its core of label assignment, losses, optimiser, schedule, averaged weights.

Names are resolved on first use, so importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.training.allocator import keep_freed_memory
    from yolox_deploy.training.assigners import Assignment, simota, simota_batch
    from yolox_deploy.training.config import TrainConfig
    from yolox_deploy.training.ema import ModelEMA
    from yolox_deploy.training.losses import Losses, compute_losses, losses_from_predictions
    from yolox_deploy.training.optimizer import build_optimizer, set_learning_rate
    from yolox_deploy.training.recipes import recipe
    from yolox_deploy.training.schedule import WarmupCosine, scaled_learning_rate, yolox_warmup_cosine
    from yolox_deploy.training.trainer import Trainer, TrainResult

__all__ = [
    "Assignment",
    "Losses",
    "ModelEMA",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "WarmupCosine",
    "build_optimizer",
    "compute_losses",
    "keep_freed_memory",
    "losses_from_predictions",
    "recipe",
    "scaled_learning_rate",
    "set_learning_rate",
    "simota",
    "simota_batch",
    "yolox_warmup_cosine",
]

_MODULES = {
    "allocator": ("keep_freed_memory",),
    "assigners": ("Assignment", "simota", "simota_batch"),
    "config": ("TrainConfig",),
    "ema": ("ModelEMA",),
    "losses": ("Losses", "compute_losses", "losses_from_predictions"),
    "optimizer": ("build_optimizer", "set_learning_rate"),
    "recipes": ("recipe",),
    "schedule": ("WarmupCosine", "scaled_learning_rate", "yolox_warmup_cosine"),
    "trainer": ("Trainer", "TrainResult"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
