"""Conversion: what is kept through every format, what is left out and told, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolox_deploy.data import DetectionDataset, open_dataset
from yolox_deploy.data.conversion import convert
from yolox_deploy.data.opening import open_splits
from yolox_deploy.errors import InputError, UsageError

Write = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def source(tmp_path: Path, write_picture: Write, write_text: Write, coco_content: dict[str, Any]) -> Path:
    """COCO of a crowd, a difficult object, a polygon, odd ids and boxes, a name for two pictures, and one without."""
    folder = tmp_path / "source"
    coco_content["images"] += [
        {"id": 2**40, "file_name": "more/five.png", "height": 60, "width": 80},
        {"id": 3, "file_name": "sound ä.jpg", "height": 33, "width": 44},
    ]
    rows = [(7, 9, [1 / 3, 2.7, 20.1, 10 / 7]), (7, 2**40, [-3.5, 40, 100, 30]), (3, 2**40, [5, 5, 0, 9])]
    coco_content["annotations"] += [
        {"id": 70 + index, "category_id": category, "image_id": image, "bbox": box, "area": 5.5}
        for index, (category, image, box) in enumerate(rows)
    ]
    coco_content["annotations"][3]["difficult"] = 1
    coco_content["annotations"] += [
        {"id": 90 + number, "category_id": 3, "image_id": 2**40, "bbox": [5 + number, 5, 9, 9]}
        for number in range(5)
    ]
    coco_content["annotations"].insert(0, coco_content["annotations"].pop(1))  # the crowd comes first
    write_picture(folder / "images/more/five.png")
    for split in ("train", "val"):
        write_text(folder / f"annotations/instances_{split}.json", coco_content)
    for name, size in (("nine.jpg", (60, 80)), ("five.jpg", (60, 80)), ("sound ä.jpg", (33, 44))):
        write_picture(folder / "images" / name, size)
    return folder


def table(data: DetectionDataset) -> dict[int, Any]:
    """All of each picture by its id, in the order of its objects."""
    found: dict[int, Any] = {}
    for index, image_id in enumerate(data.image_ids.tolist()):
        rows = range(int(data.offsets[index]), int(data.offsets[index + 1]))
        found[image_id] = [
            (
                data.class_names[data.classes[row]],
                data.boxes[row].tolist(),
                float(data.areas[row]),
                bool(data.crowds[row]),
                bool(data.difficult[row]),
                data.outlines(row),
            )
            for row in rows
        ]
    return found


@pytest.mark.parametrize(
    "way", [("yolo",), ("voc",), ("coco",), ("yolo", "voc", "coco"), ("voc", "yolo", "voc")]
)
def test_nothing_is_lost(source: Path, tmp_path: Path, way: tuple[str, ...]) -> None:
    before = open_splits(source)
    place = source
    for step, to in enumerate(way):
        reports = convert(place, to, tmp_path / f"{step}")
        assert all(
            problem.severity == "warning" for report in reports.values() for problem in report.problems
        )
        place = tmp_path / f"{step}"
    after = open_splits(place)
    for old, new in zip(before, after, strict=True):
        assert table(new) == table(old)
        assert new.class_names == ("dog", "cat")
        assert new.category_ids == (3, 7)
        assert new.problems == ()
        shapes = {int(new.image_ids[index]): new.load(index).shape for index in range(len(new))}
        assert shapes == {int(old.image_ids[index]): old.load(index).shape for index in range(len(old))}


def test_other_tools_see_what_they_know(source: Path, tmp_path: Path) -> None:
    convert(source, "yolo", tmp_path / "yolo")
    assert (tmp_path / "yolo/data.yaml").read_text() == (
        'train: images/train\nval: images/val\nnames:\n  0: "dog"\n  1: "cat"\n'
    )
    rows = (tmp_path / "yolo/labels/train/five.txt").read_text().splitlines()
    assert rows == ["1 0.253125 0.416666666667 0.25 0.5"]  # without the crowd
    assert (tmp_path / "yolo/labels/train/five_2.txt").is_file()  # more/five.png
    assert (tmp_path / "yolo/labels/train/sound ä.txt").read_text() == ""
    convert(source, "voc", tmp_path / "voc")
    text = (tmp_path / "voc/Annotations/five.xml").read_text()
    assert text.count("<difficult>1</difficult>") == text.count("<crowd>1</crowd>") == 1
    assert "<xmin>11.25</xmin>" in text
    assert (tmp_path / "voc/ImageSets/Main/train.txt").read_text().splitlines() == [
        "nine",
        "five",
        "five_2",
        "sound ä",
    ]
    convert(source, "coco", tmp_path / "coco")
    content = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [image["file_name"] for image in content["images"]][2] == "more/five.png"
    assert sum(item["iscrowd"] for item in content["annotations"]) == 1


def test_labels_that_are_changed_later_rule(source: Path, tmp_path: Path, write_text: Write) -> None:
    convert(source, "yolo", tmp_path / "yolo")
    write_text(tmp_path / "yolo/labels/train/five.txt", "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.5 0.5\n")
    data = open_dataset(tmp_path / "yolo", "train")
    rows = table(data)[5]
    assert [row[:2] for row in rows[:2]] == [("dog", [20, 15, 40, 30]), ("cat", [0, 0, 40, 30])]
    assert [row[3] for row in rows] == [False, False, True]  # the crowd stays
    (problem,) = data.problems
    assert (problem.kind, problem.severity, problem.count) == ("changed_labels", "note", 1)


def test_what_is_at_fault_is_left_out_and_told(source: Path, tmp_path: Path, write_text: Write) -> None:
    file = source / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][1]["bbox"] = "none"
    del content["annotations"][1]["segmentation"]
    write_text(file, content)
    (source / "images/nine.jpg").write_bytes(b"broken")
    reports = convert(source, "coco", tmp_path / "out")
    kinds = {problem.kind: problem.count for problem in reports["train"].problems}
    assert kinds.items() >= {"malformed_object": 1, "unreadable_picture": 1}.items()
    train, val = open_splits(tmp_path / "out")
    assert (len(train), len(val)) == (3, 3)
    assert train.problems == val.problems == ()


def test_most_pictures_have_to_be_there(source: Path, tmp_path: Path) -> None:
    for name in ("nine.jpg", "five.jpg"):
        (source / "images" / name).unlink()
    with pytest.raises(InputError, match=r"only 2 of 4 pictures can be read\n.*no such image file"):
        convert(source, "yolo", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_boxes_that_are_elsewhere_are_refused(source: Path, tmp_path: Path, write_picture: Write) -> None:
    write_picture(source / "images/five.jpg", (80, 60))
    with pytest.raises(InputError, match="annotated 80x60, is 60x80"):
        convert(source, "yolo", tmp_path / "out")


def test_pictures_are_copied_or_linked(source: Path, tmp_path: Path) -> None:
    convert(source, "coco", tmp_path / "copy")
    convert(source, "coco", tmp_path / "link", link=True)
    picture = "images/train/nine.jpg"
    assert not (tmp_path / "copy" / picture).is_symlink()
    assert (tmp_path / "link" / picture).readlink() == source / "images/nine.jpg"
    assert (tmp_path / "copy" / picture).read_bytes() == (source / "images/nine.jpg").read_bytes()


@pytest.fixture
def whole(tmp_path: Path, write_picture: Write, write_text: Write) -> Path:
    """Ten pictures of two classes without a split."""
    for number in range(10):
        write_picture(tmp_path / f"whole/images/{number}.jpg")
        write_text(tmp_path / f"whole/labels/{number}.txt", f"{number % 2} 0.5 0.5 0.5 0.5")
    write_text(tmp_path / "whole/classes.txt", "cat\ndog")
    return tmp_path / "whole"


def test_a_split_is_made_for_good(whole: Path, tmp_path: Path) -> None:
    before = open_splits(whole)
    assert [len(data) for data in before] == [8, 2]
    convert(whole, "yolo", tmp_path / "usual")
    usual = open_splits(tmp_path / "usual")
    for old, new in zip(before, usual, strict=True):
        assert [new.path(i).name for i in range(len(new))] == [old.path(i).name for i in range(len(old))]
    assert usual[0].problems == ()
    convert(whole, "coco", tmp_path / "half", val=0.5, seed=3)
    assert [len(data) for data in open_splits(tmp_path / "half")] == [5, 5]
    convert(whole, "coco", tmp_path / "none", val=0)
    assert [path.name for path in (tmp_path / "none/annotations").iterdir()] == ["instances_train.json"]


def test_what_does_not_go_together_is_refused(source: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format 'tfrecord'; expected one of coco, yolo, voc"):
        convert(whole, "tfrecord", tmp_path / "out")
    with pytest.raises(UsageError, match="is split already, into train, val"):
        convert(source, "yolo", tmp_path / "out", val=0.3)
    with pytest.raises(UsageError, match=r"is 1\.5; expected 0 to less than 1"):
        convert(whole, "yolo", tmp_path / "out", val=1.5)
    with pytest.raises(UsageError, match="whose pictures would be found twice; name a folder beside it"):
        convert(whole, "coco", whole / "in" / "it")
    with pytest.raises(UsageError, match="is not empty"):
        convert(whole, "yolo", whole)
    (whole / "classes.txt").write_text("cat\ncat")
    with pytest.raises(InputError, match="class names cat occur twice"):
        convert(whole, "voc", tmp_path / "out")


def test_boxes_far_outside_fit_into_text(source: Path, tmp_path: Path, write_text: Write) -> None:
    file = source / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][5]["bbox"] = [70, 10, 400, 20]
    write_text(file, content)
    reports = convert(source, "yolo", tmp_path / "out")
    assert "outside_box" in {problem.kind for problem in reports["train"].problems}
    data = open_dataset(tmp_path / "out", "train")
    assert not [problem for problem in data.problems if problem.severity == "error"]
    assert [70, 10, 400, 20] in [row[1] for row in table(data)[2**40]]


def test_the_command(call: Call, whole: Path, tmp_path: Path) -> None:
    code, out, err = call("convert", whole, "--to", "voc", "--out", tmp_path / "my out", "--val", "0.3")
    assert code == 0, err
    assert out.splitlines()[0] == f"train 7, val 3 pictures: {tmp_path / 'my out'}"
    assert "next: yolox-deploy train --model yolox_nano --data '" in out
    assert "7 pictures, 7 objects, 0 crowds" in err
    code, out, _ = call("convert", tmp_path / "my out", "--to", "coco", "--out", tmp_path / "json", "--json")
    assert code == 0
    assert json.loads(out)["val"]["pictures"] == 3
    np.testing.assert_array_equal(open_dataset(tmp_path / "json", "val").boxes, [[20, 15, 40, 30]] * 3)
    code, _, err = call("convert", tmp_path / "none", "--to", "coco", "--out", tmp_path / "x")
    assert (code, "no data set folder" in err) == (2, True)


def test_a_json_alone(call: Call, source: Path, tmp_path: Path) -> None:
    (source / "annotations/instances_train.json").rename(tmp_path / "any.json")
    code, _, err = call(
        "convert",
        tmp_path / "any.json",
        "--images",
        source / "images",
        "--to",
        "coco",
        "--out",
        tmp_path / "out",
    )
    assert code == 0, err
    assert [len(data) for data in open_splits(tmp_path / "out")] == [3, 1]
    code, _, err = call(
        *("convert", tmp_path / "any.json", "--images", source / "images", "--to", "yolo"),
        *("--out", tmp_path / "one", "--val", 0),
    )
    assert code == 0, err
    assert len(open_dataset(tmp_path / "one", "all")) == 4
