"""Height and width of a picture file from its first bytes, without decoding it."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import BinaryIO

from yolox_deploy.errors import InputError, require
from yolox_deploy.images import load_image
from yolox_deploy.picture_headers import check_file, check_size, most_pixels

UNKNOWN = (0, 0)
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
ORIENTATION = 0x0112
"""EXIF's tag; 5 to 8 turn the picture by a quarter."""
FRAMES = frozenset((0xC0, 0xC1, 0xC2))
"""JPEG's markers of frames that OpenCV decodes: baseline, extended, progressive."""


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of the picture as `load_image` gives it, EXIF orientation applied.

    JPEG and PNG files are read in part: the size, and that the file has its end. All others, and those
    whose end is not where it should be, are decoded.

    Raises:
        InputError: the file is missing, empty, broken or no picture, or has more pixels than `load_image` decodes.
        MissingExtraError: Pillow is not installed.
    """
    try:
        check_file(path, most_pixels())
        with path.open("rb") as file:
            size = _size_in_header(file)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"no such image file: {path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if size is not None:
        check_size(*size, str(path), most_pixels())
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
    require("PIL", "eval")
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many pixels and broken EXIF data are no harm: nothing is decoded
        try:
            image = Image.open(file, formats=tuple(ENDS))
            exif = Image.Exif()  # not `getexif`, which believes XMP too: OpenCV does not
            exif.load(image.info.get("exif", b""))
            turned = exif.get(ORIENTATION) in (5, 6, 7, 8)
        except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
            return None
    if image.format == "PNG" and "exif" in image.info:
        return None  # which version of OpenCV turns it?
    width, height = image.size
    if image.format == "JPEG":
        frame = struct.pack(">BHH", 8, height, width)
        length = file.tell()
        file.seek(0)
        before, found, _ = file.read(length).rpartition(frame)
        if not found or before[-3] not in FRAMES:
            return None  # lossless or hierarchical: Pillow opens it, OpenCV does not decode it
    end = ENDS[str(image.format)]
    file.seek(-len(end), 2)
    if file.read() != end:
        return None
    return (width, height) if turned else (height, width)
