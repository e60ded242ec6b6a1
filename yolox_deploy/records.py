"""Records of ours: frozen dataclasses as files of JSON or TOML and back, guided by their type hints.

All that is read goes through `documents`, and `convert` alone knows whether a value is of a type. A field's
metadata may say "was" (its name in files from before it was renamed) and "exact" (it has to be there, without unknown
keys in it).
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from yolox_deploy import documents
from yolox_deploy.errors import InputError, MissingExtraError, YoloxDeployError, reason_of
from yolox_deploy.files import write_text
from yolox_deploy.signatures import of_file

_T = TypeVar("_T")

CHECKSUM = "checksum"
"""The key of a record's SHA-256. A record without one, as people write them, is read as it is."""

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a pathlib.Path",
    NoneType: "none",
    Mapping: "names with values",
    tuple[int, int]: "two whole numbers, such as 480,640",
    tuple[float, float]: "two numbers, such as 0.5,1.5",
    tuple[float, ...]: "numbers, such as 0.5,1.5",
}


@dataclass(frozen=True)
class FileKind:
    """Files of one kind: what tells them from others, and what is said of one that cannot be used.

    Attributes:
        cure: what to do about it, such as "make one with: yolox-deploy bench --out FILE".
        foreign: said, after its name, of a file of another kind.
        missing: said, before its name, of one that cannot be opened; None for what is said of a foreign one.
        error: the class of all that is raised.
        schema, version: what stands under "schema" and "schema_version", the newest that can be read; None for nothing.
        beside: keys beside these and the record's: all are there, and no others. None lets any stand.
        size: bytes that a file may have; of a kind that may be larger than usual, see `parse_json`, not `strict`.
    """

    cure: str
    foreign: str = "cannot be read"
    missing: str | None = None
    error: type[YoloxDeployError] = InputError
    schema: str | None = None
    version: int | None = None
    beside: Collection[str] | None = None
    size: int = documents.SIZE

    @property
    def header(self) -> dict[str, Any]:
        """The schema and the version, as they stand in each file."""
        both = {"schema": self.schema, "schema_version": self.version}
        return {key: value for key, value in both.items() if value is not None}


ANNOTATIONS = FileKind(
    "expected COCO's JSON",
    foreign="is not JSON",
    missing="no annotation file at",
    size=documents.LARGE_SIZE,
)


def load(target: type[_T], path: Path, kind: FileKind) -> _T:
    """The record of the dataclass `target` in a JSON file; errors as of `decode`."""
    return decode(target, read(path, kind), path, kind)


def save(value: Any, path: Path, kind: FileKind, **beside: Any) -> None:
    """Write a record for `load`, with a checksum; makes the folder."""
    write_text(path, sealed({**kind.header, **asdict(value), **beside}))


def sealed(table: Mapping[str, Any], **style: Any) -> str:
    """A JSON text of `table` with its checksum, of which `decode` tells a damaged one; `style` as of `json.dumps`."""
    return json.dumps({**table, CHECKSUM: _checksum(table)}, indent=1, **style) + "\n"


def _checksum(table: Mapping[str, Any]) -> str:
    """The SHA-256 of all but the checksum, whatever the order of the keys and the white space."""
    rest = {key: value for key, value in table.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(path: Path, kind: FileKind, parser: Callable[[bytes], Any] | None = None) -> Any:
    """What a file holds, read by `parser` (None: as JSON); the error of `kind` where that cannot be."""
    with _refusing(kind, path, kind.foreign):
        content = documents.read(path, kind.size)
        return _json(content, kind) if parser is None else parser(content)


def _json(content: bytes | str, kind: FileKind) -> Any:
    return documents.parse_json(content, size=kind.size, strict=kind.size <= documents.SIZE)


def decode(target: type[_T], values: Any, where: object, kind: FileKind) -> _T:
    """The record of the dataclass `target` in JSON's values, or in their text; `where` they come from.
    The error of `kind` where they are of another kind, of a newer version, or damaged: names the field.
    """
    with _refusing(kind, where, kind.foreign):
        table = convert(_json(values, kind) if isinstance(values, str) else values, Mapping[str, Any])
        if kind.schema not in (None, table.get("schema")):
            raise _Mismatch("schema", repr(kind.schema), table.get("schema", MISSING))
        version = convert(table.get("schema_version"), int, "schema_version") if kind.version else 0
        if kind.version and version < 1:
            raise _Mismatch("schema_version", "at least 1", version)
    if version > (kind.version or 0):
        raise kind.error(
            f"{where} has schema version {version}, this yolox-deploy reads {kind.version}; "
            "update it with: pip install -U yolox-deploy"
        )
    if kind.header and CHECKSUM in table and table[CHECKSUM] != _checksum(table):
        raise kind.error(
            f"{where} is damaged, or was edited: its checksum does not fit. Copy or make it again; if it was edited on "
            f'purpose, remove the line "{CHECKSUM}" from it'
        )
    rest = {key: value for key, value in table.items() if key not in (*kind.header, CHECKSUM)}
    # Without a header nothing tells a damaged file from one of another kind.
    with _refusing(kind, where, "is damaged" if kind.header else kind.foreign):
        record: _T = convert(rest, target, beside=kind.beside)
    return record


def convert(value: Any, hint: Any, at: str = "", beside: Collection[str] | None = None) -> Any:
    """`value` as the type `hint`: a list becomes a tuple, a table a dataclass, a whole number a number.
    ValueError where it is none: names the field `at`, what was expected and found. `beside` is as of `FileKind`.
    """
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any or type(value) is hint:
        return value
    if origin in (Union, UnionType):
        return _first_fitting(value, hint, at)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return _dataclass(value, hint, at, beside)
    if origin is Mapping and isinstance(value, Mapping):
        return {key: convert(item, options[1], f"{at}.{key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        hints = options[:1] * len(value) if options[-1] is Ellipsis else options
        if len(hints) == len(value):
            return tuple(convert(item, hints[i], f"{at}[{i}]") for i, item in enumerate(value))
    if origin is Literal and any(value == option and type(value) is type(option) for option in options):
        return value
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if origin is None and isinstance(value, hint) and not isinstance(value, bool):
        return value
    raise _Mismatch(at, in_words(hint), value)


def fits(value: object, hint: Any) -> bool:
    """Whether `value` is of the type `hint` as it stands; a whole number is a number too, a list no tuple."""
    try:
        found = convert(value, hint)
    except ValueError:
        return False
    return bool(found is value or found == value)


def in_words(hint: Any) -> str:
    """What a value of the type `hint` looks like, such as "a whole number or none"."""
    *most, last = _words(hint)
    return f"{', '.join(most)} or {last}" if most else last


def _words(hint: Any) -> list[str]:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType, Literal):
        return [word for option in options for word in _words(option)]
    if is_dataclass(hint) and isinstance(hint, type):
        return [f"the fields of {hint.__name__}"]
    if origin is tuple and hint not in _WORDS:
        return ["a list" if options[-1] is Ellipsis else f"a list of {len(options)}"]
    return [_WORDS.get(hint) or _WORDS.get(origin) or str(hint)]


class _Mismatch(ValueError):
    def __init__(self, at: str, expected: str, found: object = MISSING) -> None:
        self.at = at
        shown = "nothing" if found is MISSING else reprlib.repr(found)
        super().__init__(f"{at}: expected {expected}, found {shown}".lstrip(":. "))


def _first_fitting(value: Any, hint: Any, at: str) -> Any:
    wrong = []
    for option in get_args(hint):
        try:
            return convert(value, option, at)
        except _Mismatch as error:
            wrong.append(error)
    raise next((error for error in wrong if error.at != at), _Mismatch(at, in_words(hint), value))


def _dataclass(value: Mapping[str, Any], hint: Any, at: str, beside: Collection[str] | None) -> Any:
    hints, found, known = get_type_hints(hint), {}, set(beside or ())
    for field in fields(hint):
        key = field.name if field.name in value else field.metadata.get("was", field.name)
        exact = field.metadata.get("exact", False)
        if key in value:
            known.add(key)
            found[field.name] = convert(value[key], hints[field.name], f"{at}.{key}", () if exact else None)
        elif exact or field.default is field.default_factory is MISSING:
            raise _Mismatch(f"{at}.{key}", in_words(hints[field.name]))
    for key in () if beside is None else sorted(known ^ value.keys()):
        raise _Mismatch(f"{at}.{key}", "no such key" if key in value else "a value", value.get(key, MISSING))
    return hint(**found)


@contextmanager
def _refusing(kind: FileKind, where: object, said: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:
        told = f"{kind.missing} {where}" if kind.missing and isinstance(error, OSError) else f"{where} {said}"
        reason = None if isinstance(error, OSError | YoloxDeployError) else _other_kind(where)
        raise kind.error(f"{told} ({reason or reason_of(error)}); {kind.cure}") from error


def _other_kind(where: object) -> str | None:
    """What a file is that holds no text, and what mends it."""
    try:
        found = of_file(where) if isinstance(where, Path) else None
    except (OSError, ValueError):
        return None
    return f"it is {found.name}: {found.mend(where)}" if found and found.family != "text" else None
