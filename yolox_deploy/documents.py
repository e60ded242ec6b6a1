"""Texts from strangers as values: JSON, YAML, TOML and XML, bounded in size, depth and what they can unfold to.

Whatever a text holds, these give its values or raise ValueError, whose message says why and never needs more memory
than some thirty times the bound of the size. Numbers that are infinite, NaN or of hundreds of digits are refused: no
field of ours means one, and NumPy takes them without a word.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolox_deploy.errors import MissingExtraError, reason_of, require

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SIZE = 16 << 20
LARGE_SIZE = 8 << 30
"""Bound of what grows with a data set: its annotations, records of streams."""
SLOW_SIZE = 1 << 20
"""Bound of YAML and TOML, whose parsers are written in Python: a megabyte takes them seconds."""
DEPTH = 100
YAML_NODES = 200_000
DIGITS = 400
"""More than a finite number with a fraction can have; the sum below is of digits and exponent of such a number."""
_BLOCK = 1 << 20
_TOO_DEEP = "nested too deeply"
_QUOTE, _OPENING, _CLOSING = b'"', b"[{", b"]}"
_NOT_STRUCTURE = bytes(set(range(256)) - set(_QUOTE + _OPENING + _CLOSING))
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE = (b"e000", b"e+000", b"0" * 200)


def read(path: Path, size: int = SIZE) -> bytes:
    """The content of a file.

    Raises:
        OSError: as of `open`.
        ValueError: it is larger than `size` bytes, of which no more are read; its name cannot be one; or it is a pipe
            or a device (which may never end) that is not named as such, like /dev/stdin, but lies in some folder.
    """
    kind = os.stat(path).st_mode
    if not (
        stat.S_ISREG(kind)
        or stat.S_ISDIR(kind)
        or path.is_relative_to("/dev")
        or path.is_relative_to("/proc")
    ):
        raise ValueError("it is a pipe or a device, not a file")
    with path.open("rb") as file:
        # Asked for so many bytes, Python makes room for all of them.
        parts = [file.read(min(size, os.fstat(file.fileno()).st_size) + 1)]
        left = size + 1 - len(parts[0])
        while left > 0 and (more := file.read(min(left, _BLOCK))):  # a pipe, which tells no size
            parts.append(more)
            left -= len(more)
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    _check_size(content, size)
    return content


def parse_json(content: bytes | str, *, size: int = SIZE, depth: int = DEPTH, strict: bool = True) -> Any:
    """The values in JSON, of UTF-8 where they are bytes (UTF-16 and UTF-32 are told apart too).

    Args:
        size: bytes (of a text: characters) that it may have.
        depth: lists and objects that may stand inside each other.
        strict: refuse an object that has a key twice, and numbers that are not finite. Without, whoever reads the
            values checks them one by one; large files are read faster so.

    Raises:
        ValueError: it is no JSON, or over a bound.
    """
    _check_size(content, size)
    with _values_or_value_error():
        text, encoded = _decoded(content)
        # A small text is deep at most as often as a bracket stands in it.
        if encoded.count(b"[") + encoded.count(b"{") > depth and _json_depth(encoded) > depth:
            raise ValueError(_TOO_DEEP)
        hooks: dict[str, Any] = {}
        if strict:
            hooks = {"parse_constant": _finite, "object_pairs_hook": _unique}
            if _has_large_numbers(encoded):
                hooks |= {"parse_float": _finite, "parse_int": _short}
        del encoded
        return json.loads(text, **hooks)


def parse_yaml(
    content: bytes | str, *, extra: str = "eval", size: int = SLOW_SIZE, depth: int = DEPTH
) -> Any:
    """The values in YAML, of the types of JSON and dates.

    Aliases count as often as they stand: all nodes together are at most `YAML_NODES`.

    Args:
        extra: brings PyYAML.

    Raises:
        ValueError: it is no YAML, has other types, or is over a bound.
        MissingExtraError: PyYAML is not installed.
    """
    yaml = require("yaml", extra)
    _check_size(content, size)
    with _values_or_value_error():
        loader = _yaml_loader(yaml, depth)(content)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()


def parse_toml(
    content: bytes | str, *, extra: str = "train", size: int = SLOW_SIZE, depth: int = DEPTH
) -> Any:
    """The table in TOML.

    Args:
        extra: brings tomli, for Python 3.10.

    Raises:
        ValueError: it is no TOML, or over a bound.
        MissingExtraError: Python 3.10 without tomli.
    """
    toml = importlib.import_module("tomllib") if sys.version_info >= (3, 11) else require("tomli", extra)
    _check_size(content, size)
    with _values_or_value_error():
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        bare = _TOML_TEXTS.sub("_", text).replace(" ", "").replace("\t", "")
        # A key of many parts takes tomllib time and memory by their square.
        if any(word.count(".") > depth for word in re.findall(r"[\w.-]+", bare)):
            raise ValueError(_TOO_DEEP)
        values = toml.loads(text, parse_float=_finite)
        _check_values(values, depth)
        return values


def parse_xml(content: bytes | str, *, size: int = SIZE, depth: int = DEPTH) -> Element:
    """The root of XML, as of `xml.etree.ElementTree`.

    Raises:
        ValueError: it is no XML, is of an encoding that is not known, has a DOCTYPE (which may hold entities), or is
            over a bound.
    """
    from xml.etree.ElementTree import TreeBuilder
    from xml.parsers import expat

    _check_size(content, size)
    builder, level = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal level
        level += 1
        if level > depth:
            raise ValueError(_TOO_DEEP)
        builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal level
        level -= 1
        builder.end(_qualified(name))

    def refuse(*_: object) -> None:
        raise ValueError("it has a DOCTYPE, which is not read; remove it")

    with _values_or_value_error():
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = builder.data
        parser.StartDoctypeDeclHandler = refuse
        parser.Parse(content, True)
        return builder.close()


def _check_size(content: bytes | str, size: int) -> None:
    if len(content) > size:
        raise ValueError(f"it is larger than {size / (1 << 20):,.3g} MB")


@contextmanager
def _values_or_value_error() -> Iterator[None]:
    try:
        yield
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:
        if type(error) is ValueError or isinstance(error, json.JSONDecodeError):
            raise
        raise ValueError(_in_one_line(error)) from error


def _in_one_line(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is not None and problem:  # of PyYAML, whose message has several lines
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    return reason_of(error)


def _decoded(content: bytes | str) -> tuple[str, bytes]:
    """A text and its UTF-8, made only where it is not there: annotations may have gigabytes."""
    if isinstance(content, str):
        return content, content.encode("utf-8", "surrogatepass")
    encoding = json.detect_encoding(content)
    text = content.decode(encoding, "surrogatepass")
    return text, content if encoding.startswith("utf-8") else text.encode("utf-8", "surrogatepass")


def _json_depth(content: bytes) -> int:
    """How deep lists and objects stand inside each other, told without recursion; of JSON alone."""
    structure = content.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NOT_STRUCTURE)
    brackets = re.sub(rb'"[^"]*"?', b"", structure)
    steps = np.ones(len(brackets), np.int8)
    steps[np.isin(np.frombuffer(brackets, np.uint8), np.frombuffer(_CLOSING, np.uint8))] = -1
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def _has_large_numbers(content: bytes) -> bool:
    """Whether a number may be larger than 1e308: only with so many digits, or three of an exponent."""
    digits = content.translate(_DIGITS_AS_ZERO)
    return any(part in digits for part in _LARGE)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number is {text[:20]}; expected a finite one")
    return number


def _short(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)[:80]!r} stands twice in it")
    return table


_TOML_TEXTS = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?|#[^\n]*',
    re.DOTALL,
)


def _check_values(values: Any, depth: int) -> None:
    """Raise ValueError where values stand too deep, or a number among them is too long."""
    level = [values]
    for _ in range(depth + 1):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
            elif isinstance(value, int) and value.bit_length() > DIGITS * math.log2(10):
                raise ValueError("a number has hundreds of digits")
        level = inner
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _qualified(name: str) -> str:
    return "{" + name if "}" in name else name


def _yaml_loader(yaml: Any, depth: int) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Counts nodes while it composes them, and an alias as what it stands for."""

        def __init__(self, content: bytes | str) -> None:
            super().__init__(content)
            self.level = self.nodes = 0
            self.sizes: dict[int, int] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            before, self.level = self.nodes, self.level + 1
            self.nodes += 1
            if self.level > depth:
                raise ValueError(_TOO_DEEP)
            alias = self.check_event(yaml.AliasEvent)
            node = super().compose_node(parent, index)
            if alias and id(node) not in self.sizes:
                raise ValueError(f"line {node.start_mark.line + 1}: an alias stands inside of what it means")
            self.nodes += self.sizes[id(node)] if alias else 0
            if self.nodes > YAML_NODES:
                raise ValueError(f"it unfolds to more than {YAML_NODES:,} values")
            self.sizes.setdefault(id(node), self.nodes - before)
            self.level -= 1
            return node

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) < len(keys):
                name = next(key for key in keys if keys.count(key) > 1)[1]
                raise ValueError(f"{name[:80]!r} stands twice in line {node.start_mark.line + 1} and below")
            return node

        def construct_yaml_float(self, node: Any) -> float:
            return _finite(str(super().construct_yaml_float(node)))

        def construct_yaml_int(self, node: Any) -> int:
            if len(node.value) > DIGITS:
                raise ValueError(f"a number has {len(node.value)} digits")
            return int(super().construct_yaml_int(node))

    for kind in ("float", "int"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", getattr(Loader, f"construct_yaml_{kind}"))
    return Loader
