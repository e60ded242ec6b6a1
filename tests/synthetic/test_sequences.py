"""Sequences of a camera that moves over still pictures: exact objects, one path at every rate, a layout to read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.streaming import read_sequences
from yolox_deploy.synthetic import Motion, SequenceOptions, coco_worlds, scene_worlds, write_sequences
from yolox_deploy.synthetic.camera import View, view_at
from yolox_deploy.synthetic.sequences import SequenceFrames, objects_at, sequence_annotations
from yolox_deploy.synthetic.worlds import StillScene, StillScenes

OPTIONS = SequenceOptions(frame_rate=10, seconds=2, size=(240, 320))


def rectangles(*boxes: tuple[int, int, int, int]) -> StillScene:
    """White rectangles on black in a picture of 400 x 500."""
    image = np.zeros((400, 500, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    found = np.array(boxes, np.float64).reshape(-1, 4)
    sides = found[:, 2:] - found[:, :2]
    count = len(found)
    return StillScene(
        lambda: image,
        *((400, 500), found, np.zeros(count, np.int64)),
        *(sides.prod(axis=1), np.zeros(count, bool)),
    )


def test_the_annotated_box_is_where_the_object_is_drawn() -> None:
    world = rectangles((220, 170, 280, 240))
    options = replace(OPTIONS, frame_rate=30, motion=Motion(speed=0.8, zoom=0.3, shake=0.02))
    content = sequence_annotations(StillScenes((world,), ("thing",)), options)
    places = []
    for frame, row in zip(SequenceFrames(world, options, 0), content["annotations"], strict=True):
        ys, xs = np.nonzero(frame[:, :, 0] > 127)
        x, y, width, height = row["bbox"]
        drawn = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert drawn == pytest.approx((x, y, x + width, y + height), abs=0.6)
        assert row["area"] == pytest.approx(width * height)
        places.append(x)
    assert max(places) - min(places) > 50


def test_the_same_motion_is_the_same_path_at_every_rate() -> None:
    world = rectangles((220, 170, 280, 240))
    slow, quick = OPTIONS, replace(OPTIONS, frame_rate=60)
    assert (slow.frames, quick.frames) == (20, 120)
    a, b = (SequenceFrames(world, options, 3) for options in (slow, quick))
    assert all(np.array_equal(a[i], b[6 * i]) for i in range(20))
    rows, more = (
        {
            row["image_id"]: row["bbox"]
            for row in sequence_annotations(StillScenes((world,), ("x",)), o)["annotations"]
        }
        for o in (slow, quick)
    )
    assert all(rows[i + 1] == more[6 * i + 1] for i in range(20))


def test_paths_depend_on_the_seed_and_the_sequence_alone() -> None:
    worlds = StillScenes((rectangles((220, 170, 280, 240)),) * 2, ("x",))
    first, again = (sequence_annotations(worlds, OPTIONS) for _ in range(2))
    assert first == again
    assert first != sequence_annotations(worlds, replace(OPTIONS, seed=1))
    boxes = [row["bbox"] for row in first["annotations"]]
    assert boxes[0] != boxes[20]


@pytest.mark.parametrize("picture", [(400, 500), (500, 400), (64, 2000)])
def test_the_camera_never_leaves_the_picture(picture: tuple[int, int]) -> None:
    wild = Motion(speed=3, zoom=0.35, shake=0.05)
    for seed in range(5):
        for step in range(300):
            view = view_at(step / 7, wild, picture, (240, 320), seed)
            right, bottom = view.left + 320 / view.scale, view.top + 240 / view.scale
            assert min(view.left, view.top) >= -1e-9
            assert right <= picture[1] + 1e-6
            assert bottom <= picture[0] + 1e-6


def test_the_speed_is_the_one_asked_for() -> None:
    motion = Motion(speed=0.5, zoom=0, shake=0)
    views = [view_at(step / 100, motion, (400, 500), (240, 320), 0) for step in range(2000)]
    lefts = np.array([view.left * view.scale for view in views])
    assert np.abs(np.diff(lefts)).max() * 100 / 320 == pytest.approx(0.5, rel=0.01)


def test_objects_are_clipped_and_dropped_with_too_little_left() -> None:
    world = rectangles((90, 90, 110, 110), (95, 50, 115, 70), (96, 150, 116, 170), (300, 300, 310, 310))
    found = objects_at(world, View(100, 0, 2.0), (400, 320), 0.5)
    assert found.tracks.tolist() == [0, 1, 2]
    halves = objects_at(world, View(100, 0, 2.0), (400, 320), 0.51)
    assert halves.tracks.tolist() == [1, 2]
    assert halves.boxes.tolist() == [[0, 100, 30, 140], [0, 300, 32, 340]]
    assert halves.areas.tolist() == pytest.approx([30 * 40, 32 * 40])


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    worlds = scene_worlds(2, size=(240, 320))
    options = replace(OPTIONS, seconds=0.5, size=(120, 160))
    file = write_sequences(tmp_path / "made", worlds, options)
    data = read_sequences(file)
    assert data.frame_rate == 10
    assert [(sequence.name, len(sequence.frames)) for sequence in data.sequences] == [
        ("000000", 5),
        ("000001", 5),
    ]
    assert data.class_names == worlds.class_names
    for number, sequence in enumerate(data.sequences):
        drawn = SequenceFrames(worlds.pictures[number], options, number)
        for frame in sequence.frames:
            image = cv2.imread(str(frame.path))
            assert image.shape == (120, 160, 3)
            assert np.abs(image.astype(int) - drawn[frame.index]).mean() < 6  # JPEG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]
    with pytest.raises(UsageError, match="made is not empty"):
        write_sequences(tmp_path / "made", worlds, options)


def test_a_picture_that_is_gone_leaves_no_folder(tmp_path: Path) -> None:
    def gone() -> np.ndarray:
        raise InputError("no such image file")

    worlds = StillScenes((replace(rectangles((1, 1, 50, 50)), load=gone),), ("x",))
    with pytest.raises(InputError, match="no such image file"):
        write_sequences(tmp_path / "made", worlds, OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_real_pictures_become_sequences(shared: Path) -> None:
    root = shared / "real" / "coco_mini"
    worlds = coco_worlds(root / "instances.json", root / "images", 4)
    assert len(worlds.pictures) == 4
    assert len(worlds.class_names) == 80
    frames = SequenceFrames(worlds.pictures[0], OPTIONS, 0)
    assert frames[0].shape == (240, 320, 3)
    assert len(frames[2:5]) == 3
    content = sequence_annotations(worlds, OPTIONS)
    assert len(content["annotations"]) > 80
    with pytest.raises(InputError, match="no picture has 1000 objects"):
        coco_worlds(root / "instances.json", root / "images", least_objects=1000)


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected at least one frame"):
        SequenceOptions(seconds=0.01)
    with pytest.raises(UsageError, match="32 pixels a side"):
        SequenceOptions(size=(8, 8))
    with pytest.raises(UsageError, match="0 pictures"):
        scene_worlds(0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        write_sequences(tmp_path / "file" / "new" / "made", scene_worlds(1, size=(64, 96)))
    with pytest.raises(UsageError, match="zoom 2"):
        Motion(zoom=2)
