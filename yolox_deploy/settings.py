"""Fields of frozen dataclasses changed by name: from keywords, from `KEY=VALUE` on the command line, from TOML.

A record inside a record is reached by a dotted name, "augmentation.mosaic", or by a table of its own.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, is_dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from yolox_deploy.errors import UsageError
from yolox_deploy.records import in_words

_T = TypeVar("_T")


def typed(
    kind: type, values: Mapping[str, object], what: str = "setting", leave_out: Collection[str] = ()
) -> dict[str, Any]:
    """`values` by dotted name, each as the type that its field of the dataclass `kind` has.

    Args:
        values: by name. A value is of the field's type or a text for it: "0.5", "1/255", "true", "0.5,1.5",
            "480x640", "none".
        what: what a field is called in messages.
        leave_out: fields that cannot be set.

    Raises:
        UsageError: no such field (suggests one), or a value of another type.
    """
    hints = {name: hint for name, hint in field_types(kind).items() if name not in leave_out}
    found = {}
    for name, value in flatten(values).items():
        if name not in hints:
            raise unknown(what, str(name), list(hints))
        try:
            found[name] = _convert(value, hints[name])
        except MemoryError:
            raise
        except Exception as error:
            raise UsageError(f"{name} is {reprlib.repr(value)}; expected {in_words(hints[name])}") from error
    return found


def changed(record: _T, values: Mapping[str, Any]) -> _T:
    """A copy of the dataclass `record` with the fields that `typed` named replaced."""
    own = {name: value for name, value in values.items() if "." not in name}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(group, {})[rest] = value
    own |= {group: changed(getattr(record, group), fields) for group, fields in inner.items()}
    copy: _T = replace(record, **own)  # type: ignore[type-var]
    return copy


def field_types(kind: type) -> dict[str, Any]:
    """The type of each field by its dotted name."""
    types: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            types |= {f"{name}.{inner}": item for inner, item in get_type_hints(hint).items()}
        else:
            types[name] = hint
    return types


def flatten(values: Mapping[str, object]) -> dict[str, object]:
    """Tables and records inside `values` as dotted names."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        table = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(table, Mapping):
            flat.update({f"{name}.{inner}": item for inner, item in table.items()})
        else:
            flat[name] = value
    return flat


def text(value: object) -> str:
    """What `typed` reads as `value`."""
    if isinstance(value, tuple | list):
        return ",".join(map(text, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _convert(value: Any, hint: Any) -> Any:
    """`value` as `hint`; whatever Python raises where it is none."""
    options = get_args(hint)
    if type(None) in options:
        if value is None or value == "none":
            return None
        (hint,) = (option for option in options if option is not type(None))
        return _convert(value, hint)
    if get_origin(hint) is tuple:
        return _tuple(value, options)
    if get_origin(hint) is Literal:
        return value
    if hint is bool:
        return {"true": True, "false": False}[str(value).lower()]
    if isinstance(value, bool) or (hint is int and isinstance(value, float)):
        raise ValueError(value)
    if hint is float and isinstance(value, str) and "/" in value:
        return float(Fraction(value))
    return hint(value)


def _tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    separator = "," if str in hints else "[,x]"
    parts = [part.strip() for part in re.split(separator, value)] if isinstance(value, str) else value
    parts = list(parts) if isinstance(parts, list | tuple) else [parts]
    if hints[-1] is Ellipsis:
        return tuple(_convert(part, hints[0]) for part in parts)
    if len(parts) == 1:
        parts *= len(hints)  # one side stands for a square, one value for all channels
    if len(parts) != len(hints):
        raise ValueError(value)
    return tuple(_convert(part, hint) for part, hint in zip(parts, hints, strict=True))


def unknown(what: str, name: str, known: list[str]) -> UsageError:
    """The error for a name that is none of `known`, with the nearest one."""
    short = {item.rpartition(".")[2]: item for item in known}
    close = difflib.get_close_matches(name.rpartition(".")[2][:100], short, n=1)
    hint = f"; did you mean {short[close[0]]}?" if close else ""
    return UsageError(f"there is no {what} called {reprlib.repr(name)}; {what}s: {', '.join(known)}{hint}")
