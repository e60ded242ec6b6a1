"""Files of JSON Lines that grow while a command works: a line for each picture or frame, whole or not there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.documents import parse_json
from yolox_deploy.errors import InputError, UsageError

if TYPE_CHECKING:
    from yolox_deploy.capture import Frame
    from yolox_deploy.detections import Detections

BLOCK = 1 << 16


def picture_row(name: str | Path, found: Detections, frame: Frame | None = None) -> dict[str, Any]:
    """What `predict` and `track` write of a picture, or of a frame of a video; `Detections.from_dict` reads it.

    `{"image": name, "detections": […]}`; of a frame, "frame" (its index) and "time" (seconds since the video began)
    stand between them.
    """
    of_video = {} if frame is None else {"frame": frame.index, "time": frame.time}
    return {"image": str(name), **of_video, **found.to_dict()}


def error_row(name: str | Path, error: str) -> dict[str, Any]:
    """What stands in the place of a picture that cannot be read: `{"image": name, "error": error}`."""
    return {"image": str(name), "error": error}


class LineFile:
    """Appends lines to a file under its own name, so that whatever ends the program loses none. A context manager.

    Each line goes to the system at once and whole, in one piece where the disk has room. A line that broke off, as
    a program leaves it that was killed while it wrote, is cut away when the file is opened.

    Args:
        path: is made where it is missing, and its folder.

    Raises:
        UsageError: it cannot be opened, or another process writes it (which Windows cannot tell).
            Of `write`: the disk is full or away; the lines before stay whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror})") from error
        if path.is_file():
            self._lock()
            os.truncate(path, _whole(path))

    def _lock(self) -> None:
        """Keep others out until the file is closed or the process ends, however it does."""
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UsageError(
                f"{self.path} is being written by another process; wait for its end, or name another file"
            ) from error
        except OSError:  # a file system without locks
            return

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line."""
        begun = self._file.tell()
        rest = memoryview(json.dumps(row).encode() + b"\n")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(begun)
            raise UsageError(
                f"{self.path} cannot be written further ({error.strerror}); what it holds is whole"
            ) from error

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        self._file.close()

    def __enter__(self) -> LineFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; one that broke off at the end does not count.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object; names it.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _row(line, f"line {number} of {path}")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InputError(
            f"{where} is no JSON ({error}); remove the line, or write to another file"
        ) from error
    if not isinstance(row, dict):
        raise InputError(f"{where} is no JSON object; remove the line, or write to another file")
    return row


def _whole(path: Path) -> int:
    """The length in bytes of the lines that have their end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - BLOCK)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0
