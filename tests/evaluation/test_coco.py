"""Average precision: on data whose answer is known, on real data, and against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import Told
from yolox_deploy import Detections, Detector
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.evaluation import coco_ap
from yolox_deploy.evaluation.coco import METRICS, Annotations, annotations_of, score

NAMES = ("cat", "dog")
BOXES = {  # picture -> (category of the data set, x, y, w, h), one object of each of COCO's three sizes
    "one.png": [(7, 10, 10, 20, 20), (3, 50, 10, 60, 60)],
    "two.png": [(7, 5, 40, 150, 100)],
}


def coco(**changes: Any) -> dict[str, Any]:
    """An annotation file; category 7 is called cat and stands second."""
    annotations = [
        {"category_id": category, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0, "image_id": image}
        for image, objects in enumerate(BOXES.values(), start=1)
        for category, x, y, w, h in objects
    ]
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 200, "height": 160} for i, name in enumerate(BOXES, start=1)
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}],
        "annotations": [{"id": i, **row} for i, row in enumerate(annotations, start=1)],
    }
    return {**content, **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in BOXES:
        cv2.imwrite(str(tmp_path / name), np.zeros((160, 200, 3), np.uint8))
    (tmp_path / "instances.json").write_text(json.dumps(coco()))
    return tmp_path


class Oracle:
    """Knows the objects; `moved` shifts each of its boxes, `lost` leaves a picture out."""

    def __init__(self, moved: float = 0.0, lost: str = "", class_names: tuple[str, ...] = NAMES) -> None:
        self.moved, self.lost, self.class_names = moved, lost, class_names
        self.thresholds: list[dict[str, Any]] = []

    def predict(self, image: Path, **thresholds: Any) -> Detections:
        self.thresholds.append(thresholds)
        names = {7: "cat", 3: "dog"}
        known = [row for row in BOXES[image.name] if names[row[0]] in self.class_names]
        objects = known if image.name != self.lost else []
        boxes = np.array([[x, y, x + w, y + h] for _, x, y, w, h in objects], np.float32).reshape(-1, 4)
        boxes[:, ::2] += self.moved
        class_ids = np.array([self.class_names.index(names[row[0]]) for row in objects], np.int64)
        return Detections(boxes, np.full(len(objects), 0.9, np.float32), class_ids, self.class_names)


def ap(detector: Any, folder: Path, **options: Any) -> dict[str, float]:
    return coco_ap(detector, folder, folder / "instances.json", **options)


def matched(folder: Path, class_names: tuple[str, ...]) -> Annotations:
    return annotations_of(read_coco(folder / "instances.json", folder), class_names)


def test_finding_everything_is_an_ap_of_1(folder: Path) -> None:
    figures = ap(Oracle(), folder)
    assert tuple(figures) == METRICS
    assert figures == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_boxes_that_are_a_little_off_count_at_low_overlap_only(folder: Path) -> None:
    figures = ap(Oracle(moved=4), folder)  # IoU 0.67, 0.88, 0.95
    assert figures["AP50"] == pytest.approx(1)
    assert figures["AP75"] < 1
    assert 0.3 < figures["AP"] < 0.9


def test_finding_nothing_is_an_ap_of_0(folder: Path) -> None:
    assert ap(Oracle(moved=190), folder)["AP"] == pytest.approx(0)
    assert score(coco(), []) == dict.fromkeys(METRICS, 0.0)


def test_a_size_without_objects_is_minus_1(folder: Path) -> None:
    small_only = coco(annotations=coco()["annotations"][:1])
    (folder / "instances.json").write_text(json.dumps(small_only))
    figures = ap(Oracle(), folder)
    assert figures["APl"] == -1
    assert figures["APs"] == pytest.approx(1)
    assert score(small_only, []) == dict.fromkeys(METRICS, 0.0) | {"APm": -1, "APl": -1}


def test_the_thresholds_of_yolox_reach_the_detector(folder: Path) -> None:
    oracle = Oracle()
    ap(oracle, folder)
    assert oracle.thresholds == [{"conf": 0.01, "iou": 0.65, "max_detections": None}] * 2
    ap(oracle, folder, conf=0.001, iou=0.5)
    assert oracle.thresholds[-1] == {"conf": 0.001, "iou": 0.5, "max_detections": None}


def test_progress_is_reported_over_all_pictures(folder: Path) -> None:
    told = Told()
    ap(Oracle(), folder, report=told)
    assert told.counts == [("evaluating", done, len(BOXES)) for done in range(1, len(BOXES) + 1)]


def test_categories_are_matched_by_name_else_by_order(folder: Path) -> None:
    assert matched(folder, NAMES).category_ids == (7, 3)
    assert matched(folder, ("CAT", "Dog")).category_ids == (7, 3)
    with pytest.warns(UserWarning, match=r"no class 'dog'.*'wolf' to 'dog'.*--names FILE"):
        assert matched(folder, ("wolf", "cat")).category_ids == (3, 7)
    with pytest.warns(UserWarning, match=r"does not name its classes.*'class_0' to 'dog'.*--names FILE"):
        assert matched(folder, ("class_0", "class_1")).category_ids == (3, 7)


def test_one_class_without_a_name_is_the_one_category(folder: Path) -> None:
    file = folder / "instances.json"
    rows = [{**row, "category_id": 7} for row in coco()["annotations"]]
    file.write_text(json.dumps(coco(categories=[{"id": 7, "name": "cat"}], annotations=rows)))
    assert matched(folder, ("class_0",)).category_ids == (7,)


def test_the_order_does_not_decide_against_a_common_name(folder: Path) -> None:
    """Of as many classes one is called otherwise, and the other stands at another place."""
    with pytest.warns(UserWarning, match="classes|categories") as told:
        data = matched(folder, ("cat", "wolf"))
    assert data.category_ids == (7, None)
    assert "1 of the data set's 2 categories; objects of 'dog' are left out" in str(told[0].message)


def test_a_name_that_occurs_twice_stands_for_two_categories(folder: Path) -> None:
    file = folder / "instances.json"
    for names in (("cat", "cat"), ("Cat", "cat")):
        categories = [{"id": key, "name": name} for key, name in zip((7, 3), names, strict=True)]
        file.write_text(json.dumps(coco(categories=categories)))
        assert matched(folder, names[::-1]).category_ids == (3, 7)
    assert matched(folder, ("Cat", "cat")).category_ids == (7, 3)  # only case tells them apart


def test_some_of_the_models_classes_are_evaluated_alone(folder: Path) -> None:
    """A model of more classes than the data set has: what it finds of the others is no mistake."""
    oracle = Oracle(class_names=("bird", "dog", "cat"))
    with pytest.warns(
        UserWarning, match=r"instances\.json has 2 of the model's 3 classes: these alone are eval"
    ):
        assert ap(oracle, folder) == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_categories_that_the_model_does_not_have_are_left_out(folder: Path) -> None:
    """They would count as never found."""
    oracle = Oracle(class_names=("horse", "cat", "bird"))
    with pytest.warns(UserWarning, match="classes|categories") as told:
        figures = ap(oracle, folder)
    first, second = (str(one.message) for one in told)
    assert "has 1 of the data set's 2 categories; objects of 'dog' are left out" in first
    assert "has 1 of the model's 3 classes" in second
    assert figures == pytest.approx(dict.fromkeys(METRICS, 1.0) | {"APm": -1})


def test_classes_that_have_nothing_in_common_are_refused(folder: Path) -> None:
    expected = (
        r"the model has 3 classes, the data set 2 categories, and no name is in both: there is no 'dog' .*"
        r"--names FILE.* add categories that the data set lacks"
    )
    with pytest.raises(UsageError, match=expected):
        matched(folder, ("a", "b", "c"))


def test_ids_and_areas_of_annotations_may_be_missing_or_wrong(folder: Path) -> None:
    """The library takes id 0 for no object, loses one of two with an id, and any without an area for small."""
    file = folder / "instances.json"
    whole = coco()["annotations"]
    for change in ({"id": 0}, {"id": 5}, {"area": None}):
        file.write_text(json.dumps(coco(annotations=[{**row, **change} for row in whole])))
        assert ap(Oracle(), folder) == pytest.approx(dict.fromkeys(METRICS, 1.0))
    for key in ("id", "area", "iscrowd"):
        rows = [{name: value for name, value in row.items() if name != key} for row in whole]
        file.write_text(json.dumps(coco(annotations=rows)))
        assert ap(Oracle(), folder) == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_the_area_in_the_file_decides_the_size(folder: Path) -> None:
    rows = [{**row, "area": 40 * 40} for row in coco()["annotations"]]
    (folder / "instances.json").write_text(json.dumps(coco(annotations=rows)))
    figures = ap(Oracle(), folder)
    assert (figures["APs"], figures["APm"], figures["APl"]) == pytest.approx((-1, 1, -1))


def test_crowds_are_neither_counted_nor_punished(folder: Path) -> None:
    runs = {"counts": [0, 32000], "size": [160, 200]}
    around = {"id": 9, "image_id": 1, "category_id": 7, "bbox": [0, 0, 200, 160], "area": 32000, "iscrowd": 1}
    crowd = {**around, "segmentation": runs}
    kept = coco()["annotations"][1:]  # the cat of the first picture is one of many
    (folder / "instances.json").write_text(json.dumps(coco(annotations=[*kept, crowd])))
    assert ap(Oracle(), folder)["AP"] == pytest.approx(1)
    (folder / "instances.json").write_text(json.dumps(coco(annotations=kept)))
    assert ap(Oracle(), folder)["AP"] < 0.8


def test_a_file_with_a_byte_order_mark_is_read(folder: Path) -> None:
    (folder / "instances.json").write_text(json.dumps(coco()), encoding="utf-8-sig")
    assert ap(Oracle(), folder)["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{}", "is not a COCO annotation file"),
        ("[]", "holds a JSON list"),
        ("null", "holds a JSON NoneType"),
        ('{"images": [], "categories": 5}', "is not a COCO annotation file"),
        (json.dumps(coco(categories=[{"id": 1}])), "'name' is missing"),
        (json.dumps(coco(annotations={"a": 1})), "it has no list 'annotations'"),
        (json.dumps(coco(annotations=[{"image_id": 1, "category_id": 3}])), "'bbox' is missing"),
    ],
)
def test_a_file_that_is_no_annotation_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "instances.json").write_text(text)
    with pytest.raises(InputError, match=rf"(?s)instances\.json.* .*{message}"):
        ap(Oracle(), folder)


def test_files_that_are_missing_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match="no annotation file at"):
        coco_ap(Oracle(), folder, folder / "none.json")
    (folder / "two.png").unlink()
    with pytest.raises(InputError, match=r"1 of its 2 pictures are missing from .*the first is two\.png"):
        ap(Oracle(), folder)


def test_annotations_without_pictures_are_refused(folder: Path) -> None:
    (folder / "instances.json").write_text(json.dumps(coco(images=[], annotations=[])))
    with pytest.raises(InputError, match="lists no pictures"):
        ap(Oracle(), folder)


@pytest.fixture(scope="module")
def official_rows(shared: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The annotations of 79 photographs of COCO, and the result rows of the official ONNX file."""
    root = shared / "real"
    with Detector(root / "yolox_nano_official.onnx") as detector:
        dataset = read_coco(root / "coco_mini" / "instances.json", root / "coco_mini" / "images")
        data = annotations_of(dataset, detector.class_names)
        rows = [
            row
            for image_id, path in data.images
            for row in detector.predict(path, conf=0.01, iou=0.65, max_detections=None).to_coco(
                image_id, data.category_ids
            )
        ]
    return data.content, rows


def test_the_official_file_and_our_export_agree(
    official_rows: tuple[dict[str, Any], list[dict[str, Any]]], shared: Path, coco_nano_onnx: Path
) -> None:
    official = score(*official_rows)
    assert official["AP"] == pytest.approx(0.312, abs=0.001)
    root = shared / "real" / "coco_mini"
    with Detector(coco_nano_onnx) as detector:
        ours = coco_ap(detector, root / "images", root / "instances.json")
    assert ours["AP"] == pytest.approx(official["AP"], abs=0.0005)
    assert ours["AP50"] == pytest.approx(official["AP50"], abs=0.002)


def test_pycocotools_gives_the_same_figures(
    official_rows: tuple[dict[str, Any], list[dict[str, Any]]], shared: Path
) -> None:
    tools = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = tools.COCO(str(shared / "real" / "coco_mini" / "instances.json"))
        run = evaluation.COCOeval(truth, truth.loadRes(list(official_rows[1])), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    expected = dict(zip(METRICS, run.stats, strict=False))
    assert score(*official_rows) == pytest.approx(expected, abs=1e-6)
