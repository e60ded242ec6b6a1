"""Detections as a value: what it refuses, what is selected from it, and where it goes from there."""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy import Detections, Detector
from yolox_deploy.data import open_dataset
from yolox_deploy.detections import Detection
from yolox_deploy.errors import ArtifactError, InputError, MissingExtraError, UsageError

NAMES = ("cat", "dog", "bird")
SIZE = (100, 200)


def detections(**changes: Any) -> Detections:
    """A bird, a cat, a dog and a cat, best first; tracked, in a picture of 100 x 200."""
    fields: dict[str, Any] = {
        "boxes": np.array(
            [[10, 20, 50, 80], [1.5, 2, 3, 4.25], [0, 0, 200, 100], [30, 30, 60, 40]], np.float32
        ),
        "scores": np.array([0.75, 0.5, 0.25, 0.125], np.float32),
        "class_ids": np.array([2, 0, 1, 0]),
        "class_names": NAMES,
        "track_ids": np.array([7, -1, 0, 3]),
        "image_size": SIZE,
    }
    return Detections(**{**fields, **changes})


def chosen(found: Detections) -> list[float]:
    """Which of `detections()` these are, told by the scores; all else must belong to them."""
    places = [[0.75, 0.5, 0.25, 0.125].index(score) for score in found.scores.tolist()]
    every = detections()
    np.testing.assert_array_equal(found.boxes, every.boxes[places])
    np.testing.assert_array_equal(found.class_ids, every.class_ids[places])
    assert found.track_ids is not None
    assert every.track_ids is not None
    np.testing.assert_array_equal(found.track_ids, every.track_ids[places])
    assert (found.class_names, found.image_size) == (NAMES, SIZE)
    return places


# What is refused.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((4, 5), np.float32)}, r"boxes is float32 \(4, 5\), expected float32 \(4, 4\)"),
        ({"boxes": np.zeros((3, 4), np.float32)}, r"boxes is float32 \(3, 4\), expected float32 \(4, 4\)"),
        ({"boxes": np.zeros((4, 4))}, "boxes is float64"),
        ({"boxes": [[0, 0, 1, 1]] * 4}, "boxes is a list, expected a NumPy array"),
        ({"boxes": np.full((4, 4), np.inf, np.float32)}, "not finite"),
        ({"boxes": np.full((4, 4), np.nan, np.float32)}, "not finite"),
        ({"scores": np.array([0.5], np.float32)}, "expected float32"),
        ({"scores": np.array([[0.75, 0.5, 0.25, 0.125]], np.float32)}, r"scores is float32 \(1, 4\)"),
        ({"scores": np.array([0.75, 0.5, 0.25, 0.3], np.float32)}, "not in descending order"),
        ({"scores": np.array([np.nan, 0.5, 0.25, 0.1], np.float32)}, "not finite"),
        ({"scores": np.array([1.01, 0.5, 0.25, 0.1], np.float32)}, "scores are 0.1 to 1.01; expected 0 to 1"),
        ({"scores": np.array([1, 0.5, 0.25, -0.1], np.float32)}, "scores are -0.1 to 1; expected 0 to 1"),
        ({"class_ids": np.array([0, 1, 0, 1], np.int32)}, "class_ids is int32"),
        ({"class_ids": np.array([0, 1, 0])}, r"class_ids is int64 \(3,\), expected int64 \(4,\)"),
        ({"class_ids": np.array([0, 3, 1, 1])}, "class ids are 0 to 3, with 3 class names"),
        ({"class_ids": np.array([-1, 0, 1, 1])}, "class ids are -1 to 1"),
        ({"class_names": ()}, "0 class names"),
        ({"track_ids": np.zeros(4)}, r"track_ids is float64 \(4,\), expected int64 \(4,\)"),
        ({"track_ids": np.zeros(3, np.int64)}, r"track_ids is int64 \(3,\)"),
        ({"track_ids": [1, 2, 3, 4]}, "track_ids is a list"),
        ({"track_ids": np.array([0, 1, 2, -2])}, "a track id is -2; expected -1 or more"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        detections(**changes)


@pytest.mark.parametrize("size", [(100, 200, 3), (0, 5), (1.5, 2), 100, "ab"])
def test_what_is_no_size_of_a_picture_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match="the size is"):
        detections(image_size=size)


def test_scores_of_0_and_1_are_scores() -> None:
    assert len(detections(scores=np.array([1, 1, 0, 0], np.float32))) == 4


# That it is a value.


def test_fields_and_arrays_cannot_be_changed() -> None:
    found = detections()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.scores = np.zeros(0, np.float32)  # type: ignore[misc]
    for same in (found, found[1:], copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        for array in (same.boxes, same.scores, same.class_ids, same.track_ids):
            assert array is not None
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_who_built_it_cannot_change_it_either() -> None:
    boxes = np.array(detections().boxes)
    view = boxes[:]
    view.flags.writeable = False
    for given in (boxes, view):
        found = detections(boxes=given)
        boxes[0] = 99
        assert found.boxes[0].tolist() == [10, 20, 50, 80]
        boxes[0] = [10, 20, 50, 80]
    names = list(NAMES)
    found = detections(class_names=names)
    names[2] = "fish"
    assert found.class_names == NAMES


def test_equal_is_what_holds_the_same() -> None:
    found = detections()
    assert found == detections()
    assert found == copy.deepcopy(found) == pickle.loads(pickle.dumps(found)) == found[:]
    others: list[Any] = [
        detections(boxes=found.boxes + 1),
        detections(scores=found.scores / 2),
        detections(class_ids=np.zeros(4, np.int64)),
        detections(class_names=("cat", "dog", "birds")),
        detections(track_ids=None),
        detections(track_ids=np.arange(4)),
        detections(image_size=None),
        detections(image_size=(200, 100)),
        found[:3],
        None,
        found.to_dict(),
    ]
    for other in others:
        assert found != other
    assert Detections.empty(NAMES) == Detections.empty(NAMES) != Detections.empty()
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


def test_a_changed_copy() -> None:
    assert dataclasses.replace(detections(), track_ids=None) == detections(track_ids=None)


def test_it_tells_what_it_holds() -> None:
    assert repr(detections()) == "Detections(1 bird 0.75, 2 cat 0.50-0.12, 1 dog 0.25 in 100x200)"
    assert repr(detections(image_size=None)[:1]) == "Detections(1 bird 0.75)"
    assert repr(Detections.empty(NAMES, SIZE)) == "Detections(nothing in 100x200)"
    tracked, other = detections()[0], detections(track_ids=None)[0]
    assert repr(next(iter(tracked))).endswith("class_name='bird', track_id=7)")
    assert repr(next(iter(other))).endswith("class_name='bird')")


def test_nothing_found_is_an_empty_result() -> None:
    nothing = Detections.empty(NAMES, SIZE)
    assert len(nothing) == 0
    assert not nothing
    assert list(nothing) == []
    assert nothing.boxes.shape == nothing.xywh.shape == nothing.normalized.shape == (0, 4)
    assert nothing.to_dict() == {"detections": []}
    assert nothing.to_coco(1, [7, 8, 9]) == []
    assert nothing.to_yolo_txt() == ""
    assert nothing.crops(np.zeros((*SIZE, 3), np.uint8)) == []
    assert (
        nothing.filter("cat", 0.5, 10) == nothing[:] == nothing[[]] == nothing[nothing.scores > 0] == nothing
    )


def test_iteration_names_each_object() -> None:
    first, second, *_ = detections()
    assert first == ((10, 20, 50, 80), 0.75, 2, "bird")
    assert second.class_name == "cat"
    assert isinstance(first.score, float)
    assert isinstance(first.class_id, int)
    assert [item.track_id for item in detections()] == [7, -1, 0, 3]
    assert [item.track_id for item in detections(track_ids=None)] == [None] * 4
    box, score, class_id, name = first
    assert (box[2], score, class_id, name) == (50, 0.75, 2, "bird")
    assert pickle.loads(pickle.dumps(first)).track_id == 7
    assert isinstance(first, Detection)


# What is selected.


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, [0]),
        (np.int64(2), [2]),
        (-1, [3]),
        (slice(1, 3), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        (slice(None, None, -1), [0, 1, 2, 3]),
        (slice(9, 99), []),
        ([], []),
        ([3, 1], [1, 3]),
        (np.array([3, -4, 3]), [0, 3, 3]),
        ([True, False, False, True], [0, 3]),
        (np.array([False, True, True, False]), [1, 2]),
        (np.zeros(4, bool), []),
    ],
)
def test_an_index_gives_these_objects_best_first(index: Any, expected: list[int]) -> None:
    assert chosen(detections()[index]) == expected


def test_a_mask_made_of_its_own_arrays() -> None:
    found = detections()
    assert chosen(found[found.scores > 0.2]) == [0, 1, 2]
    assert chosen(found[found.class_ids == 0]) == [1, 3]
    assert chosen(found[np.argsort(found.xywh[:, 2])[:2]]) == [1, 3]


@pytest.mark.parametrize(
    "index",
    [
        4,
        -5,
        [0, 4],
        [True, False],
        np.zeros(5, bool),
        np.zeros((4, 4), bool),
        [[0, 1]],
        True,
        np.bool_(False),
        None,
        "cat",
        1.0,
        (0, 1),
        np.array([0.0]),
    ],
    ids=repr,
)
def test_an_index_that_fits_no_list_is_an_index_error(index: Any) -> None:
    with pytest.raises(IndexError):
        detections()[index]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"classes": ["cat"]}, [1, 3]),
        ({"classes": "cat"}, [1, 3]),
        ({"classes": 0}, [1, 3]),
        ({"classes": ("bird", 0)}, [0, 1, 3]),
        ({"classes": np.array([1])}, [2]),
        ({"classes": iter(["dog", "bird"])}, [0, 2]),
        ({"conf": 0.25}, [0, 1, 2]),
        ({"conf": 1}, []),
        ({"conf": 0}, [0, 1, 2, 3]),
        ({"min_area": 300}, [0, 2, 3]),
        ({"min_area": 300.5}, [0, 2]),
        ({"classes": ["cat", "dog"], "conf": 0.2, "min_area": 4}, [2]),
    ],
)
def test_filter_keeps_what_meets_all(asked: dict[str, Any], expected: list[int]) -> None:
    assert chosen(detections().filter(**asked)) == expected


def test_a_score_meets_itself_whatever_its_precision() -> None:
    """0.9 in float32 is less than 0.9 in float64, which is what a NumPy threshold would be."""
    found = detections(scores=np.array([0.9, 0.5, 0.25, 0.1], np.float32))
    for conf in (0.9, np.float64(0.9), np.float32(0.9), found.to_dict()["detections"][0]["score"]):
        assert len(found.filter(conf=conf)) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"classes": ["cats", "fox"]}, "no class 'fox'|no class 'cats'.*did you mean 'cat'"),
        ({"classes": "brid"}, "did you mean 'bird'"),
        ({"classes": 3}, "no class 3; expected a name, or an id from 0 to 2"),
        ({"classes": []}, "no class is named"),
        ({"conf": 50}, "conf is 50; expected a score, 0 to 1"),
        ({"conf": -0.1}, "conf is -0.1"),
        ({"conf": float("nan")}, "conf is nan"),
    ],
)
def test_filter_refuses_what_cannot_be_met(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        detections().filter(**asked)


def test_merge_puts_them_together_best_first() -> None:
    found = detections()
    assert Detections.merge([found[2:], found[:2]]) == found
    assert Detections.merge(part for part in (found[1::2], found[::2])) == found
    assert Detections.merge([found]) == Detections.merge(found) == found
    assert Detections.merge([found[[]], found, Detections.empty()]) == found
    assert Detections.merge([]) == Detections.empty()
    assert Detections.merge([detections(image_size=None), found]).image_size == SIZE


def test_merge_keeps_equal_scores_in_the_order_given() -> None:
    parts = [detections(scores=np.full(4, 0.5, np.float32), track_ids=np.full(4, at)) for at in range(3)]
    merged = Detections.merge(parts)
    assert merged.track_ids is not None
    assert merged.track_ids.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_merge_of_tracked_and_untracked_ones() -> None:
    merged = Detections.merge([detections(), detections(track_ids=None)])
    assert merged.track_ids is not None
    assert merged.track_ids.tolist() == [7, -1, -1, -1, 0, -1, 3, -1]
    assert Detections.merge([detections(track_ids=None)] * 2).track_ids is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (detections(class_names=("cat", "dog", "fish")), "different class names: .*'bird'.* and .*'fish'"),
        (detections(image_size=(200, 100)), r"different image sizes: \(100, 200\) and \(200, 100\)"),
        (None, "merge takes a list of Detections, found NoneType in it"),
        (next(iter(detections())), "merge takes a list of Detections, found Detection in it"),
    ],
)
def test_merge_refuses_what_does_not_belong_together(other: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Detections.merge([detections(), other])


# Boxes in other forms, and the picture below them.


def test_centres_and_shares() -> None:
    found = detections()
    assert found.xywh[:2].tolist() == [[30, 50, 40, 60], [2.25, 3.125, 1.5, 2.25]]
    np.testing.assert_allclose(found.normalized[0], [0.05, 0.2, 0.25, 0.8])
    assert found.normalized[2].tolist() == [0, 0, 1, 1]
    assert found.xywh.dtype == found.normalized.dtype == np.float32


@pytest.mark.parametrize("ask", [lambda each: each.normalized, Detections.to_yolo_txt])
def test_shares_need_the_size_of_the_picture(ask: Callable[[Detections], object]) -> None:
    with pytest.raises(UsageError, match=r"size of the picture is not known.*image_size=\(height, width\)"):
        ask(detections(image_size=None))


def scene() -> np.ndarray:
    """Every pixel tells where it is: (column, row, 7)."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.dstack([columns, rows, np.full(SIZE, 7)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 50, 80), (10, 20, 50, 80)),
        ((10.4, 20.6, 50.4, 80.6), (10, 20, 51, 81)),
        ((10.4, 20.4, 10.6, 20.6), (10, 20, 11, 21)),
        ((10, 20, 10, 20), (10, 20, 11, 21)),
        ((0, 0, 200, 100), (0, 0, 200, 100)),
        ((-5.5, -3, 4, 6), (0, 0, 4, 6)),
        ((190, 95, 210.5, 103), (190, 95, 200, 100)),
        ((200, 100, 200, 100), (199, 99, 200, 100)),
        ((300, 50, 400, 60), (199, 50, 200, 60)),
        ((-30, 50, -20, 60), (0, 50, 1, 60)),
    ],
)
def test_crops_hold_every_pixel_that_a_box_touches(box: tuple[float, ...], expected: tuple[int, ...]) -> None:
    found = detections(boxes=np.array([box] * 4, np.float32))
    crops = found.crops(scene())
    x1, y1, x2, y2 = expected
    assert len(crops) == 4
    for crop in crops:
        np.testing.assert_array_equal(crop, scene()[y1:y2, x1:x2])
    crops[0][:] = 0
    np.testing.assert_array_equal(crops[1], scene()[y1:y2, x1:x2])


def test_crops_are_copies_of_any_kind_of_picture(tmp_path: Path) -> None:
    picture = scene()
    data = cv2.imencode(".png", picture)[1].tobytes()
    (tmp_path / "a.png").write_bytes(data)
    for source in (picture, data, io.BytesIO(data), tmp_path / "a.png"):
        crops = detections().crops(source)
        np.testing.assert_array_equal(crops[0], scene()[20:80, 10:50])
        crops[2][:] = 0
    np.testing.assert_array_equal(picture, scene())


def test_another_picture_is_refused(tmp_path: Path) -> None:
    wrong = np.zeros((50, 100, 3), np.uint8)
    found = detections()
    asks: tuple[Callable[[], object], ...] = (
        lambda: found.crops(wrong),
        lambda: found.plot(wrong),
        lambda: found.save(tmp_path / "a.png", wrong),
    )
    for ask in asks:
        with pytest.raises(
            UsageError, match="picture is 50x100, and these objects were found in one of 100x200"
        ):
            ask()
    assert not any(tmp_path.iterdir())
    assert len(detections(image_size=None).crops(wrong)) == 4


def test_plot_draws_on_a_copy() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    assert detections().plot(image).any()
    assert not image.any()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_save_writes_by_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"drawn{suffix}"
    detections().save(path, scene())
    detections().save(str(path), scene())
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    drawn, expected = cv2.imread(str(path)), detections().plot(scene())
    assert drawn.shape == expected.shape
    if suffix in (".png", ".bmp"):
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "a.txt",
            r"a\.txt: OpenCV cannot write a picture of 100x200 as \.txt; expected a suffix such as \.png",
        ),
        ("a", "as a file without suffix"),
    ],
)
def test_save_says_what_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detections().save(tmp_path / name, scene())
    assert not any(tmp_path.iterdir())


# Where it goes from there, and the way back.


def test_json_is_the_dictionary() -> None:
    found = detections()
    assert json.loads(found.to_json()) == found.to_dict()
    row = {"box": [1.5, 2.0, 3.0, 4.25], "score": 0.5, "class_id": 0, "class_name": "cat"}
    assert found.to_dict()["detections"][1] == {**row, "track_id": -1}
    assert detections(track_ids=None).to_dict()["detections"][1] == row


@pytest.mark.parametrize("changes", [{}, {"track_ids": None}, {"image_size": None}])
def test_from_dict_gives_the_same_back(changes: dict[str, Any]) -> None:
    scores = np.sort(np.random.default_rng(0).random(4).astype(np.float32))[::-1].copy()
    found = detections(scores=scores, boxes=(detections().boxes * np.float32(0.3)), **changes)
    size = found.image_size
    assert Detections.from_dict(found.to_dict(), NAMES, size) == found
    assert Detections.from_dict(json.loads(found.to_json()), NAMES, size) == found
    line = {"image": "a.jpg", "frame": 3, "time": 0.1, **found.to_dict()}
    assert Detections.from_dict(json.loads(json.dumps(line)), NAMES, size) == found


def test_from_dict_names_what_the_rows_name() -> None:
    again = Detections.from_dict(detections()[[0, 1]].to_dict())
    assert again.class_names == ("cat", "class_1", "bird")
    assert Detections.from_dict({"detections": []}, NAMES) == Detections.empty(NAMES)
    assert Detections.from_dict({"detections": []}) == Detections.empty()


def test_from_dict_sorts() -> None:
    rows = detections().to_dict()["detections"]
    assert Detections.from_dict({"detections": rows[::-1]}, NAMES, SIZE) == detections()


ROW = {"box": [0, 0, 1, 1], "score": 0.5, "class_id": 0, "class_name": "cat"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no 'detections'; expected {'detections': "),
        ({"image": "a.jpg", "error": "a.jpg is empty"}, "the picture could not be read: a.jpg is empty"),
        ({"detections": None}, "no detections"),
        ({"detections": 3}, "no detections"),
        ({"detections": [3]}, "no detections"),
        ({"detections": [{**ROW, "box": [0, 0, 1]}]}, r"boxes is float32 \(1, 3\)"),
        ({"detections": [ROW, {**ROW, "box": [0, 0, 1]}]}, "no detections"),
        ({"detections": [{**ROW, "box": "abcd"}]}, "no detections"),
        ({"detections": [{**ROW, "score": None}]}, "no detections"),
        ({"detections": [{**ROW, "score": 2}]}, "expected 0 to 1"),
        ({"detections": [{**ROW, "score": float("nan")}]}, "not finite"),
        ({"detections": [{**ROW, "class_id": 1.5}]}, "float"),
        ({"detections": [{**ROW, "class_id": "0"}]}, "str"),
        ({"detections": [{**ROW, "class_id": 3}]}, "class ids are 3 to 3, with 3 class names"),
        ({"detections": [{**ROW, "class_id": 1 << 70}]}, "no detections"),
        ({"detections": [{**ROW, "track_id": 1.5}]}, "float"),
        ({"detections": [{"box": [0, 0, 1, 1]}]}, "no 'score'"),
    ],
)
def test_from_dict_says_what_is_wrong(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Detections.from_dict(values, NAMES)


def test_coco_rows_hold_corner_and_size_and_the_category_of_the_data_set() -> None:
    rows = detections().to_coco(42, [90, 5, None])
    assert rows[0] == {"image_id": 42, "category_id": 90, "bbox": [1.5, 2, 1.5, 2.25], "score": 0.5}
    assert [row["category_id"] for row in rows] == [90, 5, 90]
    json.dumps(rows)


def test_yolo_txt_is_class_centre_and_size_as_shares() -> None:
    found = detections()
    first, second, *_ = found.to_yolo_txt().splitlines()
    assert first == "2 0.150000 0.500000 0.200000 0.600000"
    assert second == "0 0.011250 0.031250 0.007500 0.022500"
    assert found.to_yolo_txt(scores=True).splitlines()[0] == f"{first} 0.750000"


def test_yolo_txt_holds_what_is_within_the_picture() -> None:
    """So that data sets made of it can be opened: trackers give boxes that leave the picture."""
    out = detections(boxes=np.array([[-20, 50, 20, 150], [300, 0, 400, 10]] * 2, np.float32))
    assert out.to_yolo_txt().splitlines()[:2] == [
        "2 0.050000 0.750000 0.100000 0.500000",
        "0 1.000000 0.050000 0.000000 0.100000",
    ]


def test_yolo_txt_is_opened_as_a_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    starts = rng.uniform(0, (150, 60), (4, 2))
    boxes = np.hstack([starts, starts + rng.uniform(3, (50, 40), (4, 2))]).astype(np.float32)
    boxes[0] = 0, 0, SIZE[1], SIZE[0]
    found = detections(boxes=boxes)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    found.save(tmp_path / "images" / "a.png", scene())
    (tmp_path / "labels" / "a.txt").write_text(found.to_yolo_txt())
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES))
    data = open_dataset(tmp_path, "all")
    assert tuple(data.class_names) == NAMES
    truth = data.objects(0)
    np.testing.assert_allclose(truth.boxes, found.boxes, atol=2e-4)
    np.testing.assert_array_equal(truth.classes, found.class_ids)


def test_a_dataframe_has_a_row_each() -> None:
    pandas = pytest.importorskip("pandas")
    found = detections()
    frame = found.to_dataframe()
    assert list(frame) == ["x1", "y1", "x2", "y2", "score", "class_id", "class_name", "track_id"]
    np.testing.assert_array_equal(frame[["x1", "y1", "x2", "y2"]].to_numpy(), found.boxes)
    assert frame["class_name"].tolist() == ["bird", "cat", "dog", "cat"]
    assert frame["track_id"].tolist() == [7, -1, 0, 3]
    assert frame.groupby("class_name")["score"].max().to_dict() == {"bird": 0.75, "cat": 0.5, "dog": 0.25}
    frame.loc[0, "x1"] = 0
    assert found.boxes[0, 0] == 10
    nothing = Detections.empty(NAMES).to_dataframe()
    assert list(nothing) == list(frame)[:-1]
    assert len(pandas.concat([nothing, detections(track_ids=None).to_dataframe()])) == 4


@pytest.mark.parametrize("package", ["pandas", "supervision"])
def test_an_optional_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ask = Detections.to_dataframe if package == "pandas" else Detections.to_supervision
    with pytest.raises(MissingExtraError, match=rf"pip install 'yolox-deploy\[{package}\]'"):
        ask(detections())


# supervision, whose trackers are the package `trackers`.


def test_supervision_gets_copies_of_the_same_values() -> None:
    pytest.importorskip("supervision")
    found = detections()
    other = found.to_supervision()
    np.testing.assert_array_equal(other.xyxy, found.boxes)
    np.testing.assert_array_equal(other.confidence, found.scores)
    np.testing.assert_array_equal(other.class_id, found.class_ids)
    np.testing.assert_array_equal(other.tracker_id, found.track_ids)
    assert list(other.data["class_name"]) == ["bird", "cat", "dog", "cat"]
    other.xyxy[:] = 0
    other.tracker_id[:] = 0
    assert found == detections()
    assert detections(track_ids=None).to_supervision().tracker_id is None


@pytest.mark.parametrize("changes", [{}, {"track_ids": None}])
def test_supervision_merges_what_was_found_with_nothing(changes: dict[str, Any]) -> None:
    supervision = pytest.importorskip("supervision")
    found = detections(**changes)
    some, nothing = found.to_supervision(), found[[]].to_supervision()
    assert nothing.is_empty()
    assert len(supervision.Detections.merge([nothing, some, nothing])) == 4
    assert len(supervision.Detections.merge([nothing, nothing])) == 0


def test_supervision_draws_counts_and_writes_them(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    above, below = (
        detections(boxes=np.array([[20, top, 60, top + 20]] * 4, np.float32), track_ids=np.arange(4))
        for top in (10, 70)
    )
    values = [each.to_supervision() for each in (above, below, above[[]])]
    for annotator in (supervision.BoxAnnotator(), supervision.LabelAnnotator(), supervision.TraceAnnotator()):
        for value in values:
            assert annotator.annotate(scene(), value).shape == scene().shape
    line = supervision.LineZone(supervision.Point(0, 50), supervision.Point(200, 50))
    for value in (*values, values[1], values[0], values[1]):
        line.trigger(value)
    assert line.in_count + line.out_count == 4 * 3
    zone = supervision.PolygonZone(np.array([[0, 0], [200, 0], [200, 50], [0, 50]]))
    assert [zone.trigger(value).sum() for value in values] == [4, 0, 0]
    with (
        supervision.JSONSink(str(tmp_path / "a.json")) as as_json,
        supervision.CSVSink(str(tmp_path / "a.csv")) as as_csv,
    ):
        for value in values:
            as_json.append(value, custom_data={"frame": 3})
            as_csv.append(value, custom_data={"frame": 3})
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [(row["class_name"], row["tracker_id"], row["frame"]) for row in rows[:2]] == [
        ("bird", 0, 3),
        ("cat", 1, 3),
    ]
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [float(row["confidence"]) for row in csv.DictReader(file)] == [0.75, 0.5, 0.25, 0.125] * 2


def test_trackers_follow_them() -> None:
    """A tracker that gets them as they come, with an empty frame between; and one that gets tracked ones again."""
    pytest.importorskip("supervision")
    trackers = pytest.importorskip("trackers")
    for changes in ({"track_ids": None}, {}):
        tracker = trackers.ByteTrackTracker()
        found = detections(scores=np.array([0.9, 0.85, 0.8, 0.75], np.float32), **changes)
        for each in (found, found, found[[]], found):
            tracked = tracker.update(each.to_supervision())
        assert sorted(tracked.tracker_id.tolist()) == [0, 1, 2, 3]
        assert sorted(tracked.data["class_name"]) == ["bird", "cat", "cat", "dog"]


def test_supervision_slices_large_pictures(toy_model: Any, tmp_path: Path) -> None:
    """One object in the corner of each bright tile, and none in dark ones."""
    supervision = pytest.importorskip("supervision")
    model = toy_model(tmp_path / "toy.onnx", [(26, [0.5, 0.5, 0.7, 0.7, 0, 1, 0, 0])], lit=[26])
    picture = np.zeros((128, 288, 3), np.uint8)
    picture[:64, 96:192] = 255
    with Detector(model, threads=1) as detector:
        expected = detector.predict(picture[:64, 96:192])
        slicer = supervision.InferenceSlicer(
            callback=lambda tile: detector.predict(tile).to_supervision(),
            slice_wh=(96, 64),
            overlap_wh=(0, 0),
        )
        found = slicer(picture)
        dark = slicer(np.zeros_like(picture))
    assert len(expected) == len(found) == 1
    np.testing.assert_allclose(found.xyxy, expected.boxes + np.array([96, 0, 96, 0]), atol=1e-4)
    assert list(found.data["class_name"]) == [expected.class_names[int(expected.class_ids[0])]]
    assert len(dark) == 0
