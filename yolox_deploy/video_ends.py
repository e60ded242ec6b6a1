"""Whether the file of a video ends before its container does: readers end there as if it were the end of the video.

Told by the lengths that the parts of AVI, MP4 and MOV, Matroska and WebM state, and by the last packet of an MPEG
program stream. Where a file was cut exactly between two parts, nobody can tell.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

MOST_PARTS = 200_000
"""Of a container that are walked through."""
_EBML, _SEGMENT, _MPEG = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\0\0\1\xba"
_ISO_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_ISO_PICTURES = (b"mdat", b"moof", b"moov")
_PACKET = re.compile(rb"\x00\x00\x01[\xbc-\xef](..)", re.DOTALL)
_MOST_PACKET = 6 + 0xFFFF
_ENDLESS = 1 << 62


class _Part(NamedTuple):
    """How many bytes to go on to the next part, and whether pictures are lost where this one is cut."""

    length: int
    matters: bool = True


def ends_early(path: Path) -> bool:
    """Whether a part with pictures lies partly behind the end of the file; False where nobody can tell."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if head[:4] == b"RIFF" and head[8:11] == b"AVI":
                return _walk(file, size, _riff)
            if head[4:8] in _ISO_FIRST:
                return _walk(file, size, _iso)
            if head[:4] == _EBML:
                return _walk(file, size, _matroska)
            return head[:4] == _MPEG and _mpeg(file, size)
    except (OSError, ValueError, LookupError, struct.error):
        return False


def _walk(file: BinaryIO, size: int, read: Callable[[bytes], _Part | None]) -> bool:
    """Whether the last part ends behind the file, and matters; `read` knows a part by its first bytes, if it can."""
    at, part = 0, None
    for _ in range(MOST_PARTS):
        if at >= size:
            return at > size and part is not None and part.matters
        file.seek(at)
        part = read(file.read(32))
        if part is None:
            return False
        at += part.length
    return False


def _riff(head: bytes) -> _Part | None:
    """Of the frames' list, which has no length until a writer is closed, all; of what holds it, the beginning."""
    kind, length, within = head[:4], int.from_bytes(head[4:8], "little"), head[8:12]
    if kind == b"RIFF":
        return _Part(12)
    if kind == b"LIST" and within == b"movi":
        return _Part(8 + length + length % 2 if length > 4 else _ENDLESS)
    return _Part(8 + length + length % 2, matters=False) if kind in (b"LIST", b"JUNK", b"idx1") else None


def _iso(head: bytes) -> _Part | None:
    length, kind = int.from_bytes(head[:4], "big"), head[4:8]
    if length == 1:
        length = int.from_bytes(head[8:16], "big")
    return _Part(length, kind in _ISO_PICTURES) if length >= 8 else None  # 0: up to the end


def _matroska(head: bytes) -> _Part | None:
    """An element; of the segment, and of a cluster of unknown length, only the beginning: what is in it follows."""
    width = 9 - head[0].bit_length()
    if not 1 <= width <= 4:
        return None
    more = 9 - head[width].bit_length()
    if not 1 <= more <= 8:
        return None
    length = int.from_bytes(head[width : width + more], "big") & (1 << 7 * more) - 1
    inside = head[:width] == _SEGMENT or length == (1 << 7 * more) - 1
    return _Part(width + more if inside else width + more + length)


def _mpeg(file: BinaryIO, size: int) -> bool:
    """Packets state their length; within their content no such code stands."""
    file.seek(max(size - _MOST_PACKET, 0))
    tail = file.read(_MOST_PACKET)
    *_, last = (None, *_PACKET.finditer(tail))
    return last is not None and last.end() + int.from_bytes(last[1], "big") > len(tail)
