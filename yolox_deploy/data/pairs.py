"""Pictures and their annotation files in a folder that is laid out in any way: paired by their names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.data.split_names import PartName, part_of, part_of_path
from yolox_deploy.sources import IMAGE_SUFFIXES

ROLES = frozenset(
    [
        "images",
        "image",
        "imgs",
        "img",
        "jpegimages",
        "pictures",
        "photos",
        "default",
        "annotations",
        "annotation",
        "annots",
        "annot",
        "anns",
        "xml",
        "xmls",
        "labels",
        "label",
        "txt",
    ]
)
"""Names of folders that say what is in them and not which pictures."""

_Key = tuple[str, ...]


class Paired(NamedTuple):
    """A picture, its annotation file where it has one, and the split that its folders name."""

    picture: Path
    annotation: Path | None
    part: PartName | None


def find_pairs(pictures: Path, suffix: str, annotations: Path | None = None) -> list[Paired]:
    """The pictures below a folder, in the order of their names, with the files of `suffix` that are theirs.

    `images/train/a.jpg` and `labels/train/a.txt`, `train/a.jpg` and `train/a.xml`, `JPEGImages/a.jpg` and
    `Annotations/a.xml` are pairs: same names of files and folders, but for folders that tell pictures from
    annotations. Else a name that is there once is enough.

    Args:
        annotations: where their files are; None for the same folder.

    Returns:
        No pair where no picture has a file.
    """
    found = sorted(_files(pictures, IMAGE_SUFFIXES))
    root = annotations or pictures
    files = sorted(_files(root, {suffix}))
    by_key = {_key(path, root): path for path in files}
    by_stem = _unique((path.stem.casefold(), path) for path in files)
    stems = Counter(path.stem.casefold() for path in found)
    pairs = []
    for path in found:
        annotation = by_key.get(_key(path, pictures))
        if annotation is None and stems[path.stem.casefold()] == 1:
            annotation = by_stem.get(path.stem.casefold())
        part = part_of_path(path.relative_to(pictures).parts[:-1])
        if part is None and annotation is not None:
            part = part_of_path(annotation.relative_to(root).parts[:-1])
        pairs.append(Paired(path, annotation, part))
    return pairs if any(item.annotation for item in pairs) else []


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below, hidden ones left out and linked ones entered once, with the names of its files."""
    entered = set()
    for place, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(place), sorted(name for name in names if not name.startswith("."))


def _files(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    wanted = frozenset(suffixes)
    return (
        place / name
        for place, names in walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in wanted
    )


def _key(path: Path, root: Path) -> _Key:
    relative = PurePath(path.relative_to(root))
    folders = [part_of(part) or part.casefold() for part in relative.parts[:-1]]
    return (*(part for part in folders if part not in ROLES), relative.stem)


def _unique(items: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    twice = set()
    for key, path in items:
        if found.setdefault(key, path) != path:
            twice.add(key)
    return {key: path for key, path in found.items() if key not in twice}


def parts_of(pairs: Sequence[Paired]) -> dict[PartName, list[Paired]]:
    """The pairs of each split; of pictures that are in no folder of a split, all together where there is none."""
    groups: dict[PartName, list[Paired]] = {}
    for item in pairs:
        groups.setdefault(item.part or "all", []).append(item)
    if groups.keys() & {"train", "val"}:
        groups.pop("all", None)
        return groups
    return {"all": list(pairs)}


def left_over(pairs: Sequence[Paired]) -> tuple[Problem, ...]:
    """Of the pictures that `parts_of` leaves out."""
    kept = {item.picture for group in parts_of(pairs).values() for item in group}
    names = [item.picture.name for item in pairs if item.picture not in kept]
    if not names:
        return ()
    meaning = "pictures are in no folder of a split: left out"
    return (Problem("no_split", "warning", len(names), tuple(names[:EXAMPLES]), meaning),)
