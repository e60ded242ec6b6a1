"""A data set in arrays: what training sees of an object, what evaluation sees, and memory that stays flat."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from yolox_deploy.data import DetectionDataset
from yolox_deploy.data.dataset import ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.errors import InputError

SIZE = (60, 80)


def dataset(*pictures: Sequence[ObjectRow], folder: Path = Path()) -> DetectionDataset:
    rows = [
        PictureRow(f"picture {index:05d}.jpg", SIZE, index + 1, objects)
        for index, objects in enumerate(pictures)
    ]
    return dataset_from_rows(rows, source=Path("source"), folder=folder, class_names=("cat", "dog"))


def box(*values: float, class_id: int = 0, crowd: bool = False) -> ObjectRow:
    x, y, w, h = values
    return ObjectRow(class_id, (x, y, w, h), w * h, crowd=crowd)


def many(count: int) -> DetectionDataset:
    outline = [(1.0, 2.0, 30.0, 2.0, 30.0, 20.0)]
    item = ObjectRow(1, (1, 2, 29, 18), 261, rings=outline)
    return dataset(*([item, box(5, 5, 10, 10)] for _ in range(count)))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((10, 20, 30, 15), (10, 20, 40, 35)),
        ((-10, -5, 30, 15), (0, 0, 20, 10)),
        ((70, 50, 30, 15), (70, 50, 80, 60)),
        ((-5, -5, 200, 200), (0, 0, 80, 60)),
        ((0, 0, 80.004, 60.004), (0, 0, 80, 60)),
    ],
)
def test_boxes_become_corners_inside_the_picture(found: Sequence[float], expected: Sequence[float]) -> None:
    objects = dataset([box(*found)]).objects(0)
    np.testing.assert_array_equal(objects.boxes, [expected])
    assert objects.boxes.dtype == np.float32
    assert objects.classes.dtype == np.int64


@pytest.mark.parametrize(
    "found", [(10, 10, 0, 5), (10, 10, 5, 0), (30, 30, -5, -5), (80, 10, 5, 5), (10, -9, 5, 9)]
)
def test_boxes_without_area_in_the_picture_are_dropped(found: Sequence[float]) -> None:
    objects = dataset([box(*found), box(1, 2, 3, 4, class_id=1)]).objects(0)
    np.testing.assert_array_equal(objects.boxes, [[1, 2, 4, 6]])
    np.testing.assert_array_equal(objects.classes, [1])
    assert objects.polygons == ((),)


def test_crowds_are_not_trained_on_but_evaluated() -> None:
    data = dataset([box(0, 0, 50, 50, crowd=True), box(1, 2, 3, 4)])
    assert len(data.objects(0).boxes) == 1
    assert [row["iscrowd"] for row in data.to_coco()["annotations"]] == [1, 0]


def test_difficult_objects_are_trained_on_and_ignored_in_evaluation() -> None:
    data = dataset([ObjectRow(0, (1, 2, 3, 4), 12, difficult=True)])
    assert len(data.objects(0).boxes) == 1
    assert data.to_coco()["annotations"][0]["iscrowd"] == 1


def test_polygons_stay_with_their_objects() -> None:
    first = ObjectRow(0, (1, 1, 5, 5), 25, rings=[(1, 1, 6, 1, 6, 6), (2, 2, 3, 2, 3, 3, 2, 3)])
    last = ObjectRow(1, (4, 4, 5, 5), 25, rings=[(4, 4, 9, 4, 9, 9)])
    data = dataset([box(0, 0, 9, 9)], [first, box(0, 0, 0, 0), box(0, 0, 9, 9), last])
    assert data.objects(0).polygons == ((),)
    polygons = data.objects(1).polygons
    assert [[ring.tolist() for ring in rings] for rings in polygons] == [
        [[[1, 1], [6, 1], [6, 6]], [[2, 2], [3, 2], [3, 3], [2, 3]]],
        [],
        [[[4, 4], [9, 4], [9, 9]]],
    ]
    assert polygons[0][0].dtype == np.float32


def test_pictures_with_objects_are_those_where_some_are_found() -> None:
    ring = [(1, 1, 6, 1, 6, 6)]
    masked = ObjectRow(0, (1, 1, 5, 5), 25, rings=ring)
    empty = ObjectRow(0, (90, 1, 5, 5), 25, rings=ring)
    data = dataset(
        [],
        [box(1, 2, 3, 4)],
        [box(1, 2, 3, 4, crowd=True)],
        [box(1, 2, 3, 4), masked],
        [empty],
        [empty, masked],
    )
    for masks in (False, True):
        found = [data.objects(index) for index in range(len(data))]
        expected = [i for i, item in enumerate(found) if (any(item.polygons) if masks else len(item.boxes))]
        assert data.with_objects(masks=masks).tolist() == expected
    assert dataset([]).with_objects().tolist() == []


def test_a_picture_without_objects_has_empty_arrays() -> None:
    data = dataset([], [box(1, 2, 3, 4)], [])
    for index, count in enumerate((0, 1, 0)):
        objects = data.objects(index)
        assert objects.boxes.shape == (count, 4)
        assert objects.classes.shape == (count,)
        assert len(objects.polygons) == count
    assert len(dataset([]).to_coco()["images"]) == 1


def test_names_sizes_and_ids(tmp_path: Path) -> None:
    rows = [PictureRow("naïve/ä b.jpg", (3, 4), 77, []), PictureRow("/absolute/c.png", (5, 6), 12, [])]
    data = dataset_from_rows(
        rows, source=tmp_path, folder=tmp_path, class_names=("a", "b"), category_ids=(4, 9)
    )
    assert len(data) == 2
    assert [data.path(0), data.path(1)] == [tmp_path / "naïve/ä b.jpg", Path("/absolute/c.png")]
    assert [data.size(0), data.size(1)] == [(3, 4), (5, 6)]
    assert data.image_ids.tolist() == [77, 12]
    content = data.to_coco()
    assert content["images"][0] == {"id": 77, "file_name": "naïve/ä b.jpg", "height": 3, "width": 4}
    assert content["categories"] == [{"id": 4, "name": "a"}, {"id": 9, "name": "b"}]


def test_loading_names_the_broken_file(tmp_path: Path) -> None:
    (tmp_path / "picture 00000.jpg").write_bytes(b"\xff\xd8broken")
    with pytest.raises(InputError, match=r"picture 00000\.jpg"):
        dataset([], folder=tmp_path).load(0)


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(InputError, match="source lists no pictures"):
        dataset()


def test_evaluation_refuses_a_class_without_a_name() -> None:
    with pytest.raises(InputError, match="objects of class 2, but 2 class names"):
        dataset([box(1, 2, 3, 4, class_id=2)]).to_coco()


def test_arrays_cannot_be_changed() -> None:
    data = many(2)
    with pytest.raises(ValueError, match="read-only"):
        data.boxes[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        data.objects(0).polygons[0][0][0] = 0
    data.objects(0).boxes[0] = 0  # a copy of its own
    np.testing.assert_array_equal(data.objects(0).boxes[0], [1, 2, 30, 20])


def reachable(root: object) -> int:
    """Python objects that belong to `root`, as a forked process would touch them."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not isinstance(item, type | ModuleType):
            seen[id(item)] = item
            waiting += gc.get_referents(item)
    return len(seen)


def test_no_python_object_is_kept_for_a_picture() -> None:
    few, more = many(10), many(2000)
    assert reachable(more) == reachable(few)
    grown = (len(pickle.dumps(more)) - len(pickle.dumps(few))) / 1990
    # Two objects of 83 bytes, an outline of 3 points and 54 bytes of name, size, id and offset.
    assert grown < 300


def test_memory_stays_flat_over_epochs() -> None:
    data = many(500)

    def epoch() -> int:
        for index in range(len(data)):
            data.objects(index)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = [epoch() for _ in range(2)][-1]
        later = [epoch() for _ in range(3)][-1]
    finally:
        tracemalloc.stop()
    assert later - first < 4096
