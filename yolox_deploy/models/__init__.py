"""The model zoo: configurations, networks, checkpoints, inference folding and complexity.

Names are resolved on first use, so `yolox_deploy.models.zoo` stays importable without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.models.checkpoint import Checkpoint, identify, load_checkpoint, read_checkpoint
    from yolox_deploy.models.complexity import Complexity, count
    from yolox_deploy.models.fusion import fuse
    from yolox_deploy.models.yolox import YOLOX, build_model
    from yolox_deploy.models.zoo import ZOO, ModelConfig, Published, check_input_size, get_config

__all__ = [
    "YOLOX",
    "ZOO",
    "Checkpoint",
    "Complexity",
    "ModelConfig",
    "Published",
    "build_model",
    "check_input_size",
    "count",
    "fuse",
    "get_config",
    "identify",
    "load_checkpoint",
    "read_checkpoint",
]

_MODULES = {
    "checkpoint": ("Checkpoint", "identify", "load_checkpoint", "read_checkpoint"),
    "complexity": ("Complexity", "count"),
    "fusion": ("fuse",),
    "yolox": ("YOLOX", "build_model"),
    "zoo": ("ZOO", "ModelConfig", "Published", "check_input_size", "get_config"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
