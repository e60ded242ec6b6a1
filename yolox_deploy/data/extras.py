"""What YOLO text and VOC's XML have no place for: a file that `convert` writes beside them and is read back here.

Other tools do not look at it. It holds category and image ids and each object in full: with its area and outlines, and,
for YOLO text, crowds, which have no place there, and what is difficult. The label files rule: where one was changed
since, what it says is taken.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from yolox_deploy import records
from yolox_deploy.data.dataset import ObjectRow, PictureRow
from yolox_deploy.data.report import Tally
from yolox_deploy.documents import LARGE_SIZE
from yolox_deploy.errors import InputError
from yolox_deploy.files import write_text

FILE_NAME = "yolox_deploy_extras.json"
KIND = records.FileKind(
    "remove it, or convert the data set again",
    schema="yolox-deploy/extras",
    version=1,
    beside=(),
    size=LARGE_SIZE,
)

Box = tuple[float, float, float, float]

_LARGEST = 1e30
"""More than a number of any box, and less than float32 can hold."""

_TOLERANCE = 0.01  # pixels, by which a label file may differ; it has fewer digits


@dataclass(frozen=True)
class KeptObject:
    """One object; the fields as of `ObjectRow`."""

    class_id: int
    box: Box
    area: float
    crowd: bool = False
    difficult: bool = False
    rings: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        values = itertools.chain(self.box, (self.area,), *self.rings)
        if not all(abs(value) < _LARGEST for value in values) or any(len(ring) % 2 for ring in self.rings):
            raise InputError(
                f"an object has the box {self.box} and area {self.area}, or a ring of no points x, y"
            )


@dataclass(frozen=True)
class KeptPicture:
    """The id of a picture in the source, and its objects in their order."""

    image_id: int
    objects: tuple[KeptObject, ...] = ()


@dataclass(frozen=True)
class Extras:
    """The content of the file.

    Attributes:
        class_names, category_ids: of the classes, in their order.
        pictures: by the path of the picture from the folder of the file, with / between its parts.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    pictures: Mapping[str, KeptPicture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.category_ids) != len(self.class_names):
            raise ValueError(f"{len(self.category_ids)} category ids for {len(self.class_names)} class names")
        known = range(len(self.class_names))
        for name, picture in self.pictures.items():
            if not all(item.class_id in known for item in picture.objects):
                raise ValueError(f"{name[:80]} has an object of a class without a name")

    def ids_of(self, class_names: Sequence[str]) -> tuple[int, ...] | None:
        """The category ids, where the classes are still these."""
        return self.category_ids if tuple(class_names) == self.class_names else None


def load_extras(root: Path) -> Extras | None:
    """Those of a data set's folder; None where there are none.

    Raises:
        InputError: the file is damaged.
    """
    path = root / FILE_NAME
    return records.load(Extras, path, KIND) if path.is_file() else None


def save_extras(extras: Extras, root: Path) -> None:
    """Write the file for `load_extras`."""
    content = {**KIND.header, **asdict(extras)}
    write_text(root / FILE_NAME, json.dumps(content, separators=(",", ":")) + "\n")


def clipped(box: Box, size: tuple[int, int]) -> Box:
    """(x, y, w, h) inside a picture of (height, width): what text says of boxes that reach far out of it."""
    height, width = size
    x, y = min(max(box[0], 0.0), width), min(max(box[1], 0.0), height)
    return x, y, min(max(box[0] + box[2], x), width) - x, min(max(box[1] + box[3], y), height) - y


def restored(
    rows: Iterable[PictureRow], extras: Extras | None, root: Path, folder: Path, tally: Tally
) -> Iterator[PictureRow]:
    """The rows of a reader with what was kept of them.

    Args:
        root: the folder of the file, which the paths in it start from.
        folder: what the names in `rows` start from.
    """
    pictures = {} if extras is None else extras.pictures
    for row in rows:
        kept = (
            pictures.get(Path(os.path.relpath(folder / row.file_name, root)).as_posix()) if pictures else None
        )
        yield row if kept is None else _restored(row, kept, tally)


def _restored(row: PictureRow, kept: KeptPicture, tally: Tally) -> PictureRow:
    objects = [
        ObjectRow(item.class_id, item.box, item.area, item.crowd, item.difficult, item.rings)
        for item in kept.objects
    ]
    found = [item for item in row.objects if not item.crowd]
    told = [item for item in objects if not item.crowd]
    if len(found) == len(told) and all(map(_is_same, found, told, [row.size] * len(told))):
        return row._replace(image_id=kept.image_id, objects=objects)
    meaning = f"pictures have other labels than when {FILE_NAME} was written: these labels are taken"
    tally.warn("changed_labels", meaning, row.file_name, severity="note")
    crowds = [] if len(found) < len(row.objects) else [item for item in objects if item.crowd]
    return row._replace(image_id=kept.image_id, objects=[*row.objects, *crowds])


def _is_same(found: ObjectRow, told: ObjectRow, size: tuple[int, int]) -> bool:
    boxes = (told.box, clipped(told.box, size))
    return found.class_id == told.class_id and any(
        all(abs(a - b) < _TOLERANCE for a, b in zip(found.box, box, strict=True)) for box in boxes
    )
