"""The benchmark of the augmentation runs both ways and reports them."""

from __future__ import annotations

from pathlib import Path

import cv2

from yolox_deploy.benchmarks.pictures import generated
from yolox_deploy.benchmarks.studies import augmentation
from yolox_deploy.training.config import Augmentation


def test_small_run(tmp_path: Path) -> None:
    for number, image in enumerate(generated(2, seed=0).images):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), image)
    pictures = augmentation.open_pictures(tmp_path)
    assert len(pictures.objects(1).boxes) == augmentation.OBJECTS
    case = augmentation.Case("small", 64, Augmentation())
    times = augmentation.measure(pictures, case, rounds=1)
    assert list(times) == ["canvas", "yolox-deploy"]
    assert min(times.values()) > 0
    lines = augmentation.report({case: {"canvas": 30.0, "yolox-deploy": 12.0}}).splitlines()
    assert lines[2] == "| small | 64 | 30.0 | 12.0 | 0.40 |"
