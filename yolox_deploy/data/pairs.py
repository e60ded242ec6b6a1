"""Pictures and their annotation files in a folder that is laid out in any way: paired by their names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.data.split_names import PartName, part_of, part_of_path
from yolox_deploy.paths import IMAGE_SUFFIXES, walk

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

_MASKS = frozenset(["segmentationclass", "segmentationobject"])
"""VOC's folders of masks, which are named like the pictures and are none."""

_LABEL = re.compile(rb"\d+(?:[ \t]+[-+.\deE]+){4,}[ \t\r]*(?:\n|$)")
"""The first row of a label file; other text files are lists and notes."""

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
    annotations. Else a name that is there once is enough. A file belongs to one picture: others of its name, such as
    a.jpg and a.png, are left out (see `unpaired`), and so are VOC's masks.

    Args:
        annotations: where their files are; None for the same folder.

    Returns:
        No pair where no picture has a file.
    """
    found = _pictures(pictures)
    root = annotations or pictures
    files = sorted(_files(root, {suffix}))
    by_key = {_key(path, root): path for path in files}
    by_stem = _unique((path.stem.casefold(), path) for path in files)
    stems = Counter(path.stem.casefold() for path in found)
    pairs: list[Paired] = []
    taken: set[Path] = set()
    for path in found:
        annotation = by_key.get(_key(path, pictures))
        if annotation is None and stems[path.stem.casefold()] == 1:
            annotation = by_stem.get(path.stem.casefold())
        if annotation in taken:
            continue
        if annotation is not None:
            taken.add(annotation)
        part = part_of_path(path.relative_to(pictures).parts[:-1])
        if part is None and annotation is not None:
            part = part_of_path(annotation.relative_to(root).parts[:-1])
        pairs.append(Paired(path, annotation, part))
    return pairs if any(item.annotation for item in pairs) else []


def unpaired(
    pairs: Sequence[Paired], pictures: Path, suffix: str, annotations: Path | None = None
) -> Iterator[Problem]:
    """What `find_pairs` leaves out, of the same folders."""
    kept = {item.picture for item in pairs}
    twins = [path.name for path in _pictures(pictures) if path not in kept]
    if twins:
        meaning = "pictures have the name of another one, whose annotation file is theirs too: left out"
        yield Problem("twin_picture", "warning", len(twins), tuple(twins[:EXAMPLES]), meaning)
    used = {item.annotation for item in pairs}
    yield from stray_files(
        path for path in sorted(_files(annotations or pictures, {suffix})) if path not in used
    )


def stray_files(files: Iterable[Path]) -> Iterator[Problem]:
    """Of annotation files that belong to no picture; text files that hold no labels are none."""
    names = [path.name for path in files if path.suffix.lower() != ".txt" or _holds_labels(path)]
    if names:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        meaning = f"annotation files have no picture of their name: left out. Pictures are {kinds}"
        yield Problem("stray_file", "warning", len(names), tuple(names[:EXAMPLES]), meaning)


def _holds_labels(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _LABEL.match(file.read(1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip()) is not None
    except OSError:
        return False


def _pictures(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(_files(folder, IMAGE_SUFFIXES))
        if _MASKS.isdisjoint(part.casefold() for part in path.relative_to(folder).parts[:-1])
    ]


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
    """The pairs of each split; all together where there is none. Beside a folder of tests, the rest is to train on."""
    groups: dict[PartName, list[Paired]] = {}
    for item in pairs:
        groups.setdefault(item.part or "all", []).append(item)
    if groups.keys() & {"train", "val"}:
        groups.pop("all", None)
        return groups
    if groups.keys() == {"test", "all"}:
        return {"train": groups["all"], "test": groups["test"]}
    return {"all": list(pairs)}


def left_over(pairs: Sequence[Paired]) -> tuple[Problem, ...]:
    """Of the pictures that `parts_of` leaves out."""
    kept = {item.picture for group in parts_of(pairs).values() for item in group}
    names = [item.picture.name for item in pairs if item.picture not in kept]
    if not names:
        return ()
    meaning = "pictures are in no folder of a split: left out"
    return (Problem("no_split", "warning", len(names), tuple(names[:EXAMPLES]), meaning),)
