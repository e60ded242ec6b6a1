"""Letterbox: from a picture of any size to the tensor a YOLOX network reads.

The ratio is r = min(H/h, W/w); the picture is resized bilinearly to (int(h·r), int(w·r)), at least one pixel
each, and lies in the top-left corner of an H×W canvas filled with 114. A box in the tensor divided by r is a
box in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.types import InputConvention, Letterboxed, as_size

__all__ = ["letterbox"]


def _check_image(image: NDArray[np.uint8]) -> None:
    if not isinstance(image, np.ndarray):
        raise InputError(f"expected a NumPy array, found {type(image).__name__}; see images.load_image")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(
            f"expected a non-empty HxWx3 uint8 BGR array, found shape {image.shape} and dtype {image.dtype}; "
            "images.load_image converts other forms"
        )


def fit(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, float]:
    """Return (height, width, ratio) of a picture of `image_size` (h, w) fitted into `size` (H, W)."""
    ratio = min(size[0] / image_size[0], size[1] / image_size[1])
    # A strip such as 1x12000 would truncate to no rows at all.
    return max(int(image_size[0] * ratio), 1), max(int(image_size[1] * ratio), 1), ratio


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


def _table(convention: InputConvention) -> NDArray[np.float32]:
    """Return (3, 256) float32: the tensor's value for each of its channels and each pixel value."""
    mean, std = (np.array(values, np.float64)[:, None] for values in (convention.mean, convention.std))
    return ((np.arange(256) * convention.scale - mean) / std).astype(np.float32)


class Preprocessor:
    """Letterbox straight into a kept input tensor; equal to `letterbox` followed by the convention.

    The buffers are reused, so one object serves one thread at a time: hold one for each thread.

    Args:
        size: (H, W) of the network's input in pixels.
        convention: what the model file expects.
    """

    def __init__(self, size: Sequence[int], convention: InputConvention | None = None) -> None:
        self.size = as_size(size)
        self.convention = convention = convention or InputConvention()
        table = _table(convention)
        self._table = None if convention.is_identity else table
        self._pad = table[:, convention.pad_value].astype(convention.dtype)
        self._sources = (0, 1, 2) if convention.color_order == "BGR" else (2, 1, 0)
        self._shape = (3, *self.size) if convention.layout == "NCHW" else (*self.size, 3)
        # Here the tensor is the canvas itself, and the resize can write to it.
        self._direct = convention.layout == "NHWC" and convention.color_order == "BGR"
        self._canvas = np.empty((*self.size, 3), np.uint8)
        self._planes = np.empty((3, *self.size), np.uint8)
        self._tensor = np.empty((1, *self._shape), convention.dtype)
        self._live: tuple[int, int] | None = None

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[Any], Letterboxed]:
        """Return the tensor (1, 3, H, W) or (1, H, W, 3) of one (h, w, 3) uint8 BGR image, and the way back.

        The tensor belongs to this object and the next call overwrites it: copy it to keep it.

        Raises:
            InputError: `image` is not such an array, or is empty.
        """
        _check_image(image)
        live_h, live_w, ratio = fit((image.shape[0], image.shape[1]), self.size)
        channels = self._channels_first(self._tensor[0])
        if self._live != (live_h, live_w):
            self._fill_padding(channels, live_h, live_w)
            self._live = live_h, live_w
        self._write(channels, image, live_h, live_w)
        return self._tensor, Letterboxed(ratio, *image.shape[:2])

    def batch(self, count: int) -> NDArray[Any]:
        """A new, unfilled tensor for `count` images, to be written by `fill`."""
        return np.empty((count, *self._shape), self.convention.dtype)

    def stack(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[Any], list[Letterboxed]]:
        """Return the new tensor of a batch of (h, w, 3) uint8 BGR images, and each one's way back."""
        tensor = self.batch(len(images))
        return tensor, [self.fill(slot, image) for slot, image in zip(tensor, images, strict=True)]

    def fill(self, slot: NDArray[Any], image: NDArray[np.uint8]) -> Letterboxed:
        """Write one (h, w, 3) uint8 BGR image and its padding into `slot`, one image of a batch tensor.

        Args:
            slot: `batch[i]`, (3, H, W) or (H, W, 3) in the convention's layout and dtype; written whole.

        Returns:
            The way back from boxes in this slot to boxes in the image.

        Raises:
            InputError: `image` is not such an array, or is empty.
            UsageError: `slot` has another shape or dtype.
        """
        _check_image(image)
        if slot.shape != self._shape or slot.dtype != self.convention.dtype:
            expected = f"{self._shape} {self.convention.dtype}"
            raise UsageError(f"the slot is {slot.shape} {slot.dtype}; expected {expected}")
        live_h, live_w, ratio = fit((image.shape[0], image.shape[1]), self.size)
        channels = self._channels_first(slot)
        self._fill_padding(channels, live_h, live_w)
        self._write(channels, image, live_h, live_w)
        return Letterboxed(ratio, *image.shape[:2])

    def _channels_first(self, slot: NDArray[Any]) -> NDArray[Any]:
        return slot if self.convention.layout == "NCHW" else slot.transpose(2, 0, 1)

    def _fill_padding(self, channels: NDArray[Any], live_h: int, live_w: int) -> None:
        for channel, value in zip(channels, self._pad, strict=True):
            channel[live_h:] = value
            channel[:live_h, live_w:] = value

    def _write(self, channels: NDArray[Any], image: NDArray[np.uint8], live_h: int, live_w: int) -> None:
        if self._direct:
            _resize_into(image, channels.transpose(1, 2, 0)[:live_h, :live_w])
            return
        if image.shape[:2] != (live_h, live_w):
            live = self._canvas[:live_h, :live_w]
            _resize_into(image, live)
            image = live
        # Splitting bytes and widening contiguous planes was the fastest of ten ways measured; copying from
        # the transposed canvas, which gathers every third byte, took up to twice as long.
        planes = cv2.split(image, list(self._planes[:, :live_h, :live_w]))
        for index, (target, source) in enumerate(zip(channels, self._sources, strict=True)):
            values = planes[source] if self._table is None else cv2.LUT(planes[source], self._table[index])
            np.copyto(target[:live_h, :live_w], values)
