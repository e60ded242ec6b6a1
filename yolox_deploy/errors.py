"""Every error that yolox-deploy raises on purpose.

    YoloxDeployError                exit code 1
    ├── UsageError                  2   an option, a size or a combination that cannot work
    ├── InputError                  2   an image, a folder or an annotation file that cannot be read
    ├── MissingExtraError           3   an optional package is not installed
    ├── ArtifactError               4   a model file is broken, foreign or does not fit this machine
    │   ├── CheckpointError         4   the same for a PyTorch checkpoint
    │   └── DeviceError             4   the device that a model file was built for is not here
    ├── RuntimeFailure              4   a backend failed while it loaded or ran a model
    │   └── ClosedError             4   the runtime or Detector was used after `close()`
    ├── GateError                   5   an export is not equal enough to its reference, or too inaccurate
    ├── RegressionError             6   a benchmark is slower, or a model less accurate, than its baseline
    └── TrainingError               1   training cannot go on
        └── NonFiniteLossError      1   a loss became NaN or infinite; the batch was kept for inspection

A message says what was found, what was expected and, where there is one, the command that mends it.
The command line prints the message alone and ends with the exit code.
"""

from __future__ import annotations

import difflib
import importlib
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

__all__ = [
    "ArtifactError",
    "CheckpointError",
    "ClosedError",
    "DeviceError",
    "GateError",
    "InputError",
    "MissingExtraError",
    "NonFiniteLossError",
    "RegressionError",
    "RuntimeFailure",
    "TrainingError",
    "UsageError",
    "YoloxDeployError",
]


_OVERLONG = re.compile(r"(\S{200})\S{200,}(\S{100})")


class YoloxDeployError(Exception):
    """Base of the tree; catch this to catch all of it."""

    exit_code = 1

    def __str__(self) -> str:
        return _OVERLONG.sub(
            r"\1…\2", super().__str__()
        )  # a message repeats what was given, however long it is


class UsageError(YoloxDeployError, ValueError):
    """An argument that cannot work, found before any work was done."""

    exit_code = 2


class InputError(YoloxDeployError, ValueError):
    """An image, folder, stream or annotation file that cannot be read."""

    exit_code = 2


class MissingExtraError(YoloxDeployError, ImportError):
    """An optional package is not installed; the message holds the pip command."""

    exit_code = 3


class ArtifactError(YoloxDeployError, ValueError):
    """A model file is missing, truncated, foreign or built for another machine."""

    exit_code = 4


class CheckpointError(ArtifactError):
    """A PyTorch checkpoint that cannot be loaded safely or does not fit the model."""


class DeviceError(ArtifactError):
    """The device that a model file was built for is not on this machine."""


class RuntimeFailure(YoloxDeployError, RuntimeError):
    """A backend raised while it loaded or ran a model; `__cause__` is its own exception."""

    exit_code = 4


class ClosedError(RuntimeFailure):
    """The runtime or Detector was used after `close()`."""


class GateError(YoloxDeployError):
    """The parity or accuracy gate after an export failed; nothing was left under the final name."""

    exit_code = 5


class RegressionError(YoloxDeployError):
    """A benchmark is significantly slower, or a model less accurate, than the baseline allows."""

    exit_code = 6


class TrainingError(YoloxDeployError):
    """Training cannot go on: another process of the job died, or its losses are of no use."""


class NonFiniteLossError(TrainingError):
    """A loss became NaN or infinite; the message names the file with the batch that did it."""


@contextmanager
def translating(kind: type[YoloxDeployError], said: str, cure: str = "") -> Iterator[None]:
    """The rule where content of strangers is read: whatever it makes the block raise becomes `kind`.

    Nobody can list what a hostile file makes a library raise. Our own errors pass as they are, and so does a lack of
    memory, which says nothing about the file.

    Args:
        said: of what is read, such as "data.yaml is damaged"; the reason follows in brackets.
        cure: what mends it, where there is something.
    """
    try:
        yield
    except (YoloxDeployError, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{said} ({reason_of(error)}){cure and '; ' + cure}") from error


def reason_of(error: Exception) -> str:
    """What a foreign exception says, in one line: of the system its own words, which name no file twice."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    said = (error.strerror or "") if isinstance(error, OSError) else str(error)
    name = type(error).__name__
    line = next(iter(said.strip().splitlines()), "")
    return f"{name}: {line}" if line and isinstance(error, LookupError) else line or name


def require(module: str, extra: str) -> ModuleType:
    """Import the optional package `module`.

    Raises:
        MissingExtraError: it is not installed; names the `extra` and the pip command that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module.split('.')[0]} cannot be imported ({error}); "
            f"install it with: pip install 'yolox-deploy[{extra}]'"
        ) from error


def check_kind(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Refuse an argument of another type.

    Raises:
        UsageError: names the argument, what was found and what was expected.
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name} is {reprlib.repr(value)}; expected {expected}")


def refuse_unknown(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse a keyword that is none of `known`.

    Raises:
        UsageError: there is one; names what is known and what it is nearest to.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"unknown {what} {name!r}; known here: {', '.join(known)}{hint}")
