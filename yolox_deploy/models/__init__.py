"""The model zoo: configurations, networks and checkpoints.

Names are resolved on first use, so the configurations are there without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.models.checkpoint import load_checkpoint, read_checkpoint
    from yolox_deploy.models.model_config import ModelConfig
    from yolox_deploy.models.naming import get_config
    from yolox_deploy.models.yolox import build_model
    from yolox_deploy.models.zoo import ZOO

__all__ = ["ZOO", "ModelConfig", "build_model", "get_config", "load_checkpoint", "read_checkpoint"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "checkpoint": ("load_checkpoint", "read_checkpoint"),
        "model_config": ("ModelConfig",),
        "yolox": ("build_model",),
        "naming": ("get_config",),
        "zoo": ("ZOO",),
    },
)
