"""Find what is wrong with a data set before training does: all of it at once, with examples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.picture_size import UNKNOWN, picture_size
from yolox_deploy.data.report import DatasetReport, Problem
from yolox_deploy.errors import InputError

_EXAMPLES = 5
_TOLERANCE = 1.0  # pixels; annotation tools round, and VOC counts from 1


def check_dataset(
    dataset: DetectionDataset, *, num_classes: int | None = None, pictures: bool = True
) -> DatasetReport:
    """Check the annotations of a data set and the files of its pictures.

    Args:
        dataset: one split.
        num_classes: of the model; None to leave the comparison out.
        pictures: read each picture's header for its size, and decode those that look broken. Without, only
            missing files are found.
    """
    trained = ~dataset.crowds
    # The picture of each object; objects of unreadable pictures would all seem to be outside.
    owners = np.repeat(np.arange(len(dataset)), np.diff(dataset.offsets))
    known = trained & (dataset.sizes[owners] > 0).all(axis=1)
    found = [
        *_check_classes(dataset, trained, num_classes),
        *_check_boxes(dataset, owners, known),
        *_check_duplicates(dataset, owners),
        *_check_files(dataset, pictures),
    ]
    return DatasetReport(
        source=str(dataset.source),
        pictures=len(dataset),
        objects=int(trained.sum()),
        crowds=int(dataset.crowds.sum()),
        problems=tuple(sorted(found, key=lambda problem: problem.severity)),
    )


def require_same_classes(train: DetectionDataset, val: DetectionDataset) -> None:
    """Compare the classes of two splits, in their order.

    Raises:
        InputError: they differ.
    """
    if train.class_names != val.class_names:
        differing = sorted(set(train.class_names) ^ set(val.class_names))
        what = f"{', '.join(differing[:_EXAMPLES])} in one alone" if differing else "their order differs"
        raise InputError(
            f"the classes of {train.source} ({len(train.class_names)}) and {val.source} "
            f"({len(val.class_names)}) must be the same: {what}"
        )


def _check_classes(
    dataset: DetectionDataset, trained: NDArray[np.bool_], num_classes: int | None
) -> Iterator[Problem]:
    names = dataset.class_names
    if num_classes is not None and num_classes != len(names):
        yield Problem(
            "class_count",
            "error",
            len(names),
            names[:_EXAMPLES],
            f"classes in the data set, but the model has {num_classes}: build it with {len(names)}",
        )
    beyond = np.flatnonzero(dataset.classes >= len(names))
    if len(beyond):
        yield Problem(
            "unknown_class",
            "error",
            len(beyond),
            tuple(f"class {item}" for item in np.unique(dataset.classes[beyond])[:_EXAMPLES]),
            f"objects of a class that has no name: classes are 0 to {len(names) - 1}",
        )
    counts = np.bincount(dataset.classes[trained], minlength=len(names))[: len(names)]
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    if absent and counts.any():
        meaning = "classes without any object: the model will not learn them"
        yield Problem("absent_class", "warning", len(absent), tuple(absent[:_EXAMPLES]), meaning)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        meaning = "class names that occur twice: they stay classes of their own"
        yield Problem("repeated_name", "warning", len(repeated), tuple(repeated[:_EXAMPLES]), meaning)


def _check_boxes(
    dataset: DetectionDataset, owners: NDArray[np.int64], known: NDArray[np.bool_]
) -> Iterator[Problem]:
    sizes = dataset.sizes[owners]
    clipped = dataset.clipped(slice(None), sizes)
    sides = clipped[:, 2:] - clipped[:, :2]
    empty = known & (sides <= 0).any(axis=1)
    ends = dataset.boxes[:, :2] + dataset.boxes[:, 2:]
    over = (dataset.boxes[:, :2] < -_TOLERANCE) | (ends > sizes[:, [1, 0]] + _TOLERANCE)
    outside = known & over.any(axis=1) & ~empty
    usable = known & (sides > 1).all(axis=1)
    if not usable.any():
        meaning = "objects wider and higher than a pixel: there is nothing to learn from. Boxes are in pixels"
        yield Problem("no_objects", "error", 0, (), meaning)
    if empty.any():
        meaning = "boxes without area inside their picture: dropped"
        yield _boxes_problem(dataset, owners, "empty_box", empty, meaning)
    if outside.sum() + empty.sum() > known.sum() / 2:
        meaning = "boxes reach out of their picture, most of all: check the order and the unit of the numbers"
        yield _boxes_problem(dataset, owners, "wrong_boxes", outside | empty, meaning, "error")
    elif outside.any():
        meaning = "boxes reach out of their picture: clipped"
        yield _boxes_problem(dataset, owners, "outside_box", outside, meaning)


def _boxes_problem(
    dataset: DetectionDataset,
    owners: NDArray[np.int64],
    kind: str,
    at: NDArray[np.bool_],
    meaning: str,
    severity: Literal["error", "warning"] = "warning",
) -> Problem:
    rows = np.flatnonzero(at)
    examples = (
        f"{_name(dataset, owners[row])}: x, y, w, h {[round(value, 1) for value in dataset.boxes[row].tolist()]}"
        for row in rows[:_EXAMPLES]
    )
    return Problem(kind, severity, len(rows), tuple(examples), meaning)


def _check_duplicates(dataset: DetectionDataset, owners: NDArray[np.int64]) -> Iterator[Problem]:
    table = np.column_stack([dataset.boxes, dataset.classes, owners])
    order = np.lexsort(table.T)
    same = (table[order[1:]] == table[order[:-1]]).all(axis=1)
    if same.any():
        copies = np.zeros(len(table), np.bool_)
        copies[order[1:][same]] = True
        meaning = "copies of an object, with the same class and box: kept, each counts as an object"
        yield _boxes_problem(dataset, owners, "duplicate_object", copies, meaning)
    names, counts = np.unique(dataset.file_names, return_counts=True)
    twice = names[counts > 1]
    if len(twice):
        meaning = "pictures are listed more than once: kept, each listing counts as a picture"
        examples = tuple(os.fsdecode(name) for name in twice[:_EXAMPLES])
        yield Problem("duplicate_picture", "warning", len(twice), examples, meaning)


def _check_files(dataset: DetectionDataset, headers: bool) -> Iterator[Problem]:
    missing = _missing(dataset)
    unreadable: list[str] = []
    other_size: list[str] = []
    for index in sorted(set(range(len(dataset))) - set(missing)) if headers else ():
        try:
            size = picture_size(dataset.path(index))
        except InputError as error:
            unreadable.append(str(error))
            continue
        if dataset.size(index) not in (size, UNKNOWN):
            annotated = "{1}x{0}".format(*dataset.size(index))
            other_size.append(f"{_name(dataset, index)}: annotated {annotated}, is {size[1]}x{size[0]}")
    absent = [_name(dataset, index) for index in missing]
    yield from _files_problem("missing_picture", absent, f"pictures are missing from {dataset.folder}")
    yield from _files_problem("unreadable_picture", unreadable, "pictures cannot be read")
    meaning = "pictures have another width or height than annotated, so their boxes are elsewhere"
    yield from _files_problem("other_size", other_size, meaning)


def _missing(dataset: DetectionDataset) -> list[int]:
    """Pictures that are not there, by one listing a folder: a look for each is slow on network drives."""
    listings: dict[str, frozenset[str]] = {}
    missing = []
    for index, name in enumerate(dataset.file_names.tolist()):
        folder, file_name = os.path.split(os.fsdecode(name))
        if folder not in listings:
            place = dataset.folder / folder
            listings[folder] = frozenset(os.listdir(place)) if os.path.isdir(place) else frozenset()
        if file_name not in listings[folder]:
            missing.append(index)
    return missing


def _files_problem(kind: str, found: Sequence[str], meaning: str) -> Iterator[Problem]:
    if found:
        yield Problem(kind, "error", len(found), tuple(found[:_EXAMPLES]), meaning)


def _name(dataset: DetectionDataset, index: int) -> str:
    return os.fsdecode(dataset.file_names[index])
