"""What is done to files: to their bytes, to numbers in their text, and to the values of a document.

Each function takes the chance that decides and returns what came out and what was done, in words.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "255", "65536", "2147483647", "-2147483648", "1000000000", "4294967296"),
    *("99999999999999999999", "1e308", "-1e308", "1e999", "nan", "inf", "-inf", "1e-300", "0.5", ""),
)
TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "/dev/zero",
        "a" * 300,
        "é",
        "\ud800",
        "true",
    ),
    *("NaN", "$(id)", "<b>x</b>", "-1", "\n", "C:\\x"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 10**9, 2**63, 10**30, 10**400, 1e308, -1e308, 1e-300, 0.5),
    *(float("nan"), float("inf"), float("-inf"), [], {}, [None], [[]], {"a": 1}, [0] * 1000),
    *TEXTS,
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
LONGEST_RUN = 4096


def mutate_bytes(chance: random.Random, content: bytes, other: bytes = b"") -> tuple[bytes, str]:
    """Damage a file's bytes in one of many ways; `other` is a file whose bytes may be mixed in."""
    way = chance.choice(WAYS)
    return way(chance, content or b"\0", other), way.__name__.strip("_")


def _flip_bit(chance: random.Random, content: bytes, other: bytes) -> bytes:
    at = _place(chance, content)
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _set_byte(chance: random.Random, content: bytes, other: bytes) -> bytes:
    at = _place(chance, content)
    return content[:at] + bytes([(content[at] + chance.randrange(1, 256)) % 256]) + content[at + 1 :]


def _zero_run(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return _fill(chance, content, 0)


def _ff_run(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return _fill(chance, content, 255)


def _fill(chance: random.Random, content: bytes, value: int) -> bytes:
    at, end = _run(chance, content)
    return content[:at] + bytes([value]) * (end - at) + content[end:]


def _delete(chance: random.Random, content: bytes, other: bytes) -> bytes:
    at, end = _run(chance, content)
    return content[:at] + content[end:]


def _insert(chance: random.Random, content: bytes, other: bytes) -> bytes:
    at = _place(chance, content)
    return content[:at] + chance.randbytes(chance.randrange(1, 64)) + content[at:]


def _duplicate(chance: random.Random, content: bytes, other: bytes) -> bytes:
    at, end = _run(chance, content)
    return content[:end] + content[at:end] + content[end:]


def _swap(chance: random.Random, content: bytes, other: bytes) -> bytes:
    cuts = sorted(chance.randrange(len(content) + 1) for _ in range(3))
    first, middle, last = cuts
    return content[:first] + content[middle:last] + content[first:middle] + content[last:]


def _truncate(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(chance, content)]


def _truncate_end(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: -chance.randrange(1, 64)]


def _append(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return content + chance.randbytes(chance.randrange(1, 64))


def _splice(chance: random.Random, content: bytes, other: bytes) -> bytes:
    at = _place(chance, content)
    return content[:at] + other[at:]


def _number(chance: random.Random, content: bytes, other: bytes) -> bytes:
    width = chance.choice((2, 4, 8))
    value = chance.choice(
        (0, 1, -1, 2 ** (8 * width - 1) - 1, -(2 ** (8 * width - 1)), 100_000 % 2 ** (8 * width - 1))
    )
    at = _place(chance, content)
    number = value.to_bytes(width, chance.choice(("little", "big")), signed=True)
    return content[:at] + number + content[at + width :]


def _empty(chance: random.Random, content: bytes, other: bytes) -> bytes:
    return b""


def _another_kind(chance: random.Random, content: bytes, other: bytes) -> bytes:
    kinds = (
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"\x80\x02}q\x00.",
        b"7767517\n",
        b"<?xml ?>",
        b"{}",
        b"\x7fELF",
    )
    return chance.choice(kinds) + chance.randbytes(64)


WAYS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    *(_flip_bit, _set_byte) * 4,
    *(_zero_run, _ff_run, _delete, _insert, _duplicate, _swap, _truncate, _truncate_end, _append, _splice)
    * 2,
    *(_number, _empty, _another_kind),
)
CUTS = ("truncate", "truncate_end")


def _place(chance: random.Random, content: bytes) -> int:
    """Anywhere, and often near the beginning, where headers are."""
    near = min(len(content), 512)
    return chance.randrange(near if chance.random() < 0.3 else len(content))


def _run(chance: random.Random, content: bytes) -> tuple[int, int]:
    at = _place(chance, content)
    return at, min(len(content), at + chance.randrange(1, LONGEST_RUN))


def change_number(chance: random.Random, text: str) -> tuple[str, str]:
    """Another number, hostile or near, in place of one in the text."""
    found = list(NUMBER.finditer(text))
    if not found:
        return text + chance.choice(NUMBERS), "number appended"
    match = chance.choice(found)
    near = str(int(float(match[0])) + chance.choice((-1, 1))) if len(match[0]) < 15 else "1"
    new = near if chance.random() < 0.4 else chance.choice(NUMBERS)
    return text[: match.start()] + new + text[match.end() :], f"{match[0]} at {match.start()} -> {new}"


def change_line(chance: random.Random, text: str) -> tuple[str, str]:
    """A line gone, twice, or in another's place."""
    lines = text.split("\n")
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    way = chance.choice(("gone", "twice", "moved"))
    line = lines[one]
    if way != "twice":
        del lines[one]
    if way != "gone":
        lines.insert(two, line)
    return "\n".join(lines), f"line {one} {way}"


def change_value(chance: random.Random, document: Any) -> tuple[Any, str]:
    """Another value, one more, one less, or another name, at one place of a document of lists and mappings."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return chance.choice(VALUES), "the whole"
    holder, key, name = chance.choice(places)
    way = chance.choice(("value",) * 5 + ("gone", "renamed", "twice", "deep"))
    if way == "gone":
        del holder[key]
        return document, f"{name} gone"
    if way == "renamed" and isinstance(holder, dict):
        holder[chance.choice(TEXTS)] = holder.pop(key)
        return document, f"{name} renamed"
    if way == "twice" and isinstance(holder, list):
        holder.insert(key, holder[key])
        return document, f"{name} twice"
    if way == "deep":
        value: Any = 1
        for _ in range(chance.choice((20, 200))):
            value = [value]
        holder[key] = value
        return document, f"{name} deep"
    holder[key] = chance.choice(VALUES)
    return document, f"{name} = {repr(holder[key])[:40]}"


def _places(value: Any, name: str = "") -> Any:
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, item in items:
        yield value, key, f"{name}.{key}"
        yield from _places(item, f"{name}.{key}")


def to_json(document: Any) -> str:
    """As JSON, with the NaN and infinite numbers that Python writes."""
    return json.dumps(document, indent=1)
