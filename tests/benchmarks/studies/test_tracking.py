"""The comparison of trackers: perfect answers score perfectly, and identities lost behind others are counted."""

from __future__ import annotations

import numpy as np
import pytest

from yolox_deploy.benchmarks.studies.tracking import Watched, measure, ways
from yolox_deploy.detections import Detections
from yolox_deploy.synthetic import MovingOptions, MovingScene


def watched(options: MovingOptions, seconds: float = 4.0) -> list[Watched]:
    """A scene by a detector that is always right."""
    scene = MovingScene(options, seed=6)
    frames = []
    for index in range(round(30 * seconds)):
        _, truth = scene.at(index / 30)
        boxes, count = truth.boxes.astype(np.float32), len(truth.tracks)
        found = Detections(boxes, np.full(count, 0.9, np.float32), truth.classes, scene.class_names)
        frames.append(Watched(index / 30, truth, found))
    return frames


SMALL = (128, 160)
EACH = ("ball", "cup", "fish")


def test_objects_apart_are_tracked_without_a_fault() -> None:
    apart = watched(
        MovingOptions(objects=3, classes=EACH, pillars=0, speed=0.1, size=SMALL, least_visible=0.01)
    )
    for name in ("nearest boxes, 30 FPS", "Tracker, 10 FPS"):
        seen, way = ways()[name]
        result = measure([apart], seen, way)
        assert (result.ass_a, result.switches) == (pytest.approx(1, abs=0.03), 0), name
        assert result.mota > 0.9


def test_the_tracker_keeps_identities_that_the_nearest_boxes_lose() -> None:
    hidden = watched(MovingOptions(objects=3, classes=EACH, pillars=2, speed=0.6, size=SMALL))
    figures = {name: measure([hidden], *way) for name, way in ways().items()}
    assert figures["nearest boxes, 30 FPS"].switches >= 5
    for name in ("Tracker, 30 FPS", "Tracker, 10 FPS", "Tracker, half dropped at random"):
        assert figures[name].switches < 0.5 * figures["nearest boxes, 30 FPS"].switches, name
        assert figures[name].hota > figures["nearest boxes, 30 FPS"].hota + 0.05, name
