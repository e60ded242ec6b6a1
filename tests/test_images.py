"""load_image: arrays, files, bytes and PIL images become upright uint8 BGR; the rest is refused clearly."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import struct
import subprocess
import sys
import tempfile
import textwrap
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_deploy.data.picture_size import picture_size
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image, load_opaque

PILImage = pytest.importorskip("PIL.Image", reason="needs Pillow, which yolox-deploy itself does not")


def gradient(height: int = 24, width: int = 36) -> NDArray[np.uint8]:
    """A smooth BGR picture without any symmetry, which JPEG changes little."""
    rows, columns = np.mgrid[:height, :width]
    planes = [rows * 200 // height, columns * 200 // width, (rows + columns) * 200 // (height + width)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def encoded(image: NDArray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def rotated_jpeg(image: NDArray[np.uint8], orientation: int) -> bytes:
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    PILImage.fromarray(image[:, :, ::-1].copy()).save(
        buffer, "jpeg", quality=100, subsampling=0, exif=exif.tobytes()
    )
    return buffer.getvalue()


UPRIGHT = {
    1: lambda image: image,
    3: lambda image: image[::-1, ::-1],
    6: lambda image: np.rot90(image, -1),
    8: np.rot90,
    5: lambda image: image.transpose(1, 0, 2),
}


def test_a_bgr_array_passes_through_without_a_copy() -> None:
    image = gradient()
    assert load_image(image) is image
    crop = image[3:20, 5:30]
    assert load_image(crop) is crop


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[:, :, ::-1], np.s_[:, ::2]])
def test_other_views_become_contiguous_and_equal(view: tuple[slice, ...]) -> None:
    image = gradient()[view]
    loaded = load_image(image)
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, image)


@pytest.mark.parametrize("shape", [(24, 36), (24, 36, 1)])
def test_greyscale_fills_three_channels(shape: tuple[int, ...]) -> None:
    grey = gradient()[:, :, 0].reshape(shape)
    loaded = load_image(grey)
    assert loaded.shape == (24, 36, 3)
    assert loaded.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(loaded[:, :, channel], grey.reshape(24, 36))


def test_alpha_is_dropped() -> None:
    image = gradient()
    with_alpha = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    np.testing.assert_array_equal(load_image(with_alpha), image)
    np.testing.assert_array_equal(load_image(encoded(with_alpha)), image)


def with_fourth() -> NDArray[np.uint8]:
    """`gradient` with a fourth channel that is 0 at some pixels, which keep their colour."""
    image = gradient()
    return np.dstack([image, image[:, :, 0] + 55 * (image[:, :, 1] > 99)]).astype(np.uint8)


def test_a_model_of_four_channels_gets_the_fourth_as_it_is(tmp_path: Path) -> None:
    image = with_fourth()
    assert load_image(image, 4) is image
    crop = image[3:20, 5:30]
    assert load_image(crop, 4) is crop
    np.testing.assert_array_equal(load_image(image[:, ::-1], 4), image[:, ::-1])
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(image))
    rgba = PILImage.fromarray(np.ascontiguousarray(image[:, :, [2, 1, 0, 3]]))
    wide = image.astype(np.uint16) * 257
    for source in (path, str(path), path.read_bytes(), encoded(image, ".tiff"), rgba, wide, encoded(wide)):
        loaded = load_image(source, 4)
        assert loaded.flags.c_contiguous
        np.testing.assert_array_equal(loaded, image)


@pytest.mark.parametrize("mode", ["LA", "PA", "P"])
def test_pil_modes_with_transparency_have_a_fourth_channel(mode: str) -> None:
    image = PILImage.fromarray(np.ascontiguousarray(with_fourth()[:, :, [2, 1, 0, 3]])).convert(mode)
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    expected = np.asarray(image.convert("RGBA"))
    assert expected[:, :, 3].min() < 255
    np.testing.assert_array_equal(load_image(image, 4), expected[:, :, [2, 1, 0, 3]])


@pytest.mark.parametrize("format", ["png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_fourth_channel_is_turned_with_the_colours(orientation: int, format: str) -> None:
    exif, buffer = PILImage.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if format == "webp" else {}
    rgba = np.ascontiguousarray(with_fourth()[:, :, [2, 1, 0, 3]])
    PILImage.fromarray(rgba).save(buffer, format, exif=exif, **options)
    loaded = load_image(buffer.getvalue(), 4)
    np.testing.assert_array_equal(loaded[:, :, :3], load_image(buffer.getvalue()))
    np.testing.assert_array_equal(loaded[:, :, 3], UPRIGHT[orientation](with_fourth())[:, :, 3])


@pytest.mark.parametrize("kind", ["array", "grey", "png", "jpg", "pil"])
def test_a_missing_fourth_channel_is_named_or_made_opaque(tmp_path: Path, kind: str) -> None:
    image = gradient()
    path = tmp_path / f"picture.{kind}"
    if kind in ("png", "jpg"):
        path.write_bytes(encoded(image, path.suffix))
    sources = {"array": image, "grey": image[:, :, 0], "pil": PILImage.fromarray(image)}
    source = sources.get(kind, path)
    name = "the picture" if kind in sources else str(path)
    with pytest.raises(InputError, match=f"{name} has no fourth channel.*pass an .H, W, 4. uint8 array"):
        load_image(source, 4)
    np.testing.assert_array_equal(load_opaque(source, 4)[:, :, :3], load_image(source))
    assert (load_opaque(source, 4)[:, :, 3] == 255).all()


def test_opaque_pictures_keep_what_they_have() -> None:
    image = gradient()
    assert load_opaque(image, 3) is image
    np.testing.assert_array_equal(load_opaque(with_fourth(), 4), with_fourth())
    np.testing.assert_array_equal(load_opaque(with_fourth(), 3), with_fourth()[:, :, :3])


def test_sixteen_bits_become_eight() -> None:
    image = gradient()
    wide = image.astype(np.uint16) * 257
    np.testing.assert_array_equal(load_image(wide), image)
    np.testing.assert_array_equal(load_image(wide[:, :, 0])[:, :, 2], image[:, :, 0])
    np.testing.assert_array_equal(load_image(encoded(wide)), image)
    np.testing.assert_array_equal(load_image(encoded(wide[:, :, 1]))[:, :, 0], image[:, :, 1])
    assert load_image(np.array([[0, 128, 129, 65535]], np.uint16))[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("shape", [(1, 1), (1, 12000), (12000, 1), (3, 12000)])
def test_tiny_and_very_wide_pictures(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert load_image(image) is image
    np.testing.assert_array_equal(load_image(encoded(image)), image)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "convert with"),
        (np.zeros((4, 4, 3), np.int64), "expected uint8"),
        (np.zeros((4, 4), bool), "expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), "transpose"),
        (np.zeros((8, 8, 2), np.uint8), r"\(H, W, 3\) BGR"),
        (np.zeros((2, 8, 8, 3), np.uint8), "predict_batch"),
        (np.zeros(8, np.uint8), r"\(H, W, 3\) BGR"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
        (np.zeros((8, 0), np.uint16), "at least one pixel"),
    ],
)
def test_other_arrays_are_refused(array: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_image(array)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes(suffix: str, kind: type) -> None:
    quality = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []  # above 100 is lossless
    data = cv2.imencode(suffix, gradient(), quality)[1].tobytes()
    np.testing.assert_array_equal(load_image(kind(data)), gradient())


def test_an_interleaved_memoryview() -> None:
    data = np.frombuffer(encoded(gradient()), np.uint8).repeat(2).tobytes()
    np.testing.assert_array_equal(load_image(memoryview(data)[::2]), gradient())


@pytest.mark.parametrize("name", ["plain.png", "höhe 図.png", "no_suffix"])
def test_paths_as_text_and_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(gradient()))
    np.testing.assert_array_equal(load_image(path), gradient())
    np.testing.assert_array_equal(load_image(str(path)), gradient())


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    data = rotated_jpeg(gradient(), orientation)
    path = tmp_path / "turned.jpg"
    path.write_bytes(data)
    expected = UPRIGHT[orientation](gradient()).astype(int)
    for source in (data, path, PILImage.open(path), PILImage.open(io.BytesIO(data))):
        loaded = load_image(source)
        assert loaded.shape == expected.shape
        assert np.abs(loaded - expected).max() <= 6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "YCbCr", "HSV", "L", "LA", "P", "1"])
def test_pil_modes(mode: str) -> None:
    rgb = PILImage.fromarray(gradient()[:, :, ::-1].copy())
    image = rgb.convert(mode)
    expected = np.asarray(image.convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(load_image(image), expected)


def test_pil_sixteen_bits() -> None:
    wide = gradient()[:, :, 0].astype(np.uint16) * 257
    opened = PILImage.open(io.BytesIO(encoded(wide)))
    assert opened.mode.startswith("I")
    for image in (opened, PILImage.fromarray(wide), PILImage.fromarray(wide.astype(np.int32))):
        np.testing.assert_array_equal(load_image(image)[:, :, 1], gradient()[:, :, 0])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PILImage.fromarray(np.zeros((4, 4), np.float32)), "mode F"),
        (PILImage.fromarray(np.full((4, 4), -1, np.int32)), "holds -1"),
        (PILImage.new("RGB", (0, 4)), "at least one pixel"),
    ],
)
def test_other_pil_images_are_refused(image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_image(image)


def test_a_truncated_pil_file_is_refused() -> None:
    data = encoded(gradient(200, 300), ".jpg")
    with pytest.raises(InputError, match="PIL cannot convert"):
        load_image(PILImage.open(io.BytesIO(data[: len(data) // 2])))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_file_that_breaks_off_is_refused(
    suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(gradient(200, 300), suffix)
    with pytest.raises(InputError, match="breaks off"):
        load_image(data[: int(len(data) * share)])
    capfd.readouterr()  # the decoders warn on stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"plain text, no picture at all", "is broken"),
        (encoded(gradient(), ".jpg")[:30], "is broken"),
        (encoded(gradient())[:20], "is broken"),
    ],
    ids=["empty", "text", "jpeg head", "png head"],
)
def test_bytes_that_hold_no_picture(
    tmp_path: Path, data: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(InputError, match=message):
            load_image(source)
    with pytest.raises(InputError, match=r"broken\.jpg"):
        load_image(path)
    capfd.readouterr()


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such image file: .*absent\.jpg"):
        load_image(tmp_path / "absent.jpg")
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        load_image("a\0b")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(gradient()))
    path.chmod(0)
    with pytest.raises(InputError, match="cannot read"):
        load_image(path)


@pytest.mark.parametrize("source", [None, 3, [[1, 2], [3, 4]], object()])
def test_other_things_are_refused(source: object) -> None:
    with pytest.raises(InputError, match="cannot read an image from"):
        load_image(source)


def test_pil_is_never_imported_by_us() -> None:
    code = (
        "import sys, numpy; from yolox_deploy.images import load_image\n"
        "load_image(numpy.zeros((2, 2, 3), numpy.uint8))\n"
        "try: load_image(None)\nexcept ValueError: pass\n"
        "assert not any(name.startswith('PIL') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[1])


def deep(bits: int) -> NDArray[np.uint16]:
    """`gradient` as a camera of so many bits stores it in 16; its brightest value is white."""
    image = gradient().astype(np.uint32)
    return (image * ((1 << bits) - 1) // image.max()).astype(np.uint16)


def netpbm(image: NDArray, white: int) -> bytes:
    """A PGM or PPM file with a comment in its header."""
    kind = b"P5" if image.ndim == 2 else b"P6"
    values = image if image.ndim == 2 else image[:, :, ::-1]
    header = b"%s\n# by a camera\n%d %d\n%d\n" % (kind, image.shape[1], image.shape[0], white)
    return header + values.astype(">u2" if white > 255 else "u1").tobytes()


def packed_tiff(image: NDArray[np.uint16], bits: int) -> bytes:
    """A greyscale TIFF whose values take `bits` each, without gaps but at the ends of rows."""
    height, width = image.shape
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in image]
    length = -(-width * bits // 8)
    data = b"".join(int(row.ljust(length * 8, "0"), 2).to_bytes(length, "big") for row in rows)
    data += b"\0" * (len(data) % 2)
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (
        struct.pack("<4sI", b"II*\0", 8 + len(data))
        + data
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["array", "grey", "png", "tiff", "pil", "pil I"])
def test_data_of_fewer_bits_in_sixteen_is_stretched_and_warned_of(kind: str, bits: int) -> None:
    image = deep(bits)
    sources = {
        "array": image,
        "grey": image[:, :, 0],
        "png": encoded(image),
        "tiff": encoded(image, ".tiff"),
        "pil": PILImage.fromarray(image[:, :, 0]),
        "pil I": PILImage.fromarray(image[:, :, 0].astype(np.int32)),
    }
    with pytest.warns(UserWarning, match=f"no value above {image.max()}: it is read as {bits}-bit") as told:
        loaded = load_image(sources[kind])
    assert len(told) == 1
    expected = np.round(image / image.max() * 255)
    if kind in ("grey", "pil", "pil I"):
        expected = np.repeat(expected[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(loaded, expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_the_cure_in_the_warning_says_another_depth(bits: int) -> None:
    with pytest.warns(UserWarning, match=r"\(picture >> \(bits - 8\)\)\.astype\(numpy\.uint8\)"):
        load_image(picture := deep(10))
    stated = load_image((picture >> (bits - 8)).astype(np.uint8))
    np.testing.assert_array_equal(stated, (picture // 2 ** (bits - 8)).astype(np.uint8))


@pytest.mark.parametrize("brightest", [16384, 30000, 65535])
def test_sixteen_bits_are_not_stretched(brightest: int) -> None:
    image = gradient().astype(np.uint32)
    image = (image * brightest // image.max()).astype(np.uint16)
    for source in (image, encoded(image), encoded(image, ".tiff")):
        np.testing.assert_array_equal(load_image(source), np.round(image / 257))


def test_black_and_dark_eight_bit_pictures_in_sixteen_are_not_stretched() -> None:
    dark = gradient() // 8
    for image in (np.zeros((4, 5), np.uint16), dark.astype(np.uint16) * 257):
        np.testing.assert_array_equal(load_image(image).max(), image.max() // 257)


@pytest.mark.parametrize("white", [100, 255, 300, 1023, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_is_what_a_netpbm_file_states(channels: int, white: int) -> None:
    """A dark picture as well: half of white is grey, whatever the greatest value is, and nothing is warned of."""
    image = (gradient().astype(np.uint32) * white // 400).astype(np.uint16)
    image = image[:, :, 0] if channels == 1 else image
    loaded = load_image(netpbm(image, white))
    expected = np.floor(image / white * 255 + 0.5)
    np.testing.assert_array_equal(loaded, np.dstack([expected] * 3) if channels == 1 else expected)


@pytest.mark.parametrize("text", ["P2\n4 1\n100\n0 50 99 100\n", "P2 4 1 4000 0 2000 3960 4000\n"])
def test_netpbm_in_plain_text(text: str) -> None:
    assert load_image(text.encode())[0, :, 0].tolist() == pytest.approx([0, 127.5, 252.5, 255], abs=0.6)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_tiff(bits: int) -> None:
    image = deep(bits)[:, :, 0]
    image[0, :2] = 0, (1 << bits) - 1
    loaded = load_image(packed_tiff(image, bits))
    assert np.abs(loaded[:, :, 1] - image / image.max() * 255).max() < 1


def test_the_fourth_channel_of_sixteen_bits() -> None:
    colours, dim = deep(12), deep(12)[:, :, :1]
    for fourth, expected in ((dim, dim / 4095 * 255), (dim * 16, dim * 16 / 257)):
        with pytest.warns(UserWarning, match="12-bit"):
            loaded = load_image(np.dstack([colours, fourth]), 4)
        np.testing.assert_array_equal(loaded[:, :, :3], np.round(colours / 4095 * 255))
        np.testing.assert_array_equal(loaded[:, :, 3:], np.round(expected))


def test_files_of_signed_and_real_values() -> None:
    signed = (gradient().astype(np.int32) * 150).astype(np.int16)
    np.testing.assert_array_equal(load_image(encoded(signed, ".tiff")), np.round(signed / 257))
    for wrong, dtype in ((-signed, "int16"), (signed / np.float32(4), "float32")):
        with pytest.raises(InputError, match=f"holds {dtype}; expected 8 or 16 bits"):
            load_image(encoded(wrong, ".tiff"))


def test_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(gradient()))
    buffer = io.BytesIO()
    PILImage.fromarray(gradient()[:, :, ::-1]).save(buffer, "png")
    assert buffer.tell() > 0  # as it is after writing; it is read from its beginning, twice as well
    with path.open("rb") as file, tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(path.read_bytes())
        for source in (file, buffer, buffer, spooled):
            np.testing.assert_array_equal(load_image(source), gradient())
    with urllib.request.urlopen(path.as_uri()) as answer:
        np.testing.assert_array_equal(load_image(answer), gradient())
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.write(path, "a.png")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as archive, archive.open("a.png") as member:
        np.testing.assert_array_equal(load_image(member), gradient())


def test_a_pipe_is_read_to_its_end() -> None:
    code = "import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))"
    command = [sys.executable, "-c", code, encoded(gradient()).hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        np.testing.assert_array_equal(load_image(process.stdout), gradient())


class Upload:
    """As web frameworks give it."""

    async def read(self) -> bytes:
        return encoded(gradient())


def test_an_upload_that_is_awaited() -> None:
    with pytest.raises(
        InputError, match=r"the Upload is read asynchronously; pass its bytes: await file\.read"
    ):
        load_image(Upload())
    np.testing.assert_array_equal(load_image(asyncio.run(Upload().read())), gradient())


class Letters:
    """A file whose bytes were decoded on the way, and that cannot seek."""

    def read(self) -> str:
        return "no picture"


def test_open_files_that_hold_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    closed = io.BytesIO(encoded(gradient()))
    closed.close()
    with (tmp_path / "a.txt").open() as text, (tmp_path / "b").open("wb") as written:
        for source, message in (
            (text, r"the TextIOWrapper is open as text; open the file as bytes: open\(path, 'rb'\)"),
            (io.StringIO("x"), "the StringIO is open as text"),
            (written, "cannot read the BufferedWriter"),
            (closed, "cannot read the BytesIO: .*closed"),
            (Letters(), r"read\(\) of the Letters gave str; expected bytes"),
            (io.BytesIO(), r"the BytesIO is empty \(0 bytes\)"),
            (io.BytesIO(b"no picture"), r"the BytesIO \(10 bytes\) is broken"),
        ):
            with pytest.raises(InputError, match=message):
                load_image(source)


BASE64 = base64.b64encode(encoded(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE64, r"found a text of \d{4} characters that looks like base64; .*base64.b64decode"),
        (BASE64[:120], "found a text of 120 characters that looks like base64"),
        ("\n".join(textwrap.wrap(BASE64)), "looks like base64"),
        (BASE64.replace("/", "_").replace("+", "-"), "looks like base64"),
        (BASE64[1:], "looks like base64"),
        (f"data:image/png;base64,{BASE64}", "found a data URL of .* characters; decode it"),
        ("https://example.org/a.jpg?" + "x" * 500, r"found the address https:/.*urlopen\(address\)\.read"),
        ("no picture. " * 500, "cannot read no picture. .*: File name too long"),
        ("no/picture/" * 30, "no such image file: no/picture/"),
        ("a\0b" * 200, "cannot read a"),
    ],
    ids=["png", "short", "wrapped", "url-safe", "no picture", "data", "address", "text", "path", "zeros"],
)
def test_long_texts_are_not_repeated(text: str, message: str) -> None:
    for source in (text, Path(text)):
        with pytest.raises(InputError, match=message) as refused:
            load_image(source)
        assert len(str(refused.value)) < 220
        assert text[40:140] not in str(refused.value)


def test_what_the_message_on_base64_says_works() -> None:
    url = f"data:image/png;base64,{BASE64}"
    decoded = load_image(base64.b64decode(url.partition(",")[2]))
    np.testing.assert_array_equal(decoded, load_image(base64.b64decode(BASE64)))
    with pytest.raises(InputError, match=r"looks like base64; decode it: base64\.b64decode\(data\)"):
        load_image(BASE64.encode())


def test_paths_that_merely_lead_nowhere_are_called_paths(tmp_path: Path) -> None:
    for name in ("/9j/picture.jpg", "UklGR/a b c.png", "C:/pictures/a.jpg", "home/user/pictures/street"):
        with pytest.raises(InputError, match=f"no such image file: {name}"):
            load_image(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes, which Windows has not")
@pytest.mark.parametrize("read", [load_image, picture_size])
def test_what_would_never_end_is_not_opened(tmp_path: Path, read: Callable[[Path], object]) -> None:
    pipe, device, huge = tmp_path / "pipe.png", tmp_path / "device.png", tmp_path / "huge.png"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    with huge.open("wb") as file:
        file.truncate(8 << 30)  # sparse: it takes no room
    for path, said in ((pipe, "named pipe"), (device, "device"), (huge, f"{8 << 30} bytes")):
        with pytest.raises(InputError, match=said):
            read(path)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_a_pipe_of_its_own_is_read() -> None:
    reader, writer = os.pipe()
    encoded = cv2.imencode(".png", np.full((4, 6, 3), 7, np.uint8))[1].tobytes()
    os.write(writer, encoded)
    os.close(writer)
    assert load_image(f"/dev/fd/{reader}").shape == (4, 6, 3)
    os.close(reader)
