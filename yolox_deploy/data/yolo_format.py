"""YOLO text annotations: one text file a picture, a row an object, coordinates as shares of the picture."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.extras import load_extras, restored
from yolox_deploy.data.pairs import stray_files
from yolox_deploy.data.picture_size import size_or_unknown
from yolox_deploy.data.places import SAMPLE
from yolox_deploy.data.report import Tally
from yolox_deploy.data.voc_format import Pair
from yolox_deploy.documents import SLOW_SIZE, parse_yaml, read
from yolox_deploy.errors import InputError, translating
from yolox_deploy.files import read_lines
from yolox_deploy.paths import walk
from yolox_deploy.sources import IMAGE_SUFFIXES
from yolox_deploy.types import is_plain

_MOST_FOLDERS = 4
"""So many folders at the beginning of listed names may be others than here."""

MOST_SHARE = 2.0  # rounding lets shares reach a little over 1; more is pixels

_ROBOFLOW = re.compile(r"\.\./(train|valid|test)/images/?")


class DataYaml(NamedTuple):
    """A `data.yaml`.

    Attributes:
        names: of the classes.
        splits: the folders or lists of train, val and test.
        keypoints: numbers of a pose that follow the box in each row.
    """

    names: tuple[str, ...]
    splits: dict[str, list[Path]]
    keypoints: int


def read_yolo(
    sources: Sequence[Path], class_names: Sequence[str], *, source: Path, keypoints: int = 0
) -> DetectionDataset:
    """Read pictures and their label files, found by `images` in the path replaced with `labels`, else beside them.

    Args:
        sources: folders of pictures, subfolders too, or text files that list pictures.
        class_names: one name a class.
        source: the file or folder to name in messages.
        keypoints: numbers that follow the box and are left out; with them, no row is a polygon.

    Raises:
        InputError: there are no pictures or no labels.
    """
    pictures = [path for item in sources for path in _pictures(item)]
    if not pictures:
        places = ", ".join(map(str, sources))
        raise InputError(f"no pictures in {places}; put them there, or correct the folders in {source}")
    labels = _label_files(pictures)
    if not any(labels):
        expected = _in_labels(pictures[0])
        raise InputError(f"{source}: no label file for any of the pictures; expected {expected} and its like")
    pairs = list(zip(pictures, labels, strict=True))
    data = read_txt(pairs, class_names, source=source, keypoints=keypoints)
    strays = stray_files(_unused(labels)) if all(item.is_dir() for item in sources) else ()
    return replace(data, problems=(*data.problems, *strays))


def read_txt(
    pairs: Sequence[Pair], class_names: Sequence[str], *, source: Path, keypoints: int = 0
) -> DetectionDataset:
    """Read pictures with their label files.

    Rows are `class cx cy w h`, or `class x y x y x y ...`, a polygon whose extent is the box. A picture
    without a label file has no objects. Rows and files that are at fault are left out and counted in `problems`.

    Args:
        pairs: pictures and their files.
        class_names, source, keypoints: as of `read_yolo`; what `convert` kept lies in the folder of `source`.

    Raises:
        InputError: there are no pictures.
    """
    tally = Tally()
    folder = source if source.is_dir() else source.parent
    extras = load_extras(folder)
    rows = _picture_rows(pairs, keypoints, tally)
    return dataset_from_rows(
        restored(rows, extras, folder, folder, tally),
        source=source,
        folder=folder,
        class_names=class_names,
        category_ids=None if extras is None else extras.ids_of(class_names),
        tally=tally,
    )


def read_data_yaml(file: Path) -> DataYaml:
    """Read the class names and the splits of a `data.yaml`.

    Raises:
        InputError: it is no YAML, has no names, or their number is not its `nc`.
        MissingExtraError: PyYAML is not installed.
    """
    with translating(InputError, f"cannot read {file}"):
        content = parse_yaml(read(file, SLOW_SIZE))
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no keys; expected names, train and val")
    names = _names(file, content)
    base = file.parent / str(content.get("path") or ".")
    base = base if os.path.isdir(base) else file.parent
    found = {"train": content.get("train"), "val": content.get("val") or content.get("valid")}
    found["test"] = content.get("test")
    splits = {split: value for split, value in found.items() if value}
    sources = {split: _sources(file, base, split, value) for split, value in splits.items()}
    return DataYaml(names, sources, _keypoints(file, content))


def _names(file: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, dict):
        by_text = {str(key): name for key, name in names.items()}
        names = [by_text.get(str(index)) for index in range(len(names))]
        names = None if None in names else names
    if not isinstance(names, list) or not names:
        found = content.get("names")
        raise InputError(
            f"{file}: names is {reprlib.repr(found)}; expected a list, or a mapping 0: name, 1: name, ..."
        )
    for class_id, name in enumerate(names):
        if name is None or isinstance(name, list | dict | set | tuple | bytes):
            raise InputError(f"{file}: names[{class_id}] is {reprlib.repr(name)}; expected a text")
    count = content.get("nc")
    if count is not None and str(count).strip() != str(len(names)):
        raise InputError(f"{file}: nc is {str(count)[:40]}, but there are {len(names)} names")
    return tuple(map(str, names))


def _keypoints(file: Path, content: Mapping[str, Any]) -> int:
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) and n > 0 for n in shape)):
        raise InputError(
            f"{file}: kpt_shape is {reprlib.repr(shape)}; expected the number of keypoints and of their dimensions"
        )
    return int(shape[0] * shape[1])


def _sources(file: Path, base: Path, split: str, value: Any) -> list[Path]:
    items = value if isinstance(value, list) else [value]
    if not all(map(is_plain, items)):
        raise InputError(f"{file}: {split} is {reprlib.repr(value)}; expected a folder or a list of folders")
    return [_existing(base, item) for item in items]


def _existing(base: Path, name: str) -> Path:
    """Roboflow writes ../train/images for a folder that lies beside the file; above it may lie another data set's."""
    above, beside = base / name, base / name.removeprefix("../")
    if not os.path.exists(beside):
        return above
    return beside if _ROBOFLOW.fullmatch(name) or not os.path.exists(above) else above


def _pictures(source: Path) -> list[Path]:
    source = source.absolute()
    if source.suffix == ".txt" and source.is_file():
        return _listed(source)
    files = (place / name for place, names in walk(source) for name in names)
    return sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)


def _listed(source: Path) -> list[Path]:
    """The pictures of a list: tools write names with backslashes, or from a folder above that is not here."""
    names = [line for _, line in read_lines(source)]
    few = names[:: max(1, len(names) // SAMPLE)]
    places: list[Callable[[str], Path]] = [source.parent.joinpath]
    places += [partial(_without_first, source.parent, drop) for drop in range(_MOST_FOLDERS)]
    best = max(places, key=lambda place: sum(os.path.isfile(place(name)) for name in few))
    return [best(name) for name in names]


def _without_first(folder: Path, count: int, name: str) -> Path:
    return folder.joinpath(*name.replace("\\", "/").split("/")[count:])


def _label_files(pictures: Sequence[Path]) -> list[Path | None]:
    """The label file of each picture, None where it has none: all in `labels` or, if none is there, all beside."""
    # One listing a folder: a look for each file is slow on network drives.
    listing = cache(_listing)
    found: list[Path | None] = []
    for place in (_in_labels, _beside):
        files = [place(picture) for picture in pictures]
        found = [file if file.name in listing(file.parent) else None for file in files]
        if any(found):
            break
    return found


def _unused(labels: Sequence[Path | None]) -> list[Path]:
    """The text files beside these label files that are none of them."""
    used = {file for file in labels if file is not None}
    places = sorted({file.parent for file in used})
    files = (place / name for place in places for name in sorted(_listing(place)))
    return [file for file in files if file.suffix == ".txt" and file not in used]


def _in_labels(picture: Path) -> Path:
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _beside(picture: Path) -> Path:
    return picture.with_suffix(".txt")


def _listing(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()


def _picture_rows(pairs: Sequence[Pair], keypoints: int, tally: Tally) -> Iterator[PictureRow]:
    for image_id, (path, label) in enumerate(pairs, start=1):
        size = size_or_unknown(path)
        objects = [] if label is None else _objects(label, size, keypoints, tally)
        if objects is not None:
            yield PictureRow(str(path), size, image_id, objects, measured=True)


def _objects(file: Path, size: tuple[int, int], keypoints: int, tally: Tally) -> list[ObjectRow] | None:
    """Those of a label file; None for one that cannot be read."""
    try:
        lines = read_lines(file)
    except InputError as error:
        tally.fail(
            "broken_annotation",
            "annotation files cannot be read, and their pictures are left out",
            str(error),
        )
        return None
    rows = []
    for number, line in lines:
        try:
            rows.append(_row(line, size, keypoints))
        except ValueError as error:
            tally.fail("malformed_object", "rows are malformed", f"{file}, line {number}: {error}")
            tally.lose()
    return rows


def _row(line: str, size: tuple[int, int], keypoints: int) -> ObjectRow:
    height, width = size
    try:
        label, *values = map(float, line.split())
    except ValueError:
        raise ValueError(
            f"{line[:60]!r} is not all numbers; expected class cx cy w h, with blanks between and the class by number"
        ) from None
    if keypoints and len(values) == 4 + keypoints:
        values = values[:4]
    if not (0 <= label < 2**31 and label.is_integer()):
        raise ValueError(f"class {label} is not a whole number from 0")
    # Written so that NaN fails too.
    if not all(abs(value) <= MOST_SHARE for value in values):
        raise ValueError(f"{line[:60]!r} is not in shares of the picture, 0 to 1")
    if len(values) == 4:
        cx, cy, w, h = values
        box = ((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
        return ObjectRow(int(label), box, box[2] * box[3])
    if keypoints:
        raise ValueError(
            f"{len(values) + 1} numbers; expected class cx cy w h and {keypoints} of keypoints (kpt_shape)"
        )
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values) + 1} numbers; expected class cx cy w h, or class x y x y x y ...")
    points = np.array(values).reshape(-1, 2) * (width, height)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    area = cv2.contourArea(points.astype(np.float32))
    return ObjectRow(int(label), (x1, y1, x2 - x1, y2 - y1), area, rings=[points.ravel().tolist()])
