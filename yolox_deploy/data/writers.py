"""Data sets as files: COCO, YOLO text and VOC, each with its pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.extras import Extras, KeptObject, KeptPicture, clipped, save_extras
from yolox_deploy.data.pairs import ROLES
from yolox_deploy.data.report import EXAMPLES
from yolox_deploy.data.selection import relative_names
from yolox_deploy.data.split_names import PartName, part_of
from yolox_deploy.data.yolo_format import MOST_SHARE
from yolox_deploy.errors import InputError
from yolox_deploy.files import write_text

Parts = Mapping[PartName, DetectionDataset]


def write_coco(parts: Parts, folder: Path, link: bool) -> None:
    """`annotations/instances_train.json` and the like, with the pictures in `images/train`."""
    for part, data in parts.items():
        names = _names(data, set(), flat=False)
        _place(data, names, folder / "images" / part, link)
        content = _coco(data, names)
        write_text(
            folder / f"annotations/instances_{part}.json", json.dumps(content, separators=(",", ":")) + "\n"
        )


def write_yolo(parts: Parts, folder: Path, link: bool) -> None:
    """Ultralytics' layout: `data.yaml`, `images/train`, `labels/train` and so on; crowds in the extras alone."""
    kept: dict[str, KeptPicture] = {}
    for part, data in parts.items():
        names = _names(data, set(), flat=True)
        _place(data, names, folder / "images" / part, link)
        for index, name in enumerate(names):
            picture = _kept(data, index)
            kept[f"images/{part}/{name}"] = picture
            rows = [_yolo_row(item, data.size(index)) for item in picture.objects if not item.crowd]
            write_text(folder / "labels" / part / f"{PurePosixPath(name).stem}.txt", "".join(rows))
    some = next(iter(parts.values()))
    lines = [f"{part}: images/{part}" for part in parts]
    lines += ["names:", *(f"  {index}: {json.dumps(name)}" for index, name in enumerate(some.class_names))]
    write_text(folder / "data.yaml", "\n".join(lines) + "\n")
    save_extras(Extras(some.class_names, some.category_ids, kept), folder)


def write_voc(parts: Parts, folder: Path, link: bool) -> None:
    """`JPEGImages`, `Annotations` and `ImageSets/Main`; crowds are difficult objects with `<crowd>1</crowd>`.

    Raises:
        InputError: a class name occurs twice; VOC tells classes by their names.
    """
    some = next(iter(parts.values()))
    repeated = sorted({name for name in some.class_names if some.class_names.count(name) > 1})
    if repeated:
        raise InputError(
            f"the class names {', '.join(repeated[:EXAMPLES])} occur twice; VOC cannot tell them apart"
        )
    kept: dict[str, KeptPicture] = {}
    taken: set[str] = set()
    for part, data in parts.items():
        names = _names(data, taken, flat=True)
        _place(data, names, folder / "JPEGImages", link)
        for index, name in enumerate(names):
            picture = kept[f"JPEGImages/{name}"] = _kept(data, index)
            tree = _voc_tree(name, data.size(index), picture.objects, data.class_names)
            text = ElementTree.tostring(tree, encoding="unicode")
            write_text(folder / "Annotations" / f"{PurePosixPath(name).stem}.xml", text + "\n")
        stems = "".join(f"{PurePosixPath(name).stem}\n" for name in names)
        write_text(folder / f"ImageSets/Main/{part}.txt", stems)
    save_extras(Extras(some.class_names, some.category_ids, kept), folder)


def _names(data: DetectionDataset, taken: set[str], *, flat: bool) -> list[str]:
    """A name for each picture, without what says where it was; a number is added where `taken` has its stem."""
    names = []
    for name in relative_names(data):
        path = PurePosixPath(name)
        folders = list(path.parts[:-1])
        while folders and (
            folders[0] in (".", "..", "/") or folders[0].casefold() in ROLES or part_of(folders[0])
        ):
            folders.pop(0)
        if flat or ".." in folders:
            folders = []
        # Text files of names are UTF-8, a name a line, and XML has no control characters.
        stem, suffix = (
            re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "_", text.encode(errors="replace").decode())
            for text in (path.stem, path.suffix)
        )
        number, new = 1, PurePosixPath(*folders, stem)
        while new.as_posix().casefold() in taken:
            number += 1
            new = PurePosixPath(*folders, f"{stem}_{number}")
        taken.add(new.as_posix().casefold())
        names.append(f"{new.as_posix()}{suffix}")
    return names


def _place(data: DetectionDataset, names: Sequence[str], folder: Path, link: bool) -> None:
    """Copy the pictures, or link to them."""
    for index, name in enumerate(names):
        source, target = os.path.realpath(data.path(index)), folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            os.symlink(source, target)
        else:
            shutil.copyfile(source, target)


def _kept(data: DetectionDataset, index: int) -> KeptPicture:
    rows = range(int(data.offsets[index]), int(data.offsets[index + 1]))
    return KeptPicture(
        int(data.image_ids[index]),
        tuple(
            KeptObject(
                class_id=int(data.classes[row]),
                box=tuple(data.boxes[row].tolist()),
                area=float(data.areas[row]),
                crowd=bool(data.crowds[row]),
                difficult=bool(data.difficult[row]),
                rings=tuple(tuple(ring) for ring in data.outlines(row)),
            )
            for row in rows
        ),
    )


def _coco(data: DetectionDataset, names: Sequence[str]) -> dict[str, Any]:
    """As for evaluation, but that difficult objects are no crowds, and with the polygons."""
    content = data.to_coco()
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    for row, item in enumerate(content["annotations"]):
        item["iscrowd"] = int(data.crowds[row])
        if data.difficult[row]:
            item["difficult"] = 1
        item["segmentation"] = data.outlines(row)
    return content


def _yolo_row(item: KeptObject, size: tuple[int, int]) -> str:
    """Twelve digits keep a box to a millionth of a pixel; shares far over 1 would be taken for pixels."""
    height, width = size
    x, y, w, h = item.box
    if max(abs(x), abs(x + w), w) > width * MOST_SHARE or max(abs(y), abs(y + h), h) > height * MOST_SHARE:
        x, y, w, h = clipped(item.box, size)
    shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
    return " ".join([str(item.class_id), *(f"{share:.12g}" for share in shares)]) + "\n"


def _voc_tree(
    name: str, size: tuple[int, int], objects: Sequence[KeptObject], class_names: Sequence[str]
) -> ElementTree.Element:
    tree = ElementTree.Element("annotation")
    _add(tree, {"folder": "JPEGImages", "filename": name})
    _add(ElementTree.SubElement(tree, "size"), {"width": size[1], "height": size[0], "depth": 3})
    _add(tree, {"segmented": 0})
    for item in objects:
        row = ElementTree.SubElement(tree, "object")
        _add(row, {"name": class_names[item.class_id], "pose": "Unspecified", "truncated": 0})
        _add(row, {"difficult": int(item.difficult or item.crowd)} | ({"crowd": 1} if item.crowd else {}))
        x, y, w, h = item.box
        corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
        _add(ElementTree.SubElement(row, "bndbox"), {key: _number(value) for key, value in corners.items()})
    ElementTree.indent(tree)
    return tree


def _add(parent: ElementTree.Element, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        ElementTree.SubElement(parent, key).text = str(value)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
