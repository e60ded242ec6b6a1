"""COCO `instances` annotations."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from yolox_deploy.data.coco_ids import Key, id_key, numbered
from yolox_deploy.data.coco_objects import MALFORMED, object_row
from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.picture_size import size_or_unknown
from yolox_deploy.data.places import Place, locate
from yolox_deploy.data.report import Tally
from yolox_deploy.errors import InputError
from yolox_deploy.records import ANNOTATIONS, read

Content = dict[str, Any]


def read_coco(annotations: str | Path, images_dir: str | Path | Sequence[Path]) -> DetectionDataset:
    """Read a COCO annotation file; classes are numbered by ascending category id.

    What is at fault is mended or left out, and counted in `problems`: all of it at once. Training stops at its errors;
    who measures calls `report.require_whole`. Masks in run-length encoding are left out, those of crowds and any
    others: only polygons are kept. A box that is missing or no box is taken from the mask, of either kind. Where the
    file gives no height and width, the picture is asked. Ids may be texts: those that are no numbers get some.

    Args:
        annotations: `instances` JSON.
        images_dir: the folder that its file names are relative to; of several, the one that holds the pictures.

    Raises:
        InputError: the file is not COCO's format, or lists no pictures or categories.
    """
    file = Path(annotations)
    folders = [Path(images_dir)] if isinstance(images_dir, str | Path) else list(images_dir)
    return dataset_from_coco(read(file, ANNOTATIONS), source=file, folders=folders)


def dataset_from_coco(content: Content, *, source: Path, folders: Sequence[Path]) -> DetectionDataset:
    """The same of what such a file holds; its list of annotations is taken out."""
    _check_keys(source, content)
    tally = Tally()
    categories = _categories(source, content["categories"], tally)
    keys = list(numbered(categories))
    images = _images(content["images"], tally)
    classes = {key: index for index, key in enumerate(keys)}
    # Taken out, so that a large file's are freed before its arrays are made.
    objects = _objects_by_image(images, content.pop("annotations"), classes, tally)
    place = locate(folders, [_name(item) for item in images.values()], tally)
    return dataset_from_rows(
        _pictures(place, images, objects, tally),
        source=source,
        folder=place.folder,
        class_names=[categories[key] for key in keys],
        category_ids=list(numbered(categories).values()),
        tally=tally,
    )


def _check_keys(file: Path, content: Any) -> None:
    expected = ("images", "annotations", "categories")
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a JSON {type(content).__name__}; expected an object with {expected}")
    for key in expected:
        if not isinstance(content.get(key), list):
            raise InputError(f"{file} is not a COCO annotation file: it has no list {key!r}")


def _categories(file: Path, items: Sequence[Any], tally: Tally) -> dict[Key, str]:
    categories: dict[Key, str] = {}
    for position, item in enumerate(items):
        try:
            key, name = id_key(item, "id"), item["name"]
            if not isinstance(name, str | int) or isinstance(name, bool):
                raise ValueError(f"name is {reprlib.repr(name)}; expected a text")
            name = str(name)
        except MALFORMED as error:
            meaning = "categories are malformed"
            tally.fail("malformed_category", meaning, f"{entry(position, item)}: {reason(error)}")
            continue
        if categories.setdefault(key, name) != name:
            meaning = "categories have the id of another one"
            tally.fail("repeated_category_id", meaning, f"id {key}: {categories[key]} and {name}")
    if not categories:
        faults = "".join(f"\n  {problem}" for problem in tally.problems(0))
        raise InputError(f"{file} has no categories{faults}")
    return categories


def _images(items: Sequence[Any], tally: Tally) -> dict[Key, Content]:
    """The usable entries by id."""
    images: dict[Key, Content] = {}
    for position, item in enumerate(items):
        try:
            key, _ = id_key(item, "id"), item["file_name"]
        except MALFORMED as error:
            meaning = "pictures are malformed in the annotations"
            tally.fail("malformed_picture", meaning, f"{entry(position, item)}: {reason(error)}")
            continue
        if key in images:
            meaning = "pictures have the id of another one, and their objects cannot be told apart"
            tally.fail("repeated_image_id", meaning, f"id {key}: {_name(images[key])} and {_name(item)}")
        else:
            images[key] = item
    return images


def _name(item: Content) -> str:
    return str(item["file_name"])


def _objects_by_image(
    images: Mapping[Key, Content], items: Sequence[Any], classes: Mapping[Key, int], tally: Tally
) -> dict[Key, list[ObjectRow]]:
    objects: dict[Key, list[ObjectRow]] = {key: [] for key in images}
    for position, item in enumerate(items):
        try:
            # Most ids are the numbers that they are compared by.
            rows = objects.get(item["image_id"])
            if rows is None:
                rows = objects.get(id_key(item, "image_id"))
            class_id = classes.get(item["category_id"])
            if class_id is None:
                class_id = classes.get(id_key(item, "category_id"))
            if rows is None:
                meaning = "objects belong to pictures that the file does not list: left out"
                tally.warn("stray_object", meaning, f"{entry(position, item)}: image {item['image_id']}")
            elif class_id is None:
                meaning = "objects are of a category that the file does not list: left out"
                example = f"{entry(position, item)}: category {item['category_id']}"
                tally.warn("unknown_category", meaning, example)
                tally.lose()
            else:
                rows.append(object_row(item, class_id, tally, partial(entry, position, item)))
        except MALFORMED as error:
            meaning = "objects are malformed"
            tally.fail("malformed_object", meaning, f"{entry(position, item)}: {reason(error)}")
            tally.lose()
    return objects


def _pictures(
    place: Place, images: Mapping[Key, Content], objects: Mapping[Key, list[ObjectRow]], tally: Tally
) -> Iterator[PictureRow]:
    numbers = numbered(images)
    for key, item in images.items():
        name = place.rename(_name(item))
        size = _size(item)
        annotated = min(size) > 0
        if not annotated:
            size = size_or_unknown(place.folder / name)
        if isinstance(key, str):
            meaning = "ids of pictures are no numbers: numbered in their order"
            tally.warn("text_id", meaning, f"{key}: {numbers[key]}", severity="note")
        yield PictureRow(name, size, numbers[key], objects[key], measured=not annotated)


def _size(item: Content) -> tuple[int, int]:
    """As annotated; (0, 0) where it is not, or by no number."""
    try:
        return int(item.get("height") or 0), int(item.get("width") or 0)
    except MALFORMED:
        return 0, 0


def reason(error: Exception) -> str:
    """Why an entry is malformed."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def entry(position: int, item: Any) -> str:
    """How to find an entry again."""
    return f"id {item['id']}" if isinstance(item, dict) and "id" in item else f"number {position}"
