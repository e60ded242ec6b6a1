"""`yolox-deploy eval`: data sets of any layout, reports, and the gate against an earlier run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import Call, ToyModel
from yolox_deploy.evaluation import coco_ap

FOUND = (23.9, 7.9, 32.2, 32.2)
"""The box that `toy` answers, x, y, width, height in a picture of 192x128."""


@pytest.fixture
def toy(toy_model: ToyModel, tmp_path: Path) -> Path:
    """Finds one object of class 1 in every picture, with a score of 0.9."""
    return toy_model(tmp_path / "toy.onnx", [(0, (20 / 8, 12 / 8, np.log(2), np.log(2), 1, 0, 0.9, 0))])


@pytest.fixture
def blind(toy_model: ToyModel, tmp_path: Path) -> Path:
    """Finds nothing."""
    return toy_model(tmp_path / "blind.onnx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A COCO data set of two pictures, each with the object that `toy` finds."""
    return write_data(tmp_path / "data", FOUND)


def write_data(folder: Path, box: tuple[float, float, float, float]) -> Path:
    (folder / "val").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / "val" / name), np.full((128, 192, 3), 90, np.uint8))
    area = box[2] * box[3]
    content = {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": 192, "height": 128}
            for i, name in ((1, "a"), (2, "b"))
        ],
        "categories": [{"id": i + 1, "name": f"class_{i}"} for i in range(3)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 2, "bbox": list(box), "area": area, "iscrowd": 0}
            for i in (1, 2)
        ],
    }
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return folder


def test_tiles_are_detected_in_and_told_of(call: Call, toy: Path, tmp_path: Path) -> None:
    """In a tile of the network's size the object of `toy` is half as large as in the picture, whose quarter it is."""
    left, top, width, height = (value / 2 for value in FOUND)
    data = write_data(tmp_path / "data", (left, top, width, height))
    _, out, _ = call("eval", toy, "--data", data, "--json")
    assert json.loads(out)["AP"] < 0.1
    code, out, _ = call(
        "eval",
        toy,
        "--data",
        data,
        "--tiles",
        "64x96",
        "--overlap",
        0,
        "--json",
        "--report",
        tmp_path / "page",
    )
    assert code == 0
    assert json.loads(out)["tiles"] == "64x96, overlap 0"
    assert json.loads(out)["AP"] > 0.5
    assert "in tiles of 64x96, overlap 0, on 2 pictures" in (tmp_path / "page" / "index.html").read_text()
    _, out, _ = call("eval", toy, "--data", data, "--tiles", "64x96", "--overlap", 0)
    assert "onnxruntime (fp32) in tiles of 64x96, overlap 0, conf 0.01" in " ".join(out.split())
    assert call("eval", toy, "--data", data, "--tiles", "16")[0] == 2


def test_a_folder_is_evaluated_as_its_files_are(call: Call, toy: Path, data: Path) -> None:
    code, out, _ = call("eval", toy, "--data", data, "--json")
    assert code == 0
    figures = json.loads(out)
    assert figures["AP"] == pytest.approx(1)
    assert figures["model"] == str(toy)
    assert figures["data"]["pictures"] == 2
    assert [(row["name"], row["objects"]) for row in figures["per_class"]] == [
        ("class_0", 0),
        ("class_1", 2),
        ("class_2", 0),
    ]
    files = ["--images", data / "val", "--annotations", data / "annotations" / "instances_val.json"]
    code, out, _ = call("eval", toy, *files, "--json")
    assert {**json.loads(out)["data"], "source": None} == {**figures["data"], "source": None}


def test_classes_are_printed_on_demand(call: Call, toy: Path, data: Path) -> None:
    code, out, _ = call("eval", toy, "--data", data)
    assert code == 0
    assert "class_1" not in out
    assert "class_1" in call("eval", toy, "--data", data, "--per-class")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name what to evaluate on: --data DIR, or --images DIR with --annotations FILE"),
        (["--images", "."], "name what to evaluate on"),
        (["--data", "data", "--images", "."], "--data names a whole data set"),
        (["--data", "data", "--split", "best"], "--split best: expected train, val, test, all"),
        (["--data", "data", "--split", "train"], "data"),
        (["--data", "data", "--baseline", "missing.json"], "missing.json"),
        (["--data", "data", "--baseline", "other.json"], "other.json is no evaluation"),
        (["--data", "data", "--baseline", "list.json"], "list.json is no evaluation"),
        (["--data", "data", "--report", "other.json"], "--report: other.json is a file; expected a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_evaluated_is_refused(
    call: Call, toy: Path, data: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(data.parent)
    Path("other.json").write_text('{"AP": "high"}')
    Path("list.json").write_text("[1]")
    code, out, err = call("eval", toy, *options)
    assert (code, out) == (2, "")
    assert message in err


def test_a_report_is_written(call: Call, toy: Path, data: Path, tmp_path: Path) -> None:
    code, out, _ = call("eval", toy, "--data", data, "--report", tmp_path / "report")
    assert code == 0
    assert str(tmp_path / "report" / "index.html") in out
    assert "Evaluation of toy.onnx" in (tmp_path / "report" / "index.html").read_text()


def test_only_the_report_needs_matplotlib(
    call: Call, toy: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert call("eval", toy, "--data", data)[0] == 0
    code, out, err = call("eval", toy, "--data", data, "--report", tmp_path / "report")
    assert (code, out) == (3, "")
    assert "pip install 'yolox-deploy[report]'" in err


@pytest.mark.parametrize("kind", ["json", "report", "folder", "model"])
def test_the_gate_passes_what_is_as_good(
    call: Call, toy: Path, data: Path, tmp_path: Path, kind: str
) -> None:
    baseline = make_baseline(call, toy, data, tmp_path, kind)
    code, out, _ = call("eval", toy, "--data", data, "--baseline", baseline, "--max-drop", 0)
    assert code == 0
    assert f"AP 1.0000, {baseline} 1.0000: +0.0000" in out.replace("\n", "")


@pytest.mark.parametrize("kind", ["json", "report", "folder", "model"])
def test_the_gate_ends_with_6_and_names_the_classes(
    call: Call, toy: Path, blind: Path, data: Path, tmp_path: Path, kind: str
) -> None:
    baseline = make_baseline(call, toy, data, tmp_path, kind)
    code, out, err = call("eval", blind, "--data", data, "--baseline", baseline, "--json")
    assert code == 6
    assert "AP is 0.0000, 1.0000 less than the 1.0000 of" in err
    assert "0.005 is allowed; classes that lost most: class_1 1.000 to 0.000" in err
    assert json.loads(out)["baseline"]["drop"] == pytest.approx(1)
    assert call("eval", blind, "--data", data, "--baseline", baseline, "--max-drop", 1)[0] == 0


def make_baseline(call: Call, toy: Path, data: Path, tmp_path: Path, kind: str) -> Path:
    if kind == "model":
        return toy
    if kind == "json":
        (tmp_path / "base.json").write_text(call("eval", toy, "--data", data, "--json")[1])
        return tmp_path / "base.json"
    assert call("eval", toy, "--data", data, "--report", tmp_path / "base")[0] == 0
    return tmp_path / "base" / ("report.json" if kind == "report" else "")


def test_figures_of_other_data_or_thresholds_are_not_compared(
    call: Call, toy: Path, data: Path, tmp_path: Path
) -> None:
    baseline = make_baseline(call, toy, data, tmp_path, "json")
    other = write_data(tmp_path / "other", (0, 0, 50, 50))
    code, _, err = call("eval", toy, "--data", other, "--baseline", baseline)
    assert code == 2
    assert "was evaluated with other pictures, objects or classes" in err
    assert "--baseline MODEL" in err
    code, _, err = call("eval", toy, "--data", data, "--baseline", baseline, "--conf", 0.1)
    assert code == 2
    assert "another least score (0.01, now 0.1)" in err


def test_what_eval_printed_before_there_were_reports_is_a_baseline(
    call: Call, toy: Path, blind: Path, data: Path, tmp_path: Path
) -> None:
    old = {"AP": 0.5, "AP50": 0.6, "AP75": 0.5, "APs": -1, "APm": 0.5, "APl": -1, "model": "a.onnx"}
    (tmp_path / "old.json").write_text(json.dumps(old))
    code, _, err = call("eval", toy, "--data", data, "--baseline", tmp_path / "old.json")
    assert code == 0
    assert "does not say on what it was evaluated" in err
    assert call("eval", blind, "--data", data, "--baseline", tmp_path / "old.json")[0] == 6


def test_a_real_model_on_a_real_data_set(
    call: Call, nano_onnx: Path, scene_data: dict[str, Path], tmp_path: Path
) -> None:
    from yolox_deploy import Detector

    folder = scene_data["images"].parent
    code, out, _ = call("eval", nano_onnx, "--data", folder, "--report", tmp_path / "report", "--json")
    assert code == 0
    printed: dict[str, Any] = json.loads(out)
    with Detector(nano_onnx) as detector:
        expected = coco_ap(detector, scene_data["images"], scene_data["annotations"])
    assert {name: printed[name] for name in expected} == expected
    assert json.loads((tmp_path / "report" / "report.json").read_text())["AP"] == expected["AP"]
