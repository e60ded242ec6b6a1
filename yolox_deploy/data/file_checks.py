"""Find what is wrong with the files of pictures: missing, unreadable, of another size, twice, in both splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.picture_size import UNKNOWN, picture_size
from yolox_deploy.data.report import EXAMPLES, Problem, Severity
from yolox_deploy.errors import InputError
from yolox_deploy.files import backslash_hint

BEGINNING = 1 << 12
"""Bytes of a file that tell most pictures of one length apart: as much as its header costs."""


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


def check_shared(
    train: DetectionDataset, val: DetectionDataset, *, contents: bool = False
) -> Iterator[Problem]:
    """Pictures of `val` that are trained on: the same files, whatever they are called, and with `contents` copies."""
    trained, found = set(_real_paths(train)), _real_paths(val)
    same = {path for path in found if path and path in trained}
    if contents:
        same |= _copies(trained, found)
    shared = [val.name(index) for index, path in enumerate(found) if path in same]
    meaning = "pictures are trained on too, so the AP says little about new ones: take them out of one split"
    yield from _problem("shared_picture", "warning", shared, meaning)


def _copies(trained: Iterable[str | None], found: Iterable[str | None]) -> set[str]:
    """Those found that hold the same bytes as one of the others. Files of a length that both have are looked at: how
    they begin, and where that is the same, all of them.
    """
    groups = [_by_length(paths) for paths in (trained, found)]
    copies: set[str] = set()
    for length in groups[0].keys() & groups[1].keys():
        others, left = groups[0][length], groups[1][length]
        for most in (BEGINNING, -1):
            known = {_hash(path, most) for path in others}
            left = [path for path in left if _hash(path, most) in known]
            if not left:
                break
        copies.update(left)
    return copies


def _by_length(paths: Iterable[str | None]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for path in paths:
        if path is not None and os.path.isfile(path) and (length := os.path.getsize(path)):
            groups.setdefault(length, []).append(path)
    return groups


def _hash(path: str, most: int) -> bytes:
    """Of the first `most` bytes, -1 for all; of an unreadable file, which is told elsewhere, of its name."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read(most)).digest()
    except OSError:
        return os.fsencode(path)


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


def _problem(kind: str, severity: Severity, found: Sequence[str], meaning: str) -> Iterator[Problem]:
    if found:
        yield Problem(kind, severity, len(found), tuple(found[:EXAMPLES]), meaning)
