"""load_image: arrays, files, bytes and PIL images become upright uint8 BGR; the rest is refused clearly."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

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
