"""Names beside the marks of a chart, where they cover nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

CHARACTER, HEIGHT = 5.0, 9.0
"""Extent of text in units of the chart, at the largest size that the page's style gives it."""

GAP = 6.0
SIDES = "right left above below"
Box = tuple[float, float, float, float]


class Labels:
    """Keeps the boxes (left, top, right, bottom) of `marks` (centres) and of all names put so far.

    Names stay between the two x of `within`.
    """

    def __init__(self, marks: Sequence[tuple[float, float]], within: tuple[float, float]) -> None:
        self._within = within
        self._taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in marks]

    def draw(self, name: str, x: float, y: float, sides: str = SIDES) -> str:
        """The name as SVG text beside x, y on the first free side; "" where none is free."""
        wide = CHARACTER * len(name)
        places = {
            "right": ("start", x + GAP, x + GAP, y - HEIGHT / 2),
            "left": ("end", x - GAP, x - GAP - wide, y - HEIGHT / 2),
            "above": ("middle", x, x - wide / 2, y - GAP - HEIGHT),
            "below": ("middle", x, x - wide / 2, y + GAP),
        }
        for side in sides.split():
            anchor, at, left, top = places[side]
            box = (left, top, left + wide, top + HEIGHT)
            if self._is_free(box):
                self._taken.append(box)
                return f'<text x="{at:.1f}" y="{top + HEIGHT - 2:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
        return ""

    def _is_free(self, box: Box) -> bool:
        inside = self._within[0] <= box[0] and box[2] <= self._within[1]
        return inside and not any(_overlap(box, other) for other in self._taken)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
