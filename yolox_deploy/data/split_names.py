"""What people call the splits of a data set: in names of folders and of files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

PartName = Literal["train", "val", "test", "all"]
"""Of a data set; "all" where it is not split."""
Split = PartName
"""What one can ask for."""
SPLITS: tuple[Split, ...] = ("train", "val", "test", "all")

PARTS: tuple[PartName, ...] = ("train", "val", "test")

_WORD = re.compile(
    r"(?<![a-z])(?:(train(?:ing)?)|(val(?:id(?:ation)?)?)|(test(?:ing)?))(?:set)?(?![a-z])", re.IGNORECASE
)


def part_of(name: str) -> PartName | None:
    """The split that a name speaks of, such as `instances_Train` or `val2017`; None for none and for several."""
    found = {
        PARTS[next(i for i, group in enumerate(match.groups()) if group)] for match in _WORD.finditer(name)
    }
    return found.pop() if len(found) == 1 else None


def part_of_path(parts: Sequence[str]) -> PartName | None:
    """The split that the first telling name of a path speaks of."""
    return first(part_of(part) for part in parts)


def first(found: Iterable[PartName | None]) -> PartName | None:
    """The first that is one."""
    return next((item for item in found if item is not None), None)
