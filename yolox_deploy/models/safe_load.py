"""Reading PyTorch files without ever running code that they carry."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from yolox_deploy.errors import CheckpointError
from yolox_deploy.signatures import contradiction

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

    Raises:
        CheckpointError: no such file, empty, truncated, not a checkpoint, or it names code to run.
    """
    path = Path(path)
    if data is None:
        _check_readable(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_allowed_globals()):
            warnings.simplefilter("ignore")
            return torch.load(
                path if data is None else io.BytesIO(data), map_location="cpu", weights_only=True
            )
    except MemoryError:
        raise
    # A corrupt pickle makes torch raise nearly anything: KeyError, EOFError, RuntimeError, ...
    except Exception as error:
        raise CheckpointError(f"{path} {_explain(path, data, error)}") from error


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
    with path.open("rb") if data is None else io.BytesIO(data) as file:
        broken = file.read(2) == b"PK" and not zipfile.is_zipfile(file)
        size = file.seek(0, io.SEEK_END)
    if broken:
        return f"is truncated ({size:,} bytes, its end is missing): copy or download it again"
    return (
        "is not a PyTorch checkpoint that can be read safely: it is damaged, of another format, or "
        f"holds more than tensors and plain values ({type(error).__name__})"
    )
