"""COCO files: what is read, that evaluation sees the same file, and what is said of a malformed one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolox_deploy.data import DetectionDataset
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.errors import InputError
from yolox_deploy.evaluation.coco import METRICS, score

Write = Callable[..., Path]
Content = dict[str, Any]
Read = Callable[[Content], DetectionDataset]


@pytest.fixture
def read(tmp_path: Path, write_text: Write) -> Read:
    return lambda content: read_coco(write_text(tmp_path / "instances.json", content), tmp_path)


def test_pictures_classes_and_objects(tmp_path: Path, read: Read, coco_content: Content) -> None:
    data = read(coco_content)
    assert data.class_names == ("dog", "cat")  # by ascending category id
    assert data.category_ids == (3, 7)
    assert data.image_ids.tolist() == [9, 5]
    assert data.path(1) == tmp_path / "five.jpg"
    assert data.size(1) == (60, 80)
    np.testing.assert_array_equal(data.objects(0).boxes, [[70, 50, 80, 60]])
    five = data.objects(1)  # without the crowd
    np.testing.assert_array_equal(five.boxes, [[10.25, 10, 30.25, 40]])
    np.testing.assert_array_equal(five.classes, [1])
    # The ring of two points is no polygon.
    assert [ring.tolist() for ring in five.polygons[0]] == [[[10, 10], [30, 10], [30, 40]]]


def test_run_length_masks_are_left_out(read: Read, coco_content: Content) -> None:
    coco_content["annotations"][0]["segmentation"] = {"counts": "abc", "size": [60, 80]}
    data = read(coco_content)
    assert len(data.points) == 0
    assert data.objects(1).polygons == ((),)


def test_to_coco_is_what_was_read(read: Read, coco_content: Content) -> None:
    found = read(coco_content).to_coco()
    assert found["images"] == coco_content["images"]
    assert found["categories"] == sorted(coco_content["categories"], key=lambda item: item["id"])
    keys = ("image_id", "category_id", "bbox", "area", "iscrowd")
    rows = [tuple(map(str, (row[key] for key in keys))) for row in found["annotations"]]
    assert rows == [
        ("9", "3", "[70.0, 50.0, 20.0, 20.0]", "400.0", "0"),
        ("5", "7", "[10.25, 10.0, 20.0, 30.0]", "300.0", "0"),
        ("5", "3", "[0.0, 0.0, 80.0, 60.0]", "4000.0", "1"),
    ]
    assert [row["id"] for row in found["annotations"]] == [1, 2, 3]


def test_a_box_with_an_area_of_0_is_trained_on(read: Read, coco_content: Content) -> None:
    """The authors' code drops it, whatever the box is."""
    before = read(copy.deepcopy(coco_content)).objects(0).boxes
    for item in coco_content["annotations"]:
        item["area"] = 0
    np.testing.assert_array_equal(read(coco_content).objects(0).boxes, before)


def test_sizes_come_from_the_pictures_where_the_file_has_none(
    tmp_path: Path, read: Read, coco_content: Content, write_picture: Write
) -> None:
    write_picture(tmp_path / "nine.jpg", (33, 44))
    for item in coco_content["images"]:
        del item["height"]
    data = read(coco_content)
    assert data.size(0) == (33, 44)
    assert data.size(1) == (0, 0)  # there is no such picture; the checks say so
    assert len(data.objects(1).boxes) == 0


def test_of_several_folders_the_one_with_the_pictures_is_taken(
    tmp_path: Path, coco_content: Content, write_picture: Write, write_text: Write
) -> None:
    file = write_text(tmp_path / "instances.json", coco_content)
    folders = [tmp_path / "train", tmp_path / "images/train"]
    assert read_coco(file, folders).folder == folders[0]
    write_picture(folders[1] / "nine.jpg")
    assert read_coco(file, folders).folder == folders[1]


def test_real_annotations_evaluate_the_same(shared: Path) -> None:
    file = shared / "real/coco_mini/instances.json"
    data, original = read_coco(file, file.parent / "images"), json.loads(file.read_text())
    found = data.to_coco()
    assert len(found["annotations"]) == len(original["annotations"])
    exact = [
        {key: row[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for row in found["annotations"]
        if not row["iscrowd"]
    ]
    assert score(found, exact) == dict.fromkeys(METRICS, 1.0)
    shift = np.random.default_rng(0)
    inexact = [
        row | {"bbox": (np.array(row["bbox"]) * shift.uniform(0.8, 1.2, 4)).tolist(), "score": shift.random()}
        for row in exact
    ]
    assert score(found, inexact) == score(original, inexact)
    assert 0.1 < score(found, inexact)["AP"] < 0.9


def test_real_pictures_hold_their_objects(shared: Path) -> None:
    folder = shared / "real/coco_mini"
    data = read_coco(folder / "instances.json", folder / "images")
    assert sum(len(data.objects(index).boxes) for index in range(len(data))) == (~data.crowds).sum()
    for index in range(5):
        height, width = data.load(index).shape[:2]
        assert data.size(index) == (height, width)
        assert (data.objects(index).boxes <= (width, height, width, height)).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"instances\.json is not JSON"),
        ("[]", "holds a JSON list; expected an object"),
        ({"images": [], "annotations": []}, "it has no list 'categories'"),
        ({"images": {}, "annotations": [], "categories": []}, "it has no list 'images'"),
        ({"images": [], "annotations": [], "categories": []}, "has no categories"),
        ({"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}, "lists no pictures"),
    ],
)
def test_files_that_are_not_coco(tmp_path: Path, write_text: Write, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_coco(write_text(tmp_path / "instances.json", content), tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotation file at"):
        read_coco(tmp_path / "instances.json", tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"images": "\xe4\xff"}')
    with pytest.raises(InputError, match=r"latin\.json is not JSON"):
        read_coco(tmp_path / "latin.json", tmp_path)


REMOVED = object()


@pytest.mark.parametrize(
    ("key", "field", "value", "message"),
    [
        ("annotations", "bbox", REMOVED, "annotations, id 1: 'bbox' is missing"),
        ("annotations", "bbox", [1, 2, 3], r"annotations, id 1: bbox \[1, 2, 3\] is not x, y, w, h"),
        ("annotations", "bbox", None, "id 1: bbox None is not x, y, w, h"),
        ("annotations", "bbox", ["a", 2, 3, 4], "is not x, y, w, h"),
        ("annotations", "bbox", [float("nan"), 2, 3, 4], "id 1: bbox .* is not finite"),
        ("annotations", "bbox", [1, 2, float("inf"), 4], "is not finite"),
        ("annotations", "bbox", [1, 1e308, 3, 1e308], "is not finite"),
        ("annotations", "bbox", [10**400, 2, 3, 4], "id 1: "),
        ("annotations", "area", float("nan"), "is not finite"),
        ("annotations", "area", "large", "id 1: .*large"),
        ("annotations", "image_id", REMOVED, "id 1: 'image_id' is missing"),
        ("annotations", "image_id", None, "id 1: "),
        ("annotations", "category_id", 4, "id 1: there is no category 4"),
        ("annotations", "id", REMOVED, None),
        ("annotations", "segmentation", None, None),
        ("images", "file_name", REMOVED, "images, id 9: 'file_name' is missing"),
        ("images", "id", REMOVED, "images, number 0: 'id' is missing"),
        ("images", "id", "a", "images, id a: id is 'a'; expected a whole number"),
        ("images", "id", float("inf"), "images, id inf: "),
        ("images", "file_name", "\ud800.jpg", r"picture '\\ud800\.jpg': a name or number cannot be kept"),
        ("images", "file_name", "long" * 2000, None),
        ("images", "id", 5, "image id 5 occurs twice"),
        ("images", "height", "tall", "images, id 9: .*tall"),
        ("categories", "id", 3, "category id 3 occurs twice"),
        ("categories", "name", REMOVED, "categories, id 7: 'name' is missing"),
    ],
)
def test_malformed_entries_are_named(
    read: Read, coco_content: Content, key: str, field: str, value: Any, message: str | None
) -> None:
    entry = coco_content[key][0]
    if value is REMOVED:
        del entry[field]
    else:
        entry[field] = value
    if message is None:
        assert len(read(coco_content)) == 2
        return
    with pytest.raises(InputError, match=message) as caught:
        read(coco_content)
    assert "instances.json" in str(caught.value)


def test_objects_of_pictures_that_are_not_listed_are_left_out(read: Read, coco_content: Content) -> None:
    coco_content["images"].pop(0)
    coco_content["annotations"] += [{**coco_content["annotations"][2], "id": key} for key in range(10, 19)]
    data = read(coco_content)
    assert [len(data.objects(index).boxes) for index in range(len(data))] == [1]
    (problem,) = data.problems
    assert (problem.kind, problem.severity, problem.count) == ("stray_object", "warning", 10)
    assert problem.examples[:2] == ("id 3: image 9", "id 10: image 9")
    assert len(problem.examples) == 5


@pytest.mark.parametrize(
    "mask",
    [
        [1, 2, 3, 4, 5, 6],
        [{"size": [60, 80], "counts": "abc"}],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [[1, 2, 3, 4, 5, 10**400]],
        [["a", 2, 3, 4, 5, 6]],
        [None],
        ["abc"],
    ],
)
def test_a_mask_that_cannot_be_understood_is_none(read: Read, coco_content: Content, mask: Any) -> None:
    coco_content["annotations"][0]["segmentation"] = mask
    data = read(coco_content)
    assert len(data.objects(1).boxes) == 1
    assert data.objects(1).polygons == ((),)
    (problem,) = data.problems
    assert (problem.kind, problem.count, problem.examples) == ("unusable_mask", 1, ("id 1",))


def test_ids_beyond_64_bits(read: Read, coco_content: Content) -> None:
    coco_content["images"].append({"id": 2**63, "file_name": "a.jpg", "height": 6, "width": 8})
    with pytest.raises(InputError, match=r"picture 'a\.jpg': a name or number cannot be kept"):
        read(coco_content)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("entry", [None, 7, "text", [1]])
def test_entries_that_are_no_objects_are_named(
    read: Read, coco_content: Content, key: str, entry: Any
) -> None:
    coco_content[key].insert(1, entry)
    with pytest.raises(InputError, match=f"{key}, number 1: "):
        read(coco_content)
