"""COCO `instances` annotations."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.picture_size import size_or_unknown
from yolox_deploy.data.report import Tally
from yolox_deploy.errors import InputError
from yolox_deploy.records import ANNOTATIONS, read

Content = dict[str, Any]

_MALFORMED = (KeyError, TypeError, ValueError, OverflowError)


def read_coco(annotations: str | Path, images_dir: str | Path | Sequence[Path]) -> DetectionDataset:
    """Read a COCO annotation file; classes are numbered by ascending category id.

    Masks in run-length encoding are left out, those of crowds and any others: only polygons are kept.
    Where the file gives no height and width, the picture is asked. Objects of pictures that the file does not list
    are left out, and so are masks that cannot be understood; both are counted in `problems`.

    Args:
        annotations: `instances` JSON.
        images_dir: the folder that its file names are relative to; of several, the one that holds the pictures.

    Raises:
        InputError: the file is not COCO's format; names the picture or annotation at fault.
    """
    file = Path(annotations)
    folders = [Path(images_dir)] if isinstance(images_dir, str | Path) else list(images_dir)
    return dataset_from_coco(read(file, ANNOTATIONS), source=file, folders=folders)


def dataset_from_coco(content: Content, *, source: Path, folders: Sequence[Path]) -> DetectionDataset:
    """The same of what such a file holds; its list of annotations is taken out."""
    _check_keys(source, content)
    categories = _categories(source, content["categories"])
    ids = sorted(categories)
    tally = Tally()
    objects = _objects_by_image(source, content, {key: index for index, key in enumerate(ids)}, tally)
    folder = _folder_of_pictures(folders, content["images"])
    return dataset_from_rows(
        _pictures(source, folder, content["images"], objects),
        source=source,
        folder=folder,
        class_names=[categories[category] for category in ids],
        category_ids=ids,
        tally=tally,
    )


def _check_keys(file: Path, content: Any) -> None:
    expected = ("images", "annotations", "categories")
    if not isinstance(content, dict):
        raise InputError(f"{file} holds a JSON {type(content).__name__}; expected an object with {expected}")
    for key in expected:
        if not isinstance(content.get(key), list):
            raise InputError(f"{file} is not a COCO annotation file: it has no list {key!r}")


def _folder_of_pictures(folders: Sequence[Path], images: Sequence[Any]) -> Path:
    """The folder that holds most of a few pictures; the first one where none does: the checks report it."""
    few = images[:: max(1, len(images) // 16)]
    names = [str(item["file_name"]) for item in few if "file_name" in item]
    return max(folders, key=lambda folder: sum(os.path.isfile(folder / name) for name in names))


def _categories(file: Path, items: Sequence[Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for position, item in enumerate(items):
        try:
            category = _whole(item, "id")
            name = str(item["name"])
        except _MALFORMED as error:
            raise _malformed(file, "categories", position, item, error) from error
        if category in categories:
            raise InputError(f"{file}: category id {category} occurs twice")
        categories[category] = name
    if not categories:
        raise InputError(f"{file} has no categories")
    return categories


def _whole(item: Content, key: str) -> int:
    try:
        return int(item[key])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key} is {item[key]!r}; expected a whole number") from None


def _objects_by_image(
    file: Path, content: Content, class_ids: dict[int, int], tally: Tally
) -> dict[int, list[ObjectRow]]:
    objects: dict[int, list[ObjectRow]] = {}
    for position, item in enumerate(content["images"]):
        try:
            image_id = _whole(item, "id")
        except _MALFORMED as error:
            raise _malformed(file, "images", position, item, error) from error
        if image_id in objects:
            raise InputError(f"{file}: image id {image_id} occurs twice")
        objects[image_id] = []
    # Taken out, so that a large file's are freed before its arrays are made.
    for position, item in enumerate(content.pop("annotations")):
        try:
            image_id, category = _whole(item, "image_id"), _whole(item, "category_id")
            if image_id not in objects:
                meaning = "objects belong to pictures that the file does not list: left out"
                tally.warn("stray_object", meaning, f"{_entry(position, item)}: image {image_id}")
                continue
            if category not in class_ids:
                raise ValueError(f"there is no category {category}")
            rings = _rings(item)
            if rings is None:
                meaning = "masks are neither polygons x, y, x, y, ... nor run-length encoding: left out"
                tally.warn("unusable_mask", meaning, _entry(position, item))
            objects[image_id].append(_object(item, class_ids[category], rings or ()))
        except _MALFORMED as error:
            raise _malformed(file, "annotations", position, item, error) from error
    return objects


def _object(item: Content, class_id: int, rings: Sequence[Sequence[float]]) -> ObjectRow:
    try:
        x, y, width, height = map(float, item["bbox"])
    except (TypeError, ValueError):
        raise ValueError(f"bbox {item['bbox']} is not x, y, w, h") from None
    area = width * height if item.get("area") is None else float(item["area"])
    if not all(map(math.isfinite, (x + width, y + height, area))):
        raise ValueError(f"bbox {item['bbox']} or area {area} is not finite")
    return ObjectRow(class_id, (x, y, width, height), area, crowd=_is_crowd(item), rings=rings)


def _is_crowd(item: Content) -> bool:
    return bool(item.get("iscrowd", 0))


def _rings(item: Content) -> Sequence[Sequence[float]] | None:
    """The polygons of at least three points; none for crowds and run-length encoding; None if they are malformed."""
    segmentation = item.get("segmentation")
    if _is_crowd(item) or not isinstance(segmentation, list):
        return ()
    try:
        rings = [array("f", ring) for ring in segmentation]
    except (TypeError, ValueError, OverflowError):
        return None
    if any(len(ring) % 2 or not math.isfinite(sum(ring)) for ring in rings):
        return None
    return [ring for ring in rings if len(ring) >= 6]


def _pictures(
    file: Path, folder: Path, images: Sequence[Content], objects: dict[int, list[ObjectRow]]
) -> Iterator[PictureRow]:
    for position, item in enumerate(images):
        try:
            image_id, name = _whole(item, "id"), str(item["file_name"])
            size = int(item.get("height") or 0), int(item.get("width") or 0)
        except _MALFORMED as error:
            raise _malformed(file, "images", position, item, error) from error
        annotated = min(size) > 0
        if not annotated:
            size = size_or_unknown(folder / name)
        yield PictureRow(name, size, image_id, objects[image_id], measured=not annotated)


def _malformed(file: Path, key: str, position: int, item: Any, error: Exception) -> InputError:
    what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return InputError(f"{file}: {key}, {_entry(position, item)}: {what}")


def _entry(position: int, item: Any) -> str:
    return f"id {item['id']}" if isinstance(item, dict) and "id" in item else f"number {position}"
