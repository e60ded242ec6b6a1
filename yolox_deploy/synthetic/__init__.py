"""Generated pictures and sequences with exact boxes: scenes to train on, streams with known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.synthetic.camera import Motion
    from yolox_deploy.synthetic.drawing import draw_scene
    from yolox_deploy.synthetic.moving import MovingOptions, MovingScene
    from yolox_deploy.synthetic.scenes import write_scenes
    from yolox_deploy.synthetic.sequences import SequenceOptions, write_sequences
    from yolox_deploy.synthetic.worlds import coco_worlds, scene_worlds

__all__ = [
    "Motion",
    "MovingOptions",
    "MovingScene",
    "SequenceOptions",
    "coco_worlds",
    "draw_scene",
    "scene_worlds",
    "write_scenes",
    "write_sequences",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "camera": ("Motion",),
        "drawing": ("draw_scene",),
        "moving": ("MovingOptions", "MovingScene"),
        "scenes": ("write_scenes",),
        "sequences": ("SequenceOptions", "write_sequences"),
        "worlds": ("coco_worlds", "scene_worlds"),
    },
)
