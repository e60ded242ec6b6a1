"""Folders of each layout are recognised, split by split; others say what was looked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy.data import open_dataset
from yolox_deploy.data.layouts import Split
from yolox_deploy.data.voc_format import VOC_CLASS_NAMES
from yolox_deploy.errors import InputError, UsageError

Write = Callable[..., Path]
SPLITS: tuple[Split, ...] = ("train", "val")


@pytest.mark.parametrize(
    ("annotations", "pictures"),
    [
        ("annotations/instances_{}2017.json", "{}2017"),
        ("annotations/instances_{}2017.json", "images/{}2017"),
        ("annotations/instances_{}2014.json", "{}2014"),
        ("annotations/instances_{}.json", "{}"),
        ("annotations/instances_{}.json", "images/{}"),
        ("annotations/instances_{}.json", "images"),
        ("annotations/{}.json", "."),
        ("{}/_annotations.coco.json", "{}"),
    ],
)
def test_coco(
    tmp_path: Path,
    write_picture: Write,
    write_text: Write,
    coco_content: dict[str, Any],
    annotations: str,
    pictures: str,
) -> None:
    for split in SPLITS:
        for item in coco_content["images"]:
            item["file_name"] = f"{split}_{item['id']}.jpg"
            write_picture(tmp_path / pictures.format(split) / item["file_name"])
        write_text(tmp_path / annotations.format(split), coco_content)
    for split in SPLITS:
        data = open_dataset(tmp_path, split)
        assert [data.path(index).name for index in range(2)] == [f"{split}_9.jpg", f"{split}_5.jpg"]
        assert data.load(0).shape == (60, 80, 3)


def test_the_validation_split_of_roboflow(
    tmp_path: Path, write_text: Write, coco_content: dict[str, Any]
) -> None:
    write_text(tmp_path / "valid/_annotations.coco.json", coco_content)
    assert open_dataset(tmp_path, "val").folder == tmp_path / "valid"


@pytest.fixture
def write_voc(write_text: Write) -> Callable[[Path, dict[str, str]], None]:
    """Writes a VOC folder whose image sets name one picture each, with one dog."""
    item = "<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    size = "<size><width>80</width><height>60</height></size>"

    def write(root: Path, image_sets: dict[str, str]) -> None:
        for name, picture in image_sets.items():
            write_text(root / f"ImageSets/Main/{name}.txt", f"{picture}\n")
            if not picture.startswith("secret"):
                write_text(root / f"Annotations/{picture}.xml", f"<annotation>{size}{item}</annotation>")

    return write


def opened(folder: Path, split: Split) -> list[str]:
    data = open_dataset(folder, split)
    return [data.path(index).relative_to(folder).as_posix() for index in range(len(data))]


@pytest.mark.parametrize("parent", ["VOCdevkit", "."])
def test_voc_2007_and_2012(tmp_path: Path, write_voc: Any, parent: str) -> None:
    sets = {"train": "1", "val": "2", "trainval": "3"}
    write_voc(tmp_path / parent / "VOC2007", {**sets, "test": "4"})
    write_voc(tmp_path / parent / "VOC2012", {**sets, "test": "secret"})
    prefix = "" if parent == "." else f"{parent}/"
    assert opened(tmp_path, "train") == [f"{prefix}VOC{year}/JPEGImages/3.jpg" for year in (2007, 2012)]
    assert opened(tmp_path, "val") == [f"{prefix}VOC2007/JPEGImages/4.jpg"]
    assert open_dataset(tmp_path, "train").class_names == VOC_CLASS_NAMES


def test_voc_without_an_annotated_test_set(tmp_path: Path, write_voc: Any) -> None:
    sets = {"train": "1", "val": "2", "trainval": "3", "test": "secret"}
    write_voc(tmp_path / "VOCdevkit/VOC2012", sets)
    assert opened(tmp_path, "train") == ["VOCdevkit/VOC2012/JPEGImages/1.jpg"]
    assert opened(tmp_path, "val") == ["VOCdevkit/VOC2012/JPEGImages/2.jpg"]


def test_a_folder_in_the_form_of_voc(tmp_path: Path, write_voc: Any) -> None:
    write_voc(tmp_path, {"train": "1", "val": "2", "trainval": "3", "test": "4"})
    assert opened(tmp_path, "train") == ["JPEGImages/1.jpg"]
    assert opened(tmp_path, "val") == ["JPEGImages/2.jpg"]
    assert open_dataset(tmp_path, "train").class_names == ("dog",)


def test_those_in_val_are_not_trained_on_with_trainval(
    tmp_path: Path, write_voc: Any, write_text: Write
) -> None:
    write_voc(tmp_path, {"trainval": "1", "val": "2"})
    write_text(tmp_path / "ImageSets/Main/trainval.txt", "1\n2\n")
    assert opened(tmp_path, "train") == ["JPEGImages/1.jpg"]
    assert opened(tmp_path, "val") == ["JPEGImages/2.jpg"]


def test_a_folder_with_the_name_of_voc_may_have_classes_of_its_own(
    tmp_path: Path, write_voc: Any, write_text: Write
) -> None:
    root = tmp_path / "VOCdevkit/VOC2007"
    write_voc(root, {"train": "1", "val": "2"})
    assert open_dataset(tmp_path, "train").class_names == VOC_CLASS_NAMES
    file = root / "Annotations/2.xml"
    write_text(file, file.read_text().replace("dog", "helmet"))
    for split in SPLITS:
        assert open_dataset(tmp_path, split).class_names == ("dog", "helmet")


def test_many_pictures_without_annotations_come_first(
    tmp_path: Path, write_voc: Any, write_text: Write
) -> None:
    write_voc(tmp_path, {"train": "30", "val": "2"})
    write_text(tmp_path / "ImageSets/Main/train.txt", "\n".join(map(str, range(3, 31))))
    data = open_dataset(tmp_path, "train")
    assert [problem.count for problem in data.problems] == [27]
    assert len(data) == 28


@pytest.fixture
def yolo(tmp_path: Path, write_picture: Write, write_text: Write) -> Path:
    for split in SPLITS:
        write_picture(tmp_path / f"images/{split}/{split}.jpg")
        write_text(tmp_path / f"labels/{split}/{split}.txt", "0 0.5 0.5 0.5 0.5")
    return tmp_path


@pytest.mark.parametrize("name", ["data.yaml", "dataset.yml", "animals.yaml"])
def test_yolo_with_a_yaml_file(yolo: Path, write_text: Write, name: str) -> None:
    file = write_text(yolo / name, "train: images/train\nval: images/val\nnames: [cat, dog]")
    for split in SPLITS:
        for given in (yolo, file):
            data = open_dataset(given, split)
            assert data.path(0) == yolo / f"images/{split}/{split}.jpg"
            assert data.class_names == ("cat", "dog")
            assert len(data.objects(0).boxes) == 1


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_yolo_with_a_list_of_classes(yolo: Path, write_text: Write, name: str) -> None:
    with pytest.raises(InputError, match="no class names"):
        open_dataset(yolo, "train")
    write_text(yolo / name, "cat\ntraffic light\n\n")
    assert opened(yolo, "val") == ["images/val/val.jpg"]
    assert open_dataset(yolo, "train").class_names == ("cat", "traffic light")


def test_yolo_with_a_folder_a_split(tmp_path: Path, write_picture: Write, write_text: Write) -> None:
    write_picture(tmp_path / "valid/images/a.jpg")
    write_text(tmp_path / "valid/labels/a.txt", "0 0.5 0.5 0.5 0.5")
    write_text(tmp_path / "classes.txt", "cat")
    assert opened(tmp_path, "val") == ["valid/images/a.jpg"]


def test_a_split_is_made_where_only_one_is_there(
    tmp_path: Path, write_picture: Write, write_text: Write, write_voc: Any, coco_content: dict[str, Any]
) -> None:
    folders = [tmp_path / name for name in ("yolo", "yaml", "coco", "voc")]
    for folder in folders[:2]:
        for name in "abcde":
            write_picture(folder / f"images/train/{name}.jpg")
            write_text(folder / f"labels/train/{name}.txt", "0 0.5 0.5 0.5 0.5")
    write_text(folders[0] / "classes.txt", "cat")
    write_text(folders[1] / "data.yaml", "train: images/train\nnames: [cat]")
    write_text(folders[2] / "annotations/instances_train2017.json", coco_content)
    write_voc(folders[3], {"train": "1"})
    write_text(folders[3] / "ImageSets/Main/train.txt", "1\n2\n3\n")
    for folder, count in zip(folders, (5, 5, 2, 3), strict=True):
        train, val = (open_dataset(folder, split) for split in SPLITS)
        assert (len(train), len(val)) == (count - 1, 1), folder
        problem = next(problem for problem in train.problems if problem.kind == "made_split")
        assert str(problem).startswith(f"note: 1 of {count} pictures, chosen by seed 0, are for validation")


def test_nothing_to_train_on(tmp_path: Path, write_text: Write, coco_content: dict[str, Any]) -> None:
    write_text(tmp_path / "valid/_annotations.coco.json", coco_content)
    with pytest.raises(InputError, match=r"has val \(COCO\) but nothing to train on; .*--train-annotations"):
        open_dataset(tmp_path, "train")


def test_test_is_for_validation_where_there_is_no_other(yolo: Path, write_text: Write) -> None:
    write_text(yolo / "data.yaml", "train: images/train\ntest: images/val\nnames: [cat]")
    val = open_dataset(yolo, "val")
    assert val.name(0).endswith("val.jpg")
    assert [problem.kind for problem in val.problems] == ["test_as_val"]


def test_an_unknown_layout_says_what_is_there(
    tmp_path: Path, write_picture: Write, write_text: Write
) -> None:
    with pytest.raises(InputError, match=r"no data set folder at .*missing"):
        open_dataset(tmp_path / "missing", "train")
    for number in range(7):
        write_text(tmp_path / f"deep/down/{number}.json", "{}")
    write_text(tmp_path / "readme.txt", "hello")
    write_picture(tmp_path / "pictures/1.jpg")
    with pytest.raises(InputError, match="is laid out in no way known here") as caught:
        open_dataset(tmp_path, "train")
    told = str(caught.value)
    assert "7 JSON (deep/down/0.json, deep/down/1.json" in told
    assert "deep/down/4.json, ...), 1 TXT (readme.txt)" in told
    assert "pictures (1 files)" in told
    assert "--train-annotations" in told
    for expected in ("annotations/instances_train.json", "ImageSets/Main", "data.yaml", "images/train"):
        assert expected in told


def test_a_folder_in_a_folder(tmp_path: Path, yolo: Path, write_text: Write) -> None:
    (tmp_path / "classes.txt").write_text("cat")
    outer = tmp_path / "unpacked/animals"
    outer.parent.mkdir()
    yolo_parts = [yolo / name for name in ("images", "labels", "classes.txt")]
    outer.mkdir()
    for part in yolo_parts:
        part.rename(outer / part.name)
    write_text(tmp_path / "unpacked/__MACOSX/._x", "")
    assert opened(tmp_path / "unpacked", "val") == ["animals/images/val/val.jpg"]


def test_a_file_is_no_folder(tmp_path: Path, write_text: Write, coco_content: dict[str, Any]) -> None:
    file = write_text(tmp_path / "train.json", coco_content)
    with pytest.raises(InputError, match=r"train\.json is no folder; give it as --train-annotations"):
        open_dataset(file, "train")
    with pytest.raises(UsageError, match="no split 'best'; expected train, val, test, all"):
        open_dataset(tmp_path, "best")  # type: ignore[arg-type]


def test_a_test_split_and_all_of_what_is_not_split(
    tmp_path: Path, write_text: Write, coco_content: dict[str, Any]
) -> None:
    file = write_text(tmp_path / "some.json", coco_content)
    everything = open_dataset(tmp_path, "all")
    assert len(everything) == len(coco_content["images"])
    with pytest.raises(InputError, match=r"is not split \(COCO\), so there is no test to open"):
        open_dataset(tmp_path, "test")
    for part in ("train", "val", "test"):
        write_text(tmp_path / f"{part}.json", coco_content)
    file.unlink()
    assert open_dataset(tmp_path, "test").source.name == "test.json"
    with pytest.raises(InputError, match=r"has train, val, test .* so there is no all to open; name another"):
        open_dataset(tmp_path, "all")


def test_an_empty_line_among_class_names_is_refused(tmp_path: Path) -> None:
    """Each name after it would be another class than in the tool that wrote the labels."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(InputError, match="line 2 is empty and 'dog' follows"):
        open_dataset(tmp_path, "all")
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n")
    assert open_dataset(tmp_path, "all").class_names == ("cat", "dog")


def test_files_of_the_kind_that_is_not_read_are_told(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 30, 3), np.uint8))
    box = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    for name in ("a", "b"):
        (tmp_path / f"{name}.xml").write_text(f"<a><object><name>cat</name>{box}</object></a>")
    (tmp_path / "c.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    found = [item for item in open_dataset(tmp_path, "all").problems if item.kind == "other_kind"]
    assert [(item.severity, item.examples) for item in found] == [("warning", ("c.png",))]
    (tmp_path / "c.txt").unlink()
    assert all(item.kind != "other_kind" for item in open_dataset(tmp_path, "all").problems)


def test_data_sets_need_no_torch() -> None:
    modules = ("layouts", "checks")
    imports = "; ".join(f"import yolox_deploy.data.{name}" for name in modules)
    heavy = "{'torch', 'yaml', 'PIL', 'pycocotools', 'faster_coco_eval'}"
    code = f"import sys; {imports}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
