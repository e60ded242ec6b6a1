"""Data sets with few known objects, and detectors whose answers are written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.data import DetectionDataset, open_dataset

Box = tuple[float, float, float, float]
Things = Mapping[str, Sequence[tuple[str, Box] | tuple[str, Box, str]]]
Answers = Mapping[str, Sequence[tuple[str, float, Box]]]
NAMES = ("cat", "dog", "cow")


class Canned:
    """Answers what is written down: picture -> (class, score, (x, y, w, h))."""

    def __init__(self, answers: Answers, class_names: Sequence[str] = NAMES) -> None:
        self.answers, self.class_names = answers, tuple(class_names)

    def predict(self, image: Path, **_: Any) -> Detections:
        found = sorted(self.answers.get(image.name, ()), key=lambda item: -item[1])
        boxes = np.array([(x, y, x + w, y + h) for _, _, (x, y, w, h) in found], np.float32).reshape(-1, 4)
        scores = np.array([score for _, score, _ in found], np.float32)
        classes = np.array([self.class_names.index(name) for name, _, _ in found], np.int64)
        return Detections(boxes, scores, classes, self.class_names)


MakeData = Callable[..., DetectionDataset]


@pytest.fixture
def make_data(tmp_path: Path) -> MakeData:
    """Writes a data set: picture -> (class, (x, y, w, h)), or with "crowd" behind; each picture is 200x160."""

    def make(things: Things, names: Sequence[str] = NAMES) -> DetectionDataset:
        folder = tmp_path / "data"
        rows: list[dict[str, Any]] = []
        (folder / "val").mkdir(parents=True)
        (folder / "annotations").mkdir()
        for number, (picture, objects) in enumerate(things.items(), start=1):
            cv2.imwrite(str(folder / "val" / picture), np.full((160, 200, 3), 60, np.uint8))
            for name, (x, y, w, h), *crowd in objects:
                row = {"image_id": number, "category_id": names.index(name) + 1, "bbox": [x, y, w, h]}
                rows.append({**row, "id": len(rows) + 1, "area": w * h, "iscrowd": int(bool(crowd))})
        content = {
            "images": [
                {"id": number, "file_name": picture, "width": 200, "height": 160}
                for number, picture in enumerate(things, start=1)
            ],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
            "annotations": rows,
        }
        (folder / "annotations" / "instances_val.json").write_text(json.dumps(content))
        return open_dataset(folder, "val")

    return make
