"""The values that flow between the parts: tensors, how a model wants its input and gives its output."""

from __future__ import annotations

import math
import operator
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import ArtifactError, UsageError

__all__ = ["InputConvention", "OutputConvention", "Report", "TensorSpec"]

DETECTION_COLUMNS = ("x1", "y1", "x2", "y2", "score", "class")


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one input or output; `None` in `shape` is a dimension free at run time."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def check(self, array: object) -> None:
        """Raise UsageError unless `array` is a NumPy array of this dtype and shape."""
        if not isinstance(array, np.ndarray):
            raise UsageError(f"input {self.name!r}: expected a NumPy array, got {type(array).__name__}")
        if array.dtype != self.dtype:
            raise UsageError(f"input {self.name!r}: expected dtype {self.dtype}, got {array.dtype}")
        fits = len(array.shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            want = tuple("any" if size is None else size for size in self.shape)
            raise UsageError(f"input {self.name!r}: expected shape {want}, got {array.shape}")


LEGACY_STEM_WEIGHT = 0.05
"""Mean absolute weight of a first convolution (times the factors of its BatchNorm) above which a model is legacy.

It reads values of some -2 to 2 then, not 0-255, so its weights are larger by as much: 0.30 in a legacy file, 0.0005 to
0.0076 in sixteen right ones.
"""

LAYOUTS = ("NCHW", "NHWC")
INPUT_DTYPES = ("float32", "float16", "uint8")
COLOR_ORDERS = {"BGR": 3, "RGB": 3, "GRAY": 1, "BGRA": 4, "RGBA": 4}
"""Order of the channels -> how many there are."""
MOST_ROWS = 1 << 23
"""Anchor points of an input, each as often as it has priors."""
MOST_OUTPUTS = 100
"""Tensors of a file, and columns of a row of finished detections."""
LONGEST_TEXT = 1000
"""Characters of a name; those of tensors may be long."""
RESIZES = ("letterbox", "letterbox_center", "stretch")
USUAL_ORDERS = {3: "BGR", 1: "GRAY", 4: "BGRA"}
"""Channels of an input -> the order that they have where nobody says another."""


@dataclass(frozen=True)
class InputConvention:
    """How pixels become the input tensor: the part of a model file that is wrong most often.

    The default is that of YOLOX since 0.1.1: BGR, 0-255, no mean or deviation, padded with 114.
    Values are `(pixel * scale - mean) / std` per channel in `color_order`.

    Attributes:
        layout: "NCHW" or "NHWC".
        dtype: "float32", "float16" or "uint8", which takes pixels as they are.
        color_order: "BGR", "RGB", "GRAY" (one channel), "BGRA" or "RGBA" (the fourth of the picture, as it is).
        pad_value: what lies around the picture, 0-255, before scale, mean and deviation.
        scale: factor of the pixels.
        mean, std: one value a channel, or one for all.
        resize: "letterbox" (aspect ratio kept, in the top-left corner), "letterbox_center" (aspect ratio kept, in
            the middle, rounded as Ultralytics and YOLOv5 do) or "stretch" (to the whole input).
    """

    layout: str = "NCHW"
    dtype: str = "float32"
    color_order: str = "BGR"
    pad_value: int = 114
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize: str = "letterbox"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS or self.dtype not in INPUT_DTYPES:
            raise ArtifactError(
                f"input is {self.layout} {self.dtype}; expected NCHW or NHWC, of float32, float16 or uint8: export "
                "the model from its checkpoint with `yolox-deploy export`"
            )
        for what, value, known in (
            ("input.color_order", self.color_order, COLOR_ORDERS),
            ("input.resize", self.resize, RESIZES),
        ):
            if not isinstance(value, str) or value not in known:
                raise unfit(what, value, ", ".join(map(repr, known)))
        if not is_whole(self.pad_value) or not 0 <= self.pad_value <= 255:
            raise unfit("input.pad_value", self.pad_value, "a whole number from 0 to 255")
        if not is_finite(self.scale) or self.scale == 0:
            raise unfit("input.scale", self.scale, "a finite number that is not 0")
        self._check_values("mean", self.mean, 0.0)
        self._check_values("std", self.std, 1.0)
        if not all(value > 0 for value in self.std):
            raise unfit("input.std", self.std, "numbers above 0")
        self._check_pixels()
        if self.dtype == "uint8" and not self.is_identity:
            raise ArtifactError(
                "a uint8 input cannot be scaled or normalised outside the graph; expected scale 1, mean 0 and std 1, "
                f"found {self.scale:g}, {self.mean} and {self.std}"
            )

    def _check_values(self, name: str, values: tuple[float, ...], neutral: float) -> None:
        if not isinstance(values, tuple | list) or not all(map(is_finite, values)):
            raise unfit(f"input.{name}", values, "finite numbers, one a channel or one for all")
        # Three neutral values are the default, which says nothing about the number of channels.
        if len(values) not in (1, self.channels) and tuple(values) != (neutral,) * 3:
            raise ArtifactError(
                f"input.{name} has {len(values)} values; expected {self.channels}, one a channel of "
                f"{self.color_order}, or one for all"
            )

    def _check_pixels(self) -> None:
        """Refuse numbers that leave nothing of a pixel's value in the tensor: the model would find nothing."""
        ends = self.table()[:, [0, -1]]
        if not np.isfinite(ends).all() or (ends[:, 0] == ends[:, 1]).any():
            raise ArtifactError(
                f"input.scale {self.scale:g}, input.mean {self.mean} and input.std {self.std} turn pixels from 0 to "
                f"255 into values from {ends[:, 0].tolist()} to {ends[:, 1].tolist()}; expected two finite numbers"
            )

    def table(self) -> NDArray[Any]:
        """(channels, 256) the tensor's value for each of its channels and each pixel value, of its `dtype`."""
        count = self.channels
        # One value stands for all channels, and so do three alike, which the convention lets pass for any number.
        mean, std = (
            np.array(values if len(values) == count else values[:1] * count, np.float64)[:, None]
            for values in (self.mean, self.std)
        )
        with np.errstate(all="ignore"):
            values = ((np.arange(256) * np.float64(self.scale) - mean) / std).astype(np.float32)
            return values.astype(self.dtype)

    @property
    def channels(self) -> int:
        """Channels of the tensor: 3, 1 or 4."""
        return COLOR_ORDERS[self.color_order]

    @property
    def picture_channels(self) -> int:
        """Channels of the pictures that the tensor is made from: 3 (BGR), or 4 (BGR and a fourth)."""
        return max(3, self.channels)

    @property
    def is_identity(self) -> bool:
        """Whether pixel values enter the network as they are."""
        return self.scale == 1.0 and set(self.mean) == {0.0} and set(self.std) == {1.0}

    @classmethod
    def legacy(cls) -> InputConvention:
        """Files from before YOLOX 0.1.1: RGB, divided by 255, ImageNet mean and deviation."""
        return cls(color_order="RGB", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class OutputConvention:
    """How a file's output tensors hold its predictions; the default is YOLOX's own, one tensor (B, N, 5 + C).

    Several tensors stand side by side (their columns in this order), or hold one level each: those with equally many
    rows belong together, and the level with most rows is that of stride 8.

    Attributes:
        tensors: names of the outputs in the order in which they are read; () for all, as the file lists them.
        columns: what a row holds, from its first column on. Of predictions "boxes" (4 columns), "objectness" (left out
            where the class scores are multiplied by it) and "classes" (C columns), in any order. Of finished
            detections each column by name: "x1", "y1", "x2", "y2", "score", "class", also "batch" (place in the
            batch) and "-" (of no use).
        columns_first: the columns come before the rows: (B, 5 + C, N) or (B, 5 + C, h, w).
        coarse_first: one tensor holds the levels from stride 32 to 8, not from 8 to 32.
        logits: objectness and class scores lack their sigmoid.
        normalized: boxes are shares of the input's width and height, not pixels.

    Raises:
        ArtifactError: columns of which no boxes with scores can be made.
    """

    tensors: tuple[str, ...] = ()
    columns: tuple[str, ...] = ("boxes", "objectness", "classes")
    columns_first: bool = False
    coarse_first: bool = False
    logits: bool = False
    normalized: bool = False

    def __post_init__(self) -> None:
        for what, names in (("output.tensors", self.tensors), ("output.columns", self.columns)):
            if not are_texts(names, MOST_OUTPUTS):
                raise unfit(what, names, f"at most {MOST_OUTPUTS} names")
        if len(set(self.tensors)) < len(self.tensors):
            raise unfit("output.tensors", self.tensors, "different names")
        for what in ("columns_first", "coarse_first", "logits", "normalized"):
            if not isinstance(getattr(self, what), bool):
                raise unfit(f"output.{what}", getattr(self, what), "true or false")
        named = [name for name in self.columns if name != "-"]
        blocks = {"boxes", "classes"} <= set(named) <= {"boxes", "objectness", "classes"}
        single = set(DETECTION_COLUMNS) <= set(named) <= {*DETECTION_COLUMNS, "batch"}
        if len(set(named)) != len(named) or not (single or (blocks and named == list(self.columns))):
            raise ArtifactError(
                f"output.columns is {','.join(self.columns)}; expected boxes,objectness,classes in any order (without "
                f"objectness where the scores hold it), or {','.join(DETECTION_COLUMNS)} in any order, also with batch "
                "and with - for a column of no use"
            )

    @property
    def finished(self) -> bool:
        """Whether a row is a detection (box, one score, one class), not a prediction of all classes."""
        return "class" in self.columns


def unfit(name: str, value: object, expected: str) -> ArtifactError:
    """The error for a field of a description, by its dotted name."""
    return ArtifactError(f"{name} is {reprlib.repr(value)}; expected {expected}")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that a float can hold, and no truth value."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def are_texts(values: object, most: int) -> TypeGuard[Sequence[str]]:
    """Whether it is a list of at most so many texts, none of them overlong or with something that is not written."""
    return isinstance(values, tuple | list) and len(values) <= most and all(map(is_plain, values))


def is_plain(value: object) -> TypeGuard[str]:
    """Whether it is a text of one line that UTF-8 can hold: no control characters, no halves of characters."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and not _UNWRITTEN.search(value)


_UNWRITTEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Letterboxed(NamedTuple):
    """The way back from the network's input to the picture that lies in it.

    Attributes:
        ratio: pixels of the input per pixel of the picture: one number, or (across, down).
        height, width: of the picture.
        offset: (left, top), where the picture begins in the input.
    """

    ratio: float | tuple[float, float]
    height: int
    width: int
    offset: tuple[int, int] = (0, 0)


def as_size(size: Sequence[int]) -> tuple[int, int]:
    """Return `size` as (height, width) in pixels.

    Raises:
        UsageError: it is not two positive integers.
    """
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(f"the size is {size!r}; expected two integers (height, width)") from None
    if height < 1 or width < 1:
        raise UsageError(f"the size is {height}x{width}; both sides must be at least 1 pixel")
    return height, width


class Report:
    """Told how a long job gets on, by any thread, and tells nobody; what a subclass raises ends the job."""

    def step(self, text: str) -> None:
        """`text` is what is being done now."""

    def advance(self, done: int, total: int) -> None:
        """`done` of the `total` parts of the latest step are done."""


SILENT = Report()
