"""Predictions as annotations: the readers of data sets find the same boxes, classes and pictures in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import pytest

from yolox_deploy.data import open_dataset
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.prelabels import CocoFile, YoloFolder
from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError

NAMES = ("cat", "dog: small", "bird")
BOXES = np.array([[1.25, 2.5, 40.125, 30], [0, 0, 80, 60]], np.float32)


class Prelabelled(NamedTuple):
    path: Path
    found: Detections


@pytest.fixture
def pictures(tmp_path: Path, write_picture: Callable[..., Path]) -> list[Prelabelled]:
    """Two pictures of one name in two folders, one of the same name but for its suffix, and one without objects."""
    found = Detections(BOXES, np.array([0.9, 0.3], np.float32), np.array([2, 1]), NAMES, None, (60, 80))
    names = ("a/one.jpg", "b/one.jpg", "b/One.png", "b/none.jpg")
    paths = [write_picture(tmp_path / "pictures" / name) for name in names]
    kinds = (found, found, found, Detections.empty(NAMES, (60, 80)))
    return [Prelabelled(path, kind) for path, kind in zip(paths, kinds, strict=True)]


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
    file = tmp_path / "found.json"
    with CocoFile(file, NAMES) as coco:
        for picture in pictures:
            coco.add(*picture)
    content = json.loads(file.read_text())
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
    check(read_coco(file, tmp_path / "pictures"), 1e-5)


def write_yolo(folder: Path, pictures: list[Prelabelled], names: list[str]) -> None:
    labels = YoloFolder(folder, NAMES)
    for (path, found), name in zip(pictures, names, strict=True):
        assert not labels.holds(path, PurePath(name))
        labels.add(path, PurePath(name), found)
        assert labels.holds(path, PurePath(name))


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


FLAT = ["one.jpg", "one_2.jpg", "One.png", "none.jpg"]
TREE = ["a/one.jpg", "b/one.jpg", "b/One.png", "b/none.jpg"]


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (FLAT, ["One_3.png", "none.jpg", "one.jpg", "one_2.jpg"]),
        (TREE, ["a/one.jpg", "b/One_2.png", "b/none.jpg", "b/one.jpg"]),
    ],
)
def test_yolo_text_is_read_back(
    pictures: list[Prelabelled], tmp_path: Path, names: list[str], written: list[str]
) -> None:
    folder = tmp_path / "labels"
    write_yolo(folder, pictures, names)
    assert files_of(folder / "images") == written
    first, last = ((folder / "labels" / names[i]).with_suffix(".txt").read_text() for i in (0, -1))
    assert last == ""
    assert first.splitlines()[0] == "2 0.258594 0.270833 0.485938 0.458333"
    assert (folder / "classes.txt").read_text().splitlines() == list(NAMES)
    check(open_dataset(folder, "all"), 1e-4)


def test_yolo_text_goes_on_with_what_is_there(pictures: list[Prelabelled], tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write_yolo(folder, pictures, TREE)
    before = files_of(folder)
    again = YoloFolder(folder, NAMES)
    for (path, found), name in zip(pictures, TREE, strict=True):
        assert again.holds(path, PurePath(name))
        again.add(path, PurePath(name), found)
    assert files_of(folder) == before
    with pytest.raises(UsageError, match="names other classes"):
        YoloFolder(folder, NAMES[:2])


def test_pictures_of_one_stem_keep_their_labels_apart(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    paths = [write_picture(tmp_path / "pictures" / name) for name in ("x.png", "x.bmp")]
    folder = tmp_path / "labels"
    for path in paths:  # a folder opened anew each time, as by a run that is resumed
        YoloFolder(folder, NAMES).add(path, PurePath(path.name), Detections.empty(NAMES, (60, 80)))
    assert files_of(folder / "labels") == ["x.txt", "x_2.txt"]
    assert [YoloFolder(folder, NAMES).holds(path, PurePath(path.name)) for path in paths] == [True, True]


def test_without_pictures_the_file_is_empty(tmp_path: Path) -> None:
    with CocoFile(tmp_path / "found.json", NAMES):
        pass
    content = json.loads((tmp_path / "found.json").read_text())
    assert (content["images"], content["annotations"], len(content["categories"])) == ([], [], 3)


def test_a_failure_leaves_no_coco_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError), CocoFile(tmp_path / "found.json", NAMES):
        raise KeyError
    assert not list(tmp_path.iterdir())
