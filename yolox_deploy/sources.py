"""Where images come from: files, folders, globs, videos, cameras and network streams."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from yolox_deploy.buffers import newest_frames
from yolox_deploy.capture import Frame, video_frames
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.images import load_image
from yolox_deploy.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Found, find, is_video, matches

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frame",
    "image_paths",
    "is_live",
    "open_source",
]


def image_paths(source: str | Path) -> list[Path]:
    """The pictures that a file name, a folder (not its subfolders) or a glob means, sorted.

    Raises:
        InputError: there is none, or a video in place of pictures.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
        wanted = f"a folder with pictures ({', '.join(sorted(IMAGE_SUFFIXES))})"
    elif path.is_file():
        found = [path]
    else:
        found = sorted(match.path for match in matches(str(source)))
        wanted = "an existing file, folder or glob"
    if video := next(filter(is_video, found or _files_in(path)), None):
        raise InputError(f"{source} {'is' if path.is_file() else 'holds'} {a_video(video)}")
    if not found:
        raise InputError(f"no picture at {source}; expected {wanted}")
    return found


def _files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def a_video(path: Path) -> str:
    """For messages where pictures are expected: "X is ..."."""
    return (
        "a video; expected pictures: a file, a folder or a glob. One picture a second of it: mkdir pictures && "
        f"ffmpeg -i {shlex.quote(str(path))} -vf fps=1 pictures/%06d.jpg"
    )


def is_live(source: str | int | Path) -> bool:
    """Whether the source goes on whether or not anyone reads it: a camera's number or a network address."""
    return isinstance(source, int) or str(source).isdecimal() or "://" in str(source)


def check_targets(targets: Mapping[str, Path], sources: Iterable[str | int | Path]) -> None:
    """Find out before any work whether files to be written are what is read, or each other.

    Args:
        targets: by what the user typed: "--out video.mp4".

    Raises:
        UsageError: one of them is a file that the sources mean, in a folder or a glob too; or two are the same.
    """
    named: dict[Path, str] = {}
    for what, target in targets.items():
        other = named.setdefault(target.resolve(), what)
        if other != what:
            raise UsageError(f"{what} is where {other} is written; choose another name")
        for source in sources:
            if target.exists() and not is_live(source) and _means(source, target):
                place = (
                    "the stream to read" if Path(str(source)) == target else f"part of what is read: {source}"
                )
                raise UsageError(f"{what} is {place}; choose another name")


def _means(source: str | int | Path, target: Path) -> bool:
    try:
        return any(found.path.exists() and found.path.samefile(target) for found in find(str(source)))
    except InputError:
        return False  # told when it is opened


def open_source(
    source: str | int | Path | Iterable[str | int | Path], *, reconnect: float = 0.0, channels: int = 3
) -> Iterator[Frame]:
    """Frames of a picture, a folder and those below it, a glob, a video, a camera (its number) or a network stream.

    A video yields every frame. A live source yields the newest frame and drops those that came while the
    caller was busy. Several sources in a list come one after another, and where all of them are live, by turns, until
    all have ended; `Frame.name` tells them apart. An iterable without a length is read as it goes. Closing the
    generator releases the devices.

    Args:
        reconnect: seconds without a frame after which a live source that was lost is given up; 0 ends with
            the first loss.
        channels: of pictures, as `load_image` takes it; those of videos and live sources are 3.

    Raises:
        InputError: the source is missing or cannot be read.
        UsageError: it is no source.
    """
    if not isinstance(source, str | int | Path):
        return _one_after_another(source, reconnect, channels)
    if isinstance(source, int) or is_live(source):
        return newest_frames([source], reconnect)
    path = Path(source)
    if is_video(path) and path.is_file():
        return video_frames(path)
    return _file_frames(find(source), channels)


def _one_after_another(
    sources: Iterable[str | int | Path], reconnect: float, channels: int
) -> Iterator[Frame]:
    if not isinstance(sources, Iterable) or isinstance(sources, bytes | bytearray | memoryview | np.ndarray):
        raise UsageError(
            f"a source is a path, a glob, a camera's number, an address or a list of these, found {type(sources)}; "
            "pictures in memory go to predict or predict_batch"
        )
    given = sources if isinstance(sources, Sequence) else ()
    if given and all(isinstance(source, str | int | Path) and is_live(source) for source in given):
        return newest_frames(given, reconnect)
    for source in given:
        if isinstance(source, str | Path) and not is_live(source):
            find(source)  # what is missing is told at once
    frames = (
        frame for source in sources for frame in open_source(source, reconnect=reconnect, channels=channels)
    )
    return (replace(frame, index=index) for index, frame in enumerate(frames))


def _file_frames(found: Iterator[Found], channels: int) -> Iterator[Frame]:
    """The pictures, and the frames of the videos, counted together."""
    number = count()
    for path, _ in found:
        if is_video(path):
            yield from (replace(frame, index=next(number)) for frame in video_frames(path))
        else:
            yield Frame(load_image(path, channels), next(number), str(path), time.monotonic())
