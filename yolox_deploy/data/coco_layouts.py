"""COCO data sets in folders: one annotation file, or one a split, of the usual names or of any."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.layout import Layout, Part
from yolox_deploy.data.pairs import ROLES
from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.data.split_names import PARTS, PartName, first, part_of
from yolox_deploy.documents import parse_json, read

USUAL: dict[PartName, tuple[str, ...]] = {
    "train": ("train2017", "train2014", "train"),
    "val": ("val2017", "val2014", "val", "valid"),
    "test": ("test",),
}
_FILES = ("annotations/instances_{}.json", "annotations/{}.json", "{}/_annotations.coco.json")
_KEYS = ("images", "annotations", "categories")
_HEAD = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')
_SMALL = 1 << 22
"""Files up to so many bytes are parsed to see what they are; of larger ones, the beginning is looked at."""


def find_usual_coco(folder: Path) -> Layout | None:
    """Files of the usual names; a split that has none of them may have a file of another name."""
    files = usual_files(folder)
    if not files.keys() & {"train", "val"}:
        return None
    if not {"train", "val"} <= files.keys():
        files = {**_by_part(folder, candidates(folder)), **files}
        files.pop("all", None)
    return _layout(folder, files)


def find_any_coco(folder: Path) -> Layout | None:
    """Files of any names, if there is one a split, or one in all."""
    found = candidates(folder)
    files = _by_part(folder, found)
    if not files:
        return None
    return replace(_layout(folder, files), notes=tuple(_others(found, files)))


def _others(found: Sequence[Path], files: Mapping[PartName, Path]) -> Iterator[Problem]:
    names = [file.name for file in found if file not in files.values()]
    if names:
        meaning = f"COCO files are not read, beside {', '.join(file.name for file in files.values())}"
        yield Problem("other_file", "warning", len(names), tuple(names[:EXAMPLES]), meaning)


def usual_files(folder: Path) -> dict[PartName, Path]:
    """The annotation files of the usual names; of several for a split, the first."""
    places = {part: [folder / name for name in coco_files(part)] for part in PARTS}
    found = {part: next((file for file in files if file.is_file()), None) for part, files in places.items()}
    return {part: file for part, file in found.items() if file is not None}


def coco_files(part: PartName) -> list[str]:
    """Where in its folder the annotations of a COCO data set usually are; the first that is there counts."""
    return [pattern.format(name) for name in USUAL[part] for pattern in _FILES]


def candidates(folder: Path) -> list[Path]:
    """The COCO files in a folder and in those right below."""
    places = [folder, *_below(folder)]
    files = (file for place in places for file in sorted(place.iterdir()) if file.suffix.lower() == ".json")
    return [file for file in files if file.is_file() and is_coco(file)]


def is_coco(file: Path) -> bool:
    """Whether a JSON file seems to hold COCO's annotations."""
    try:
        if file.stat().st_size > _SMALL:
            with file.open("rb") as opened:
                return _HEAD.search(opened.read(1 << 16)) is not None
        content = parse_json(read(file), strict=False)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _KEYS)


def picture_folders(folder: Path, file: Path, part: PartName) -> list[Path]:
    """Where the pictures of an annotation file may be; those that are there, the likeliest first."""
    usual = USUAL.get(part, ())
    places = [] if file.parent == folder or file.parent.name.casefold() in ROLES else [file.parent]
    named = [name for name in usual if name in (*file.stem.split("_", 1), file.parent.name)]
    for name in (*named, *usual):
        places += [folder / name, folder / "images" / name]
    places += [
        place for root in (folder, folder / "images") for place in _below(root) if part_of(place.name) == part
    ]
    places += [folder / "images/default", folder / "images", folder, *_below(folder), file.parent]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _below(folder: Path) -> list[Path]:
    """The folders in it; no look at each of what may be many pictures."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def _by_part(folder: Path, files: Sequence[Path]) -> dict[PartName, Path]:
    """The file of each split, or the only file; nothing where that is not clear."""
    groups: dict[PartName | None, list[Path]] = {}
    for file in files:
        relative = file.relative_to(folder).with_suffix("")
        groups.setdefault(first(map(part_of, reversed(relative.parts))), []).append(file)
    named = {part: _chosen(groups[part]) for part in PARTS if part in groups}
    if named.keys() & {"train", "val"}:
        return {part: file for part, file in named.items() if file is not None}
    rest = _chosen([file for group in groups.values() for file in group])
    return {} if rest is None else {"all": rest}


def _chosen(files: Sequence[Path]) -> Path | None:
    """The only one, or the only one of instances."""
    instances = [file for file in files if file.name.startswith("instances")]
    kept = files if len(files) == 1 else instances
    return kept[0] if len(kept) == 1 else None


def _layout(folder: Path, files: dict[PartName, Path]) -> Layout:
    parts: dict[PartName, Part] = {
        part: partial(read_coco, file, picture_folders(folder, file, part)) for part, file in files.items()
    }
    return Layout("COCO", parts)
