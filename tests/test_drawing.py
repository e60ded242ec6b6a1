"""Boxes and labels on pictures."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.drawing import class_color, track_color, write_picture


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    """One object a box, each of its own class, scores descending."""
    count = len(boxes)
    scores = np.linspace(0.9, 0.5, count).astype(np.float32)
    names = tuple(f"thing {index}" for index in range(count))
    return Detections(np.array(boxes, np.float32), scores, np.arange(count), names)


def test_colors_of_the_80_classes_differ() -> None:
    colors = {class_color(index) for index in range(80)}
    assert len(colors) == 80
    for first, second in itertools.pairwise(np.array([class_color(i) for i in range(80)])):
        assert np.abs(first - second).sum() > 100
    assert all(0 <= value <= 255 for color in colors for value in color)


def test_a_box_is_drawn_in_the_color_of_its_class_on_a_copy() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    drawn = detections((50, 60, 150, 160)).plot(image)
    assert not image.any()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    for x, y in ((50, 100), (150, 100), (100, 160)):
        assert tuple(drawn[y, x]) == class_color(0)
    assert not drawn[80:150, 60:140].any(), "the inside stays visible"


def test_a_label_stands_above_its_box_or_inside_where_there_is_no_room() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    above = detections((50, 60, 150, 160)).plot(image)
    assert above[45:58, 50:100].any()
    inside = detections((50, 0, 150, 160)).plot(image)
    assert (inside[5, 51] == class_color(0)).all()


def test_the_best_is_drawn_last() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    drawn = detections((20, 30, 80, 90), (20, 30, 80, 90)).plot(image)
    assert tuple(drawn[60, 20]) == class_color(0)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (500, 1, 3), (2000, 3000, 3)])
def test_any_size_can_be_drawn_on(shape: tuple[int, int, int]) -> None:
    height, width, _ = shape
    drawn = detections((0, 0, width, height)).plot(np.zeros(shape, np.uint8))
    assert drawn.shape == shape
    assert drawn.any()


def test_a_view_that_is_not_contiguous_can_be_drawn_on() -> None:
    image = np.zeros((100, 200, 3), np.uint8)[:, ::-2]
    assert detections((10, 30, 60, 80)).plot(image).any()


def test_nothing_found_changes_nothing() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    drawn = Detections.empty().plot(image)
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_a_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_picture(tmp_path / "taken.png", np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


def test_a_tracked_object_has_the_colour_and_the_number_of_its_identity() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    found = detections((20, 60, 90, 160), (110, 60, 180, 160))
    tracked = dataclasses.replace(found, track_ids=np.array([7, -1]))
    drawn = tracked.plot(image)
    assert tuple(drawn[100, 20]) == track_color(7) != class_color(0)
    assert tuple(drawn[100, 110]) == track_color(-1)
    assert len(set(track_color(-1))) == 1, "grey"
    labels = [drawn[40:58, 20:].any(axis=(0, 2)).sum(), found.plot(image)[40:58, 20:].any(axis=(0, 2)).sum()]
    assert labels[0] > labels[1], "the number takes room"
