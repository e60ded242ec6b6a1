"""Where the pictures are that an annotation file names: in which folder, and by which part of their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from yolox_deploy.data.report import Tally

SAMPLE = 16
"""So many of the names decide."""

Rename = Callable[[str], str]


class Place(NamedTuple):
    """The folder that names are relative to once `rename` has been applied to them."""

    folder: Path
    rename: Rename


def locate(folders: Sequence[Path], names: Sequence[str], tally: Tally) -> Place:
    """The folder that holds most of a few pictures; the first one where none does: the checks report it.

    Names that lead nowhere as they stand are tried with / in place of backslashes, and then by their last part alone,
    unless two pictures share it: tools write the path of the machine that they ran on.
    """
    few = names[:: max(1, len(names) // SAMPLE)]
    ways: list[Rename] = [_as_it_is, _with_slashes]
    if len({_last_part(name) for name in names}) == len(set(names)):
        ways.append(_last_part)
    best, most = Place(folders[0], _as_it_is), 0
    for rename in ways:
        for folder in folders:
            hits = sum(os.path.isfile(folder / rename(name)) for name in few)
            if hits > most:
                best, most = Place(folder, rename), hits
        if most == len(few):
            break
    if best.rename is not _as_it_is:
        what = "backslashes" if best.rename is _with_slashes else "folders that are not here"
        meaning = f"names of pictures have {what} in them: the pictures were found in {best.folder}"
        for name in (name for name in names if best.rename(name) != name):
            tally.warn("renamed_picture", meaning, name, severity="note")
    return best


def _as_it_is(name: str) -> str:
    return name


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _last_part(name: str) -> str:
    return _with_slashes(name).rstrip("/").rpartition("/")[2] or name
