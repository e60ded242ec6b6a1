"""How large a picture is, by the header of its file: known before anything is decoded, for every format of OpenCV.

A few kilobytes may claim gigabytes of pixels. Where the header of a known format gives no size, no decoder gets to see
the file.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.files import limit

MAX_PIXELS = 200_000_000
"""Pixels that a picture may have, where nobody says otherwise."""
VARIABLE = "YOLOX_DEPLOY_MAX_PIXELS"

LEAST_BYTES, BYTES_A_PIXEL = 1 << 30, 8
"""Of a file that is read: so many, or so many a pixel where that is more."""
_NO_FILES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_OWN_PIPES = (("/", "dev"), ("/", "proc"))

_BREAK = rb"(?:\s|#[^\n]*\n)+"
_NETPBM = re.compile(rb"P[1-6]" + _BREAK + rb"(\d{1,10})" + _BREAK + rb"(\d{1,10})(?=\s|#)")
_FLOATS = re.compile(rb"P[Ff]\s+(\d{1,10})\s+(\d{1,10})\s")
_RADIANCE = re.compile(rb"\n\n-Y\s*(\d{1,10}) \+X\s*(\d{1,10})(?=\s)")
MOST_PARTS = 200_000
"""Of a container, before whoever made it is not believed any more."""
_TEXT = 1 << 16
"""Bytes in which a header that is a text ends, comments included."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""One that something belongs to."""
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q", 18: "Q"}
_BRANDS = 128
"""Bytes in which an AVIF file says that it is one."""
_AVIF_BOXES = frozenset((b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"))
_JPEG_END = b"\xff\xd9"
_WEBP_LOSSLESS = 0x2F


def most_pixels(asked: int | None = None) -> int:
    """How many pixels a picture may have: `asked`, or what `YOLOX_DEPLOY_MAX_PIXELS` says, or 200 million.

    Raises:
        UsageError: it is no whole number from 1 on.
    """
    if asked is not None:
        if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
            raise UsageError(f"max_pixels is {asked!r}; expected a whole number of pixels, from 1 on")
        return asked
    return limit(VARIABLE, MAX_PIXELS)


def check_file(path: Path, most: int) -> None:
    """Refuse, before it is opened, what a reader would wait for or never finish.

    Pipes are read where they are this process's own: `/dev/stdin`, `/dev/fd/63`.

    Raises:
        InputError: it is a pipe, a socket or a device, or a file larger than `most` pixels take in any format.
        OSError, ValueError: as of `Path.stat`.
    """
    found = path.stat()
    kind = stat.S_IFMT(found.st_mode)
    if kind in _NO_FILES and not (kind == stat.S_IFIFO and path.parts[:2] in _OWN_PIPES):
        raise InputError(f"{path} is {_NO_FILES[kind]}; expected an image file")
    if found.st_size > max(LEAST_BYTES, most * BYTES_A_PIXEL):
        raise InputError(
            f"{path} has {found.st_size} bytes, more than a picture of the {most} pixels that are decoded takes; "
            f"expected an image file, or a larger {VARIABLE}"
        )


def check_size(height: int, width: int, name: str, most: int) -> None:
    """Refuse a picture of more than `most` pixels.

    Raises:
        InputError: names its size, and how to allow it.
    """
    if height * width > most:
        raise InputError(
            f"{name} has {height} x {width} pixels (height x width), more than the {most} that are decoded; "
            f"make it smaller, or allow it: set {VARIABLE}={height * width}, or pass max_pixels"
        )


def size_in_header(data: bytes) -> tuple[int, int] | None:
    """The height and width, before any rotation, that an encoded picture claims; None where it is of no known format.

    Raises:
        ValueError: the header gives no size, or the file breaks off as far as its container tells.
    """
    reader = next((reader for matches, reader in _READERS if matches(data)), None)
    if reader is None:
        return None
    try:
        height, width = reader(data)
    except (struct.error, LookupError, OverflowError, RecursionError, StopIteration) as error:
        raise ValueError("the header breaks off") from error
    return abs(height), abs(width)


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(MOST_PARTS):
        match = _JPEG_MARKER.search(data, at)
        if match is None:
            break
        at = match.end()
        if data[at - 1] in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            data.rindex(_JPEG_END, at)  # bytes may follow it, as other pictures of a camera do
            return height, width
        at += int.from_bytes(data[at : at + 2], "big")
    raise ValueError("no part says the size")


def _png(data: bytes) -> tuple[int, int]:
    """The size, where all chunks are within the file: OpenCV makes room for what they claim."""
    if data[12:16] != b"IHDR":
        raise ValueError("the first chunk is no header")
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    for _ in range(MOST_PARTS):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND" and at <= len(data):
            return height, width
    raise ValueError("no chunk is the last")


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width


def _bmp(data: bytes) -> tuple[int, int]:
    if data[14:18] == b"\x0c\0\0\0":
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return height, width


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8L":
        if data[20] != _WEBP_LOSSLESS:
            raise ValueError
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _tiff(data: bytes) -> tuple[int, int]:
    """The greatest sides that the first directory names: of a tag that is there twice, who knows which one counts."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at, each, inside = at + (8 if big else 2), 20 if big else 12, 12 if big else 8
    sides: dict[int, int] = {}
    for place in range(at, min(at + min(count, MOST_PARTS) * each, len(data)), each):
        tag, number = struct.unpack_from(order + "HH", data, place)
        if tag in (256, 257) and number in _TIFF_NUMBERS:
            (side,) = struct.unpack_from(order + _TIFF_NUMBERS[number], data, place + inside)
            sides[tag] = max(sides.get(tag, 0), side)
    return sides[257], sides[256]


def _netpbm(data: bytes) -> tuple[int, int]:
    match = _NETPBM.match(data[:_TEXT])
    if match is None:
        raise ValueError
    return int(match[2]), int(match[1])


def _pam(data: bytes) -> tuple[int, int]:
    head = data[:_TEXT].partition(b"ENDHDR")[0]
    sides = [
        max(int(n) for n in re.findall(rb"%s\s+(\d{1,10})" % side, head)) for side in (b"HEIGHT", b"WIDTH")
    ]
    return sides[0], sides[1]


def _floats(data: bytes) -> tuple[int, int]:
    match = _FLOATS.match(data[:_TEXT])
    if match is None:
        raise ValueError
    return int(match[2]), int(match[1])


def _radiance(data: bytes) -> tuple[int, int]:
    match = _RADIANCE.search(data[:_TEXT])
    if match is None:
        raise ValueError
    return int(match[1]), int(match[2])


def _sun(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">ii", data, 4)
    return height, width


def _jpeg_2000(data: bytes) -> tuple[int, int]:
    at = (
        0
        if data.startswith(b"\xff\x4f\xff\x51")
        else next(begin for kind, begin, _ in _boxes(data, 0, len(data)) if kind == b"jp2c")
    )
    if data[at : at + 4] != b"\xff\x4f\xff\x51":
        raise ValueError
    data.rindex(_JPEG_END, at)
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return bottom - top, right - left


def _avif(data: bytes) -> tuple[int, int]:
    """The greatest size that any picture in it has: of tiles, the whole; of fourth channels, the colours'."""
    return max(_avif_sizes(data, 0, len(data)), key=lambda size: size[0] * size[1])


def _avif_sizes(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    for kind, start, stop in _boxes(data, begin, end):
        if kind in _AVIF_BOXES:
            skipped = {b"meta": 4, b"stsd": 8}.get(kind, 0)
            yield from _avif_sizes(data, start + skipped, stop)
        elif kind == b"ispe":
            width, height = struct.unpack_from(">II", data, start + 4)
            yield height, width
        elif kind == b"av01":
            width, height = struct.unpack_from(">HH", data, start + 24)
            yield height, width


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of an ISO container: kind, and where the content begins and ends."""
    for _ in range(MOST_PARTS):
        if begin + 8 > end:
            return
        size, kind, head = int.from_bytes(data[begin : begin + 4], "big"), data[begin + 4 : begin + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[begin + 8 : begin + 16], "big"), 16
        stop = min(begin + size, end) if size else end
        if stop < begin + head:
            return
        yield kind, begin + head, stop
        begin = stop


def _begins(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(heads)


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Any]], ...] = (
    (_begins(b"\xff\xd8\xff"), _jpeg),
    (_begins(b"\x89PNG\r\n\x1a\n"), _png),
    (_begins(b"GIF8"), _gif),
    (_begins(b"BM"), _bmp),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
    (_begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (lambda data: data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace(), _netpbm),
    (_begins(b"P7\n"), _pam),
    (_begins(b"PF\n", b"Pf\n"), _floats),
    (_begins(b"#?RGBE", b"#?RADIANCE"), _radiance),
    (_begins(b"\x59\xa6\x6a\x95"), _sun),
    (_begins(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), _jpeg_2000),
    (lambda data: data[4:8] == b"ftyp" and any(b in data[8:_BRANDS] for b in (b"avif", b"avis")), _avif),
)
