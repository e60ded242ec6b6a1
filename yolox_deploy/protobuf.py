"""The fields of a protobuf message, in which ONNX files are written, read without a library and without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

_MOST_BYTES = 10
"""Of a number of 64 bits, seven a byte."""
_FIXED = {1: 8, 5: 4}


class Field(NamedTuple):
    """One field: its number, its value (a whole number, or a view of the bytes), and where it begins and ends."""

    number: int
    value: Any
    begin: int
    end: int


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order.

    Raises:
        ValueError: it is none, or is cut off.
    """
    at = 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        kind = tag & 7
        if tag < 8:
            raise ValueError(f"byte {begin} begins no field")
        if kind == 0:
            value, at = _varint(message, at)
            yield Field(tag >> 3, value, begin, at)
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"byte {begin} begins no field")
        if length > len(message) - at:
            raise ValueError(
                f"the field at byte {begin} has {length:,} bytes, {len(message) - at:,} are left"
            )
        yield Field(tag >> 3, message[at : at + length], begin, at + length)
        at += length


def delimited(number: int, value: bytes) -> bytes:
    """The bytes of a field that holds `value`."""
    return bytes((*_encoded(number << 3 | 2), *_encoded(len(value)))) + value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    number = 0
    for place, byte in enumerate(message[at : at + _MOST_BYTES]):
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            return number, at + place + 1
    raise ValueError(f"the number at byte {at} has no end")


def _encoded(number: int) -> Iterator[int]:
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number
