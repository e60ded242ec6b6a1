"""The chart of a data set's annotations, read back from its file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.labels import draw_labels

SHAPE = (500, 1500, 3)


def data_of(
    objects: list[ObjectRow], names: tuple[str, ...] = ("cat", "dog"), size: tuple[int, int] = (60, 80)
) -> DetectionDataset:
    rows = [PictureRow("a.png", size, 1, objects), PictureRow("b.png", (0, 0), 2, objects)]
    return dataset_from_rows(rows, source=Path("a.json"), folder=Path(), class_names=names)


def drawn(dataset: DetectionDataset, path: Path) -> np.ndarray:
    draw_labels(dataset, path, (64, 96))
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == SHAPE
    return picture


def test_objects_are_drawn_and_crowds_are_not(tmp_path: Path) -> None:
    cat = ObjectRow(0, (10, 10, 20, 30), 600)
    empty = drawn(data_of([]), tmp_path / "none.png")
    assert np.array_equal(drawn(data_of([cat._replace(crowd=True)]), tmp_path / "crowd.png"), empty)
    assert np.array_equal(drawn(data_of([cat._replace(box=(90, 0, 5, 5))]), tmp_path / "outside.png"), empty)
    for third in range(3):
        part = np.s_[100:420, 500 * third + 100 : 500 * third + 480]
        assert (drawn(data_of([cat]), tmp_path / "cat.png")[part] != empty[part]).any()


@pytest.mark.parametrize("count", [1, 80])
def test_any_number_of_classes_and_any_name(tmp_path: Path, count: int) -> None:
    names = tuple(f"猫 $x_{index}$ of a very long name" for index in range(count))
    objects = [ObjectRow(index, (1, 1, 10 + index % 9, 9), 90) for index in range(count)]
    drawn(data_of(objects, names), tmp_path / "labels.png")
