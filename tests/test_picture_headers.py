"""Pictures that claim too much or break off are refused before a decoder makes room for them."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from yolox_deploy.data.picture_size import picture_size
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.images import load_image
from yolox_deploy.picture_headers import size_in_header

HEIGHT, WIDTH = 37, 53


def drawn() -> NDArray[np.uint8]:
    noise = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (9, 9), 0), np.uint8)


def encoded(suffix: str, image: NDArray[Any], *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, image, options)[1].tobytes())


def by_pillow(kind: str, frames: int = 1, **options: Any) -> bytes:
    buffer, pictures = io.BytesIO(), [PILImage.fromarray(drawn() + number) for number in range(frames)]
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(buffer, kind, **more, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    image = drawn()
    made = {
        suffix: encoded(suffix, image)
        for suffix in (".jpg", ".png", ".bmp", ".gif", ".tif", ".ppm", ".pam", ".ras", ".jp2", ".webp")
        if cv2.haveImageWriter(suffix)
    }
    made |= {suffix: encoded(suffix, image.astype(np.float32) / 255) for suffix in (".hdr", ".pfm")}
    made["progressive"] = encoded(".jpg", image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    made["16 bits"] = encoded(".png", image.astype(np.uint16) * 257)
    made["alpha.webp"] = encoded(".webp", np.dstack([image, image[:, :, 0]]))
    made["lossless.webp"] = by_pillow("WEBP", lossless=True)
    made["bits.pbm"] = encoded(".pbm", image[:, :, 0])
    made["text.pgm"] = (
        b"P2 # a comment\n53\n37 255\n" + b" ".join(b"%d" % n for n in image[:, :, 0].flat) + b"\n"
    )
    made["BigTIFF"] = by_pillow("TIFF", big_tiff=True)
    made["APNG"], made["animated.gif"] = by_pillow("PNG", 3), by_pillow("GIF", 3)
    if cv2.haveImageWriter(".avif"):
        made["AVIF"] = encoded(".avif", image)
    return made


FILES = files()


@pytest.mark.parametrize("kind", FILES)
def test_the_header_says_what_the_decoder_gives(kind: str) -> None:
    assert size_in_header(FILES[kind]) == (HEIGHT, WIDTH)
    decoded = cv2.imdecode(np.frombuffer(FILES[kind], np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("kind", FILES)
def test_a_limit_of_pixels_holds_in_every_format(kind: str) -> None:
    with pytest.raises(InputError, match=r"37 x 53 pixels .*YOLOX_DEPLOY_MAX_PIXELS=1961"):
        load_image(FILES[kind], max_pixels=HEIGHT * WIDTH - 1)
    if kind != ".pfm":  # its values are no pixels of 8 bits
        load_image(FILES[kind], max_pixels=HEIGHT * WIDTH)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_was_cut_anywhere_is_refused(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = FILES[kind]
    blank = len(content) - len(content.rstrip(b"\n"))
    lengths = [len(content) * part // 10 for part in range(1, 10)]
    for length in (*lengths, *(len(content) - blank - left for left in (12, 3, 1))):
        if kind.startswith("text") and length == len(content) - 2:
            continue  # a number without its last digit is a number
        with pytest.raises(InputError):
            load_image(content[:length])
    capfd.readouterr()  # the decoders write to stderr


@pytest.mark.parametrize("kind", [".jpg", "progressive", ".png", "APNG", ".jp2"])
def test_zeros_instead_of_the_end_are_refused(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = FILES[kind]
    for length in (len(content) // 2, len(content) * 9 // 10):
        with pytest.raises(InputError):
            load_image(content[:length] + bytes(len(content) - length))
    capfd.readouterr()


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    "after", [bytes(100), b"\xff\xd8\xff\xe0 another picture"], ids=["zeros", "a picture"]
)
def test_bytes_behind_the_end_are_no_harm(kind: str, after: bytes) -> None:
    if kind != ".pfm":
        np.testing.assert_array_equal(load_image(FILES[kind] + after), load_image(FILES[kind]))


def claiming(kind: str) -> bytes:
    """A small file whose header claims 60,000 x 60,000 pixels or more."""
    side, content = 60_000, bytearray(FILES[kind])
    if kind == ".jpg":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == ".png":
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif kind == ".gif":
        content[6:10] = struct.pack("<HH", side, side)
    elif kind == ".bmp":
        content[18:26] = struct.pack("<ii", side, -side)
    elif kind == ".ppm":
        return b"P6\n60000 60000\n255\n" + bytes(100)
    return bytes(content)


def test_a_small_file_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    for kind in (".jpg", ".png", ".gif", ".bmp", ".ppm"):
        (tmp_path / f"bomb{kind}").write_bytes(claiming(kind))
    chunk = bytearray(FILES[".png"])
    chunk[33:37] = b"\x7f\xff\xff\xff"  # the length of the chunk behind the header
    (tmp_path / "chunk.png").write_bytes(chunk)
    code = (
        "import resource, sys, pathlib\n"
        "from yolox_deploy.images import load_image\n"
        "from yolox_deploy.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try: load_image(path); print(path.name, 'was read')\n"
        "    except InputError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000 * (1 if sys.platform == "linux" else 1024), done.stdout


def test_the_environment_sets_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(FILES[".jpg"])
    monkeypatch.setenv("YOLOX_DEPLOY_MAX_PIXELS", "1960")
    for read in (load_image, picture_size):
        with pytest.raises(InputError, match=r"a\.jpg has 37 x 53 pixels"):
            read(path)
    assert load_image(path, max_pixels=1961).shape == (HEIGHT, WIDTH, 3)
    with PILImage.open(path) as image, pytest.raises(InputError, match="the PIL image has 37 x 53 pixels"):
        load_image(image)
    assert load_image(drawn()).shape == (HEIGHT, WIDTH, 3)
    for wrong in ("0", "-1", "many", "1e9", "9" * 40):
        monkeypatch.setenv("YOLOX_DEPLOY_MAX_PIXELS", wrong)
        with pytest.raises(UsageError, match="YOLOX_DEPLOY_MAX_PIXELS"):
            load_image(path)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "9"])
def test_a_limit_that_cannot_be(wrong: Any) -> None:
    with pytest.raises(UsageError, match="max_pixels"):
        load_image(FILES[".jpg"], max_pixels=wrong)


def test_a_mutated_file_raises_nothing_but_errors_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    chance = np.random.default_rng(16)
    for content in FILES.values():
        for _ in range(20):
            damaged = bytearray(content)
            for place in chance.integers(0, min(len(damaged), 400), 4):
                damaged[place] = chance.integers(256)
            with suppress(InputError):
                load_image(bytes(damaged), max_pixels=1_000_000)
    capfd.readouterr()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8" + b"\xff" * 10_000_000,
        b"\xff\xd8\xff" + b"\xd0\xff" * 5_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 1_000_000,
        FILES[".png"][:33] + b"\0\0\0\0junk\0\0\0\0" * 1_000_000,
        b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"\xff\0\0\0meta\0\0\0\0" * 100_000,
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 1_000_000,
        b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\xff" * 10_000_000,
        b"P5" + b" #\n" * 3_000_000,
    ],
    ids=["filling", "restarts", "segments", "chunks", "nested", "boxes", "directory", "comments"],
)
def test_a_header_without_end_is_given_up(content: bytes) -> None:
    with pytest.raises(InputError, match="broken"):
        load_image(content)
