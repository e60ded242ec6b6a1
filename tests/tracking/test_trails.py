"""The ways that objects took, as they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.drawing import track_color
from yolox_deploy.errors import UsageError
from yolox_deploy.tracking import Trails

DARK = np.zeros((100, 200, 3), np.uint8)


def seen(*tracks: int, x: float = 20, y: float = 40) -> Detections:
    """Boxes of 20x20 pixels, each 50 below the one before."""
    boxes = np.array([(x, y + 50 * i, x + 20, y + 20 + 50 * i) for i in range(len(tracks))], np.float32)
    scores = np.full(len(tracks), 0.9, np.float32)
    return Detections(
        boxes.reshape(-1, 4),
        scores,
        np.zeros(len(tracks), np.int64),
        ("person",),
        np.array(tracks, np.int64),
    )


@pytest.mark.parametrize(("bottom", "row"), [(True, 60), (False, 50)])
def test_a_trail_is_a_line_in_the_colour_of_its_identity(bottom: bool, row: int) -> None:
    trails = Trails(bottom=bottom)
    for step in range(10):
        trails.add(seen(7, x=20 + 10 * step), step / 10)
    drawn = trails.draw(DARK)
    assert not DARK.any()
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert row - 3 <= rows.min() <= rows.max() <= row + 2
    assert (columns.min(), columns.max()) == (pytest.approx(30, abs=3), pytest.approx(120, abs=3))
    assert (drawn == np.array(track_color(7), np.uint8)).all(axis=2).any()


def test_places_are_forgotten_after_some_seconds_and_their_objects_with_them() -> None:
    trails = Trails(1.0)
    for step in range(5):
        trails.add(seen(1, x=20 + 10 * step), step / 10)
    trails.add(seen(), 1.25)
    assert np.nonzero(trails.draw(DARK).any(axis=2))[1].min() >= 57, "the first three places are gone"
    trails.add(seen(), 1.5)
    assert not trails.draw(DARK).any()


def test_boxes_without_an_identity_leave_no_trail() -> None:
    trails = Trails()
    untracked = Detections.empty(("person",))
    for step in range(5):
        trails.add(seen(-1, x=20 + 10 * step), step / 10)
        trails.add(untracked, step / 10)
    assert not trails.draw(DARK).any()


def test_seconds_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="trails of 0 s"):
        Trails(0)
