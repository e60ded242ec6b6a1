"""The same pictures through every backend give the same boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_deploy import Detections, Detector
from yolox_deploy.errors import YoloxDeployError
from yolox_deploy.images import load_image
from yolox_deploy.matching import Boxes, iou_matrix, match
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


def _skip_unless_it_runs(entry: RuntimeEntry) -> None:
    try:
        entry.load().probe()
    except YoloxDeployError as error:
        pytest.skip(f"{entry.name} cannot run here: {error}")


def assert_same_boxes(
    entry: RuntimeEntry, files: ModelFiles, pictures: list[Path], expected: list[Detections], least: int
) -> None:
    _skip_unless_it_runs(entry)
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


PLACES = ((37, 451), (611, 20))
"""(x, y) of scenes on a canvas, none of them where a tile begins."""

CANVAS = (1000, 1300)


@pytest.fixture(scope="module")
def canvas(scene_pictures: list[Path]) -> NDArray[np.uint8]:
    """Two generated scenes in their own size on grey."""
    picture = np.full((*CANVAS, 3), 114, np.uint8)
    for (x, y), path in zip(PLACES, scene_pictures, strict=False):
        scene = load_image(path)
        picture[y : y + scene.shape[0], x : x + scene.shape[1]] = scene
    return picture


@pytest.fixture(scope="module")
def known(nano_onnx: Path, scene_pictures: list[Path]) -> Boxes:
    """What the same model is sure of in the two scenes, each by itself, as it lies on the canvas."""
    with Detector(nano_onnx, backend="onnxruntime", conf=0.6) as detector:
        found = detector.predict_batch(scene_pictures[: len(PLACES)])
    moved = [
        each.boxes + np.tile(place, 2).astype(np.float32) for each, place in zip(found, PLACES, strict=True)
    ]
    scores, class_ids = ([getattr(each, name) for each in found] for name in ("scores", "class_ids"))
    return Boxes(np.concatenate(moved), np.concatenate(scores), np.concatenate(class_ids))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_tiles_find_every_object_of_scenes_on_a_canvas_once(
    entry: RuntimeEntry, model_file: ModelFiles, canvas: NDArray[np.uint8], known: Boxes
) -> None:
    _skip_unless_it_runs(entry)
    with Detector(model_file(entry).path, backend=entry.name, tiles=(480, 640)) as detector:
        found = detector.predict(canvas)
    overlaps = iou_matrix(known.boxes, found.boxes) * (known.class_ids[:, None] == found.class_ids)
    assert len(known.boxes) > 5
    assert (overlaps > 0.5).sum(axis=1).tolist() == [1] * len(known.boxes)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_chosen_classes_are_those_that_filtering_afterwards_leaves(
    entry: RuntimeEntry, model_file: ModelFiles, scene_pictures: list[Path]
) -> None:
    _skip_unless_it_runs(entry)
    left = 0
    with Detector(model_file(entry).path, backend=entry.name, conf=0.001, max_detections=None) as detector:
        for picture in scene_pictures[:2]:
            everything = detector.predict(picture)
            for chosen in ("key", ("Ball", 0), (5, 2, 1)):
                found = detector.predict(picture, classes=chosen)
                assert found == everything.filter(classes=chosen)
                left += len(found)
    assert left > 10


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
