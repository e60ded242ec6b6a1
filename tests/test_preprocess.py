"""Letterbox and Preprocessor: the reference arrays, odd sizes, every input convention, reuse of buffers."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.preprocess import Preprocessor, letterbox
from yolox_deploy.types import InputConvention

NHWC = InputConvention(layout="NHWC", dtype="uint8")
NHWC_RGB = InputConvention(layout="NHWC", dtype="uint8", color_order="RGB")
RGB = InputConvention(color_order="RGB", pad_value=7)
CONVENTIONS = {
    "default": InputConvention(),
    "legacy": InputConvention.legacy(),
    "nhwc": NHWC,
    "nhwc-rgb": NHWC_RGB,
    "rgb": RGB,
}


def random_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def expected_tensor(image: NDArray[np.uint8], size: tuple[int, int], convention: InputConvention) -> NDArray:
    """The convention applied step by step to a whole letterboxed canvas."""
    canvas, ratio = letterbox(image, size)
    live = max(int(image.shape[0] * ratio), 1), max(int(image.shape[1] * ratio), 1)
    canvas[live[0] :] = convention.pad_value
    canvas[:, live[1] :] = convention.pad_value
    if convention.color_order == "RGB":
        canvas = canvas[:, :, ::-1]
    if convention.dtype == "uint8":
        return canvas[None]
    values = (canvas.astype(np.float64) * convention.scale - convention.mean) / convention.std
    return values.astype(np.float32).transpose(2, 0, 1)[None]


@pytest.mark.parametrize(("name", "size"), [("416", (416, 416)), ("320x640", (320, 640))])
def test_letterbox_equals_the_reference(shared: Path, name: str, size: tuple[int, int]) -> None:
    arrays = np.load(shared / "reference" / "reference.npz")
    ratios = json.loads((shared / "reference" / "reference.json").read_text())
    canvas, ratio = letterbox(arrays["pre/image"], size)
    np.testing.assert_array_equal(canvas.transpose(2, 0, 1), arrays[f"pre/out_{name}"])
    assert ratio == ratios[f"pre_ratio_{name}"]
    tensor, _ = Preprocessor(size)(arrays["pre/image"])
    np.testing.assert_array_equal(tensor[0], arrays[f"pre/out_{name}"].astype(np.float32))


@pytest.mark.parametrize(
    ("height", "width", "live"),
    [
        (1, 1, (64, 64)),
        (1, 5, (19, 96)),
        (9, 1, (64, 7)),
        (1, 12000, (1, 96)),
        (12000, 1, (64, 1)),
        (200, 12000, (1, 96)),
        (64, 96, (64, 96)),
        (128, 192, (64, 96)),
    ],
)
def test_letterbox_of_extreme_shapes(height: int, width: int, live: tuple[int, int]) -> None:
    image = random_image(height, width) // 2  # below 114, so that padding is told from the picture
    canvas, ratio = letterbox(image, (64, 96))
    assert canvas.shape == (64, 96, 3)
    assert canvas.dtype == np.uint8
    assert ratio == min(64 / height, 96 / width)
    assert np.all(canvas[: live[0], : live[1]] < 128)
    assert np.all(canvas[live[0] :] == 114)
    assert np.all(canvas[:, live[1] :] == 114)


def test_letterbox_leaves_its_input_alone_and_shares_nothing() -> None:
    image = random_image(32, 32)
    before = image.copy()
    canvas, _ = letterbox(image, (32, 32))
    canvas[:] = 0
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("flip", [np.s_[::-1], np.s_[:, ::-1], np.s_[:, :, ::-1], np.s_[::2, ::3]])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_views_equal_their_copies(flip: tuple[slice, ...], size: tuple[int, int]) -> None:
    view = random_image(48, 80)[flip]
    np.testing.assert_array_equal(letterbox(view, size)[0], letterbox(view.copy(), size)[0])
    expected = Preprocessor(size)(view.copy())[0].copy()
    np.testing.assert_array_equal(Preprocessor(size)(view)[0], expected)


@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=CONVENTIONS.keys())
@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_kept_buffers_never_show_an_earlier_image(convention: InputConvention, size: tuple[int, int]) -> None:
    preprocessor = Preprocessor(size, convention)
    random = np.random.default_rng(1)
    for seed in range(30):
        image = random_image(*random.integers(1, 150, 2), seed)
        tensor, letterboxed = preprocessor(image)
        expected = expected_tensor(image, size, convention)
        assert tensor.shape == expected.shape
        assert tensor.dtype == convention.dtype
        np.testing.assert_allclose(tensor, expected, rtol=0, atol=1e-6)
        assert letterboxed == (letterbox(image, size)[1], *image.shape[:2])
        slot = np.full_like(tensor[0], 3)
        assert preprocessor.fill(slot, image) == letterboxed
        np.testing.assert_array_equal(slot, tensor[0])


def test_fill_writes_one_slot_of_a_batch() -> None:
    preprocessor = Preprocessor((32, 64))
    batch = np.zeros((3, 3, 32, 64), np.float32)
    preprocessor.fill(batch[1], random_image(20, 20))
    assert not batch[0].any()
    assert not batch[2].any()
    np.testing.assert_array_equal(batch[1:2], preprocessor(random_image(20, 20))[0])


def test_a_failed_call_leaves_no_stale_padding() -> None:
    preprocessor = Preprocessor((32, 32))
    preprocessor(random_image(32, 16))
    with pytest.raises(InputError):
        preprocessor(np.zeros((8, 32), np.uint8))
    wide = random_image(16, 32)
    np.testing.assert_array_equal(preprocessor(wide)[0], Preprocessor((32, 32))(wide)[0])


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 32, 31), (32, 32, 3)])
def test_fill_refuses_a_wrong_slot(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"expected \(3, 32, 32\) float32"):
        Preprocessor((32, 32)).fill(np.zeros(shape, np.float32), random_image(4, 4))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image: NDArray) -> None:
    with pytest.raises(InputError, match="expected a non-empty HxWx3 uint8 BGR array"):
        letterbox(image, (32, 32))
    with pytest.raises(InputError, match="load_image"):
        Preprocessor((32, 32))(image)


@pytest.mark.parametrize("size", [(0, 32), (32,), (32, 32, 3), (32.0, 32), 32, (-1, 5)])
def test_wrong_sizes_are_refused(size: object) -> None:
    with pytest.raises(UsageError, match="the size is"):
        letterbox(random_image(4, 4), size)


def test_a_strip_keeps_its_colours() -> None:
    strip = np.full((1, 12000, 3), (10, 20, 30), np.uint8)
    canvas, _ = letterbox(strip, (416, 416))
    assert np.all(canvas[0] == (10, 20, 30))
    assert cv2.countNonZero(canvas[1:, :, 0] - 114) == 0
