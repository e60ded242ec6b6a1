"""Plain values of JSON and TOML into frozen dataclasses, guided by their type hints, and these types in words."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
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


def from_plain(kind: Any, value: Any) -> Any:
    """`value` as an instance of `kind`: a dataclass, tuple, mapping, optional or plain type.

    Keys that the dataclass does not know are left out; missing ones take their default.

    Raises:
        TypeError, ValueError, KeyError: the value is not of that shape.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else from_plain(inner[0], value)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value)
    if origin is tuple:
        items = arguments if arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return tuple(from_plain(item, part) for item, part in zip(items, value, strict=True))
    if origin is Mapping:
        return {str(key): from_plain(arguments[1], item) for key, item in value.items()}
    return _checked(kind, value)


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"expected the fields of {kind.__name__}, found {type(value).__name__}")
    hints = typing.get_type_hints(kind)
    found = {f.name: _key(f, value) for f in dataclasses.fields(kind)}
    return kind(**{name: from_plain(hints[name], value[key]) for name, key in found.items() if key in value})


def _key(field: dataclasses.Field[Any], value: Mapping[str, Any]) -> str:
    """The key of a field; files from before it was renamed have the name in its metadata under "was"."""
    return field.name if field.name in value else field.metadata.get("was", field.name)


def _checked(kind: Any, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not Any and not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, found {value!r}")
    return value


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
