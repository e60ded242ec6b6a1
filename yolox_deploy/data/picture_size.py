"""Height and width of a picture file from its first bytes, without decoding it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image

UNKNOWN = (0, 0)

_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 turn the picture by a quarter
_START_OF_FRAME = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive
_UNUSUAL_FRAME = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of the picture as `load_image` gives it, EXIF orientation applied.

    JPEG and PNG files are read in part: the size, and that the file has its end. All others, and those
    whose end is not where it should be, are decoded.

    Raises:
        InputError: the file is missing, empty, broken or no picture.
    """
    try:
        with path.open("rb") as file:
            size = _size_in_header(file)
    except FileNotFoundError:
        raise InputError(f"no such image file: {path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if size is not None:
        return size
    height, width = load_image(path).shape[:2]
    return height, width


def size_or_unknown(path: Path) -> tuple[int, int]:
    """`picture_size`, or `UNKNOWN` for a picture that cannot be read: the checks of the data set report it."""
    try:
        return picture_size(path)
    except InputError:
        return UNKNOWN


def _size_in_header(file: BinaryIO) -> tuple[int, int] | None:
    """The size, or None where only decoding can tell."""
    head = file.read(4096)
    try:
        if head.startswith(b"\xff\xd8"):
            size = _size_of_jpeg(file)
            return size if _ends_with(file, b"\xff\xd9") else None
        # A PNG file may be turned by an EXIF chunk too, which is rare.
        if head.startswith(b"\x89PNG\r\n\x1a\n") and b"eXIf" not in head:
            width, height = struct.unpack(">II", head[16:24])
            return (height, width) if _ends_with(file, b"IEND\xaeB`\x82") else None
    except (struct.error, IndexError, OSError):
        return None
    return None


def _ends_with(file: BinaryIO, end: bytes) -> bool:
    file.seek(-len(end), 2)
    return file.read() == end


def _size_of_jpeg(file: BinaryIO) -> tuple[int, int] | None:
    """Walk the segments of a JPEG file up to its frame header."""
    file.seek(2)
    turned = False
    while True:
        marker = file.read(2)
        if marker[0] != 0xFF:
            return None
        if marker[1] == 0xFF:
            file.seek(-1, 1)  # a fill byte
            continue
        if marker[1] in _WITHOUT_LENGTH:
            continue
        if marker[1] in _UNUSUAL_FRAME:
            return None
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] in _START_OF_FRAME:
            height, width = struct.unpack(">xHH", file.read(5))
            return (width, height) if turned else (height, width)
        content = file.read(length - 2)
        if marker[1] == 0xE1 and content.startswith(b"Exif\0\0"):
            turned = _is_turned(content[6:])


def _is_turned(tiff: bytes) -> bool:
    """Whether the EXIF orientation swaps height and width."""
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, first)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, first + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value) in (5, 6, 7, 8)
    except struct.error:
        return False  # OpenCV ignores broken EXIF data too
    return False
