"""Each fault of a data set is found, counted and named; a sound one has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.data import DetectionDataset, check_splits
from yolox_deploy.data.checks import MAX_OBJECTS, check_dataset
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.report import DatasetReport, Problem, Tally, raise_for_errors
from yolox_deploy.errors import InputError
from yolox_deploy.training.config import Augmentation

Write = Callable[..., Path]
SIZE = (60, 80)
SOUND = ((0, (10, 10, 20, 20)), (1, (0, 0, 80, 60)))


@pytest.fixture
def build(tmp_path: Path, write_picture: Write) -> Callable[..., DetectionDataset]:
    """Builds a data set of pictures `sub/0.jpg`, ... that exist, from (class, box) of each picture."""

    def make(
        *pictures: Sequence[tuple[int, tuple[float, float, float, float]]],
        names: Sequence[str] = ("cat", "dog"),
        crowd: bool = False,
    ) -> DetectionDataset:
        rows = []
        for index, objects in enumerate(pictures):
            write_picture(tmp_path / f"sub/{index}.jpg", SIZE)
            items = [ObjectRow(class_id, box, box[2] * box[3], crowd=crowd) for class_id, box in objects]
            rows.append(PictureRow(f"sub/{index}.jpg", SIZE, index + 1, items))
        return dataset_from_rows(rows, source=tmp_path / "source", folder=tmp_path, class_names=names)

    return make


Build = Callable[..., DetectionDataset]


def only(report: DatasetReport) -> Problem:
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def test_a_sound_data_set_has_no_problems(build: Build) -> None:
    report = check_dataset(build(SOUND, (), SOUND))
    assert report.problems == ()
    assert (report.pictures, report.objects, report.crowds) == (3, 4, 0)
    assert report.to_lines()[0].endswith("source: 3 pictures, 4 objects, 0 crowds")
    raise_for_errors(report)


def test_real_data_is_sound_but_small(shared: Path) -> None:
    folder = shared / "real/coco_mini"
    report = check_dataset(read_coco(folder / "instances.json", folder / "images"))
    assert {problem.kind for problem in report.problems} <= {"absent_class"}
    raise_for_errors(report)


def test_missing_pictures(build: Build, tmp_path: Path) -> None:
    data = build(SOUND, SOUND, SOUND)
    (tmp_path / "sub/1.jpg").unlink()
    for pictures in (True, False):
        report = check_dataset(data, pictures=pictures)
        problem = only(report)
        assert (problem.kind, problem.count, problem.examples) == ("missing_picture", 1, ("sub/1.jpg",))
        with pytest.raises(InputError, match=r"cannot be trained on:\n  error: 1 .*sub/1\.jpg"):
            raise_for_errors(report)


def test_a_missing_folder(build: Build, tmp_path: Path) -> None:
    data = build(SOUND, SOUND)
    (tmp_path / "sub").rename(tmp_path / "elsewhere")
    assert only(check_dataset(data)).count == 2


@pytest.mark.parametrize("kept", [0, 1, 200])
def test_broken_pictures(build: Build, tmp_path: Path, kept: int) -> None:
    data = build(SOUND, SOUND)
    path = tmp_path / "sub/1.jpg"
    path.write_bytes(path.read_bytes()[:kept])
    problem = only(check_dataset(data))
    assert (problem.kind, problem.severity, problem.count) == ("unreadable_picture", "error", 1)
    assert "1.jpg" in problem.examples[0]
    assert check_dataset(data, pictures=False).problems == ()


def test_pictures_of_another_size(build: Build, tmp_path: Path, write_picture: Write) -> None:
    data = build(SOUND, SOUND)
    write_picture(tmp_path / "sub/1.jpg", (80, 60))
    problem = only(check_dataset(data))
    assert (problem.kind, problem.severity, problem.count) == ("other_size", "error", 1)
    assert problem.examples == ("sub/1.jpg: annotated 80x60, is 60x80",)


def test_boxes_that_reach_out_are_clipped(build: Build) -> None:
    data = build(SOUND, (*SOUND, (0, (70, 50, 20, 20))), ((0, (-0.9, 0, 20, 60.9)),))
    problem = only(check_dataset(data))
    assert (problem.kind, problem.severity, problem.count) == ("outside_box", "warning", 1)
    assert problem.examples == ("sub/1.jpg: x, y, w, h [70.0, 50.0, 20.0, 20.0]",)
    assert "clipped" in str(problem)


@pytest.mark.parametrize("box", [(10, 10, 0, 5), (30, 30, -5, -5), (90, 10, 5, 5)])
def test_empty_boxes_are_dropped(build: Build, box: tuple[float, float, float, float]) -> None:
    problem = only(check_dataset(build((*SOUND, (0, box)))))
    assert (problem.kind, problem.severity, problem.count) == ("empty_box", "warning", 1)
    assert "dropped" in str(problem)


def test_boxes_of_another_order_are_an_error(build: Build) -> None:
    corners = [(0, (50.0, 40.0, 70.0, 55.0)), (1, (40.0, 30.0, 60.0, 50.0))]
    problem = only(check_dataset(build(corners, corners[:1])))
    assert (problem.kind, problem.severity) == ("wrong_boxes", "error")


def test_boxes_in_shares_of_the_picture_are_an_error(build: Build) -> None:
    problem = only(check_dataset(build([(0, (0.1, 0.1, 0.5, 0.5)), (1, (0.2, 0.1, 0.3, 0.5))])))
    assert (problem.kind, problem.severity) == ("no_objects", "error")


@pytest.mark.parametrize("crowd", [True, False])
def test_no_objects_at_all(build: Build, crowd: bool) -> None:
    report = check_dataset(build(SOUND if crowd else (), crowd=crowd))
    assert only(report).kind == "no_objects"
    assert report.objects == 0
    with pytest.raises(InputError, match="nothing to learn from"):
        raise_for_errors(report)


def test_copies_of_objects(build: Build) -> None:
    first, second = SOUND
    data = build([first, second, first, first], [first, (1, first[1])], SOUND)
    problem = only(check_dataset(data))
    assert (problem.kind, problem.severity, problem.count) == ("duplicate_object", "warning", 2)
    assert all(example.startswith("sub/0.jpg") for example in problem.examples)


def test_pictures_listed_twice(tmp_path: Path, build: Build) -> None:
    names = build(SOUND, SOUND).file_names.tolist()
    rows = [
        PictureRow(name.decode(), SIZE, index, [ObjectRow(index % 2, (1, 1, 9, 9), 81)])
        for index, name in enumerate(names * 2)
    ]
    data = dataset_from_rows(rows, source=tmp_path, folder=tmp_path, class_names=("a", "b"))
    problem = only(check_dataset(data))
    assert (problem.kind, problem.severity, problem.count) == ("duplicate_picture", "warning", 2)
    assert problem.examples == ("sub/0.jpg", "sub/1.jpg")


def test_pictures_listed_under_two_names(tmp_path: Path, write_picture: Write) -> None:
    write_picture(tmp_path / "a.jpg", SIZE)
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "here").symlink_to(tmp_path)
    write_picture(tmp_path / "b.jpg", SIZE)
    names = ("a.jpg", "./a.jpg", "link.jpg", "here/a.jpg", str(tmp_path / "a.jpg"), "b.jpg")
    problem = only(check_dataset(listed(tmp_path, *names)))
    assert (problem.kind, problem.count, problem.examples) == ("duplicate_picture", 1, ("a.jpg",))


def listed(folder: Path, *names: str) -> DetectionDataset:
    rows = [
        PictureRow(name, SIZE, index, [ObjectRow(0, (1, 1, 9, 9), 81)]) for index, name in enumerate(names)
    ]
    return dataset_from_rows(rows, source=folder, folder=folder, class_names=("a",))


def test_pictures_of_both_splits_are_found(tmp_path: Path, write_picture: Write) -> None:
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.jpg", SIZE)
    cv2.imwrite(str(tmp_path / "c.jpg"), np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "val").mkdir()
    (tmp_path / "val/b.jpg").symlink_to("../b.jpg")
    train, val = listed(tmp_path, "a.jpg", "b.jpg"), listed(tmp_path / "val", "b.jpg", "../a.jpg", "../c.jpg")
    first, second = check_splits(train, val)
    assert first.problems == ()
    problem = only(second)
    assert (problem.kind, problem.severity, problem.count) == ("shared_picture", "warning", 2)
    assert problem.examples == ("b.jpg", "../a.jpg")
    assert check_splits(train, train)[1].problems[0].count == 2


def test_more_objects_than_targets(build: Build) -> None:
    many = [(0, (float(x), float(y), 5.0, 5.0)) for x in range(0, 70, 5) for y in range(0, 50, 5)]
    data = build((*SOUND, *many[:118]), (*SOUND, *many[:119]), (*SOUND, *many[:138]))
    problem = only(check_dataset(data))
    assert (problem.kind, problem.severity, problem.count) == ("too_many_objects", "warning", 2)
    assert problem.examples == ("sub/1.jpg: 121", "sub/2.jpg: 140")
    assert "more than 120 objects" in problem.meaning
    assert "--set augmentation.max_objects=140" in problem.meaning
    assert check_dataset(data, max_objects=140).problems == ()
    assert "too_many_objects" not in {item.kind for item in check_splits(data, data)[1].problems}
    assert Augmentation().max_objects == MAX_OBJECTS


def test_what_a_reader_left_out_is_reported(tmp_path: Path, build: Build) -> None:
    tally = Tally()
    for number in range(7):
        tally.warn("odd", "odd things", f"number {number}")
    data = dataclasses.replace(build(SOUND), problems=tally.problems(2))
    problem = only(check_dataset(data))
    assert str(problem) == "warning: 7 odd things (number 0, number 1, number 2, number 3, number 4, ...)"


def test_pictures_that_were_just_measured_are_not_read_again(
    tmp_path: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.jpg", SIZE)
    monkeypatch.setattr(
        "yolox_deploy.data.file_checks.picture_size", lambda path: read.append(path.name) or SIZE
    )
    rows = [
        PictureRow(f"{name}.jpg", SIZE, 1, [ObjectRow(0, (1, 1, 9, 9), 81)], measured=name == "a")
        for name in "ab"
    ]
    data = dataset_from_rows(rows, source=tmp_path, folder=tmp_path, class_names=("a",))
    assert check_dataset(data).problems == ()
    assert read == ["b.jpg"]


def test_swapped_sides_and_backslashes_are_explained(
    tmp_path: Path, build: Build, write_picture: Write
) -> None:
    data = build(SOUND)
    write_picture(tmp_path / "sub/0.jpg", SIZE[::-1])
    assert "EXIF orientation" in str(only(check_dataset(data)))
    problem = only(check_dataset(listed(tmp_path, "sub\\0.jpg")))
    assert problem.kind == "missing_picture"
    assert "write / in the names" in problem.meaning


def test_missing_pictures_are_not_taken_for_missing_objects(tmp_path: Path) -> None:
    rows = [PictureRow("none.jpg", (0, 0), 1, [ObjectRow(0, (1, 1, 9, 9), 81)])]
    data = dataset_from_rows(rows, source=tmp_path, folder=tmp_path, class_names=("a",))
    assert only(check_dataset(data)).kind == "missing_picture"


def test_the_errors_of_all_splits_are_told_once(build: Build, tmp_path: Path) -> None:
    wrong = [(0, (50.0, 40.0, 70.0, 55.0)), (1, (40.0, 30.0, 60.0, 50.0))]
    reports = [check_dataset(build(wrong)), check_dataset(build(()))]
    lines = [line for report in reports for line in report.to_lines(errors=False)]
    assert not any(line.startswith("error") for line in lines)
    with pytest.raises(InputError) as caught:
        raise_for_errors(*reports)
    assert str(caught.value).count("cannot be trained on") == 2
    raise_for_errors(check_dataset(build(SOUND)))


def test_classes_without_a_name(build: Build) -> None:
    data = build((*SOUND, (2, (1, 1, 9, 9)), (7, (2, 2, 9, 9)), (7, (3, 3, 9, 9))))
    report = check_dataset(data)
    problem = only(report)
    assert (problem.kind, problem.count, problem.examples) == ("unknown_class", 3, ("class 2", "class 7"))
    with pytest.raises(InputError, match="classes are 0 to 1"):
        raise_for_errors(report)


def test_classes_without_objects_and_names_that_repeat(build: Build) -> None:
    report = check_dataset(build(SOUND, names=("cat", "dog", "bird", "cat")))
    found = {problem.kind: problem for problem in report.problems}
    assert found["absent_class"].examples == ("bird", "cat")
    assert found["repeated_name"].examples == ("cat",)
    assert {problem.severity for problem in report.problems} == {"warning"}


def test_errors_come_first_and_examples_are_few(build: Build, tmp_path: Path) -> None:
    data = build(*([(0, (70, 50, 20, 20)), *SOUND, (1, (3, 3, 9, 9))] for _ in range(8)))
    for index in range(7):
        (tmp_path / f"sub/{index}.jpg").unlink()
    report = check_dataset(data)
    assert [problem.severity for problem in report.problems] == ["error", "warning"]
    assert [problem.count for problem in report.problems] == [7, 8]
    assert all(len(problem.examples) == 5 for problem in report.problems)
    assert [line.split(":")[0] for line in report.to_lines()[1:]] == ["error", "warning"]
    assert all(line.endswith(", ...)") for line in report.to_lines()[1:])


def test_unreadable_pictures_do_not_make_their_boxes_wrong(build: Build, tmp_path: Path) -> None:
    data = build(SOUND)
    rows = [
        PictureRow("sub/0.jpg", SIZE, 1, [ObjectRow(0, (1, 1, 9, 9), 81)]),
        PictureRow("sub/missing.jpg", (0, 0), 2, [ObjectRow(1, (0, 0, 0, 0), 0)] * 2),
    ]
    data = dataset_from_rows(rows, source=tmp_path, folder=tmp_path, class_names=("a", "b"))
    kinds = {problem.kind for problem in check_dataset(data).problems}
    assert kinds == {"missing_picture", "duplicate_object"}


def test_faults_among_many_are_all_found() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for index in range(3000):
        corners, sides = rng.uniform(0, 30, (5, 2)), rng.uniform(5, 29, (5, 2))
        boxes = np.hstack([corners, sides]).tolist()
        if index % 100 == 0:
            boxes += [boxes[0], [1, 1, 0, 5], [70, 50, 20, 20]]
        objects = [ObjectRow(number % 2, (x, y, w, h), w * h) for number, (x, y, w, h) in enumerate(boxes)]
        rows.append(PictureRow(f"{index}.jpg", SIZE, index, objects))
        if index % 100 == 0:
            objects[5] = objects[0]
    data = dataset_from_rows(rows, source=Path("many"), folder=Path("nowhere"), class_names=("a", "b"))
    counts = {problem.kind: problem.count for problem in check_dataset(data, pictures=False).problems}
    assert counts == {"missing_picture": 3000, "duplicate_object": 30, "empty_box": 30, "outside_box": 30}
