"""The same scene at other rates: identities hold as well."""

from __future__ import annotations

import numpy as np
import pytest

from yolox_deploy import Detections, Tracker
from yolox_deploy.synthetic import MovingOptions, MovingScene
from yolox_deploy.thresholds import Thresholds

OBJECTS = MovingOptions(objects=5, pillars=1, size=(240, 320), classes=("ball", "cup", "fish", "key", "star"))
SEEDS = 4


class Nobody:
    thresholds = Thresholds()

    def predict(self, image: object, **thresholds: object) -> Detections:
        raise NotImplementedError


@pytest.mark.parametrize("rate", [2, 5, 15, 60])
def test_few_identities_are_lost_at_any_rate(rate: int) -> None:
    """The true boxes with a pixel of noise; every object passes behind the pillar and behind others."""
    lost = told = 0
    for seed in range(SEEDS):
        scene, tracker, last = MovingScene(OBJECTS, seed=seed), Tracker(Nobody()), dict[int, int]()
        rng = np.random.default_rng(seed)
        for index in range(4 * rate):
            _, truth = scene.at(index / rate)
            noisy = truth.boxes + rng.normal(0, 1, truth.boxes.shape)
            noisy[:, 2:] = np.maximum(noisy[:, 2:], noisy[:, :2] + 1)
            scores = np.linspace(0.9, 0.6, len(noisy)).astype(np.float32)
            found = Detections(noisy.astype(np.float32), scores, truth.classes, scene.class_names)
            tracks = tracker.follow(found, index / rate).track_ids
            assert tracks is not None
            for number, identity in zip(truth.tracks.tolist(), tracks.tolist(), strict=True):
                if identity > 0:
                    told += 1
                    lost += last.setdefault(number, identity) != identity
                    last[number] = identity
    assert told > 10 * rate * SEEDS
    assert lost <= 5
