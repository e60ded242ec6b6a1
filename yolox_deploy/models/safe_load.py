"""Reading PyTorch files without ever running code that they carry."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from yolox_deploy.errors import CheckpointError
from yolox_deploy.files import limit
from yolox_deploy.signatures import contradiction

LIMIT = "YOLOX_DEPLOY_MAX_CHECKPOINT"
"""The environment's variable that moves `MOST_BYTES`."""
MOST_BYTES = 4 << 30
"""Bytes that a checkpoint may unfold to; one of YOLOX-X with average and optimizer has 1.6 GB."""
SMALL, MOST_RATIO = 16 << 20, 20
"""So many bytes, and so many times the file's size, are the most too: weights hardly shrink when they are packed."""

_NUMERIC = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_SCALAR_PATHS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_LEFT_OUT = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "builtins.getattr",
    "__builtin__.getattr",
)
"""What the logs in mmengine's checkpoints are made of, by the names in the pickle: none of it is run or kept."""
_OTHERS = {
    "ultralytics.": "a YOLO of Ultralytics",
    "models.yolo.": "YOLOv5 or YOLOv7",
    "yolox.": "a whole YOLOX module",
}


def safe_load(path: str | Path, data: bytes | None = None) -> object:
    """What `torch.save` wrote to `path`, on the CPU; with `data`, that in memory, and `path` is its name in messages.

    Only tensors, plain Python values and numeric NumPy scalars are accepted (official checkpoints keep their
    best AP as a NumPy scalar), and mmengine's logs, which are left out; anything else is refused before it is built.
    The checksums of the archive that it is are compared: PyTorch leaves that out.

    Raises:
        CheckpointError: no such file, empty, truncated, damaged, not a checkpoint, larger than `MOST_BYTES`, or it
            names code to run.
    """
    path = Path(path)
    if data is None:
        _check_readable(path)
    try:
        if is_archive(path, data):
            _check_archive(path, data)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_allowed_globals()):
            warnings.simplefilter("ignore")
            found = torch.load(_opened(path, data), map_location="cpu", weights_only=True)
        _check_tensors(found)
    except (MemoryError, CheckpointError):
        raise
    # A corrupt pickle makes torch raise nearly anything: KeyError, EOFError, RuntimeError, ...
    except Exception as error:
        raise CheckpointError(f"{path} {_explain(path, data, error)}") from error
    return found


def is_archive(path: Path, data: bytes | None = None) -> bool:
    """Whether it is what PyTorch writes since 1.6, which has checksums; older files have none."""
    if data is not None:
        return data.startswith(b"PK")
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _opened(path: Path, data: bytes | None) -> Path | io.BytesIO:
    return path if data is None else io.BytesIO(data)


def _check_archive(path: Path, data: bytes | None) -> None:
    """Compare the CRC-32 of each member, after the sizes that they claim were found bearable."""
    size = path.stat().st_size if data is None else len(data)
    most = min(limit(LIMIT, MOST_BYTES), SMALL + MOST_RATIO * size)
    with zipfile.ZipFile(_opened(path, data)) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > most:
            raise CheckpointError(
                f"{path} has {size:,} bytes and would unfold to {total:,}; at most {most:,} are read. Where it can "
                f"be trusted, set {LIMIT}, or save it again with torch.save"
            )
        names = {member.filename for member in members}
        wrong = archive.testzip() if len(names) == len(members) else "a member that it has twice"
    if wrong is not None:
        raise CheckpointError(
            f"{path} is damaged: {wrong} in it does not fit its checksum. Copy or download it again (a file that was "
            "written without checksums, by set_crc32_options(False), has to be saved again with them)"
        )


def _check_tensors(found: object) -> None:
    """Refuse tensors that are larger than what the file holds of them: a copy would take any amount of memory."""
    seen: set[int] = set()
    left = [found]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list | tuple | set):
            left.extend(value)
        elif isinstance(value, torch.Tensor) and value.numel() * value.element_size() > _stored(value):
            raise ValueError(f"a tensor of {tuple(value.shape)} holds fewer numbers than that")


def _stored(tensor: torch.Tensor) -> int:
    """Bytes that a tensor really has: none on the device "meta", and its parts' where it is sparse."""
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        return 0
    return tensor.untyped_storage().nbytes()


def _check_readable(path: Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; expected a PyTorch checkpoint (.pth)")
    if not path.is_file():
        raise CheckpointError(f"{path} is a folder; expected a PyTorch checkpoint (.pth)")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty (0 bytes): copy or download it again")


class _LeftOut:
    """Stands for an object that is not needed: it takes any arguments and any state, and keeps none."""

    def __new__(cls, *_: object) -> _LeftOut:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def _numpy_scalar(dtype: np.dtype[np.generic], data: bytes) -> np.generic:
    """Rebuild a pickled NumPy number; stands in for NumPy's own function, which accepts any dtype."""
    if dtype.kind not in "biuf" or len(data) != dtype.itemsize:
        raise pickle.UnpicklingError(f"a NumPy scalar of dtype {dtype} is not a plain number")
    scalar: np.generic = np.frombuffer(data, dtype)[0]
    return scalar


def _allowed_globals() -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    """What a checkpoint may name beside torch's own list. The module of `scalar` moved in NumPy 2."""
    dtypes = {type(np.dtype(code)) for code in _NUMERIC}
    scalars = ((_numpy_scalar, path) for path in _SCALAR_PATHS)
    return [np.dtype, *dtypes, *scalars, *((_LeftOut, path) for path in _LEFT_OUT)]


def _explain(path: Path, data: bytes | None, error: Exception) -> str:
    """The end of the message: what is wrong with the file and what to do."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        what = next((f" ({what})" for start, what in _OTHERS.items() if refused[1].startswith(start)), "")
        return (
            f"was refused: it asks to load the Python object {refused[1]}{what}, and loading that could run code; "
            "expected tensors and plain values, as torch.save({'model': model.state_dict()}, path) writes"
        )
    if (wrong := contradiction(path, ".pth", data)) is not None:
        return wrong
    if isinstance(error, zipfile.BadZipFile):
        size = path.stat().st_size if data is None else len(data)
        return f"is truncated or damaged ({size:,} bytes; {error}): copy or download it again"
    return (
        "is not a PyTorch checkpoint that can be read safely: it is damaged, of another format, or "
        f"holds more than tensors and plain values ({type(error).__name__})"
    )
