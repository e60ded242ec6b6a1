"""Every layout that labelling tools leave opens as it is and converts to every format and back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data import layouts_of_tools as tools
from yolox_deploy.data import DetectionDataset, check_splits, open_dataset
from yolox_deploy.data.conversion import FORMATS, convert
from yolox_deploy.data.opening import open_splits

every_layout = pytest.mark.parametrize("layout", tools.LAYOUTS)


@pytest.fixture(scope="module")
def shots(shared: Path) -> tools.Shots:
    return tools.take_shots(shared / "real/coco_mini")


@pytest.fixture(scope="module")
def folders(shots: tools.Shots, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each layout."""
    root = tmp_path_factory.mktemp("layouts")
    for name, build in tools.LAYOUTS.items():
        build(root / name, shots)
    return {name: root / name for name in tools.LAYOUTS}


def content(*splits: DetectionDataset) -> dict[str, list[tuple[object, ...]]]:
    """Objects by picture: class name, box in thousandths of a pixel, crowd."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for data in splits:
        for index in range(len(data)):
            assert data.path(index).is_file()
            rows = range(int(data.offsets[index]), int(data.offsets[index + 1]))
            objects = [
                (
                    data.class_names[data.classes[row]],
                    *np.round(data.boxes[row], 3).tolist(),
                    bool(data.crowds[row]),
                )
                for row in rows
            ]
            assert data.path(index).name not in found
            found[data.path(index).name] = sorted(objects)
    return found


def ids(data: DetectionDataset) -> dict[str, int]:
    return {data.path(index).name: int(data.image_ids[index]) for index in range(len(data))}


@every_layout
def test_it_opens_as_it_is(folders: dict[str, Path], shots: tools.Shots, layout: str) -> None:
    train, val = open_splits(folders[layout])
    crowds = layout in tools.WITH_CROWDS
    expected = {
        shot.name: sorted(
            (name, *np.round(box, 3).tolist(), crowd) for name, box, crowd in shot.objects if crowds >= crowd
        )
        for shot in shots
    }
    assert content(train, val) == expected
    assert train.class_names == val.class_names
    assert set(train.class_names) >= {name for objects in expected.values() for name, *_ in objects}
    reports = check_splits(train, val)
    assert not [problem for report in reports for problem in report.problems if problem.severity == "error"]
    assert len(val) == (2 if layout in tools.WHOLE else 4)
    notes = [str(problem) for problem in train.problems if problem.kind == "made_split"]
    assert [note.partition(": no split")[0] for note in notes] == (
        ["note: 2 of 12 pictures, chosen by seed 0, are for validation"] if layout in tools.WHOLE else []
    )
    # One after the other, they are the same.
    alone = [content(open_dataset(folders[layout], split)) for split in ("train", "val")]
    assert alone == [content(train), content(val)]


@pytest.mark.parametrize("to", FORMATS)
@every_layout
def test_it_converts_without_loss(folders: dict[str, Path], tmp_path: Path, layout: str, to: str) -> None:
    before = open_splits(folders[layout])
    reports = convert(folders[layout], to, tmp_path / "out")
    assert [report.pictures for report in reports.values()] == [len(data) for data in before]
    after = open_splits(tmp_path / "out")
    for old, new in zip(before, after, strict=True):
        assert content(new) == content(old)
        assert not {problem.kind for problem in new.problems} - {problem.kind for problem in old.problems}
        assert new.class_names == old.class_names
        assert ids(new) == ids(old)
        assert new.category_ids == old.category_ids


def test_the_page_has_a_row_for_each() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/training.md").read_text(encoding="utf-8")
    table = page.partition("| tool, layout |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert sorted(rows) == sorted(tools.LAYOUTS)


def _xml(path: Path, name: str = "cat") -> None:
    box = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation><object><name>{name}</name>{box}</object></annotation>")


def _picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30, 3), value, np.uint8))


def _told(data: DetectionDataset, kind: str) -> list[tuple[str, ...]]:
    return [problem.examples for problem in data.problems if problem.kind == kind]


def test_annotation_files_without_a_picture_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _picture(tmp_path / f"{name}.png")
        _xml(tmp_path / f"{name}.xml")
    _xml(tmp_path / "gone.xml")
    assert _told(open_dataset(tmp_path, "all"), "stray_file") == [("gone.xml",)]


def test_labels_without_a_picture_are_told(tmp_path: Path) -> None:
    for part in ("train", "val"):
        _picture(tmp_path / f"images/{part}/a.png")
        for name, text in (
            ("a", "0 0.5 0.5 0.2 0.2\n"),
            (f"gone_{part}", "0 0.5 0.5 0.1 0.1\n"),
            ("notes", "hello\n"),
        ):
            (tmp_path / f"labels/{part}").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"labels/{part}/{name}.txt").write_text(text)
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    assert _told(open_dataset(tmp_path, "train"), "stray_file") == [("gone_train.txt",)]
    assert _told(open_dataset(tmp_path, "val"), "stray_file") == [("gone_val.txt",)]


def test_a_file_belongs_to_one_picture_and_masks_are_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _picture(tmp_path / f"JPEGImages/{name}.jpg")
        _picture(tmp_path / f"SegmentationClass/{name}.png")
        _xml(tmp_path / f"Annotations/{name}.xml")
    _picture(tmp_path / "JPEGImages/a.png")
    data = open_dataset(tmp_path, "all")
    assert sorted(Path(data.name(index)).name for index in range(len(data))) == ["a.jpg", "b.jpg"]
    assert _told(data, "twin_picture") == [("a.png",)]


def test_pictures_in_a_folder_of_tests_are_not_trained_on(tmp_path: Path) -> None:
    for place in ("shots/a", "shots/b", "test/c"):
        _picture(tmp_path / f"{place}.png")
        _xml(tmp_path / f"{place}.xml")
    assert len(open_dataset(tmp_path, "train")) == 2
    val = open_dataset(tmp_path, "val")
    assert Path(val.name(0)).name == "c.png"
    assert _told(val, "test_as_val")


def test_the_folder_beside_a_yaml_file_counts_before_one_above(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "mine"):
        for part in ("train", "valid"):
            _picture(place / part / "images" / f"{place.name}.png")
            (place / part / "labels").mkdir(parents=True)
            (place / part / "labels" / f"{place.name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    text = "train: ../train/images\nval: ../valid/images\nnames: [cat]\n"
    (tmp_path / "mine/data.yaml").write_text(text)
    assert Path(open_dataset(tmp_path / "mine", "train").name(0)).name == "mine.png"


def test_image_sets_quote_names_with_blanks(tmp_path: Path) -> None:
    sets = {"Train": ["my a", "my b"], "Validation": ["my c"]}
    for part, names in sets.items():
        for name in names:
            _picture(tmp_path / f"JPEGImages/{name}.jpg")
            _xml(tmp_path / f"Annotations/{name}.xml")
        file = tmp_path / f"ImageSets/Main/{part}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f'"{name}"\n' for name in names))
    val = open_dataset(tmp_path, "val")
    assert [Path(val.name(index)).name for index in range(len(val))] == ["my c.jpg"]
    assert _told(open_dataset(tmp_path, "train"), "made_split") == []


def test_copies_of_a_picture_in_both_splits_are_told(tmp_path: Path) -> None:
    for part in ("train", "val"):
        _picture(tmp_path / part / f"{part}_a.png", 7)
        _picture(tmp_path / part / f"{part}_b.png", 100 if part == "train" else 200)
        for name in ("a", "b"):
            _xml(tmp_path / part / f"{part}_{name}.xml")
    train, val = (open_dataset(tmp_path, part) for part in ("train", "val"))
    _, report = check_splits(train, val)
    shared = [problem.examples for problem in report.problems if problem.kind == "shared_picture"]
    assert [Path(name).name for names in shared for name in names] == ["val_a.png"]


def test_pictures_that_only_begin_alike_are_no_copies(tmp_path: Path) -> None:
    """Uncompressed pictures are all of one length, and many begin with the same rows."""
    for part, last in (("train", 7), ("val", 8)):
        pixels = np.zeros((200, 200, 3), np.uint8)
        pixels[0] = last  # a bitmap is written from its bottom up
        (tmp_path / part).mkdir()
        cv2.imwrite(str(tmp_path / part / f"{part}.bmp"), pixels)
        _xml(tmp_path / part / f"{part}.xml")
    _, report = check_splits(*(open_dataset(tmp_path, part) for part in ("train", "val")))
    assert "shared_picture" not in {problem.kind for problem in report.problems}


def test_coco_files_that_are_not_read_are_told(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    _picture(tmp_path / "a.png")
    for name in ("train", "val", "more"):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert _told(open_dataset(tmp_path, "train"), "other_file") == [("more.json",)]
