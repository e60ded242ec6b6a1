"""Counting at lines and in zones is the business of supervision, which takes identities as they are."""

from __future__ import annotations

import numpy as np
import pytest

from yolox_deploy import Detections, Tracker
from yolox_deploy.thresholds import Thresholds

sv = pytest.importorskip("supervision", reason="counts; comes with the extra track")


class Walkers:
    """Three who walk to the right over a line at 320, two to the left, and one who turns back; 20 frames a second."""

    thresholds = Thresholds()

    def predict(self, image: float, **thresholds: object) -> Detections:
        rows = [
            (50 + 60 * image, 20),
            (100 + 60 * image, 120),
            (150 + 60 * image, 220),
            (550 - 60 * image, 320),
            (600 - 60 * image, 420),
            (200 + 30 * min(image, 7 - image), 520),
        ]
        boxes = np.array([(x - 15, y, x + 15, y + 60) for x, y in rows], np.float32)
        scores = np.linspace(0.9, 0.5, len(rows)).astype(np.float32)
        return Detections(boxes, scores, np.zeros(len(rows), np.int64), ("person",))


def test_a_line_counts_each_identity_once_in_its_direction_and_a_zone_who_is_there() -> None:
    line = sv.LineZone(sv.Point(320, 0), sv.Point(320, 700), triggering_anchors=[sv.Position.BOTTOM_CENTER])
    zone = sv.PolygonZone(np.array([(400, 0), (700, 0), (700, 300), (400, 300)]))
    tracker, inside = Tracker(Walkers()), []
    for index in range(140):
        found = tracker.update(index / 20, index / 20)
        confirmed = found[found.track_ids > 0].to_supervision()
        line.trigger(confirmed)
        inside.append(int(zone.trigger(confirmed).sum()))
    assert sorted((line.in_count, line.out_count)) == [2, 3]
    assert inside[0] == 0
    assert inside[-1] == 3, "the three who walked to the right"
    assert set(found.track_ids.tolist()) == set(range(1, 7))
