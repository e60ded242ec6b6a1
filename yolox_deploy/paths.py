"""Which files a source means: a picture, a video, a folder with all below it, or a pattern."""

from __future__ import annotations

import glob
import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import NamedTuple

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.path_texts import not_a_path, short

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))
MOST_LOOKED_AT = 1000
"""Files of other kinds that are looked at, to say what a folder without pictures holds."""


class Found(NamedTuple):
    """A file that a source means, and where it lies below the source: `sub/a.jpg` of a folder, else its name."""

    path: Path
    name: PurePath


def is_video(path: Path) -> bool:
    """Whether the suffix is one of videos."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def find(source: str | Path, leave: Collection[Path] = ()) -> Iterator[Found]:
    """The pictures and videos that a file, a folder with those below it, or a glob means, as they are found.

    A folder gives its own files first, then each folder below in turn, all in the order of their names. What is
    hidden, and files with other suffixes, do not count; a linked folder is entered once. A named file is taken at its
    word.

    Args:
        leave: folders in which nothing is read, as results are written there.

    Raises:
        InputError: at once, where there is nothing to find; while iterating, where a folder cannot be read.
        UsageError: at once, where the source itself lies in one of `leave`.
    """
    path = Path(source)
    if os.path.exists(path):
        _refuse_inside(path, leave)
    if os.path.isfile(path):
        return iter([Found(path, PurePath(path.name))])
    found = _below(path, leave) if os.path.isdir(path) else _matching(str(source), leave)
    first = next(found, None)
    if first is None:
        what = "video" if is_video(path) else "picture or video"
        raise InputError(f"no {what} at {short(source)}{_instead(path, leave)}")
    return itertools.chain([first], found)


def walk(folder: Path, leave: Iterable[Path] = ()) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below, hidden ones left out and linked ones entered once, with the names of its files.

    Raises:
        InputError: a folder cannot be read.
    """
    entered = {os.path.realpath(each) for each in leave}
    for place, subfolders, names in os.walk(folder, followlinks=True, onerror=_refuse_unreadable):
        real = os.path.realpath(place)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(place), sorted(name for name in names if not name.startswith("."))


def lies_in(path: Path, folders: Iterable[Path]) -> Path | None:
    """The first of the folders that `path` is or lies in, links followed."""
    real = Path(os.path.realpath(path))
    return next((folder for folder in folders if real.is_relative_to(os.path.realpath(folder))), None)


def _below(folder: Path, leave: Collection[Path]) -> Iterator[Found]:
    return (found for found in _files(folder, leave) if is_wanted(found.path))


def _files(folder: Path, leave: Collection[Path]) -> Iterator[Found]:
    for place, names in walk(folder, leave):
        for path in (place / name for name in names):
            # A link that leads nowhere counts: that it cannot be read is told when its turn comes.
            if path.is_file() or (path.is_symlink() and not path.exists()):
                yield Found(path, path.relative_to(folder))


def _matching(pattern: str, leave: Collection[Path]) -> Iterator[Found]:
    """The files that a glob matches; those of no known suffix where there are no others."""
    known = any(is_wanted(found.path) for found in matches(pattern, leave))
    return (found for found in matches(pattern, leave) if is_wanted(found.path) or not known)


def matches(pattern: str, leave: Collection[Path] = ()) -> Iterator[Found]:
    """Every file that a glob matches, whatever its suffix; a linked folder is entered once."""
    parts = PurePath(pattern).parts
    fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts[:-1]))
    return (_deep_matches if "**" in parts else _flat_matches)(pattern, fixed, leave)


def _flat_matches(pattern: str, root: Path, leave: Collection[Path]) -> Iterator[Found]:
    for path in map(Path, sorted(glob.glob(pattern))):
        if path.is_file() and lies_in(path, leave) is None:
            yield Found(path, path.relative_to(root))


def _deep_matches(pattern: str, root: Path, leave: Collection[Path]) -> Iterator[Found]:
    """Of a pattern with `**`, which Python's own glob follows round and round through links."""
    wanted = PurePath(pattern).parts[len(root.parts) :]
    if root.is_dir():
        yield from (found for found in _files(root, leave) if _fits(found.name.parts, wanted))


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or _fits(parts[1:], pattern)
    return fnmatch(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def is_wanted(path: Path) -> bool:
    """Whether the suffix is one of pictures or videos."""
    return path.suffix.lower() in IMAGE_SUFFIXES or is_video(path)


def _refuse_inside(path: Path, leave: Collection[Path]) -> None:
    folder = lies_in(path, leave)
    if folder is not None:
        raise UsageError(
            f"{path} is one of the pictures to read, and results are written to {folder}; choose another folder for "
            "them with --out"
        )


def _refuse_unreadable(error: OSError) -> None:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return  # nothing is in it
    raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _instead(path: Path, leave: Collection[Path]) -> str:
    """What was expected, and what is there."""
    if not os.path.isdir(path):
        reason = not_a_path(path)
        if reason:
            return f": it is {reason}"
        has_folders = any(map(os.path.isdir, glob.iglob(str(path))))
        folders = " (it matches folders alone: end it with /**)" if has_folders else ""
        return f"; expected an existing file, folder or glob{folders}"
    expected = (
        f"expected pictures or videos in it or below ({', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))})"
    )
    names = (name for _, names in walk(path, leave) for name in names)
    kinds = Counter(PurePath(name).suffix or name for name in itertools.islice(names, MOST_LOOKED_AT))
    there = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4)) or "no file"
    left = [str(folder) for folder in leave if lies_in(folder, [path]) is not None and folder.is_dir()]
    apart = f", not counting {' and '.join(left)}, where results are written" if left else ""
    return f"; {expected}, found {there}{apart}"
