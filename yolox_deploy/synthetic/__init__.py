"""Generated pictures and sequences with exact boxes: scenes to train on, streams with known truth.

Names are resolved on first use, so importing this package loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolox_deploy.synthetic.camera import Motion
    from yolox_deploy.synthetic.drawing import draw_scene
    from yolox_deploy.synthetic.scenes import write_scenes
    from yolox_deploy.synthetic.sequences import SequenceOptions, write_sequences
    from yolox_deploy.synthetic.worlds import coco_worlds, scene_worlds

__all__ = [
    "Motion",
    "SequenceOptions",
    "coco_worlds",
    "draw_scene",
    "scene_worlds",
    "write_scenes",
    "write_sequences",
]

_MODULES = {
    "camera": ("Motion",),
    "drawing": ("draw_scene",),
    "scenes": ("write_scenes",),
    "sequences": ("SequenceOptions", "write_sequences"),
    "worlds": ("coco_worlds", "scene_worlds"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
