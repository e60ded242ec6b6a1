"""The same pictures through every backend give the same boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yolox_deploy import Detections, Detector
from yolox_deploy.errors import YoloxDeployError
from yolox_deploy.matching import Boxes, match
from yolox_deploy.runtimes.registry import RuntimeEntry, entries

if TYPE_CHECKING:
    from tests.contract.conftest import ModelFiles

CONF = 0.25
BORDER = 0.005  # an object this near to the threshold may be found by one backend and not by another


@pytest.fixture(scope="module")
def pictures(shared: Path, photographs: list[Path]) -> list[Path]:
    """The package's photographs and ten of COCO's, none of the size of the network."""
    return photographs + sorted((shared / "real" / "coco_mini" / "images").glob("*.jpg"))[:10]


@pytest.fixture(scope="module")
def expected(shared: Path, pictures: list[Path]) -> list[Detections]:
    """What the official ONNX file finds."""
    with Detector(shared / "real" / "yolox_nano_official.onnx", backend="onnxruntime", conf=CONF) as detector:
        return detector.predict_batch(pictures)


def boxes(found: Detections) -> Boxes:
    return Boxes(found.boxes, found.scores, found.class_ids)


def assert_same_boxes(
    entry: RuntimeEntry, files: ModelFiles, pictures: list[Path], expected: list[Detections], least: int
) -> None:
    try:
        entry.load().probe()
    except YoloxDeployError as error:
        pytest.skip(f"{entry.name} cannot run here: {error}")
    with Detector(files(entry).path, backend=entry.name, conf=CONF) as detector:
        assert detector.info.precision == "fp32"
        results = detector.predict_batch(pictures)
    assert sum(len(found) for found in results) > least
    for picture, found, wanted in zip(pictures, results, expected, strict=True):
        ours, theirs, overlaps = match(boxes(found), boxes(wanted), 0.98)
        assert (found.class_ids[ours] == wanted.class_ids[theirs]).all(), picture.name
        assert found.scores[ours] == pytest.approx(wanted.scores[theirs], abs=1e-3), picture.name
        assert overlaps.mean() > 0.999 if len(overlaps) else True, picture.name
        for side, matched in ((found, ours), (wanted, theirs)):
            lonely = sorted(set(range(len(side))) - set(matched.tolist()))
            assert all(side.scores[index] < CONF + BORDER for index in lonely), picture.name


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_the_boxes_are_those_of_the_official_file(
    entry: RuntimeEntry, coco_model_file: ModelFiles, pictures: list[Path], expected: list[Detections]
) -> None:
    assert_same_boxes(entry, coco_model_file, pictures, expected, least=30)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_the_boxes_in_scenes_are_those_of_the_onnx_file(
    entry: RuntimeEntry, model_file: ModelFiles, nano_onnx: Path, scene_pictures: list[Path]
) -> None:
    with Detector(nano_onnx, backend="onnxruntime", conf=CONF) as detector:
        expected = detector.predict_batch(scene_pictures)
    assert_same_boxes(entry, model_file, scene_pictures, expected, least=20)


def test_the_official_onnx_file_on_each_backend_that_opens_onnx(
    shared: Path, pictures: list[Path], expected: list[Detections]
) -> None:
    path = shared / "real" / "yolox_nano_official.onnx"
    others = [e for e in entries() if ".onnx" in e.suffixes and e.installed and e.name != "onnxruntime"]
    if not others:
        pytest.skip("no other installed backend opens .onnx")
    for entry in others:
        with Detector(path, backend=entry.name, conf=CONF) as detector:
            assert detector.info.artifact.origin == "inferred"
            for picture, wanted in zip(pictures, expected, strict=True):
                found = detector.predict(picture)
                assert found.class_ids.tolist() == wanted.class_ids.tolist(), f"{entry.name}, {picture.name}"
                assert found.boxes == pytest.approx(wanted.boxes, abs=0.5)
