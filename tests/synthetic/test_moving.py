"""Scenes whose objects move: the truth is exact, and a function of the time alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.errors import UsageError
from yolox_deploy.sources import open_source
from yolox_deploy.synthetic import MovingOptions, MovingScene


def test_a_box_is_the_bounds_of_what_differs_from_a_picture_without_its_object() -> None:
    empty = MovingScene(MovingOptions(objects=1, pillars=0, classes=("ball",), speed=0), seed=3)
    moved = MovingScene(MovingOptions(objects=1, pillars=0, classes=("ball",)), seed=3)
    first, _ = empty.at(0)
    for seconds in (0.7, 1.3):
        image, truth = moved.at(seconds)
        ((x1, y1, x2, y2),) = truth.boxes
        still = ((empty.at(0)[1].boxes[0]) + (-3, -3, 3, 3)).astype(int)
        changed = np.abs(image.astype(int) - first).max(axis=2) > 40
        changed[still[1] : still[3], still[0] : still[2]] = False
        rows, columns = np.nonzero(changed)
        assert x1 - 1 <= columns.min()
        assert y1 - 1 <= rows.min()
        assert columns.max() <= x2
        assert rows.max() <= y2


def test_the_same_moment_is_the_same_frame_at_any_rate() -> None:
    one, other = MovingScene(seed=5), MovingScene(seed=5)
    for index in range(9):
        other.at(index / 30)
    image, truth = one.at(0.3)
    again, same = other.at(0.3)
    assert np.array_equal(image, again)
    assert np.array_equal(truth.boxes, same.boxes)
    assert not np.array_equal(MovingScene(seed=6).at(0.3)[0], image)


def test_objects_hide_each_other_and_come_back_under_their_number() -> None:
    scene = MovingScene(MovingOptions(objects=4, classes=("ball", "star"), pillars=2, speed=0.8), seed=1)
    seen = [set(scene.at(index / 15)[1].tracks.tolist()) for index in range(60)]
    assert set.union(*seen) == {0, 1, 2, 3}
    assert min(map(len, seen)) < 4
    for _, truth in (scene.at(index / 15) for index in range(0, 60, 7)):
        names = [scene.class_names[class_id] for class_id in truth.classes]
        assert names == [("ball", "star")[number % 2] for number in truth.tracks]


def test_a_scene_is_written_as_a_video(tmp_path: Path) -> None:
    scene = MovingScene(MovingOptions(size=(96, 128)), seed=2)
    scene.write(tmp_path / "scene.avi", seconds=0.5, frame_rate=10)
    frames = list(open_source(tmp_path / "scene.avi"))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for frame in frames:
        assert cv2.norm(frame.image, scene.at(frame.index / 10)[0], cv2.NORM_L1) / frame.image.size < 8
    with pytest.raises(UsageError, match="at least one frame"):
        scene.write(tmp_path / "none.avi", seconds=0)


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown classes dog; known: ball"):
        MovingOptions(classes=("dog",))
    with pytest.raises(UsageError, match="0 objects"):
        MovingOptions(objects=0)
