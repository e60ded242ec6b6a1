"""Letterbox: from a picture of any size to the tensor a YOLOX network reads.

The ratio is r = min(H/h, W/w); the picture is resized bilinearly to (int(h·r), int(w·r)), at least one pixel
each, and lies in the top-left corner of an H×W canvas filled with 114. A box in the tensor divided by r is a
box in the picture. Networks of other tools want the picture in the middle, or stretched: see `place`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.types import InputConvention, Letterboxed, as_size

__all__ = ["letterbox"]


def _check_image(image: NDArray[np.uint8], channels: int = 3) -> None:
    if not isinstance(image, np.ndarray):
        raise InputError(f"expected a NumPy array, found {type(image).__name__}; see images.load_image")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or image.size == 0:
        expected = f"HxWx{channels} uint8 {'BGR' if channels == 3 else 'BGRA'} array"
        raise InputError(
            f"expected a non-empty {expected}, found shape {image.shape} and dtype {image.dtype}; "
            "images.load_image converts other forms"
        )


def fit(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, float]:
    """Return (height, width, ratio) of a picture of `image_size` (h, w) fitted into `size` (H, W)."""
    ratio = min(size[0] / image_size[0], size[1] / image_size[1])
    # A strip such as 1x12000 would truncate to no rows at all.
    return max(int(image_size[0] * ratio), 1), max(int(image_size[1] * ratio), 1), ratio


class Place(NamedTuple):
    """Where in the network's input the picture lies, in pixels."""

    top: int
    left: int
    height: int
    width: int


@lru_cache(maxsize=32)
def place(resize: str, image_size: tuple[int, int], size: tuple[int, int]) -> tuple[Place, Letterboxed]:
    """Where a picture of `image_size` (h, w) lies in an input of `size` (H, W), and the way back from there.

    Args:
        resize: as in `InputConvention`.
    """
    if resize == "stretch":
        ratios = size[1] / image_size[1], size[0] / image_size[0]
        return Place(0, 0, *size), Letterboxed(ratios, *image_size)
    if resize == "letterbox":
        height, width, ratio = fit(image_size, size)
        return Place(0, 0, height, width), Letterboxed(ratio, *image_size)
    ratio = min(size[0] / image_size[0], size[1] / image_size[1])
    height, width = (max(round(side * ratio), 1) for side in image_size)
    top, left = round((size[0] - height) / 2 - 0.1), round((size[1] - width) / 2 - 0.1)
    # The ratios after rounding: half a pixel of the input may be many of a large picture.
    ratios = width / image_size[1], height / image_size[0]
    return Place(top, left, height, width), Letterboxed(ratios, *image_size, (left, top))


def _resize_into(image: NDArray[np.uint8], live: NDArray[np.uint8]) -> None:
    if image.shape == live.shape:
        np.copyto(live, image)
    else:
        cv2.resize(image, (live.shape[1], live.shape[0]), dst=live, interpolation=cv2.INTER_LINEAR)


def letterbox(image: NDArray[np.uint8], size: Sequence[int]) -> tuple[NDArray[np.uint8], float]:
    """Resize a picture with its aspect ratio kept, top-left on a canvas of 114.

    Args:
        image: (h, w, 3) uint8; the colour order is kept.
        size: (H, W) of the canvas in pixels.

    Returns:
        A new (H, W, 3) uint8 array, and the ratio: canvas pixels per picture pixel.

    Raises:
        InputError: `image` is not such an array, or is empty.
        UsageError: `size` is not two positive integers.
    """
    height, width = as_size(size)
    _check_image(image)
    live_h, live_w, ratio = fit((image.shape[0], image.shape[1]), (height, width))
    canvas = np.full((height, width, 3), InputConvention().pad_value, np.uint8)
    _resize_into(image, canvas[:live_h, :live_w])
    return canvas, ratio


def _looked_up(pixels: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    if table.dtype == np.float16:
        # OpenCV looks up no halves, but bits of their size; NumPy's cast takes six times as long.
        return cv2.LUT(pixels, table.view(np.uint16)).view(np.float16)
    return cv2.LUT(pixels, table)


class Preprocessor:
    """Letterbox straight into a kept input tensor; equal to `letterbox` followed by the convention.

    The buffers are reused, so one object serves one thread at a time: hold one for each thread.

    Args:
        size: (H, W) of the network's input in pixels.
        convention: what the model file expects. It says the number of channels: C of the tensor (`channels`), and
            those of the (h, w, 3) BGR or (h, w, 4) pictures, BGR and a fourth (`picture_channels`).
    """

    def __init__(self, size: Sequence[int], convention: InputConvention | None = None) -> None:
        self.size = as_size(size)
        self.convention = convention = convention or InputConvention()
        count = convention.channels
        table = convention.table()
        self._pad = table[:, convention.pad_value, None, None]
        self._swapped = convention.color_order in ("RGB", "RGBA")
        self._planar = convention.layout == "NCHW" and count > 1
        self._table = table if self._planar else np.ascontiguousarray(table.T[None])
        self._as_it_is = convention.is_identity and convention.dtype != "float16"
        self._shape = (count, *self.size) if convention.layout == "NCHW" else (*self.size, count)
        # Here the tensor is the canvas itself, and the resize can write to it.
        self._direct = not self._planar and not self._swapped and convention.dtype == "uint8"
        self._canvas = np.empty(self.size if count == 1 else (*self.size, count), np.uint8)
        self._planes = np.empty((count, *self.size), np.uint8)
        self._tensor = np.empty((1, *self._shape), convention.dtype)
        self._place: Place | None = None

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[Any], Letterboxed]:
        """Return the tensor (1, C, H, W) or (1, H, W, C) of one uint8 picture, and the way back.

        The tensor belongs to this object and the next call overwrites it: copy it to keep it.

        Raises:
            InputError: `image` is not such an array, or is empty.
        """
        _check_image(image, self.convention.picture_channels)
        where, letterboxed = place(self.convention.resize, (image.shape[0], image.shape[1]), self.size)
        if self._place != where:
            self._fill_padding(self._tensor[0], where)
            self._place = where
        self._write(self._tensor[0], image, where)
        return self._tensor, letterboxed

    def batch(self, count: int) -> NDArray[Any]:
        """A new, unfilled tensor for `count` images, to be written by `fill`."""
        return np.empty((count, *self._shape), self.convention.dtype)

    def stack(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[Any], list[Letterboxed]]:
        """Return the new tensor of a batch of uint8 pictures, and each one's way back."""
        tensor = self.batch(len(images))
        return tensor, [self.fill(slot, image) for slot, image in zip(tensor, images, strict=True)]

    def fill(self, slot: NDArray[Any], image: NDArray[np.uint8]) -> Letterboxed:
        """Write one uint8 picture and its padding into `slot`, one image of a batch tensor.

        Args:
            slot: `batch[i]`, (C, H, W) or (H, W, C) in the convention's layout and dtype; written whole.

        Returns:
            The way back from boxes in this slot to boxes in the image.

        Raises:
            InputError: `image` is not such an array, or is empty.
            UsageError: `slot` has another shape or dtype.
        """
        _check_image(image, self.convention.picture_channels)
        if slot.shape != self._shape or slot.dtype != self.convention.dtype:
            expected = f"{self._shape} {self.convention.dtype}"
            raise UsageError(f"the slot is {slot.shape} {slot.dtype}; expected {expected}")
        where, letterboxed = place(self.convention.resize, (image.shape[0], image.shape[1]), self.size)
        self._fill_padding(slot, where)
        self._write(slot, image, where)
        return letterboxed

    def _fill_padding(self, slot: NDArray[Any], where: Place) -> None:
        top, left, height, width = where
        channels = slot if self.convention.layout == "NCHW" else slot.transpose(2, 0, 1)
        rows = channels[:, top : top + height]
        around = channels[:, :top], channels[:, top + height :], rows[:, :, :left], rows[:, :, left + width :]
        for part in around:
            if part.size:
                part[:] = self._pad

    def _write(self, slot: NDArray[Any], image: NDArray[Any], where: Place) -> None:
        top, left, height, width = where
        rows, columns = slice(top, top + height), slice(left, left + width)
        if self._canvas.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            slot = slot[0] if self.convention.layout == "NCHW" else slot[:, :, 0]
        if self._direct:
            _resize_into(image, slot[rows, columns])
            return
        if image.shape[:2] != (height, width):
            live = self._canvas[:height, :width]
            _resize_into(image, live)
            image = live
        if self._planar:
            self._write_planes(slot[:, rows, columns], image)
        else:
            self._write_pixels(slot[rows, columns], image)

    def _write_planes(self, target: NDArray[Any], image: NDArray[Any]) -> None:
        """From (h, w, C) to (C, h, w)."""
        # Splitting bytes and widening contiguous planes was the fastest of ten ways measured; copying from
        # the transposed canvas, which gathers every third byte, took up to twice as long.
        planes = cv2.split(image, list(self._planes[:, : image.shape[0], : image.shape[1]]))
        if self._swapped:
            planes = (planes[2], planes[1], planes[0], *planes[3:])
        for index, (channel, plane) in enumerate(zip(target, planes, strict=True)):
            np.copyto(channel, plane if self._as_it_is else _looked_up(plane, self._table[index]))

    def _write_pixels(self, target: NDArray[Any], image: NDArray[Any]) -> None:
        """From (h, w, C) or, of one channel, (h, w) to the same."""
        if self._swapped:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
        np.copyto(target, image if self._as_it_is else _looked_up(image, self._table))
