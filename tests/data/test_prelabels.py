"""Predictions as annotations: the readers of data sets find the same boxes, classes and pictures in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy.data import open_dataset
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.prelabels import Prelabelled, to_coco, write_yolo
from yolox_deploy.detections import Detections

NAMES = ("cat", "dog: small", "bird")
BOXES = np.array([[1.25, 2.5, 40.125, 30], [0, 0, 80, 60]], np.float32)


@pytest.fixture
def pictures(tmp_path: Path, write_picture: Callable[..., Path]) -> list[Prelabelled]:
    """Two pictures of one name in two folders, one of the same name but for its suffix, and one without objects."""
    found = Detections(BOXES, np.array([0.9, 0.3], np.float32), np.array([2, 1]), NAMES)
    names = ("a/one.jpg", "b/one.jpg", "b/One.png", "b/none.jpg")
    paths = [write_picture(tmp_path / "pictures" / name) for name in names]
    kinds = (found, found, found, Detections.empty(NAMES))
    return [Prelabelled(path, (60, 80), kind) for path, kind in zip(paths, kinds, strict=True)]


def check(data: DetectionDataset, tolerance: float) -> None:
    assert data.class_names == NAMES
    counts = []
    for index in range(len(data)):
        objects = data.objects(index)
        counts.append(len(objects.boxes))
        assert data.load(index).shape == (60, 80, 3)
        assert data.size(index) == (60, 80)
        if len(objects.boxes):
            np.testing.assert_allclose(objects.boxes, BOXES, atol=tolerance)
            assert objects.classes.tolist() == [2, 1]
    assert sorted(counts) == [0, 2, 2, 2]
    assert not data.problems


def test_coco_is_read_back(pictures: list[Prelabelled], tmp_path: Path) -> None:
    content = to_coco(pictures, NAMES)
    assert [image["file_name"] for image in content["images"]] == [
        "a/one.jpg",
        "b/one.jpg",
        "b/One.png",
        "b/none.jpg",
    ]
    assert content["categories"][0] == {"id": 1, "name": "cat"}
    first = content["annotations"][0]
    assert (first["id"], first["image_id"], first["category_id"], first["iscrowd"]) == (1, 1, 3, 0)
    assert first["bbox"] == [1.25, 2.5, 38.875, 27.5]
    assert first["area"] == pytest.approx(38.875 * 27.5)
    assert first["score"] == pytest.approx(0.9)
    file = tmp_path / "found.json"
    file.write_text(json.dumps(content))
    check(read_coco(file, tmp_path / "pictures"), 1e-5)


def test_yolo_text_is_read_back(pictures: list[Prelabelled], tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    write_yolo(folder, pictures, NAMES)
    names = ["One_3.png", "none.jpg", "one.jpg", "one_2.jpg"]
    assert sorted(path.name for path in (folder / "images").iterdir()) == names
    assert (folder / "labels" / "none.txt").read_text() == ""
    row = (folder / "labels" / "one.txt").read_text().splitlines()[0]
    assert row == "2 0.258594 0.270833 0.485938 0.458333"
    assert (folder / "classes.txt").read_text().splitlines() == list(NAMES)
    check(open_dataset(folder, "all"), 1e-4)


def test_without_pictures_the_file_is_empty() -> None:
    content = to_coco([], NAMES)
    assert (content["images"], content["annotations"], len(content["categories"])) == ([], [], 3)
