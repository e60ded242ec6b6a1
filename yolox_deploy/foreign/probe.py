"""A foreign file asked: what its input looks like, and what it answers to a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import ArtifactError, RuntimeFailure
from yolox_deploy.files import packaged_photographs
from yolox_deploy.foreign.structure import Answers
from yolox_deploy.images import load_image, load_opaque
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.types import USUAL_ORDERS, InputConvention, TensorSpec

DEFAULT_SIZE = 640

SIZE_HINT = (
    f". The file leaves its height and width free and was run at {DEFAULT_SIZE}x{DEFAULT_SIZE} unless told "
    'otherwise; give the size it was made for: --imgsz HxW, in Python Detector(FILE, override={"input_size": (H, W)})'
)


class Pair(NamedTuple):
    """What a file answers to the grey picture and to the photograph."""

    grey: Answers
    photo: Answers


@dataclass(frozen=True)
class Probe:
    """A loaded file with the size and the input convention that its shapes tell.

    Attributes:
        hint: added to messages where the size was only assumed.
    """

    runtime: Runtime
    spec: TensorSpec
    size: tuple[int, int]
    convention: InputConvention
    hint: str

    @classmethod
    def of(cls, runtime: Runtime, size: tuple[int, int] | None, stated: Mapping[str, Any]) -> Probe:
        """Ask for the shapes.

        Args:
            size: (H, W) for a file that leaves them free.
            stated: fields of the input convention by dotted name, taken as they are.

        Raises:
            ArtifactError: it does not take one picture.
        """
        if len(runtime.inputs) != 1:
            names = ", ".join(spec.name for spec in runtime.inputs)
            raise ArtifactError(
                f"{runtime.path}: it has the inputs {names}; expected one picture, as YOLOX files have: it is of "
                "another kind of network, or its preparation of pictures has to be cut off"
            )
        spec = runtime.inputs[0]
        layout, channels, fixed = layout_of(runtime, spec)
        asked = size or (DEFAULT_SIZE, DEFAULT_SIZE)
        try:
            told = InputConvention(layout=layout, dtype=str(spec.dtype), color_order=USUAL_ORDERS[channels])
            convention = dataclasses.replace(
                told, **{name.removeprefix("input."): value for name, value in stated.items()}
            )
        except ArtifactError as error:
            raise ArtifactError(f"{runtime.path}: {error}") from error
        hint = "" if None not in fixed else SIZE_HINT
        return cls(runtime, spec, (fixed[0] or asked[0], fixed[1] or asked[1]), convention, hint)

    def grey(self) -> Answers:
        """What is answered to a picture of the padding alone."""
        value = self.convention.pad_value
        return self.answer(np.full((*self.size, 3), value, np.uint8), self.convention)

    def photograph(self, convention: InputConvention) -> Answers:
        """What is answered to a photograph of the package, given by `convention`."""
        return self.answer(load_image(packaged_photographs()[0]), convention)

    def answer(self, picture: NDArray[np.uint8], convention: InputConvention) -> dict[str, NDArray[Any]]:
        """The outputs for one picture (h, w, 3) uint8 BGR, by name.

        Raises:
            ArtifactError: the file cannot be run at this size, or answers NaN.
        """
        picture = load_opaque(picture, convention.picture_channels)
        tensor = Preprocessor(self.size, convention)(picture)[0]
        batch = np.repeat(tensor, self.spec.shape[0] or 1, axis=0)
        try:
            answers = self.runtime.infer({self.spec.name: batch})
        except RuntimeFailure as error:
            raise ArtifactError(f"{error}{self.hint}") from error
        check_finite(answers, self.runtime)
        return answers


def beside_grey(value: int) -> NDArray[np.uint8]:
    """The photograph with as much of one grey value on its left, uint8 BGR."""
    photograph = load_image(packaged_photographs()[0])
    return np.concatenate([np.full_like(photograph, value), photograph], axis=1)


def check_finite(answers: Mapping[str, NDArray[Any]], runtime: Runtime) -> None:
    """Refuse a network that answers no numbers.

    Raises:
        ArtifactError: names the output.
    """
    for name, array in answers.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(
                f"{runtime.path}: {name!r} answers NaN or infinite numbers to a plain picture, as half precision that "
                "overflows does; export it in fp32"
            )


def layout_of(runtime: Runtime, spec: TensorSpec) -> tuple[str, int, tuple[int | None, int | None]]:
    """The layout, the channels and (H, W), None where the file leaves a side free."""
    if len(spec.shape) == 4:
        _, second, third, last = spec.shape
        for channels in USUAL_ORDERS:
            if second == channels:
                return "NCHW", channels, (third, last)
            if last == channels:
                return "NHWC", channels, (second, third)
    raise ArtifactError(
        f"{runtime.path}: input {spec.name!r} is {spec.shape}; expected (batch, 3, H, W) or (batch, H, W, 3)"
    )
