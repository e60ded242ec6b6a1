"""`predict --save-coco` and `--save-txt`: what the command found, read back as a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolox_deploy.data import open_dataset
from yolox_deploy.data.coco_format import read_coco

FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]  # one object of class 1, whatever the picture


def test_both_hold_what_was_found(call: Any, toy_model: Any, tmp_path: Path) -> None:
    model, pictures = toy_model(tmp_path / "toy.onnx", FOUND), tmp_path / "pictures"
    pictures.mkdir()
    for number, shape in enumerate([(64, 96), (100, 60)]):
        cv2.imwrite(str(pictures / f"{number}.png"), np.full((*shape, 3), 90, np.uint8))
    (pictures / "broken.jpg").write_text("no picture")
    coco, text = tmp_path / "new" / "found.json", tmp_path / "labels"
    options = ["--no-images", "--json", "--save-coco", coco, "--save-txt", text]
    code, out, err = call("predict", pictures, "--model", model, *options)
    assert (code, "broken.jpg" in err) == (2, True)
    expected = [row["detections"][0]["box"] for row in json.loads(out)["images"]]
    assert len(expected) == 2
    for data in (read_coco(coco, pictures), open_dataset(text, "all")):
        assert [data.path(index).name for index in range(len(data))] == ["0.png", "1.png"]
        boxes = [data.objects(index).boxes[0] for index in range(2)]
        np.testing.assert_allclose(boxes, expected, atol=1e-3)
        assert [data.objects(index).classes.tolist() for index in range(2)] == [[1], [1]]


def test_a_folder_that_holds_something_is_refused_first(
    call: Any, toy_model: Any, picture: Path, tmp_path: Path
) -> None:
    model, full = toy_model(tmp_path / "toy.onnx", FOUND), tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    code, out, err = call("predict", picture, "--model", model, "--no-images", "--save-txt", full)
    assert (code, out) == (2, "")
    assert "is not empty" in err
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_inspect_compares_by_ap_on_them(call: Any, toy_model: Any, picture: Path, tmp_path: Path) -> None:
    model, folder = toy_model(tmp_path / "toy.onnx", FOUND), tmp_path / "labels"
    assert call("predict", picture, "--model", model, "--no-images", "--save-txt", folder)[0] == 0
    drawn = tmp_path / "drawn"
    options = ["--data", folder, "--split", "all", "--out", drawn, "--json"]
    code, out, err = call("inspect", model, *options)
    assert code == 0, err
    assert json.loads(out)["trials"][0]["ap"] > 0.9
    assert [path.stem for path in drawn.iterdir()] == [picture.stem]
