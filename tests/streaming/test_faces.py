"""The faces of `yolox_deploy.streaming` and `yolox_deploy.synthetic`: their names, found when asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

FACES = {
    "streaming": [
        *("Forecast", "Newest", "Queue", "RealClock", "ShrinkingTail", "SimulatedClock", "StreamRecord"),
        *("read_record", "read_sequences", "record_sequences"),
    ],
    "synthetic": [
        *("Motion", "SequenceOptions", "coco_worlds", "draw_scene", "scene_worlds", "write_scenes"),
        "write_sequences",
    ],
}


@pytest.mark.parametrize("room", FACES)
def test_public_names(room: str) -> None:
    face = importlib.import_module(f"yolox_deploy.{room}")
    assert face.__all__ == dir(face) == FACES[room]
    for name in face.__all__:
        assert getattr(face, name).__name__ == name
    with pytest.raises(AttributeError, match=f"module 'yolox_deploy.{room}' has no attribute 'nothing'"):
        _ = face.nothing


@pytest.mark.parametrize("room", FACES)
def test_importing_a_face_loads_nothing_of_the_house(room: str) -> None:
    code = f"""
import sys, yolox_deploy
before = set(sys.modules)
import yolox_deploy.{room}
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([f"yolox_deploy.{room}"])
