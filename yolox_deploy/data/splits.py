"""The splits of a data set: made by seed where there are none, and brought to the same classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import find_names
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.data.selection import relative_names, select, without_objects
from yolox_deploy.errors import InputError, UsageError

VAL_SHARE = 0.2
"""Of the pictures, for validation, where a data set is not split."""


class Splits(NamedTuple):
    """Pictures to train on and to evaluate on, with the same classes."""

    train: DetectionDataset
    val: DetectionDataset


def split_by_seed(dataset: DetectionDataset, share: float = VAL_SHARE, seed: int = 0) -> Splits:
    """Part the pictures into those to train on and those to evaluate on.

    It follows from their names and the seed alone: those with the smallest hashes of both are for evaluation. So the
    split is the same everywhere, and a picture that is added later moves few others.

    Args:
        share: of the pictures to evaluate on, 0-1; at least one of them and at most all but one.

    Raises:
        InputError: there is only one picture.
        UsageError: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise UsageError(f"the share of pictures for validation is {share}; expected one between 0 and 1")
    if len(dataset) < 2:
        raise InputError(f"{dataset.source} has one picture and no split; expected two or more")
    count = min(max(round(share * len(dataset)), 1), len(dataset) - 1)
    hashes = [
        hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest()
        for name in relative_names(dataset)
    ]
    order = sorted(range(len(dataset)), key=lambda index: (hashes[index], index))
    chosen = np.zeros(len(dataset), np.bool_)
    chosen[order[:count]] = True
    meaning = (
        f"of {len(dataset)} pictures, chosen by seed {seed}, are for validation: no split was found; to make it "
        "permanent: yolox-deploy convert SRC --to coco --out DIR"
    )
    note = Problem("made_split", "note", count, (), meaning)
    train = with_problems(select(dataset, np.flatnonzero(~chosen)), *dataset.problems, note)
    return Splits(train, replace(select(dataset, np.flatnonzero(chosen)), problems=()))


def with_problems(dataset: DetectionDataset, *problems: Problem) -> DetectionDataset:
    """The data set with these problems alone."""
    return replace(dataset, problems=problems)


def match_classes(train: DetectionDataset, val: DetectionDataset) -> DetectionDataset:
    """`val` with the classes of `train`, in their order: matched by name, whatever their ids.

    Names that are written otherwise ("Dining Table", "dining_table") are the same where that is beyond doubt
    (`class_names.find_names`), with a warning in `problems`. Objects of classes that `train` does not have are left
    out, and an error there.

    Raises:
        InputError: the names differ and cannot be matched, because one occurs twice.
    """
    if (train.class_names, train.category_ids) == (val.class_names, val.category_ids):
        return val
    if train.class_names == val.class_names:
        return replace(val, category_ids=train.category_ids)
    repeated = sorted(
        {name for names in (train.class_names, val.class_names) for name in names if names.count(name) > 1}
    )
    if repeated:
        raise InputError(
            f"the classes of {train.source} and {val.source} differ and cannot be matched by name: "
            f"{', '.join(repeated[:EXAMPLES])} occurs twice"
        )
    found = find_names(val.class_names, train.class_names)
    # Classes without a name stay without one: the checks tell.
    beyond = max(int(val.classes.max(initial=0)) + 1 - len(val.class_names), 0)
    table = [-1 if index is None else index for index in found]
    table += [len(train.class_names) + number for number in range(beyond)]
    classes = np.array(table, np.int64)[val.classes]
    problems = [*val.problems, *_written_otherwise(train, val, found)]
    foreign = np.flatnonzero(classes < 0)
    if len(foreign):
        problems.append(_foreign(train, val, foreign))
        val, classes = without_objects(val, foreign), np.delete(classes, foreign)
    return replace(
        val,
        class_names=train.class_names,
        category_ids=train.category_ids,
        classes=classes,
        problems=tuple(problems),
    )


def _written_otherwise(
    train: DetectionDataset, val: DetectionDataset, found: Sequence[int | None]
) -> Iterator[Problem]:
    pairs = [
        (name, train.class_names[at])
        for name, at in zip(val.class_names, found, strict=True)
        if at is not None
    ]
    examples = [f"{name} = {other}" for name, other in pairs if name != other]
    if examples:
        meaning = f"classes are written otherwise in {train.source}: taken for the same"
        yield Problem("renamed_class", "warning", len(examples), tuple(examples[:EXAMPLES]), meaning)


def _foreign(train: DetectionDataset, val: DetectionDataset, rows: NDArray[np.int64]) -> Problem:
    names = [val.class_names[index] for index in np.unique(val.classes[rows])]
    meaning = (
        f"classes, of {len(rows)} objects, are not in {train.source}: use the same names, or take them out"
    )
    return Problem("foreign_class", "error", len(names), tuple(names[:EXAMPLES]), meaning)
