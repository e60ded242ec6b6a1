"""What `predict` is to read: every picture and video of its sources, one by one, each with a name for its results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import cv2

from yolox_deploy.capture import open_capture
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.paths import Found, find, is_video, lies_in
from yolox_deploy.sources import is_live
from yolox_deploy.streaming.video import CODECS

STANDARD_INPUT = "-"
BLOCK = 1 << 16
WRITABLE = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
"""Formats that OpenCV writes in colour."""


class Item(NamedTuple):
    """A picture or video, and the place of its results below a folder of them, that no other item has."""

    path: Path
    name: PurePath
    is_video: bool


class Survey(NamedTuple):
    """What the sources hold.

    Attributes:
        total: pictures, and frames of videos; None where that is not known before.
        video: the first video; None where there is none.
        numbered: whether names had to be told apart by numbers, which depend on the order of the sources.
    """

    total: int | None
    video: Path | None
    numbered: bool


class Names:
    """Gives each file a name of its own: its place below its source, numbered where another has that already.

    Pictures and videos of formats that OpenCV does not write get a suffix more. What was given away is remembered
    where there are several sources: one alone has no name twice.
    """

    def __init__(self, several: bool) -> None:
        self.numbered = False
        self._several = several
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def __call__(self, name: PurePath) -> PurePath:
        """The name for the next file."""
        known, more = (CODECS, ".mp4") if is_video(Path(name)) else (WRITABLE, ".png")
        as_is = name.suffix.lower() in known
        suffix = name.suffix if as_is else f"{name.suffix}{more}"
        first = given = name.with_name(f"{name.stem}{suffix}")
        while self._key(given) in self._taken:
            number = self._counts[self._key(first)] = self._counts.get(self._key(first), 1) + 1
            given = name.with_name(f"{name.stem}_{number}{suffix}")
            self.numbered = True
        if self._several or not as_is:
            self._taken.add(self._key(given))
        return given

    @staticmethod
    def _key(name: PurePath) -> str:
        return str(name).lower()  # disks of Windows and macOS do not tell them apart


def items(sources: Sequence[str], leave: Sequence[Path] = (), names: Names | None = None) -> Iterator[Item]:
    """Everything to read, as it is found; nothing is kept.

    Args:
        leave: folders in which nothing is read.
        names: gives the names; None for a new one.
    """
    names = names or Names(len(sources) > 1)
    for source in sources:
        found = _from_standard_input(leave) if source == STANDARD_INPUT else find(source, leave)
        for path, name in found:
            yield Item(path, names(name), is_video(path))


def survey(sources: Sequence[str], leave: Sequence[Path] = (), *, count_all: bool) -> Survey:
    """Look for everything once, standard input apart, so that what is missing is told before any work.

    Args:
        count_all: open videos too, for their frames.

    Raises:
        InputError, UsageError: as of `find`; also where a source is a stream.
    """
    for source in sources:
        if source != STANDARD_INPUT and is_live(source) and not Path(source).exists():
            raise UsageError(
                f"{source} is a camera or a stream, which has no end; use: yolox-deploy stream {source} --model FILE"
            )
    given = [source for source in sources if source != STANDARD_INPUT]
    names = Names(len(sources) > 1)
    total: int | None = 0 if len(given) == len(sources) else None
    video = None
    for item in items(given, leave, names):
        frames: int | None = 1
        if item.is_video:
            video = video or item.path
            frames = _frames(item.path) if count_all else None
        total = None if total is None or frames is None else total + frames
    return Survey(total, video, names.numbered)


def _frames(video: Path) -> int | None:
    """How many frames a video claims to have; None where it does not know."""
    try:
        capture = open_capture(video)
    except InputError:
        return None
    try:
        return max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT))) or None
    finally:
        capture.release()


def _from_standard_input(leave: Sequence[Path]) -> Iterator[Found]:
    """The files of the paths on standard input, also those below folders, as they come.

    Their names are their places below the current folder, or below the root. A path that leads nowhere is given on:
    that it cannot be read is told in its turn.
    """
    for text in split_paths(iter(lambda: os.read(sys.stdin.fileno(), BLOCK), b"")):
        path = Path(text)
        inside = find(path) if path.is_dir() else iter([Found(path, PurePath(path.name))])
        for found in inside:
            if lies_in(found.path, leave) is None:
                yield Found(found.path, _place(found.path))


def split_paths(blocks: Iterable[bytes]) -> Iterator[str]:
    """The paths in a text that arrives in parts: one a line, or each ended by a zero byte where the first one is."""
    rest, end = b"", b""
    for block in blocks:
        rest += block
        end = end or next((mark for mark in (b"\0", b"\n") if mark in rest), b"")
        if end:
            *whole, rest = rest.split(end)
            yield from (os.fsdecode(path) for path in map(_stripped, whole) if path)
    if _stripped(rest):
        yield os.fsdecode(_stripped(rest))


def _stripped(path: bytes) -> bytes:
    return path.removesuffix(b"\r")


def _place(path: Path) -> PurePath:
    """Where a file lies below the current folder; of one that lies elsewhere, below the root."""
    whole = os.path.abspath(path)
    here = os.getcwd()
    if whole.startswith(os.path.join(here, "")):
        return PurePath(os.path.relpath(whole, here))
    return PurePath(*PurePath(whole).parts[1:])
