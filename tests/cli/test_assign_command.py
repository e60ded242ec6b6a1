"""`yolox-deploy assign`: one drawing a picture, and objects that are described well."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from yolox_deploy.cli.assign import annotated, assign_command, fitting_assigners, parse_boxes
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.models import build_model


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((96, 128, 3), 90, np.uint8))
    return path


def test_a_drawing_of_every_assigner(picture: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights.pth"
    torch.save({"model": build_model("yolox_nano", 3).state_dict()}, weights)
    boxes = ["2,10,10,40,50", "0,60,20,120,90"]
    out = tmp_path / "drawn"
    assign_command([str(picture)], weights, None, boxes, None, "yolox_nano", "96x128", out)
    drawn = cv2.imread(str(out / "a.jpg"))
    assert drawn.shape == (2 * 480, 4 * 480, 3)
    tiles = [
        drawn[480 * row : 480 * row + 440, 480 * column : 480 * column + 440]
        for row in (0, 1)
        for column in range(4)
    ]
    coloured = [int((np.ptp(tile.astype(int), axis=2) > 60).sum()) for tile in tiles]
    assert min(coloured[:6]) > 500
    assert max(coloured[6:]) == 0
    # simota, simota_release, center, center3x3, ota, one_to_one: nine cells colour more than one.
    assert coloured[3] > coloured[2]
    with pytest.raises(UsageError, match="object of class 3; the model has 3 classes"):
        assign_command([str(picture)], weights, None, ["3,1,1,9,9"], None, "yolox_nano", "96x128", out)


def test_assigners_of_a_head() -> None:
    assert list(fitting_assigners(False, [])) == [
        "simota",
        "simota_release",
        "center",
        "center3x3",
        "ota",
        "one_to_one",
    ]
    assert list(fitting_assigners(True, [])) == ["simota", "simota_release", "yolov3", "ota", "one_to_one"]
    assert list(fitting_assigners(True, ["ota"])) == ["ota"]
    with pytest.raises(UsageError, match="no assigner 'best'; expected some of simota"):
        fitting_assigners(True, ["best"])


def test_objects_of_a_coco_file(picture: Path, tmp_path: Path) -> None:
    content = {
        "images": [{"id": 5, "file_name": "a.png", "height": 96, "width": 128}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
        ],
        "categories": [{"id": 7, "name": "thing"}],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    (objects,) = annotated([picture], file, [])
    assert objects.boxes.tolist() == [[1, 2, 31, 42]]
    with pytest.raises(InputError, match=r"no picture called b\.png"):
        annotated([tmp_path / "b.png"], file, [])


def test_objects_described_badly(picture: Path) -> None:
    with pytest.raises(UsageError, match="either --annotations FILE or --box"):
        annotated([picture], None, [])
    with pytest.raises(UsageError, match="one picture; found 2"):
        annotated([picture, picture], None, ["0,1,1,9,9"])
    for text in ("0,1,1,9", "x,1,1,9,9", "0,9,1,1,9", "-1,1,1,9,9", "0.5,1,1,9,9", "nan,1,1,9,9"):
        with pytest.raises(UsageError, match="the box is"):
            parse_boxes([text])
