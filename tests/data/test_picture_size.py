"""Sizes from file headers against the decoded pictures."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from yolox_deploy.data.picture_size import UNKNOWN, picture_size, size_or_unknown
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_each_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    assert cv2.imwrite(str(path), PIXELS)
    assert picture_size(path) == (37, 53)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"quality": 5}])
def test_kinds_of_jpeg(tmp_path: Path, options: dict[str, int]) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(PIXELS).save(path, comment=b"\xff\xc0 in a comment", **options)
    assert picture_size(path) == (37, 53)


def test_grey_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(PIXELS[:, :, 0]).save(path)
    assert picture_size(path) == (37, 53)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_in_decoding(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"picture{suffix}"
    exif = Image.Exif()
    exif[0x010F] = "maker of cameras"
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(path, exif=exif)
    assert picture_size(path) == load_image(path).shape[:2]
    if suffix == ".jpg":
        assert picture_size(path) == ((37, 53) if orientation < 5 else (53, 37))


def test_big_endian_exif(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0" + tiff)
    assert picture_size(path) == load_image(path).shape[:2] == (53, 37)


@pytest.mark.parametrize("tiff", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09"])
def test_broken_exif_is_no_orientation(tmp_path: Path, tiff: bytes) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0" + tiff)
    assert picture_size(path) == load_image(path).shape[:2] == (37, 53)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xCB, 0xCF])
def test_kinds_of_jpeg_that_cannot_be_decoded(tmp_path: Path, marker: int) -> None:
    path = tmp_path / "lossless.jpg"
    assert cv2.imwrite(str(path), PIXELS)
    path.write_bytes(path.read_bytes().replace(b"\xff\xc0", bytes((0xFF, marker)), 1))
    with pytest.raises(InputError, match="lossless"):
        picture_size(path)


def test_an_orientation_in_xmp_is_none(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(PIXELS).save(path, xmp=b'<rdf:Description tiff:Orientation="6"/>')
    assert picture_size(path) == load_image(path).shape[:2] == (37, 53)


def test_many_pixels_are_no_matter(tmp_path: Path) -> None:
    """More than Pillow warns of: nothing is decoded."""
    path = tmp_path / "picture.png"
    Image.fromarray(PIXELS).save(path)
    content = path.read_bytes()
    head = b"IHDR" + struct.pack(">II", 30_000, 4_000) + content[24:29]
    path.write_bytes(content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:])
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS < 30_000 * 4_000
    assert picture_size(path) == (4_000, 30_000)


def test_what_follows_the_end_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    assert cv2.imwrite(str(path), PIXELS)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert picture_size(path) == (37, 53)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0, 2, 10, 30, 300])
def test_files_that_break_off(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"broken{suffix}"
    assert cv2.imwrite(str(path), PIXELS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="broken"):
        picture_size(path)
    assert size_or_unknown(path) == UNKNOWN


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "words.jpg"
    path.write_text("no picture")
    with pytest.raises(InputError, match="words"):
        picture_size(path)
    with pytest.raises(InputError, match="no such image file"):
        picture_size(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="cannot read"):
        picture_size(tmp_path)


def test_photographs(shared: Path) -> None:
    for path in sorted((shared / "real/coco_mini/images").glob("*.jpg"))[:20]:
        assert picture_size(path) == load_image(path).shape[:2]
