"""VOC files: boxes counted from 1, difficult objects, class names, and malformed files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy.data.voc_format import VOC_CLASS_NAMES, read_voc
from yolox_deploy.errors import InputError

Write = Callable[..., Path]

PART = (
    "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
)


def item(name: str, corners: tuple[object, ...] = (1, 1, 80, 60), more: str = "") -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners, strict=True))
    return f"<object><name> {name} </name>{more}<bndbox>{box}</bndbox></object>"


def annotation(*objects: str, size: str = "<width>80</width><height>60</height>") -> str:
    return f"<annotation><size>{size}<depth>3</depth></size>{''.join(objects)}</annotation>"


@pytest.fixture
def image_set(tmp_path: Path, write_text: Write) -> Path:
    """A training set of two pictures, `a` and `b c`, and one more annotation that it does not list."""
    difficult = "<difficult>1</difficult>"
    write_text(
        tmp_path / "Annotations/a.xml",
        annotation(item("dog", more=PART), item("cat", (11.5, 21, 30, 40), difficult)),
    )
    write_text(tmp_path / "Annotations/b c.xml", annotation())
    write_text(tmp_path / "Annotations/d.xml", annotation(item("bird")))
    return write_text(tmp_path / "ImageSets/Main/train.txt", "a\nb c\n\n")


def test_boxes_are_counted_from_one(image_set: Path) -> None:
    data = read_voc([image_set])
    # The first covers the whole picture.
    np.testing.assert_array_equal(data.objects(0).boxes, [[0, 0, 80, 60], [10.5, 20, 30, 40]])
    assert len(data.objects(1).boxes) == 0
    assert data.size(1) == (60, 80)


def test_difficult_objects_are_trained_on_and_ignored_in_evaluation(image_set: Path) -> None:
    data = read_voc([image_set])
    assert len(data.objects(0).boxes) == 2
    assert [row["iscrowd"] for row in data.to_coco()["annotations"]] == [0, 1]


def test_class_names_are_those_of_all_splits(image_set: Path) -> None:
    data = read_voc([image_set])
    assert data.class_names == ("bird", "cat", "dog")
    assert data.objects(0).classes.tolist() == [2, 1]
    assert read_voc([image_set], VOC_CLASS_NAMES).objects(0).classes.tolist() == [11, 7]
    data = read_voc([image_set], ["cat"])
    assert [(item.kind, item.severity, item.count) for item in data.problems] == [
        ("foreign_class", "error", 1)
    ]
    assert "other classes than cat" in data.problems[0].meaning
    assert data.problems[0].examples == (f"{Path('JPEGImages/a.jpg')}: dog",)


def test_pictures_are_found_by_their_stem(image_set: Path, write_picture: Write) -> None:
    root = image_set.parents[2]
    png = write_picture(root / "JPEGImages/b c.PNG")
    data = read_voc([image_set])
    assert [data.path(0), data.path(1)] == [root / "JPEGImages/a.jpg", png]


def test_several_folders_are_one_data_set(image_set: Path, write_text: Write) -> None:
    other = image_set.parents[2] / "other"
    write_text(other / "Annotations/a.xml", annotation(item("wolf")))
    second = write_text(other / "ImageSets/Main/train.txt", "a\n")
    data = read_voc([image_set, second])
    assert data.image_ids.tolist() == [1, 2, 3]
    assert data.path(2) == other / "JPEGImages/a.jpg"
    assert data.class_names == ("bird", "cat", "dog", "wolf")


@pytest.mark.parametrize("size", ["", "<width>0</width><height>0</height>", "<width>a</width>"])
def test_sizes_come_from_the_pictures_where_the_file_has_none(
    image_set: Path, write_picture: Write, write_text: Write, size: str
) -> None:
    root = image_set.parents[2]
    write_text(root / "Annotations/a.xml", annotation(size=size))
    write_text(root / "Annotations/b c.xml", annotation(size=size))
    write_picture(root / "JPEGImages/a.jpg", (33, 44))
    data = read_voc([image_set])
    assert [data.size(0), data.size(1)] == [(33, 44), (0, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", r"a\.xml is not XML"),
        ("", r"a\.xml is not XML"),
        (annotation("<object><name>dog</name></object>"), r"a\.xml: object 1 \(dog\) has no bndbox"),
        (annotation(item("dog"), item("dog", (1, 2, "x", 4))), r"a\.xml: object 2 \(dog\) has no bndbox"),
        (annotation(item("dog", (1, 2, "nan", 4))), r"a\.xml: object 1 has name 'dog' and box"),
        (annotation(item("")), r"a\.xml: object 1 has name ''"),
    ],
)
def test_malformed_files_are_left_out_and_named(
    image_set: Path, write_text: Write, text: str, message: str
) -> None:
    write_text(image_set.parents[2] / "Annotations/a.xml", text)
    data = read_voc([image_set])
    problem = data.problems[0]
    assert (problem.severity, problem.count) == ("error", 1)
    assert re.search(message, problem.examples[0])
    assert (
        [data.path(index).stem for index in range(len(data))] == ["b c"]
        if "not XML" in message
        else ["a", "b c"]
    )


def test_corners_in_the_wrong_order_are_put_in_order(image_set: Path, write_text: Write) -> None:
    write_text(image_set.parents[2] / "Annotations/a.xml", annotation(item("dog", (40, 50, 11, 21))))
    data = read_voc([image_set])
    np.testing.assert_array_equal(data.objects(0).boxes, [[10, 20, 40, 50]])
    (problem,) = data.problems
    assert (problem.kind, problem.severity) == ("swapped_corners", "warning")
    assert problem.examples == (f"{Path('Annotations/a.xml')}: object 1 (dog)",)


def test_a_picture_without_annotation_file_has_no_objects(image_set: Path, write_picture: Write) -> None:
    root = image_set.parents[2]
    (root / "Annotations/a.xml").unlink()
    write_picture(root / "JPEGImages/a.jpg", (33, 44))
    data = read_voc([image_set])
    assert len(data.objects(0).boxes) == 0
    assert data.size(0) == (33, 44)
    (problem,) = data.problems
    assert (problem.kind, problem.severity) == ("missing_annotation", "warning")
    assert problem.examples == (str(Path("JPEGImages/a.jpg")),)


def test_a_missing_image_set_is_named(image_set: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*val\.txt"):
        read_voc([image_set.with_name("val.txt")])


def test_other_files_beside_a_picture_are_not_taken_for_it(
    image_set: Path, write_picture: Write, write_text: Write
) -> None:
    pictures = image_set.parents[2] / "JPEGImages"
    write_picture(pictures / "a.png")
    for suffix in ("json", "txt", "xml", "webp.bak"):
        write_text(pictures / f"a.{suffix}", "{}")
    write_text(image_set, "a\n")
    assert read_voc([image_set]).path(0) == pictures / "a.png"


def test_an_image_set_may_list_file_names(image_set: Path, write_picture: Write, write_text: Write) -> None:
    root = image_set.parents[2]
    write_text(image_set, "a.jpg\nb c.JPEG\nv1.2\n")
    write_text(root / "Annotations/v1.2.xml", annotation())
    data = read_voc([image_set])
    assert [data.path(index).name for index in range(3)] == ["a.jpg", "b c.jpg", "v1.2.jpg"]
    assert len(data.objects(0).boxes) == 2
    assert data.problems == ()


def test_pictures_of_another_image_set_are_left_out(image_set: Path, write_text: Write) -> None:
    other = write_text(image_set.with_name("val.txt"), "b c\n")
    assert [read_voc([image_set], without=[other]).path(0).name] == ["a.jpg"]
    write_text(other, "b c.jpg\na\n")
    with pytest.raises(InputError, match=r"train\.txt lists no pictures but those of .*val\.txt"):
        read_voc([image_set], without=[other])


def test_no_objects_at_all(image_set: Path, write_text: Write) -> None:
    for file in (image_set.parents[2] / "Annotations").iterdir():
        write_text(file, annotation())
    with pytest.raises(InputError, match="no objects in"):
        read_voc([image_set])
