"""What the shapes of a file's outputs tell: predictions in one tensor or several, a map a level, or finished rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Any, TypeAlias

from numpy.typing import NDArray

from yolox_deploy.outputs import side_by_side
from yolox_deploy.types import DETECTION_COLUMNS, OutputConvention

Answers: TypeAlias = Mapping[str, NDArray[Any]]

BOX_COLUMNS = 4
CORNERS, SCORE, CLASS = DETECTION_COLUMNS[:BOX_COLUMNS], "score", "class"
ROW_ORDERS: tuple[tuple[str, ...], ...] = (
    (*CORNERS, SCORE, CLASS),  # DeepStream-Yolo; mmdeploy, its two tensors side by side
    (*CORNERS, CLASS, SCORE),
    (CLASS, SCORE, *CORNERS),
    ("batch", CLASS, SCORE, *CORNERS),  # PINTO's model zoo
    ("batch", *CORNERS, SCORE, CLASS),
    ("batch", *CORNERS, CLASS, SCORE),  # YOLOv7's exporter
)
"""The orders of finished rows in use; which one a file has, its numbers tell."""

ROLES = {"boxes": "box|reg|loc", "objectness": "obj|conf", "classes": "cls|class|prob|score"}
"""Part of an output's name -> what it holds, asked where widths alone leave it open."""


def predictions_form(answers: Answers, anchor_points: int, size: tuple[int, int]) -> OutputConvention | None:
    """How the tensors make the rows of all anchor points; None where they do not.

    Args:
        answers: arrays by name, in the file's order.
        anchor_points: of the input's size.
        size: (H, W) of the input.
    """
    for columns_first in (False, True):
        widths = _widths(answers, anchor_points, size, columns_first)
        if widths is None:
            continue
        (width, *others) = widths.values()
        columns = _columns(widths) if others else OutputConvention().columns
        if columns is not None and (others or width > BOX_COLUMNS):
            names = tuple(answers) if len(answers) > 1 else ()
            return OutputConvention(names, columns, columns_first)
    return None


def _widths(
    answers: Answers, anchor_points: int, size: tuple[int, int], columns_first: bool
) -> dict[str, int] | None:
    """Columns of each tensor of the first level, by name; None where the tensors' rows are not the anchor points."""
    levels: dict[int, dict[str, int]] = {}
    for name, array in answers.items():
        if array.ndim not in (2, 3, 4):
            return None
        shape = (*array.shape, 1) if array.ndim == 2 else array.shape
        width, *sides = (shape[1], *shape[2:]) if columns_first else (shape[-1], *shape[1:-1])
        if 1 not in sides and len(sides) > 1 and sides[0] * size[1] != sides[1] * size[0]:
            return None  # another shape than the picture's, such as (w, h)
        rows = prod(sides)
        levels.setdefault(rows, {})[name] = width
    found = list(levels.values())
    alike = all(list(level.values()) == list(found[0].values()) for level in found)
    return found[0] if sum(levels) == anchor_points and alike else None


def _columns(widths: Mapping[str, int]) -> tuple[str, ...] | None:
    """What each tensor of a level holds: boxes have 4 columns, objectness 1, classes the rest; then names decide."""
    by_width = [{4: "boxes", 1: "objectness"}.get(width, "classes") for width in widths.values()]
    by_name = [
        next((role for role, part in ROLES.items() if re.search(part, name.lower())), "") for name in widths
    ]
    for roles in (by_width, by_name):
        if len(set(roles)) == len(roles) and {"boxes", "classes"} <= set(roles):
            return tuple(roles)
    only_boxes_and_one = sorted(widths.values()) == [1, 4] and "boxes" in by_width
    return (
        tuple("boxes" if role == "boxes" else "classes" for role in by_width) if only_boxes_and_one else None
    )


def row_forms(answers: Answers) -> list[OutputConvention]:
    """The known forms of finished rows that have as many columns as these tensors; none where there are no rows."""
    if any(array.ndim not in (1, 2, 3) for array in answers.values()):
        return []
    ordered = dict(sorted(answers.items(), key=_boxes_then_floats))
    ordered = {name: array for name, array in ordered.items() if not _is_count(name, array)}
    lengths = {
        array.shape[-1] if array.ndim == 1 else array.shape[min(array.ndim - 1, 1)]
        for array in ordered.values()
    }
    if len(lengths) != 1:
        return []
    width = side_by_side(list(ordered.values())).shape[-1]
    names = tuple(ordered) if len(answers) > 1 else ()
    return [OutputConvention(names, order) for order in ROW_ORDERS if len(order) == width]


def _boxes_then_floats(item: tuple[str, NDArray[Any]]) -> tuple[bool, bool]:
    """Boxes before single columns, whole numbers last."""
    _, array = item
    return array.ndim < 3, array.dtype.kind not in "f"


def _is_count(name: str, array: NDArray[Any]) -> bool:
    """Whether it is the number of detections, as TensorRT's suppression gives it: (B, 1) whole numbers."""
    return array.dtype.kind in "iu" and array.shape[1:] == (1,) and "num" in name.lower()
