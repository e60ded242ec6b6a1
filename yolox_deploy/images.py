"""Pictures from whatever holds them: arrays, files, encoded bytes, PIL images.

Everything becomes an (H, W, 3) uint8 BGR array. EXIF orientation is applied, alpha is dropped (not blended),
16 bits become 8, and of an animation or a multi-page file the first picture is taken. A file that breaks off
is refused rather than read in part.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError
from yolox_deploy.signatures import identify

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ImageSource: TypeAlias = "NDArray[Any] | str | os.PathLike[str] | bytes | bytearray | memoryview | PILImage"

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright


def load_image(source: ImageSource) -> NDArray[np.uint8]:
    """Return a picture as an (H, W, 3) uint8 BGR array.

    Args:
        source: a uint8 or uint16 array (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, where uint8 BGR
            is passed through without a copy if its pixels are contiguous; a path; the bytes of an encoded
            file (JPEG, PNG, ...); or a PIL image of any mode that converts to RGB.

    Raises:
        InputError: there is no such file, it is no picture or a broken one, or the array has another form.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source), "the encoded image")
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source))
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(source, pil.Image):
        return _from_pil(source)
    raise InputError(
        f"cannot read an image from {type(source).__name__}; expected an HxWx3 uint8 BGR array, a path, "
        "encoded bytes or a PIL image"
    )


def _from_file(path: Path) -> NDArray[np.uint8]:
    # Read here rather than by cv2.imread, which returns None for every failure.
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no such image file: {path}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; expected one image file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    return _decode(data, str(path))


def _decode(data: bytes, name: str) -> NDArray[np.uint8]:
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError(f"OpenCV cannot decode {name}: {error}") from error
    if image is None:
        kind = identify(data)
        if kind is not None and kind.family not in ("picture", "text"):
            raise InputError(f"{name} {kind.instead_of('a picture', name)}")
        seems = f": it is {kind.name}" if kind is not None and kind.family == "text" else ""
        raise InputError(
            f"{name} ({len(data)} bytes) is broken, breaks off or is no image format that OpenCV reads{seems}"
        )
    return _from_array(image)


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    _check_array(array)
    if array.dtype == np.uint16:
        # 65535 / 257 = 255: the whole range, rounded to nearest.
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels == 1:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    elif channels == 4:
        array = array[:, :, :3]
    # OpenCV reads strided rows as they are, so a crop needs no copy; flipped or interleaved pixels do.
    pixels_contiguous = array.strides[1:] == (3, 1) and array.strides[0] > 0
    return array if pixels_contiguous else np.ascontiguousarray(array)


def _check_array(array: NDArray[Any]) -> None:
    found = f"the array has shape {array.shape} and dtype {array.dtype}"
    if array.dtype not in (np.uint8, np.uint16):
        hint = "scale it to 0-255 and convert with .round().clip(0, 255).astype(numpy.uint8)"
        raise InputError(f"{found}; expected uint8 or uint16: {hint}")
    if array.ndim == 4:
        raise InputError(f"{found}; expected one image, not a batch: pass a list to predict_batch")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = (
            ": transpose it with .transpose(1, 2, 0)"
            if array.ndim == 3 and array.shape[0] in (1, 3, 4)
            else ""
        )
        raise InputError(f"{found}; expected (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA{hint}")
    if array.size == 0:
        raise InputError(f"{found}; expected at least one pixel")


def _from_pil(image: PILImage) -> NDArray[np.uint8]:
    operations = importlib.import_module("PIL.ImageOps")
    try:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            image = operations.exif_transpose(image)
        if image.mode.startswith("I"):
            return _from_pil_integers(image)
        if image.mode == "F":
            raise InputError("the PIL image has mode F; scale it to 0-255 and convert with .convert('L')")
        rgb = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"PIL cannot convert the image of mode {image.mode}: {error}") from error
    if rgb.size == 0:
        raise InputError(f"the PIL image has size {image.size}; expected at least one pixel")
    return _from_array(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def _from_pil_integers(image: PILImage) -> NDArray[np.uint8]:
    """16-bit greyscale: mode I;16 and its byte orders, or mode I from older releases of PIL."""
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise InputError(
            f"the PIL image of mode {image.mode} holds {values.min()} to {values.max()}; expected 0 to 65535"
        )
    return _from_array(values.astype(np.uint16))
