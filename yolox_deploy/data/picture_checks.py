"""Find what is wrong with the picture files of a data set, and pictures that are in it twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.lines import backslash_hint
from yolox_deploy.data.picture_size import UNKNOWN, picture_size
from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.errors import InputError


def check_files(dataset: DetectionDataset, headers: bool) -> Iterator[Problem]:
    """Missing pictures, those listed twice and, with `headers`, unreadable ones and those of another size."""
    found = _real_paths(dataset)
    absent = [dataset.name(index) for index, path in enumerate(found) if path is None]
    where = f"pictures are missing from {dataset.folder}"
    meaning = f"{where}: put them there, or correct their names in the annotations{backslash_hint(absent)}"
    yield from _problem("missing_picture", "error", absent, meaning)
    if headers:
        yield from _check_sizes(dataset, [index for index, path in enumerate(found) if path is not None])
    first: dict[str, int] = {}
    again = {
        path: index for index, path in enumerate(found) if path and first.setdefault(path, index) != index
    }
    twice = sorted(first[path] for path in again)
    meaning = "pictures are listed more than once: kept, each listing counts as a picture"
    yield from _problem("duplicate_picture", "warning", [dataset.name(index) for index in twice], meaning)


def check_shared(train: DetectionDataset, val: DetectionDataset) -> Iterator[Problem]:
    """Pictures of `val` that are trained on: the same files, whatever they are called."""
    trained = set(_real_paths(train))
    shared = [val.name(index) for index, path in enumerate(_real_paths(val)) if path and path in trained]
    meaning = "pictures are trained on too, so the AP says little about new ones: take them out of one split"
    yield from _problem("shared_picture", "warning", shared, meaning)


def _check_sizes(dataset: DetectionDataset, there: Sequence[int]) -> Iterator[Problem]:
    unreadable, other = [], []
    for index in there:
        annotated = dataset.size(index)
        if dataset.measured[index] and annotated != UNKNOWN:
            continue
        try:
            size = picture_size(dataset.path(index))
        except InputError as error:
            unreadable.append(str(error))
            continue
        if annotated not in (size, UNKNOWN):
            claim = "{1}x{0}".format(*annotated)
            other.append(f"{dataset.name(index)}: annotated {claim}, is {size[1]}x{size[0]}")
    meaning = "pictures cannot be read: replace them, or take them out of the annotations"
    yield from _problem("unreadable_picture", "error", unreadable, meaning)
    meaning = (
        "pictures have another width or height than annotated, so their boxes are elsewhere: annotate the pictures as "
        "they are. Swapped sides mean that they are shown turned (EXIF orientation), as here, but were annotated as "
        "they lie: save them without that orientation"
    )
    yield from _problem("other_size", "error", other, meaning)


def _real_paths(dataset: DetectionDataset) -> list[str | None]:
    """Where each picture lies, links followed; None for those that are not there.

    By one listing a folder: a look for each picture is slow on network drives.
    """
    listing = cache(_listing)
    paths: list[str | None] = []
    for name in dataset.file_names.tolist():
        folder, file_name = os.path.split(os.path.join(dataset.folder, os.fsdecode(name)))
        place, is_link = listing(folder)
        path = os.path.join(place, file_name)
        there = file_name in is_link
        paths.append((os.path.realpath(path) if is_link[file_name] else path) if there else None)
    return paths


def _listing(folder: str) -> tuple[str, dict[str, bool]]:
    """The folder, links followed, and for each name in it whether it is a link."""
    if not os.path.isdir(folder):
        return folder, {}
    with os.scandir(folder) as entries:
        return os.path.realpath(folder), {entry.name: entry.is_symlink() for entry in entries}


def _problem(
    kind: str, severity: Literal["error", "warning"], found: Sequence[str], meaning: str
) -> Iterator[Problem]:
    if found:
        yield Problem(kind, severity, len(found), tuple(found[:EXAMPLES]), meaning)
