"""Training: the `Trainer`, and its core of label assignment, losses, optimiser, schedule, averaged weights.

Names are resolved on first use, so importing this package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.training.assign.simota import Assignment, simota
    from yolox_deploy.training.callbacks.mlflow_log import MlflowCallback
    from yolox_deploy.training.callbacks.wandb_log import WandbCallback
    from yolox_deploy.training.config import TrainConfig
    from yolox_deploy.training.events import (
        CheckpointSaved,
        EpochFinished,
        Evaluated,
        Message,
        RunFinished,
        RunStarted,
        StepFinished,
        TrainResult,
    )
    from yolox_deploy.training.losses import compute_losses
    from yolox_deploy.training.recipes import recipe
    from yolox_deploy.training.trainer import Trainer

__all__ = [
    "Assignment",
    "CheckpointSaved",
    "EpochFinished",
    "Evaluated",
    "Message",
    "MlflowCallback",
    "RunFinished",
    "RunStarted",
    "StepFinished",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "WandbCallback",
    "compute_losses",
    "recipe",
    "simota",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "assign.simota": ("Assignment", "simota"),
        "callbacks.mlflow_log": ("MlflowCallback",),
        "callbacks.wandb_log": ("WandbCallback",),
        "config": ("TrainConfig",),
        "events": (
            "CheckpointSaved",
            "EpochFinished",
            "Evaluated",
            "Message",
            "RunFinished",
            "RunStarted",
            "StepFinished",
            "TrainResult",
        ),
        "losses": ("compute_losses",),
        "recipes": ("recipe",),
        "trainer": ("Trainer",),
    },
)
