"""Data sets with anything at any place: an error of ours that names it, or what can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import Write
from yolox_deploy.data.checks import check_splits
from yolox_deploy.data.conversion import convert
from yolox_deploy.data.extras import FILE_NAME
from yolox_deploy.data.opening import open_splits
from yolox_deploy.data.splits import Splits
from yolox_deploy.errors import InputError

YAML = "train: images/train\nval: images/val\n"
BOMB = "a0: &a0 [x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


@pytest.fixture
def yolo(tmp_path: Path, write_picture: Write, write_text: Write) -> Path:
    """Two splits of two pictures with one object each, in YOLO's layout."""
    for part in ("train", "val"):
        for number in range(2):
            write_picture(tmp_path / f"set/images/{part}/{part}{number}.png")
            write_text(tmp_path / f"set/labels/{part}/{part}{number}.txt", "0 0.5 0.5 0.2 0.2\n")
    write_text(tmp_path / "set/data.yaml", f"{YAML}names: [cat]\n")
    return tmp_path / "set"


def _opened(folder: Path) -> Splits:
    splits = open_splits(folder)
    check_splits(splits.train, splits.val)
    return splits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{BOMB}{YAML}names: *a11", "unfolds to more than"),
        (f"{YAML}names: {'[' * 1000}", "nested too deeply"),
        (f"{YAML}names: [cat]\nnames: [dog]", "'names' stands twice"),
        (f"{YAML}names: [cat, null]", r"names\[1\] is None"),
        (f"{YAML}names: [cat, [dog]]", r"names\[1\] is \['dog'\]"),
        (f'{YAML}names: ["cat\\ndog"]', r"class_names\[0\] is 'cat\\ndog'; expected a text of one line"),
        (f'{YAML}names: ["\\uD800"]', r"class_names\[0\]"),
        (f"{YAML}names: [{'x' * 2000}]", "at most 1000 characters"),
        (f"{YAML}names: [cat]\nnc: {'9' * 3000}", "3000 digits"),
        (f"val: images/val\nnames: [cat]\ntrain: {'x' * 5000}", "train is"),
        (f"val: images/val\nnames: [cat]\ntrain: {'x' * 300}", "File name too long|no pictures in"),
        ('val: images/val\nnames: [cat]\ntrain: "\\0"', "train is"),
        (f"{YAML}names: [cat]\ndate: 2020-13-45", "month"),
        (f"{YAML}names: !!python/object:os.system [cat]", "constructor"),
    ],
)
def test_a_hostile_data_yaml_is_refused_by_what_is_wrong(
    yolo: Path, write_text: Write, text: str, said: str
) -> None:
    write_text(yolo / "data.yaml", text)
    with pytest.raises(InputError, match=said) as caught:
        _opened(yolo)
    assert len(str(caught.value)) < 6000


@pytest.mark.parametrize("target", ["train0.txt", "/dev/zero", "."])
def test_a_label_file_that_is_none_is_told_and_the_rest_read(yolo: Path, target: str) -> None:
    label = yolo / "labels/train/train0.txt"
    label.unlink()
    label.symlink_to(target)
    train = _opened(yolo).train
    assert len(train) == 1
    assert [problem.kind for problem in train.problems] == ["broken_annotation"]


def test_a_folder_that_leads_into_itself_is_read_once(yolo: Path) -> None:
    (yolo / "images/train/again").symlink_to(yolo / "images")
    assert len(_opened(yolo).train) == 2 + 2  # those of val lie below train then


def test_a_class_of_two_billion_needs_no_memory(yolo: Path, write_text: Write) -> None:
    write_text(yolo / "labels/train/train0.txt", "2000000000 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match="class 2000000000, but 1 class names"):
        _opened(yolo).train.to_coco()


@pytest.mark.parametrize(
    "categories",
    [[{"id": 0}], [{"name": "cat"}], [5], {"id": 0}, [{"id": "x", "name": "cat"}], [{"id": 0, "name": None}]],
)
def test_notes_of_another_form_are_named(yolo: Path, write_text: Write, categories: Any) -> None:
    (yolo / "data.yaml").unlink()
    write_text(yolo / "notes.json", {"categories": categories})
    with pytest.raises(InputError, match=r"notes\.json has no sound categories"):
        _opened(yolo)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("images", 0, "file_name"), "x" * 5000, None),
        (("images", 0, "file_name"), "a\0b", None),
        (("images", 0, "file_name"), "\ud800", "cannot be kept"),
        (("images", 0, "id"), 10**30, "cannot be kept"),
        (("categories", 0, "name"), {"a": 1}, None),
        (("categories", 0, "name"), "a\nb", "class_names"),
        (("annotations", 0, "bbox"), [10**400] * 4, None),
        (("annotations", 0, "segmentation"), {"size": [60, 80], "counts": "o" * 1_000_000}, None),
        (("annotations", 0, "category_id"), [[1]], None),
    ],
)
def test_a_hostile_entry_of_coco_is_told(
    tmp_path: Path,
    write_picture: Write,
    write_text: Write,
    coco_content: dict[str, Any],
    place: tuple[str, int, str],
    value: Any,
    said: str | None,
) -> None:
    write_picture(tmp_path / "images/nine.jpg")
    write_picture(tmp_path / "images/five.jpg")
    write_text(tmp_path / "annotations/instances_val.json", json.dumps(coco_content))
    coco_content[place[0]][place[1]][place[2]] = value
    write_text(tmp_path / "annotations/instances_train.json", json.dumps(coco_content))
    if said is None:
        splits = open_splits(tmp_path)
        assert check_splits(splits.train, splits.val)[0].problems
    else:
        with pytest.raises(InputError, match=said):
            open_splits(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: kept["category_ids"].append(9), "2 category ids for 1 class names"),
        (lambda kept: _first(kept).update(class_id=-1), "an object of a class without a name"),
        (lambda kept: _first(kept).update(rings=[[1, 2, 3]]), "a ring of no points"),
        (lambda kept: _first(kept).update(area="x"), "area: expected a number"),
    ],
)
def test_what_is_kept_beside_labels_is_checked(
    tmp_path: Path, yolo: Path, change: Callable[[Any], None], said: str
) -> None:
    convert(yolo, "yolo", tmp_path / "out")
    file = tmp_path / "out" / FILE_NAME
    kept = json.loads(file.read_text())
    change(kept)
    file.write_text(json.dumps(kept))
    with pytest.raises(InputError, match=said):
        _opened(tmp_path / "out")


def _first(kept: Any) -> Any:
    return next(iter(kept["pictures"].values()))["objects"][0]


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_names_that_look_like_paths_stay_in_the_folder(
    tmp_path: Path, yolo: Path, write_text: Write, to: str
) -> None:
    write_text(yolo / "data.yaml", f'{YAML}names: ["../../x<&>", "N/A", "traffic light"]\n')
    convert(yolo, to, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]
    assert _opened(tmp_path / "out").train.class_names == ("../../x<&>", "N/A", "traffic light")
