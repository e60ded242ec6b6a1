"""PASCAL VOC's XML: the objects of one picture. A file is parsed once, however many splits ask for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from yolox_deploy.data.report import Tally
from yolox_deploy.documents import parse_xml, read
from yolox_deploy.errors import InputError, reason_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Box = tuple[float, float, float, float]


class VocObject(NamedTuple):
    """One object; box is (x, y, w, h), counted from 0."""

    name: str
    box: Box
    difficult: bool
    crowd: bool


class VocFile(NamedTuple):
    """What a file says.

    Attributes:
        objects: those that can be understood.
        size: (height, width) as annotated; some tools leave it out or write 0.
        broken: why the whole file cannot be read; None where it can.
        malformed: what is wrong with the objects that are left out.
        swapped: objects whose corners were in the wrong order.
    """

    objects: tuple[VocObject, ...] = ()
    size: tuple[int, int] = (0, 0)
    broken: str | None = None
    malformed: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()


class VocFiles:
    """XML files by path."""

    def __init__(self) -> None:
        self._parsed: dict[Path, VocFile] = {}

    def __getitem__(self, path: Path) -> VocFile:
        if path not in self._parsed:
            self._parsed[path] = parse_voc(path)
        return self._parsed[path]

    def names(self, paths: Iterable[Path]) -> list[str]:
        """The class names in these files, sorted.

        Raises:
            InputError: there is no object; names a file that cannot be read, where there is one.
        """
        paths = list(paths)
        found = sorted({item.name for path in paths for item in self[path].objects})
        if not found:
            faults = [f"{path}: {fault}" for path in paths for fault in _faults(self[path])]
            where = ", ".join(sorted({str(path.parent) for path in paths})) or "no XML files"
            raise InputError(f"no objects in {where}" + "".join(f"; {fault}" for fault in faults[:1]))
        return found


def parse_voc(path: Path) -> VocFile:
    """Read one file; what is at fault is told in the result."""
    try:
        tree = parse_xml(read(path))
    except (OSError, ValueError) as error:
        return VocFile(broken=f"is not XML ({reason_of(error)})")
    objects: list[VocObject] = []
    malformed: list[str] = []
    swapped: list[str] = []
    for position, item in enumerate(tree.iterfind("object"), start=1):
        name = item.findtext("name", "").strip()
        where = f"object {position} ({name})"
        try:
            corners = [float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError:
            malformed.append(f"{where} has no bndbox of four numbers: xmin, ymin, xmax, ymax")
            continue
        if not name or not math.isfinite(sum(corners)):
            malformed.append(f"object {position} has name {name!r} and box {tuple(corners)}")
            continue
        x1, y1, x2, y2 = corners
        # Inclusive corners: a box of less than a pixel has xmax below xmin.
        if x2 < x1 - 1 or y2 < y1 - 1:
            swapped.append(where)
            (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
        crowd = _is_set(item, "crowd")
        box = x1 - 1, y1 - 1, x2 - (x1 - 1), y2 - (y1 - 1)
        objects.append(VocObject(name, box, _is_set(item, "difficult") and not crowd, crowd))
    return VocFile(tuple(objects), _size(tree), None, tuple(malformed), tuple(swapped))


def _is_set(item: Element, key: str) -> bool:
    return item.findtext(key, "0").strip() == "1"


def _size(tree: Element) -> tuple[int, int]:
    try:
        return int(tree.findtext("size/height", "0")), int(tree.findtext("size/width", "0"))
    except ValueError:
        return 0, 0


def _faults(file: VocFile) -> Iterator[str]:
    if file.broken is not None:
        yield file.broken
    yield from file.malformed


def tell_faults(file: VocFile, where: str, tally: Tally) -> None:
    """Count what is at fault in a file; `where` names it."""
    if file.broken is not None:
        meaning = "annotation files cannot be read, and their pictures are left out"
        tally.fail("broken_annotation", meaning, f"{where} {file.broken}")
    for fault in file.malformed:
        tally.fail("malformed_object", "objects are malformed", f"{where}: {fault}")
        tally.lose()
    for place in file.swapped:
        meaning = "boxes have their corners in the wrong order: put in order"
        tally.warn("swapped_corners", meaning, f"{where}: {place}")
