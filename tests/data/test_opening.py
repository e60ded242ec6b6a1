"""Annotations that are named one by one, and a report that tells all faults of a data set in one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data import layouts_of_tools as tools
from yolox_deploy.data import DetectionDataset, check_splits
from yolox_deploy.data.opening import open_splits
from yolox_deploy.errors import InputError, UsageError

Write = Callable[..., Path]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shots(shared: Path) -> tools.Shots:
    return tools.take_shots(shared / "real/coco_mini", 6)


def pictures(data: DetectionDataset) -> list[str]:
    assert all(data.path(index).is_file() for index in range(len(data)))
    return sorted(data.path(index).name for index in range(len(data)))


def expected(shots: tools.Shots) -> list[str]:
    return sorted(shot.name for shot in shots)


def test_two_files_of_any_names(tmp_path: Path, shots: tools.Shots) -> None:
    tools.cvat_coco_splits(tmp_path, shots)
    folder = tmp_path / "annotations"
    (folder / "instances_Train.json").rename(tmp_path / "one.json")
    (folder / "instances_Validation.json").rename(tmp_path / "two.json")
    train, val = open_splits(
        train_annotations=tmp_path / "one.json",
        val_annotations=tmp_path / "two.json",
        images=tmp_path / "images/Train",
        val_images=tmp_path / "images/Validation",
    )
    assert (pictures(train), pictures(val)) == (expected(shots[:4]), expected(shots[4:]))
    alone = open_splits(train_annotations=tmp_path / "one.json", images=tmp_path / "images/Train")
    assert [len(data) for data in alone] == [3, 1]
    near = open_splits(train_annotations=tmp_path / "one.json", val_annotations=tmp_path / "two.json")
    assert [pictures(data) for data in near] == [pictures(train), pictures(val)]


@pytest.mark.parametrize(
    ("build", "annotations", "images"),
    [
        (tools.images_and_annots, "annots", "images"),
        (tools.images_and_annots, "annots", None),
        (tools.label_studio_yolo, "labels", "images"),
        (tools.label_studio_yolo, "labels", None),
        (tools.labelimg_voc, ".", None),
        (tools.cvat_voc, "ImageSets/Main/default.txt", None),
        (tools.cvat_yolo, "train.txt", None),
        (tools.label_studio_coco, "result.json", None),
        (tools.label_studio_coco, "result.json", "images"),
    ],
)
def test_every_kind_of_annotations(
    tmp_path: Path, shots: tools.Shots, build: tools.Build, annotations: str, images: str | None
) -> None:
    build(tmp_path, shots)
    train, val = open_splits(train_annotations=tmp_path / annotations, images=images and tmp_path / images)
    assert sorted(pictures(train) + pictures(val)) == expected(shots)
    assert len(train.boxes) > 0
    assert len(val.boxes) > 0


def test_folders_of_xml_have_the_classes_of_both(tmp_path: Path, shots: tools.Shots) -> None:
    tools.images_and_annotations_splits(tmp_path, shots)
    folders = {name: tmp_path / "annotations" / name for name in ("train", "val")}
    train, val = open_splits(
        train_annotations=folders["train"], val_annotations=folders["val"], images=tmp_path / "images"
    )
    assert train.class_names == val.class_names
    assert (pictures(train), pictures(val)) == (expected(shots[:4]), expected(shots[4:]))
    assert [(problem.kind, problem.count) for problem in train.problems] == [("no_annotation", 2)]


def test_one_split_of_a_folder_may_be_replaced(tmp_path: Path, shots: tools.Shots) -> None:
    tools.coco(tmp_path, shots)
    file = tmp_path / "annotations/instances_train2017.json"
    train, val = open_splits(tmp_path, val_annotations=file)
    assert pictures(train) == pictures(val) == expected(shots[:4])
    assert "shared_picture" in {problem.kind for problem in check_splits(train, val)[1].problems}


def test_options_that_cannot_work(tmp_path: Path, shots: tools.Shots) -> None:
    tools.images_and_annots(tmp_path, shots)
    with pytest.raises(UsageError, match="no data set is named"):
        open_splits()
    with pytest.raises(UsageError, match="images says where the pictures of train_annotations are"):
        open_splits(tmp_path, images=tmp_path)
    with pytest.raises(UsageError, match="val_annotations alone has nothing to train on"):
        open_splits(val_annotations=tmp_path / "annots")
    with pytest.raises(InputError, match=r"no annotations at .*none; expected a COCO JSON, a folder of XML"):
        open_splits(train_annotations=tmp_path / "none")
    with pytest.raises(InputError, match="no folder of pictures at"):
        open_splits(train_annotations=tmp_path / "annots", images=tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has the name of a picture in .*empty; name the folder"):
        open_splits(train_annotations=tmp_path / "annots", images=tmp_path / "empty")


def test_training_takes_the_options(call: Call, tmp_path: Path, shots: tools.Shots) -> None:
    tools.label_studio_coco(tmp_path, shots)
    file = tmp_path / "result.json"
    code, out, err = call(
        "train", "--train-annotations", file, "--images", tmp_path / "images", "--check-only", "--json"
    )
    assert code == 0, err
    assert "note: 1 of 6 pictures, chosen by seed 0, are for validation" in err
    assert [json.loads(out)[split]["pictures"] for split in ("train", "val")] == [5, 1]
    settings = tmp_path / "settings.toml"
    settings.write_text(f"model = 'yolox_nano'\ntrain_annotations = '{file}'\nval_share = 0.5\n")
    code, _, err = call("train", "--config", settings, "--check-only")
    assert code == 0, err
    assert "note: 3 of 6 pictures" in err
    code, _, err = call("train", "--model", "yolox_nano", "--val-annotations", file)
    assert (code, "--data not given" in err) == (2, True)


def hostile(content: dict[str, Any]) -> dict[str, Any]:
    """Ten faults of ten kinds, and twenty sound objects."""
    content["annotations"] += [
        {"id": 100 + number, "image_id": 5, "category_id": 7, "bbox": [number, 5, 20, 20]}
        for number in range(20)
    ]
    outline = [[10, 10, 30, 10, 30, 40]]
    faults: list[dict[str, Any]] = [
        {"bbox": None, "segmentation": outline},
        {"bbox": [30, 40, -20, -30]},
        {"category_id": 99, "bbox": [1, 1, 9, 9]},
        {"image_id": 77, "bbox": [1, 1, 9, 9]},
        {"bbox": "1, 1, 9, 9"},
        {"bbox": [1, 1, 9, 9], "area": "large"},
        {"bbox": [1, 1, 9, 9], "segmentation": [[1, 2, 3]]},
        {"bbox": [79, 59, 50, 50]},
        {"bbox": [5, 5, 0, 0]},
    ]
    content["annotations"] += [
        {"id": 200 + number, "image_id": 9, "category_id": 3, **fault} for number, fault in enumerate(faults)
    ]
    content["images"].append({"id": "extra", "file_name": "missing.jpg", "height": 60, "width": 80})
    return content


def test_all_faults_are_told_in_one_run(
    call: Call, tmp_path: Path, coco_content: dict[str, Any], write_picture: Write, write_text: Write
) -> None:
    file = write_text(tmp_path / "annotations/instances_train.json", hostile(coco_content))
    write_text(tmp_path / "annotations/instances_val.json", json.loads(file.read_text()))
    for name in ("nine", "five"):
        write_picture(tmp_path / f"images/{name}.jpg")
    code, out, err = call("train", "--data", tmp_path, "--check-only", "--json")
    assert code == 2
    found = {item["kind"]: item for item in json.loads(out)["train"]["problems"]}
    assert {kind: (item["severity"], item["count"]) for kind, item in found.items()} == {
        "malformed_object": ("error", 1),
        "missing_picture": ("error", 1),
        "box_from_mask": ("warning", 1),
        "swapped_corners": ("warning", 1),
        "unknown_category": ("warning", 1),
        "stray_object": ("warning", 1),
        "unusable_area": ("warning", 1),
        "unusable_mask": ("warning", 1),
        "empty_box": ("warning", 1),
        "outside_box": ("warning", 2),
        "duplicate_object": ("warning", 2),
        "text_id": ("note", 1),
    }
    assert "id 204: bbox 1, 1, 9, 9 is not x, y, w, h" in err
    assert "missing.jpg" in err
    code, _, err = call(
        "convert", tmp_path, "--to", "coco", "--out", tmp_path.with_name(f"{tmp_path.name}_mended")
    )
    assert code == 0, err
    code, _, err = call("train", "--data", tmp_path.with_name(f"{tmp_path.name}_mended"), "--check-only")
    assert code == 0, err
