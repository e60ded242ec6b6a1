"""One object of a COCO file: its box, mended where that is safe, and its outlines."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from yolox_deploy.data.dataset import ObjectRow
from yolox_deploy.data.report import Tally
from yolox_deploy.data.run_lengths import Extent, extent

MALFORMED = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
"""What comes of entries that are something else than expected."""

_Box = tuple[float, float, float, float]


def object_row(item: Any, class_id: int, tally: Tally, where: Callable[[], str]) -> ObjectRow:
    """The object of an annotation; `where` says which it is.

    Raises:
        MALFORMED: it has neither a box nor a mask that can be understood.
    """
    rings = _rings(item)
    if rings is None:
        meaning = "masks are neither polygons x, y, x, y, ... nor run-length encoding: left out"
        tally.warn("unusable_mask", meaning, where())
        rings = ()
    try:
        x, y, width, height = box = tuple(map(float, item["bbox"]))
        is_sound = width > 0 and height > 0 and math.isfinite(x + width) and math.isfinite(y + height)
    except MALFORMED:
        box, is_sound = (), False
    if not is_sound:
        x, y, width, height = box = _mended(item, box, tally, where)
    try:
        area = width * height if item.get("area") is None else float(item["area"])
    except (TypeError, ValueError, OverflowError):
        area = math.nan
    if not math.isfinite(area):
        meaning = "areas are no numbers: taken from the boxes"
        tally.warn("unusable_area", meaning, f"{where()}: {str(item['area'])[:40]}")
        area = width * height
    is_crowd = _is_crowd(item)
    difficult = not is_crowd and item.get("difficult", 0) in (1, "1")
    return ObjectRow(class_id, (x, y, width, height), area, is_crowd, difficult, rings)


def _is_crowd(item: Any) -> bool:
    return bool(item.get("iscrowd", 0))


def _rings(item: Any) -> Sequence[Sequence[float]] | None:
    """The polygons of at least three points; none for crowds and run-length encoding; None if they are malformed."""
    segmentation = item.get("segmentation")
    if not isinstance(segmentation, list) or _is_crowd(item):
        return ()
    try:
        rings = [array("f", ring) for ring in segmentation]
    except (TypeError, ValueError, OverflowError):
        return None
    if any(len(ring) % 2 or not math.isfinite(sum(ring)) for ring in rings):
        return None
    return [ring for ring in rings if len(ring) >= 6]


def _mended(item: Any, box: Sequence[float], tally: Tally, where: Callable[[], str]) -> _Box:
    """The box in place of one that is missing, no box, without area or with negative sides."""
    is_finite = len(box) == 4 and all(map(math.isfinite, (*box, box[0] + box[2], box[1] + box[3])))
    if is_finite and min(box[2:]) < 0:
        x, y, width, height = box
        tally.warn("swapped_corners", "boxes have negative sides: their corners are swapped", where())
        return min(x, x + width), min(y, y + height), abs(width), abs(height)
    found = None if is_finite and max(box[2:]) > 0 else _mask_extent(item.get("segmentation"))
    if found is not None:
        tally.warn("box_from_mask", "boxes are missing or no boxes: taken from the masks", where())
        return found.box
    if is_finite:
        return box[0], box[1], box[2], box[3]  # without area: the checks tell
    if "bbox" not in item:
        raise KeyError("bbox")
    raise ValueError(f"bbox {str(item['bbox'])[:60]} is not x, y, w, h")


def _mask_extent(segmentation: Any) -> Extent | None:
    """Of polygons or run lengths; None where there is none that can be understood."""
    if isinstance(segmentation, dict):
        return extent(segmentation)
    try:
        rings = [ring for ring in segmentation or () if len(ring) >= 6 and not len(ring) % 2]
        xs, ys = ([float(value) for ring in rings for value in ring[axis::2]] for axis in (0, 1))
    except (TypeError, ValueError, OverflowError):
        return None
    if not xs or not math.isfinite(sum(xs) + sum(ys)):
        return None
    x, y = min(xs), min(ys)
    width, height = max(xs) - x, max(ys) - y
    return Extent((x, y, width, height), width * height) if width > 0 and height > 0 else None
