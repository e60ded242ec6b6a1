"""Pictures from whatever holds them: arrays, files, encoded bytes, PIL images.

Everything becomes an (H, W, 3) uint8 BGR array, or (H, W, 4) for a model that takes a fourth channel; for others
alpha is dropped (not blended). EXIF orientation is applied, 16 bits become 8 (`bit_depth`), and of an animation or a
multi-page file the first picture is taken. A file that breaks off is refused rather than read in part, and so is one
whose header claims too many pixels, before it is decoded.
"""

from __future__ import annotations

import importlib
import inspect
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.bit_depth import stated_white, to_eight_bits
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.path_texts import is_base64, not_a_path, short
from yolox_deploy.picture_headers import check_file, check_size, most_pixels, size_in_header
from yolox_deploy.signatures import HEAD, identify

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ImageSource: TypeAlias = (
    "NDArray[Any] | str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | PILImage"
)

_TO_UINT8 = "scale it to 0-255 and convert with .round().clip(0, 255).astype(numpy.uint8)"
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_OF_16_BITS = (b"\x89PNG", b"II*\0", b"MM\0*", b"P2", b"P3", b"P5", b"P6")
"""How files begin (PNG, TIFF, PGM, PPM) whose 16 bits OpenCV cuts to the upper 8; in others it knows their depth."""


def load_image(source: ImageSource, channels: int = 3, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Return a picture as an (H, W, 3) uint8 BGR array, or (H, W, 4) with its fourth channel as it is.

    Args:
        source: a uint8 or uint16 array (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, where uint8 of
            the wanted channels is passed through without a copy if its pixels are contiguous; a path; the
            bytes of an encoded file (JPEG, PNG, ...); a binary file that is open (`io.BytesIO` too), read from its
            beginning where it can seek; or a PIL image of any mode that converts to RGB.
        channels: 3, or 4 for a model that takes a fourth (`InputConvention.picture_channels`).
        max_pixels: that a picture may have; None for what the environment's `YOLOX_DEPLOY_MAX_PIXELS` says, or 200
            million. Arrays have any size: they are in memory already.

    Warns:
        UserWarning: a picture of 16 bits holds values of fewer bits only, and is read as such.

    Raises:
        InputError: there is no such file, it is no picture, a broken one or one of too many pixels, the array has
            another form, or there is no fourth channel where one is wanted.
        UsageError: `max_pixels`, or the environment's variable, is no whole number from 1 on.
    """
    if not isinstance(channels, int) or channels not in (3, 4):
        raise UsageError(f"channels is {channels!r}; expected 3 or 4")
    image = _load(source, channels, max_pixels)
    if image.shape[2] < channels:
        name = source if isinstance(source, str | os.PathLike) else "the picture"
        raise InputError(
            f"{name} has no fourth channel, which the model takes beside BGR; pass an (H, W, 4) uint8 array or "
            "a file with alpha (PNG, WebP, TIFF)"
        )
    return image


def load_opaque(source: ImageSource, channels: int) -> NDArray[np.uint8]:
    """`load_image` for proofs and calibration: a fourth channel that is missing is 255 everywhere."""
    image = _load(source, channels)
    if image.shape[2] < channels:
        return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return image


def several(images: Iterable[ImageSource]) -> Iterator[ImageSource]:
    """An iterator over pictures.

    Raises:
        UsageError: it is one picture, whose rows, letters or lines would be taken for pictures, or none at all.
    """
    one = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(images, "read")
    found = type(images).__name__
    if isinstance(images, np.ndarray) and images.ndim != 4 and images.dtype.kind not in "OU":
        one, found = True, f"one array of shape {images.shape}"
    if one or _is_pil(images):
        raise UsageError(
            f"predict_batch takes several pictures, found {found}; for one picture call predict(image), or "
            "predict_batch([image])"
        )
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise UsageError(
            f"predict_batch takes several pictures, found {found}; pass a list of them, or what yields them"
        )
    return iter(images)


def _load(source: ImageSource, most: int, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """The picture in 3 channels, or in 4 where it has them and `most` is 4."""
    if isinstance(source, np.ndarray):
        return _from_array(source, most)
    pixels = most_pixels(max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source), "the encoded image", most, pixels)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), most, pixels)
    if _is_pil(source):
        return _from_pil(source, most, pixels)
    if hasattr(source, "read"):
        return _from_open_file(source, most, pixels)
    hint = "; predict_batch takes several" if isinstance(source, list | tuple) else ""
    raise InputError(
        f"cannot read an image from {type(source).__name__}; expected an HxWx3 uint8 BGR array, a path, "
        f"encoded bytes, a binary file or a PIL image{hint}"
    )


def _is_pil(source: object) -> TypeGuard[PILImage]:
    """Whether it is a PIL image, without an import of PIL: who has such an image did that."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(source, pil.Image)


def _from_path(path: Path, most: int, pixels: int) -> NDArray[np.uint8]:
    # Read here rather than by cv2.imread, which returns None for every failure.
    try:
        check_file(path, pixels)
        data = path.read_bytes()
    except InputError:
        raise
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; expected one image file") from None
    except (OSError, ValueError) as error:
        if (instead := not_a_path(path)) is not None:
            raise InputError(f"expected the path of an image file, found {instead}") from None
        if isinstance(error, FileNotFoundError):
            raise InputError(f"no such image file: {short(path)}") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {short(path)}: {reason}") from error
    return _decode(data, str(path), most, pixels)


def _from_open_file(file: Any, most: int, pixels: int) -> NDArray[np.uint8]:
    name = f"the {type(file).__name__}"
    if isinstance(file, io.TextIOBase):
        raise InputError(f"{name} is open as text; open the file as bytes: open(path, 'rb')")
    if inspect.iscoroutinefunction(file.read):  # uploads of web frameworks
        raise InputError(f"{name} is read asynchronously; pass its bytes: await file.read()")
    try:
        if hasattr(file, "seek") and getattr(file, "seekable", lambda: True)():
            file.seek(0)
        data = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {name}: {error}") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"read() of {name} gave {type(data).__name__}; expected bytes")
    return _decode(bytes(data), name, most, pixels)


def _decode(data: bytes, name: str, most: int, pixels: int) -> NDArray[np.uint8]:
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    try:
        size = size_in_header(data)
    except ValueError as error:
        raise InputError(_undecoded(data, name)) from error
    if size is not None:
        check_size(*size, name, pixels)
    encoded = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_COLOR
    if most == 4 or data.startswith(_OF_16_BITS):
        flags |= cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(encoded, flags)
        if most == 4 and image is not None:
            image = _with_fourth(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), image)
    except cv2.error as error:
        raise InputError(f"OpenCV cannot decode {name}: {error}") from error
    if image is None:
        raise InputError(_undecoded(data, name))
    if image.dtype.kind == "i" and image.min() >= 0:
        image = image.astype(f"u{image.itemsize}")
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name} holds {image.dtype}; expected 8 or 16 bits without a sign: {_TO_UINT8}")
    return _from_array(image, most, stated_white(data))


def _undecoded(data: bytes, name: str) -> str:
    """What is wrong with bytes of which OpenCV makes no picture."""
    kind = identify(data)
    if kind is not None and kind.family not in ("picture", "text"):
        return f"{name} {kind.instead_of('a picture', name)}"
    if is_base64(data[:HEAD].decode("latin-1")):
        return f"{name} ({len(data)} bytes) looks like base64; decode it: base64.b64decode(data)"
    seems = f": it is {kind.name}" if kind is not None and kind.family == "text" else ""
    return f"{name} ({len(data)} bytes) is broken, breaks off or is no image format that OpenCV reads{seems}"


def _with_fourth(image: NDArray[Any] | None, upright: NDArray[Any]) -> NDArray[Any]:
    """The decoded `image` with its fourth channel, turned as its colours are in `upright`; without one `upright`.

    OpenCV obeys the EXIF orientation of some formats only where it drops the fourth channel.
    """
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return upright
    turned = [np.rot90(side, turns) for side in (image, image[:, ::-1]) for turns in range(4)]
    fitting = [each for each in turned if each.shape[:2] == upright.shape[:2]]
    return min(fitting, key=lambda each: cv2.norm(each[:, :, :3], upright, cv2.NORM_L1))


def _from_array(array: NDArray[Any], most: int, white: int | None = None) -> NDArray[np.uint8]:
    """`white`: the value that is white, where the file states it."""
    _check_array(array)
    if array.dtype == np.uint16 or white is not None:
        array = to_eight_bits(array, white)
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels == 1:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    elif channels > most:
        array = array[:, :, :most]
    # OpenCV reads strided rows as they are, so a crop needs no copy; flipped or interleaved pixels do.
    pixels_contiguous = array.strides[1:] == (array.shape[2], 1) and array.strides[0] > 0
    return array if pixels_contiguous else np.ascontiguousarray(array)


def _check_array(array: NDArray[Any]) -> None:
    found = f"the array has shape {array.shape} and dtype {array.dtype}"
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{found}; expected uint8 or uint16: {_TO_UINT8}")
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


def _from_pil(image: PILImage, most: int, pixels: int) -> NDArray[np.uint8]:
    check_size(image.height, image.width, "the PIL image", pixels)
    operations = importlib.import_module("PIL.ImageOps")
    try:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            image = operations.exif_transpose(image)
        if image.mode.startswith("I"):
            return _from_pil_integers(image, most)
        if image.mode == "F":
            raise InputError("the PIL image has mode F; scale it to 0-255 and convert with .convert('L')")
        has_fourth = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        rgb = np.asarray(image.convert("RGBA" if most == 4 and has_fourth else "RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"PIL cannot convert the image of mode {image.mode}: {error}") from error
    if rgb.size == 0:
        raise InputError(f"the PIL image has size {image.size}; expected at least one pixel")
    order = cv2.COLOR_RGB2BGR if rgb.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return _from_array(cv2.cvtColor(rgb, order), most)


def _from_pil_integers(image: PILImage, most: int) -> NDArray[np.uint8]:
    """16-bit greyscale: mode I;16 and its byte orders, or mode I from older releases of PIL."""
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise InputError(
            f"the PIL image of mode {image.mode} holds {values.min()} to {values.max()}; expected 0 to 65535"
        )
    return _from_array(values.astype(np.uint16), most)
