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
from typing import BinaryIO

MOST_PARTS = 1_000_000
"""Of a container that are walked through."""
_EBML, _SEGMENT, _MPEG = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\0\0\1\xba"
_ISO_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_PACKET = re.compile(rb"\x00\x00\x01[\xbc-\xef](..)", re.DOTALL)
_MOST_PACKET = 6 + 0xFFFF


def ends_early(path: Path, *, counted: bool) -> bool:
    """Whether the last part of the container lies partly behind the end of the file; False where nobody can tell.

    Args:
        counted: as many frames were read as the file says. That is believed of AVI and MP4, which count them: what is
            missing behind the last frame is an index, or bytes that belong to nothing. Others state a duration.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if head[:4] == b"RIFF" and head[8:11] == b"AVI":
                return not counted and _walk(file, size, _riff)
            if head[4:8] in _ISO_FIRST:
                return not counted and _walk(file, size, _iso)
            if head[:4] == _EBML:
                return _walk(file, size, _matroska)
            return head[:4] == _MPEG and _mpeg(file, size)
    except (OSError, ValueError, LookupError, struct.error):
        return False


def _walk(file: BinaryIO, size: int, length: Callable[[bytes], int | None]) -> bool:
    """Whether the last part ends behind the file; `length` tells how long a part is by its first bytes, if it can."""
    at = 0
    for _ in range(MOST_PARTS):
        if at >= size:
            return at > size
        file.seek(at)
        part = length(file.read(32))
        if part is None:
            return False
        at += part
    return False


def _riff(head: bytes) -> int | None:
    if head[:4] != b"RIFF":
        return None  # bytes that belong to nothing
    (length,) = struct.unpack_from("<I", head, 4)
    return 8 + int(length)


def _iso(head: bytes) -> int | None:
    length, wide = struct.unpack_from(">I", head)[0], head[8:16]
    if length == 1:
        length = int.from_bytes(wide, "big")
    return length if length >= 8 else None  # 0: up to the end


def _matroska(head: bytes) -> int | None:
    """An element; of the segment, and of a cluster of unknown length, only the beginning: what is in it follows."""
    width = 9 - head[0].bit_length()
    if not 1 <= width <= 4:
        return None
    more = 9 - head[width].bit_length()
    if not 1 <= more <= 8:
        return None
    length = int.from_bytes(head[width : width + more], "big") & (1 << 7 * more) - 1
    inside = head[:width] == _SEGMENT or length == (1 << 7 * more) - 1
    return width + more if inside else width + more + length


def _mpeg(file: BinaryIO, size: int) -> bool:
    """Packets state their length; within their content no such code stands."""
    file.seek(max(size - _MOST_PACKET, 0))
    tail = file.read(_MOST_PACKET)
    *_, last = (None, *_PACKET.finditer(tail))
    return last is not None and last.end() + int.from_bytes(last[1], "big") > len(tail)
