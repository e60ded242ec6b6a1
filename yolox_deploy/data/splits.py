"""The splits of a data set: made by seed where there are none, and brought to the same classes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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

    Objects of classes that `train` does not have are left out, and an error in `problems`.

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
    index_of = {name: index for index, name in enumerate(train.class_names)}
    # Classes without a name stay without one: the checks tell.
    beyond = max(int(val.classes.max(initial=0)) + 1 - len(val.class_names), 0)
    table = [index_of.get(name, -1) for name in val.class_names]
    table += [len(train.class_names) + number for number in range(beyond)]
    classes = np.array(table, np.int64)[val.classes]
    problems = list(val.problems)
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


def _foreign(train: DetectionDataset, val: DetectionDataset, rows: NDArray[np.int64]) -> Problem:
    names = [val.class_names[index] for index in np.unique(val.classes[rows])]
    lower = {name.casefold(): name for name in train.class_names}
    examples = [
        f"{name} (there is {lower[name.casefold()]})" if name.casefold() in lower else name for name in names
    ]
    meaning = (
        f"classes, of {len(rows)} objects, are not in {train.source}: use the same names, or take them out"
    )
    return Problem("foreign_class", "error", len(names), tuple(examples[:EXAMPLES]), meaning)
