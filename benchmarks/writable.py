"""Find out before minutes of measuring whether the result can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from yolox_deploy.errors import UsageError


def check_writable(path: Path, what: str) -> None:
    """Make the folder of `path` where it is missing, and write in it for a try.

    Args:
        what: how the user named it, for the message: "--out report.json".

    Raises:
        UsageError: `path` is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise UsageError(f"{what}: {path} is a folder; expected the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"{what}: {path.parent} cannot be written to ({error.strerror})") from error
