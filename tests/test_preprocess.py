"""Letterbox and Preprocessor: the reference arrays, odd sizes, every input convention, reuse of buffers."""

from __future__ import annotations

import itertools
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


RESIZES = ("letterbox", "letterbox_center", "stretch")
LAYOUTS = tuple(itertools.product(("NCHW", "NHWC"), ("float32", "float16", "uint8")))
NORMALISATION = {
    "BGR": {"mean": (103.5, 116.3, 123.7), "std": (57.4, 57.1, 58.4)},
    "RGB": {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "GRAY": {"scale": 1 / 255, "mean": (0.45,), "std": (0.225,)},
    "BGRA": {"scale": 1 / 255, "std": (0.5,)},
    "RGBA": {"mean": (123.7, 116.3, 103.5, 9.0), "std": (58.4, 57.1, 57.4, 2.0)},
}


def random_image(height: int, width: int, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


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
        assert letterboxed == (letterbox(image, size)[1], *image.shape[:2], (0, 0))
        slot = np.full_like(tensor[0], 3)
        assert preprocessor.fill(slot, image) == letterboxed
        np.testing.assert_array_equal(slot, tensor[0])


def placed(image: NDArray[np.uint8], size: tuple[int, int], resize: str, pad: int) -> NDArray[np.uint8]:
    """The (H, W, C) canvas, as YOLOX, Ultralytics and plain `cv2.resize` make it."""
    (high, wide), (height, width) = size, image.shape[:2]
    ratio = min(high / height, wide / width)
    if resize == "letterbox":
        new, before, after = (int(width * ratio), int(height * ratio)), (0.0, 0.0), None
    elif resize == "stretch":
        return cv2.resize(image, (wide, high), interpolation=cv2.INTER_LINEAR)
    else:
        new = round(width * ratio), round(height * ratio)
        before = after = (wide - new[0]) / 2, (high - new[1]) / 2
    image = cv2.resize(image, new, interpolation=cv2.INTER_LINEAR)
    left, top = (round(side - 0.1) for side in before)
    right, bottom = (wide - new[0], high - new[1]) if after is None else (round(side + 0.1) for side in after)
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(pad,) * 4)


def channel(image: NDArray[np.uint8], letter: str) -> NDArray[np.uint8]:
    return image[:, :, "BGRA".index(letter)]


@pytest.mark.parametrize("order", NORMALISATION)
@pytest.mark.parametrize(("layout", "dtype"), LAYOUTS)
@pytest.mark.parametrize("resize", RESIZES)
def test_every_convention_equals_its_steps(resize: str, layout: str, dtype: str, order: str) -> None:
    steps = {} if dtype == "uint8" else NORMALISATION[order]
    for fields, size in (({}, (64, 64)), (steps, (64, 64)), (steps, (32, 96))):
        convention = InputConvention(layout, dtype, order, 30, resize=resize, **fields)
        preprocessor = Preprocessor(size, convention)
        for shape in ((64, 64), (61, 45), (45, 61), (200, 333), (31, 95), (32, 96)):
            image = random_image(*shape, channels=convention.picture_channels)
            if order == "GRAY":
                canvas = placed(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size, resize, 30)[:, :, None]
            else:
                canvas = placed(image, size, resize, 30)
                canvas = np.stack([channel(canvas, letter) for letter in order], axis=-1)
            values = canvas.astype(np.float64) * fields.get("scale", 1.0) - fields.get("mean", 0.0)
            expected = (values / fields.get("std", 1.0)).astype(np.float32).astype(dtype)
            expected = expected.transpose(2, 0, 1) if layout == "NCHW" else expected
            tensor, _ = preprocessor(image)
            assert tensor.dtype == dtype
            np.testing.assert_array_equal(tensor, expected[None])
            np.testing.assert_array_equal(preprocessor.stack([image, image])[0][1], expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 12000), (12000, 1), (64, 96), (63, 96), (99, 41)])
@pytest.mark.parametrize("resize", RESIZES[1:])
def test_the_corners_of_the_picture_come_back_exactly(resize: str, height: int, width: int) -> None:
    """Where the white picture lies in the black input, and what the way back makes of it."""
    preprocessor = Preprocessor((64, 96), InputConvention(resize=resize, pad_value=0))
    tensor, (ratio, *size, (left, top)) = preprocessor(np.full((height, width, 3), 255, np.uint8))
    rows, columns = (np.flatnonzero(tensor[0, 0].any(axis=axis)) for axis in (1, 0))
    across, down = ratio
    assert ((columns[0] - left) / across, (rows[0] - top) / down) == (0, 0)
    assert (columns[-1] + 1 - left) / across == pytest.approx(width)
    assert (rows[-1] + 1 - top) / down == pytest.approx(height)
    assert size == [height, width]


@pytest.mark.parametrize("order", ["BGRA", "RGBA"])
def test_four_channels_are_needed_where_the_model_takes_them(order: str) -> None:
    preprocessor = Preprocessor((32, 32), InputConvention(color_order=order))
    with pytest.raises(
        InputError, match=r"expected a non-empty HxWx4 uint8 BGRA array, found shape \(8, 8, 3\)"
    ):
        preprocessor(random_image(8, 8))


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
