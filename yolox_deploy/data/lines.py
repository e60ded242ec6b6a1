"""Text files that list something, one a line: pictures of a split, class names, labels."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from yolox_deploy.errors import InputError


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The number, from 1, and text of each line that is not empty.

    Raises:
        InputError: the file is missing or no UTF-8 text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}") from error
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in lines if line]


def backslash_hint(names: Iterable[str]) -> str:
    """For messages on files that are not there: what to do about names that were written on Windows."""
    wrong = os.sep != "\\" and any("\\" in name for name in names)
    return " (backslashes do not separate folders here: write / in the names)" if wrong else ""
