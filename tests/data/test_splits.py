"""Splits made by seed are the same everywhere, and the splits of a data set have the same classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.data import layouts_of_tools as tools
from yolox_deploy.data import DetectionDataset
from yolox_deploy.data.dataset import ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.opening import open_splits
from yolox_deploy.data.selection import select, without_objects
from yolox_deploy.data.splits import match_classes, split_by_seed
from yolox_deploy.errors import InputError, UsageError

Write = Callable[..., Path]


def dataset(
    names: Sequence[str], classes: Sequence[str] = ("cat", "dog"), *, folder: Path = Path(), offset: int = 0
) -> DetectionDataset:
    """A picture a name; picture i has i % 3 objects, of which the last has an outline."""
    rows = []
    for index, name in enumerate(names):
        objects = [
            ObjectRow(number % len(classes), (index, number, 5, 5), 25.0 + index)
            for number in range(index % 3)
        ]
        if objects:
            objects[-1] = objects[-1]._replace(rings=[(0, 0, index + 1, 0, 5, 5), (1, 1, 2, 2, 3, index)])
        rows.append(PictureRow(name, (60, 80), index + 1 + offset, objects))
    return dataset_from_rows(rows, source=folder / "source", folder=folder, class_names=classes)


def names(data: DetectionDataset) -> list[str]:
    return [data.name(index) for index in range(len(data))]


NAMES = [f"pictures/{number:03}.jpg" for number in range(97)]


def test_every_picture_is_in_one_split() -> None:
    train, val = split_by_seed(dataset(NAMES))
    assert (len(train), len(val)) == (78, 19)
    assert sorted(names(train) + names(val)) == NAMES
    assert [problem.kind for problem in train.problems] == ["made_split"]
    assert str(train.problems[0]).startswith("note: 19 of 97 pictures, chosen by seed 0, are for validation")
    assert val.problems == ()


def test_it_follows_from_names_and_seed_alone(tmp_path: Path) -> None:
    chosen = set(names(split_by_seed(dataset(NAMES))[1]))
    assert chosen >= {"pictures/023.jpg", "pictures/077.jpg"}  # on every machine
    assert set(names(split_by_seed(dataset(NAMES[::-1]))[1])) == chosen
    absolute = [str(tmp_path / name) for name in NAMES]
    found = split_by_seed(dataset(absolute, folder=tmp_path))[1]
    assert {Path(name).relative_to(tmp_path).as_posix() for name in names(found)} == chosen
    assert set(names(split_by_seed(dataset(NAMES), seed=1)[1])) != chosen
    assert len(split_by_seed(dataset(NAMES), 0.5)[1]) == 48


def test_pictures_that_are_added_move_few_others() -> None:
    before = set(names(split_by_seed(dataset(NAMES[:90]))[1]))
    after = set(names(split_by_seed(dataset(NAMES))[1]))
    assert len(before - after) <= 2


def test_each_split_has_a_picture() -> None:
    assert [len(part) for part in split_by_seed(dataset(NAMES[:2]), 0.01)] == [1, 1]
    assert [len(part) for part in split_by_seed(dataset(NAMES[:2]), 0.99)] == [1, 1]
    with pytest.raises(InputError, match="has one picture and no split"):
        split_by_seed(dataset(NAMES[:1]))
    with pytest.raises(UsageError, match="expected one between 0 and 1"):
        split_by_seed(dataset(NAMES), 1)


def test_selected_pictures_keep_their_objects() -> None:
    data = dataset(NAMES)
    chosen = np.array([5, 2, 0, 96, 1])
    part = select(data, chosen)
    assert part.image_ids.tolist() == [6, 3, 1, 97, 2]
    for new, old in enumerate(chosen.tolist()):
        first, second = part.objects(new), data.objects(old)
        np.testing.assert_array_equal(first.boxes, second.boxes)
        np.testing.assert_array_equal(first.classes, second.classes)
        assert [[ring.tolist() for ring in rings] for rings in first.polygons] == [
            [ring.tolist() for ring in rings] for rings in second.polygons
        ]
    assert part.to_coco()["images"][3]["file_name"] == NAMES[96]
    fewer = without_objects(data, np.flatnonzero(data.classes == 1))
    assert len(fewer) == len(data)
    assert set(fewer.classes.tolist()) == {0}
    assert len(fewer.objects(2).boxes) == 1


def test_classes_are_matched_by_name_whatever_their_order() -> None:
    train = dataset(NAMES[:9], ("cat", "dog", "cow"))
    val = dataset(NAMES[:9], ("dog", "cat"))
    matched = match_classes(train, val)
    assert matched.class_names == train.class_names
    assert matched.category_ids == train.category_ids
    assert matched.objects(2).classes.tolist() == [1, 0]
    assert matched.problems == ()
    assert match_classes(train, train) is train


def test_classes_that_are_not_trained_on_are_told() -> None:
    train = dataset(NAMES[:9], ("cat", "Dog"))
    matched = match_classes(train, dataset(NAMES[:9], ("unseen", "Dog", "cat")))
    (problem,) = matched.problems
    assert (problem.kind, problem.severity, problem.count) == ("foreign_class", "error", 1)
    assert problem.examples == ("unseen",)
    assert set(matched.classes.tolist()) == {1}
    assert len(matched) == 9
    with pytest.raises(InputError, match="cannot be matched by name: cat occurs twice"):
        match_classes(train, dataset(NAMES[:9], ("cat", "cat")))


def test_names_that_are_written_otherwise_are_the_same_and_told() -> None:
    train = dataset(NAMES[:9], ("dining table", "Dog"))
    matched = match_classes(train, dataset(NAMES[:9], ("dog", "Dining_Table")))
    (problem,) = matched.problems
    assert (problem.kind, problem.severity) == ("renamed_class", "warning")
    assert problem.examples == ("dog = Dog", "Dining_Table = dining table")
    assert matched.class_names == train.class_names
    apart = match_classes(dataset(NAMES[:9], ("dog", "Dog")), dataset(NAMES[:9], ("Dog", "dog")))
    assert (apart.class_names, apart.problems) == (("dog", "Dog"), ())


def test_the_order_of_categories_in_two_files_does_not_matter(
    tmp_path: Path, shared: Path, write_text: Write
) -> None:
    shots = tools.take_shots(shared / "real/coco_mini", 6)
    tools.coco(tmp_path, shots)
    file = tmp_path / "annotations/instances_val2017.json"
    before = open_splits(tmp_path)[1]
    text = file.read_text()
    count = len(before.class_names)
    content = json.loads(text)
    for item in content["categories"]:
        item["id"] = count + 1 - item["id"]
    for item in content["annotations"]:
        item["category_id"] = count + 1 - item["category_id"]
    write_text(file, content)
    after = open_splits(tmp_path)[1]
    assert after.class_names == before.class_names
    np.testing.assert_array_equal(after.classes, before.classes)
    assert after.to_coco() == before.to_coco()


def test_a_split_does_not_depend_on_the_place(
    tmp_path: Path, write_picture: Write, write_text: Write
) -> None:
    folder = tmp_path / "first"
    for number in range(10):
        write_picture(folder / f"images/{number}.jpg")
        write_text(folder / f"labels/{number}.txt", "0 0.5 0.5 0.5 0.5")
    write_text(folder / "classes.txt", "cat")
    shutil.copytree(folder, tmp_path / "elsewhere/second")
    found = [open_splits(place)[1] for place in (folder, tmp_path / "elsewhere/second")]
    assert len({tuple(data.path(index).name for index in range(2)) for data in found}) == 1
