"""Find what is wrong with a data set before training does: all of it at once, with examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.file_checks import check_files, check_shared
from yolox_deploy.data.report import EXAMPLES, SEVERITIES, DatasetReport, Problem, Severity

MAX_OBJECTS = 120
"""The default of the training setting `augmentation.max_objects`."""

_TOLERANCE = 1.0  # pixels; annotation tools round, and VOC counts from 1


def check_splits(
    train: DetectionDataset, val: DetectionDataset, *, max_objects: int = MAX_OBJECTS, pictures: bool = True
) -> tuple[DatasetReport, DatasetReport]:
    """`check_dataset` of both splits; the second tells of pictures that are in the first too."""
    return (
        check_dataset(train, max_objects=max_objects, pictures=pictures),
        check_dataset(val, max_objects=max_objects, pictures=pictures, train=train),
    )


def check_dataset(
    dataset: DetectionDataset,
    *,
    max_objects: int = MAX_OBJECTS,
    pictures: bool = True,
    train: DetectionDataset | None = None,
) -> DatasetReport:
    """Check the annotations of a data set and the files of its pictures.

    Args:
        dataset: one split.
        max_objects: targets that training keeps of a picture (`augmentation.max_objects`).
        pictures: read each picture's header for its size, and decode those that look broken; those whose size was
            just taken are not read again. Without, only missing files are found.
        train: the split to train on, where `dataset` is the one to evaluate on.
    """
    trained = ~dataset.crowds
    # The picture of each object; objects of unreadable pictures would all seem to be outside.
    owners = np.repeat(np.arange(len(dataset)), np.diff(dataset.offsets))
    known = trained & (dataset.sizes[owners] > 0).all(axis=1)
    found = [
        *check_files(dataset, pictures),
        *_check_classes(dataset, trained, "AP leaves them out" if train else "the model will not learn them"),
        *_check_boxes(dataset, owners, known),
        *_check_copies(dataset, owners),
        *(
            _check_counts(dataset, owners, trained, max_objects)
            if train is None
            else check_shared(train, dataset, contents=pictures)
        ),
        *dataset.problems,
    ]
    return DatasetReport(
        source=str(dataset.source),
        pictures=len(dataset),
        objects=int(trained.sum()),
        crowds=int(dataset.crowds.sum()),
        problems=tuple(sorted(found, key=lambda problem: SEVERITIES.index(problem.severity))),
    )


def _check_classes(
    dataset: DetectionDataset, trained: NDArray[np.bool_], consequence: str
) -> Iterator[Problem]:
    names = dataset.class_names
    beyond = np.flatnonzero(dataset.classes >= len(names))
    if len(beyond):
        yield Problem(
            "unknown_class",
            "error",
            len(beyond),
            tuple(f"class {item}" for item in np.unique(dataset.classes[beyond])[:EXAMPLES]),
            f"objects of a class that has no name: classes are 0 to {len(names) - 1}",
        )
    counts = np.bincount(dataset.classes[trained].clip(max=len(names)), minlength=len(names))[: len(names)]
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    if absent and counts.any():
        meaning = f"classes without any object: {consequence}"
        yield Problem("absent_class", "warning", len(absent), tuple(absent[:EXAMPLES]), meaning)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        meaning = "class names that occur twice: they stay classes of their own"
        yield Problem("repeated_name", "warning", len(repeated), tuple(repeated[:EXAMPLES]), meaning)


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
    if outside.sum() + empty.sum() > known.sum() / 2:
        meaning = "boxes reach out of their picture or are empty, most of all: check the order and unit of the numbers"
        yield _boxes_problem(dataset, owners, "wrong_boxes", outside | empty, meaning, "error")
        return
    if not (known & (sides > 1).all(axis=1)).any() and known.sum() == (~dataset.crowds).sum():
        count = int(known.sum())
        meaning = (
            "objects, none of which is wider and higher than a pixel" if count else "objects to train on"
        )
        meaning += ": there is nothing to learn from. Boxes are expected in pixels"
        yield Problem("no_objects", "error", count, (), meaning)
    if empty.any():
        meaning = "boxes without area inside their picture: dropped"
        yield _boxes_problem(dataset, owners, "empty_box", empty, meaning)
    if outside.any():
        meaning = "boxes reach out of their picture: clipped"
        yield _boxes_problem(dataset, owners, "outside_box", outside, meaning)


def _boxes_problem(
    dataset: DetectionDataset,
    owners: NDArray[np.int64],
    kind: str,
    at: NDArray[np.bool_],
    meaning: str,
    severity: Severity = "warning",
) -> Problem:
    rows = np.flatnonzero(at)
    examples = (
        f"{dataset.name(owners[row])}: x, y, w, h {[round(value, 1) for value in dataset.boxes[row].tolist()]}"
        for row in rows[:EXAMPLES]
    )
    return Problem(kind, severity, len(rows), tuple(examples), meaning)


def _check_copies(dataset: DetectionDataset, owners: NDArray[np.int64]) -> Iterator[Problem]:
    table = np.column_stack([dataset.boxes, dataset.classes, owners])
    order = np.lexsort(table.T)
    same = (table[order[1:]] == table[order[:-1]]).all(axis=1)
    if same.any():
        copies = np.zeros(len(table), np.bool_)
        copies[order[1:][same]] = True
        meaning = "copies of an object, with the same class and box: kept, each counts as an object"
        yield _boxes_problem(dataset, owners, "duplicate_object", copies, meaning)


def _check_counts(
    dataset: DetectionDataset, owners: NDArray[np.int64], trained: NDArray[np.bool_], max_objects: int
) -> Iterator[Problem]:
    counts = np.bincount(owners[trained], minlength=len(dataset))
    crowded = np.flatnonzero(counts > max_objects)
    if len(crowded):
        meaning = (
            f"pictures have more than {max_objects} objects, and the rest would be learnt as background: train with "
            f"--set augmentation.max_objects={counts.max()}"
        )
        examples = tuple(f"{dataset.name(index)}: {counts[index]}" for index in crowded[:EXAMPLES].tolist())
        yield Problem("too_many_objects", "warning", len(crowded), examples, meaning)
