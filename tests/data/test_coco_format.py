"""COCO files: what is read, that evaluation sees the same file, and what is mended or said of a malformed one."""

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
from yolox_deploy.data.report import require_whole
from yolox_deploy.errors import InputError
from yolox_deploy.evaluation.coco import METRICS, annotations_of, score

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


def changed(content: Content, key: str, field: str, value: Any) -> Content:
    entry = content[key][0]
    if value is REMOVED:
        del entry[field]
    else:
        entry[field] = value
    return content


@pytest.mark.parametrize(
    ("key", "field", "value", "message"),
    [
        ("annotations", "image_id", REMOVED, "id 1: 'image_id' is missing"),
        ("annotations", "image_id", None, "id 1: image_id is None; expected a whole number or a text"),
        ("annotations", "category_id", 7.5, "id 1: category_id is 7.5"),
        ("images", "file_name", REMOVED, "id 9: 'file_name' is missing"),
        ("images", "id", REMOVED, "number 0: 'id' is missing"),
        ("images", "id", float("inf"), "id inf: id is inf"),
        ("images", "id", 5, "id 5: nine.jpg and five.jpg"),
        ("categories", "id", 3, "id 3: cat and dog"),
        ("categories", "name", REMOVED, "id 7: 'name' is missing"),
    ],
)
def test_malformed_entries_are_left_out_and_named(
    read: Read, coco_content: Content, key: str, field: str, value: Any, message: str
) -> None:
    problem = next(item for item in read(changed(coco_content, key, field, value)).problems)
    assert (problem.severity, problem.count) == ("error", 1)
    assert message in problem.examples[0]
    assert "yolox-deploy convert" in problem.meaning


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (REMOVED, "id 1: 'bbox' is missing"),
        ([1, 2, 3], "id 1: bbox [1, 2, 3] is not x, y, w, h"),
        (None, "id 1: bbox None is not x, y, w, h"),
        ([], "id 1: bbox [] is not x, y, w, h"),
        (["a", 2, 3, 4], "is not x, y, w, h"),
        ([float("nan"), 2, 3, 4], "is not x, y, w, h"),
        ([1, 2, float("inf"), 4], "is not x, y, w, h"),
        ([1, 1e308, 3, 1e308], "is not x, y, w, h"),
        ([10**400, 2, 3, 4], "id 1: "),
    ],
)
def test_boxes_that_are_none_come_from_the_mask_or_are_named(
    read: Read, coco_content: Content, value: Any, message: str
) -> None:
    content = changed(coco_content, "annotations", "bbox", value)
    coco_content["annotations"][0]["segmentation"] = [[10, 11, 30, 10.5, 30, 40], [50, 20, 52, 20, 52, 22]]
    data = read(copy.deepcopy(content))
    np.testing.assert_array_equal(data.objects(1).boxes, [[10, 10.5, 52, 40]])
    assert [(item.kind, item.severity) for item in data.problems] == [("box_from_mask", "warning")]
    del content["annotations"][0]["segmentation"]
    data = read(content)
    assert len(data.objects(1).boxes) == 0
    (problem,) = data.problems
    assert (problem.kind, problem.severity) == ("malformed_object", "error")
    assert message in problem.examples[0]


@pytest.mark.parametrize("area", [float("nan"), "large", [1]])
def test_areas_that_are_none_come_from_the_box(read: Read, coco_content: Content, area: Any) -> None:
    data = read(changed(coco_content, "annotations", "area", area))
    assert data.areas.tolist() == [400, 600, 4000]
    assert [(item.kind, item.severity) for item in data.problems] == [("unusable_area", "warning")]


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("annotations", "id", REMOVED),
        ("annotations", "segmentation", None),
        ("images", "file_name", "long" * 2000),
        ("images", "height", "tall"),
        ("annotations", "image_id", "5"),
        ("annotations", "category_id", 7.0),
        ("images", "id", " 9 "),
    ],
)
def test_what_can_be_understood_is(
    read: Read, coco_content: Content, key: str, field: str, value: Any
) -> None:
    data = read(changed(coco_content, key, field, value))
    assert (data.image_ids.tolist(), len(data.boxes), data.problems) == ([9, 5], 3, ())


def test_a_name_that_no_file_can_have(read: Read, coco_content: Content) -> None:
    with pytest.raises(InputError, match=r"picture '\\ud800\.jpg': a name or number cannot be kept"):
        read(changed(coco_content, "images", "file_name", "\ud800.jpg"))


def test_corners_in_the_wrong_order_are_swapped(read: Read, coco_content: Content) -> None:
    data = read(changed(coco_content, "annotations", "bbox", [30, 40, -20, -30]))
    np.testing.assert_array_equal(data.objects(1).boxes, [[10, 10, 30, 40]])
    assert [(item.kind, item.examples) for item in data.problems] == [("swapped_corners", ("id 1",))]


def test_ids_may_be_texts(read: Read, coco_content: Content) -> None:
    for item in coco_content["images"]:
        item["id"] = f"img_{item['id']}"
    for item in coco_content["categories"]:
        item["id"] = f"c{item['id']}"
    for item in coco_content["annotations"]:
        item |= {
            "image_id": f"img_{item['image_id']}",
            "category_id": f"c{item['category_id']}",
            "id": f"a{item['id']}",
        }
    data = read(coco_content)
    assert data.class_names == ("dog", "cat")
    assert (data.category_ids, data.image_ids.tolist()) == ((1, 2), [2, 1])
    np.testing.assert_array_equal(data.objects(1).boxes, [[10.25, 10, 30.25, 40]])
    (problem,) = data.problems
    assert (problem.kind, problem.severity, problem.examples) == ("text_id", "note", ("img_9: 2", "img_5: 1"))


def test_unknown_categories_are_counted_and_left_out(read: Read, coco_content: Content) -> None:
    for item in coco_content["annotations"][:1]:
        item["category_id"] = 4
    data = read(copy.deepcopy(coco_content))
    assert len(data.boxes) == 2
    assert [(item.kind, item.severity, item.examples) for item in data.problems] == [
        ("unknown_category", "warning", ("id 1: category 4",))
    ]
    for item in coco_content["annotations"][:2]:
        item["category_id"] = 4
    kinds = [(item.kind, item.severity, item.count) for item in read(coco_content).problems]
    assert kinds == [("unknown_category", "warning", 2), ("mostly_left_out", "error", 2)]


@pytest.mark.parametrize("compressed", [False, True])
def test_boxes_come_from_run_lengths(read: Read, coco_content: Content, compressed: bool) -> None:
    masks = pytest.importorskip("pycocotools.mask")
    picture = np.zeros((60, 80), np.uint8)
    picture[12:40, 10:31] = 1
    picture[50:52, 70] = 1
    rle = masks.encode(np.asfortranarray(picture))
    counts: Any = rle["counts"].decode()
    if not compressed:
        flat = picture.ravel(order="F")
        counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), len(flat)]).tolist()
    item = coco_content["annotations"][0]
    del item["bbox"]
    item["segmentation"] = {"size": [60, 80], "counts": counts}
    data = read(coco_content)
    assert [data.boxes[1].tolist()] == [list(map(float, masks.toBbox(rle)))]


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (("images\\nine.jpg", "images\\five.jpg"), "images"),
        (("/home/ann/pictures/nine.jpg", "/home/ann/pictures/five.jpg"), "."),
        (("C:\\data\\nine.jpg", "C:\\data\\five.jpg"), "."),
        (("../upload/1/nine.jpg", "../upload/1/five.jpg"), "."),
    ],
)
def test_names_of_another_machine_are_found_by_their_last_part(
    tmp_path: Path,
    read: Read,
    coco_content: Content,
    write_picture: Write,
    names: tuple[str, str],
    place: str,
) -> None:
    for item, name in zip(coco_content["images"], names, strict=True):
        item["file_name"] = name
        write_picture(tmp_path / place / name.replace("\\", "/").rpartition("/")[2])
    data = read(coco_content)
    assert all(data.path(index).is_file() for index in range(2))
    (problem,) = data.problems
    assert (problem.kind, problem.severity, problem.count) == ("renamed_picture", "note", 2)


def test_names_are_not_cut_where_two_pictures_share_the_rest(
    tmp_path: Path, read: Read, coco_content: Content, write_picture: Write
) -> None:
    for item, folder in zip(coco_content["images"], "ab", strict=True):
        item["file_name"] = f"{folder}/1.jpg"
    write_picture(tmp_path / "1.jpg")
    data = read(coco_content)
    assert [data.name(0), data.name(1)] == ["a/1.jpg", "b/1.jpg"]


def test_who_measures_is_told_or_stopped(read: Read, coco_content: Content) -> None:
    data = read(changed(copy.deepcopy(coco_content), "annotations", "bbox", [30, 40, -20, -30]))
    with pytest.warns(UserWarning, match=r"instances\.json: 1 boxes have negative sides"):
        require_whole(data.source, data.problems)
    data = read(changed(coco_content, "annotations", "image_id", None))
    with pytest.raises(InputError, match=r"instances\.json has faults:\n  error: 1 objects are malformed"):
        annotations_of(data, ("dog", "cat"))


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
def test_entries_that_are_no_objects_are_left_out_and_named(
    read: Read, coco_content: Content, key: str, entry: Any
) -> None:
    coco_content[key].insert(1, entry)
    data = read(coco_content)
    assert (len(data), len(data.class_names), len(data.boxes)) == (2, 2, 3)
    (problem,) = data.problems
    assert (problem.severity, problem.count) == ("error", 1)
    assert problem.examples[0].startswith(("number 1: ", "id "))
