"""Whether a value is of the type of a setting, and that type in words."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a pathlib.Path",
    NoneType: "none",
    tuple[int, int]: "two whole numbers, such as 480,640",
    tuple[float, float]: "two numbers, such as 0.5,1.5",
}


def fits(value: object, hint: Any) -> bool:
    """Whether `value` is of the type `hint`; a whole number is a number too, a truth value is none."""
    options = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, option) for option in options)
    if get_origin(hint) is Literal:
        return value in options
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and len(value) == len(options) and all(map(fits, value, options))
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, hint)


def in_words(hint: Any) -> str:
    """What a value of the type `hint` looks like, such as "a whole number or none"."""
    *most, last = _words(hint)
    return f"{', '.join(most)} or {last}" if most else last


def _words(hint: Any) -> list[str]:
    if get_origin(hint) in (Union, UnionType, Literal):
        return [word for option in get_args(hint) for word in _words(option)]
    return [_WORDS.get(hint) or str(hint)]
