"""Plain JSON values back into frozen dataclasses, guided by their type hints."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


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
    names = [f.name for f in dataclasses.fields(kind) if f.name in value]
    return kind(**{name: from_plain(hints[name], value[name]) for name in names})


def _checked(kind: Any, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not Any and not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, found {value!r}")
    return value
