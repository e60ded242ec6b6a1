"""YOLO text: boxes and polygons as shares of the picture, data.yaml, and malformed rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy.data.yolo_format import read_data_yaml, read_yolo
from yolox_deploy.errors import InputError

Write = Callable[..., Path]
NAMES = ("cat", "dog", "bird")


@pytest.fixture
def pictures(tmp_path: Path, write_picture: Write, write_text: Write) -> Path:
    """Two pictures of 80x60, of which the second has no label file, and one of 44x33 in a subfolder."""
    folder = tmp_path / "images/train"
    for name, size in (("a.jpg", (60, 80)), ("b.png", (60, 80)), ("more/c.jpg", (33, 44))):
        write_picture(folder / name, size)
    write_text(folder / "notes.md", "no picture")
    write_text(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.3 0.2 0.3 0.6\n")
    write_text(tmp_path / "labels/train/more/c.txt", "2 0.5 0.5 1 1\n")
    return folder


def test_shares_become_pixels(tmp_path: Path, pictures: Path) -> None:
    data = read_yolo([pictures], NAMES, source=tmp_path)
    assert [data.path(i).name for i in range(3)] == ["a.jpg", "b.png", "c.jpg"]
    assert all(data.path(index).is_file() for index in range(3))
    first = data.objects(0)
    np.testing.assert_allclose(first.boxes, [[30, 15, 50, 45], [8, 12, 24, 36]], rtol=1e-6)
    assert first.classes.tolist() == [1, 0]
    np.testing.assert_allclose(first.polygons[1][0], [[8, 12], [24, 12], [24, 36]], rtol=1e-6)
    assert first.polygons[0] == ()
    assert len(data.objects(1).boxes) == 0
    np.testing.assert_allclose(data.objects(2).boxes, [[0, 0, 44, 33]])
    areas = [row["area"] for row in data.to_coco()["annotations"]]
    np.testing.assert_allclose(areas, [600, 16 * 24 / 2, 44 * 33], rtol=1e-6)


def test_a_text_file_may_list_the_pictures(tmp_path: Path, pictures: Path, write_text: Write) -> None:
    listing = write_text(tmp_path / "train.txt", f"./images/train/a.jpg\n\n{pictures / 'more/c.jpg'}\n")
    data = read_yolo([listing], NAMES, source=tmp_path)
    assert [len(data.objects(index).boxes) for index in range(2)] == [2, 1]
    assert data.path(1).samefile(pictures / "more/c.jpg")


def test_labels_may_lie_beside_the_pictures(tmp_path: Path, write_picture: Write, write_text: Write) -> None:
    write_picture(tmp_path / "pictures/a.jpg")
    write_text(tmp_path / "pictures/a.txt", "0 0.5 0.5 0.5 0.5")
    assert len(read_yolo([tmp_path / "pictures"], NAMES, source=tmp_path).objects(0).boxes) == 1


def test_the_last_images_folder_of_a_path_counts(
    tmp_path: Path, write_picture: Write, write_text: Write
) -> None:
    write_picture(tmp_path / "images/set/images/a.jpg")
    write_text(tmp_path / "images/set/labels/a.txt", "0 0.5 0.5 0.5 0.5")
    assert len(read_yolo([tmp_path / "images/set/images"], NAMES, source=tmp_path).objects(0).boxes) == 1


def test_an_unreadable_picture_has_no_size(tmp_path: Path, pictures: Path) -> None:
    (pictures / "a.jpg").write_bytes(b"")
    data = read_yolo([pictures], NAMES, source=tmp_path)
    assert data.size(0) == (0, 0)
    assert len(data.objects(0).boxes) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 0.5 0.5 0.5", "4 numbers; expected class cx cy w h"),
        ("0 0.5 0.5 0.5 0.5 0.9", "6 numbers"),
        ("0", "1 numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 numbers"),
        ("cat 0.5 0.5 0.5 0.5", "'cat 0.5 0.5 0.5 0.5' is not all numbers; .* the class by number"),
        ("0,0.5,0.5,0.5,0.5", "is not all numbers; expected class cx cy w h, with blanks between"),
        ("-1 0.5 0.5 0.5 0.5", "class -1.0 is not a whole number"),
        ("0.5 0.5 0.5 0.5 0.5", "class 0.5 is not a whole number"),
        ("nan 0.5 0.5 0.5 0.5", "class nan is not a whole number"),
        ("0 40 30 20 20", "is not in shares of the picture"),
        ("0 nan 0.5 0.5 0.5", "is not in shares of the picture"),
        ("0 0.5 0.5 inf 0.5", "is not in shares of the picture"),
    ],
)
def test_malformed_rows_are_left_out_and_named(
    tmp_path: Path, pictures: Path, write_text: Write, row: str, message: str
) -> None:
    write_text(tmp_path / "labels/train/a.txt", f"0 0.5 0.5 0.5 0.5\n{row}\n")
    data = read_yolo([pictures], NAMES, source=tmp_path)
    assert len(data.objects(0).boxes) == 1
    (problem,) = data.problems
    assert (problem.kind, problem.severity) == ("malformed_object", "error")
    assert re.search(rf"a\.txt, line 2: .*{message}", problem.examples[0])


def test_labels_that_are_no_text(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "labels/train/a.txt").write_bytes(b"\xff\xfe\x00")
    data = read_yolo([pictures], NAMES, source=tmp_path)
    assert [data.path(index).name for index in range(len(data))] == ["b.png", "c.jpg"]
    (problem,) = data.problems
    assert (problem.kind, problem.severity) == ("broken_annotation", "error")
    assert re.search(r"cannot read .*a\.txt", problem.examples[0])


def test_no_pictures_or_no_labels(tmp_path: Path, write_picture: Write) -> None:
    with pytest.raises(InputError, match=r"no pictures in .*nowhere"):
        read_yolo([tmp_path / "nowhere"], NAMES, source=tmp_path)
    write_picture(tmp_path / "images/a.jpg")
    with pytest.raises(InputError, match=r"no label file for any .* expected .*labels.a\.txt"):
        read_yolo([tmp_path / "images"], NAMES, source=tmp_path)


def test_data_yaml(tmp_path: Path, write_text: Write) -> None:
    (tmp_path / "root").mkdir()
    text = "path: root\ntrain: [one, two]\nval: images/val\nnc: 2\nnames: {1: dog, 0: cat}\n"
    names, splits, keypoints = read_data_yaml(write_text(tmp_path / "data.yaml", text))
    assert names == ("cat", "dog")
    assert keypoints == 0
    root = tmp_path / "root"
    assert splits == {"train": [root / "one", root / "two"], "val": [root / "images/val"]}


@pytest.mark.parametrize("count", ["nc: '2'", "nc: 2", "nc:", ""])
@pytest.mark.parametrize("names", ["[cat, dog]", "{'0': cat, '1': dog}", "{1: dog, 0: cat}"])
def test_the_number_of_classes_may_be_text_or_left_out(
    tmp_path: Path, write_text: Write, count: str, names: str
) -> None:
    file = write_text(tmp_path / "data.yaml", f"names: {names}\n{count}\n")
    assert read_data_yaml(file).names == ("cat", "dog")


def test_rows_of_poses_are_boxes_not_polygons(tmp_path: Path, pictures: Path, write_text: Write) -> None:
    file = write_text(tmp_path / "data.yaml", "names: [cat, dog, bird]\nkpt_shape: [2, 3]\n")
    keypoints = read_data_yaml(file).keypoints
    assert keypoints == 6
    label = tmp_path / "labels/train/a.txt"
    write_text(label, "1 0.5 0.5 0.25 0.5 0.1 0.9 2 0.9 0.1 1\n0 0.5 0.5 0.1 0.1\n")
    objects = read_yolo([pictures], NAMES, source=tmp_path, keypoints=keypoints).objects(0)
    np.testing.assert_allclose(objects.boxes, [[30, 15, 50, 45], [36, 27, 44, 33]], rtol=1e-6)
    assert objects.polygons == ((), ())
    write_text(label, "0 0.1 0.2 0.3 0.2 0.3 0.6\n")
    (problem,) = read_yolo([pictures], NAMES, source=tmp_path, keypoints=keypoints).problems
    assert "line 1: 7 numbers; expected class cx cy w h and 6 of keypoints" in problem.examples[0]


def test_linked_folders_are_entered_once(tmp_path: Path, pictures: Path) -> None:
    linked = tmp_path / "set/images"
    linked.mkdir(parents=True)
    (linked / "sub").symlink_to(pictures)
    (linked / "again").symlink_to(linked)
    (tmp_path / "set/labels").mkdir()
    (tmp_path / "set/labels/sub").symlink_to(tmp_path / "labels/train")
    data = read_yolo([linked], NAMES, source=tmp_path)
    assert [data.path(index).relative_to(linked).as_posix() for index in range(len(data))] == [
        "sub/a.jpg",
        "sub/b.png",
        "sub/more/c.jpg",
    ]
    assert len(data.objects(0).boxes) == 2


def test_labels_beside_pictures_below_a_folder_called_images(
    tmp_path: Path, write_picture: Write, write_text: Write
) -> None:
    write_picture(tmp_path / "images/project/train/a.jpg")
    write_text(tmp_path / "images/project/train/a.txt", "0 0.5 0.5 0.5 0.5")
    folder = tmp_path / "images/project/train"
    assert len(read_yolo([folder], NAMES, source=tmp_path).objects(0).boxes) == 1


@pytest.mark.parametrize(
    "line", ["images\\train\\a.jpg", "data/images/train/a.jpg", "C:\\x\\images\\train\\a.jpg"]
)
def test_listed_names_are_found_from_a_folder_that_is_here(
    tmp_path: Path, pictures: Path, write_text: Write, line: str
) -> None:
    data = read_yolo([write_text(tmp_path / "train.txt", f"{line}\n")], NAMES, source=tmp_path)
    assert data.path(0) == pictures / "a.jpg"
    assert len(data.objects(0).boxes) == 2


def test_data_yaml_of_roboflow(tmp_path: Path, write_text: Write) -> None:
    (tmp_path / "train/images").mkdir(parents=True)
    text = "train: ../train/images\nval: ../valid/images\nnames: [cat]\n"
    _, splits, _ = read_data_yaml(write_text(tmp_path / "data.yaml", text))
    assert splits["train"] == [tmp_path / "train/images"]
    assert splits["val"] == [tmp_path / "../valid/images"]


def test_a_folder_above_is_meant_where_it_is_not_roboflows(tmp_path: Path, write_text: Write) -> None:
    for name in ("photos", "settings/photos", "train/images", "settings/train/images"):
        (tmp_path / name).mkdir(parents=True)
    text = "train: ../train/images\nval: ../photos\nnames: [cat]\n"
    _, splits, _ = read_data_yaml(write_text(tmp_path / "settings/data.yaml", text))
    assert splits["train"] == [tmp_path / "settings/train/images"]
    assert splits["val"] == [tmp_path / "settings/../photos"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [", "cannot read"),
        ("just words", "holds no keys"),
        ("train: a", "names is None; expected a list"),
        ("names: []", "expected a list"),
        ("names: {1: cat, 2: dog}", "expected a list, or a mapping 0: name"),
        ("names: {a: cat, 0: dog}", "expected a list, or a mapping 0: name"),
        ("names: [cat]\nnc: 2", "nc is 2, but there are 1 names"),
        ("names: [cat]\nnc: '2'", "nc is 2, but there are 1 names"),
        ("names: [cat]\nkpt_shape: 17", "kpt_shape is 17; expected the number of keypoints"),
        ("names: [cat]\ntrain: {a: b}", "train is"),
    ],
)
def test_malformed_data_yaml(tmp_path: Path, write_text: Write, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_data_yaml(write_text(tmp_path / "data.yaml", text))
