"""Ids of COCO files: whole numbers, numbers written as text, and texts, which get numbers of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Key = int | str


def id_key(item: Any, name: str) -> Key:
    """The id under `name`, as what it is compared by: "12" and 12.0 are 12.

    Raises:
        KeyError: there is none.
        ValueError: it is neither a whole number nor a text.
    """
    value = item[name]
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip():
        text = value.strip()
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else text
    raise ValueError(f"{name} is {value!r}; expected a whole number or a text")


def numbered(keys: Iterable[Key]) -> dict[Key, int]:
    """A number for each id: its own, and for texts, in their order, those after the greatest; ascending."""
    whole = sorted(key for key in keys if isinstance(key, int))
    texts = sorted(key for key in keys if isinstance(key, str))
    first = max(whole, default=0) + 1
    found: dict[Key, int] = {key: key for key in whole}
    return found | {key: number for number, key in enumerate(texts, start=max(first, 1))}
