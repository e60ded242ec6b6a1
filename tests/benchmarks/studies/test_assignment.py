"""The comparison of SimOTA with OTA on one small picture, and its table."""

from __future__ import annotations

import numpy as np
import torch

from yolox_deploy.benchmarks.studies.assignment import Comparison, compare, report
from yolox_deploy.data.dataset import Objects
from yolox_deploy.models import build_model
from yolox_deploy.training.assign.inspection import inspect_picture


def test_one_picture() -> None:
    torch.manual_seed(0)
    model = build_model("yolox_nano", 2)
    boxes = np.array([[10, 20, 90, 100], [60, 10, 120, 50]], np.float32)
    objects = Objects(boxes, np.array([1, 0], np.int64), ((), ()))
    seen = inspect_picture(model, np.full((128, 128, 3), 90, np.uint8), objects, (64, 64))
    assert seen.canvas.shape == (64, 64, 3)
    assert seen.targets.boxes[0].tolist() == [[25, 30, 40, 40], [45, 15, 30, 20]]
    assert seen.predictions.objectness.shape == (1, 84)
    # A new head answers 0.01 everywhere: logits near -4.6, which no probability is.
    assert seen.predictions.objectness.max() < 0
    assert not any(module.training for module in model.modules())
    found = compare(seen, rounds=1)
    assert {gt for _, gt in found.simota} == {0, 1}
    assert {gt for _, gt in found.ota} <= {0, 1}
    assert min(found.simota_ms, found.ota_ms) > 0


def test_the_table() -> None:
    found = [
        Comparison({(1, 0), (2, 0), (7, 1)}, {(1, 0), (7, 2)}, 1.0, 4.0),
        Comparison({(5, 0)}, {(5, 0)}, 2.0, 4.0),
        Comparison(set(), set(), 1.0, 3.0),
    ]
    lines = report(found).splitlines()
    assert "| in common | 2 |" in lines
    assert "| share of SimOTA's | 0.500 |" in lines
    assert "| share of OTA's | 0.667 |" in lines
    assert "| Jaccard | 0.400 |" in lines
    assert "| OTA / SimOTA | 3.0 |" in lines
