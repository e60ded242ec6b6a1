"""Where images come from: files, folders, globs, videos, cameras and network streams."""

from __future__ import annotations

import glob
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from yolox_deploy.buffers import newest_frames
from yolox_deploy.capture import Frame, video_frames
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frame",
    "image_paths",
    "is_live",
    "open_source",
]

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))


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
        found = sorted(Path(name) for name in glob.glob(str(source), recursive=True) if Path(name).is_file())
        wanted = "an existing file, folder or glob"
    if video := next(filter(is_video, found or _files_in(path)), None):
        raise InputError(f"{source} {'is' if path.is_file() else 'holds'} {a_video(video)}")
    if not found:
        raise InputError(f"no picture at {source}; expected {wanted}")
    return found


def _files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def a_video(path: Path) -> str:
    """For messages where pictures are expected: "X is ..."."""
    return (
        "a video; expected pictures: a file, a folder or a glob. One picture a second of it: mkdir pictures && "
        f"ffmpeg -i {shlex.quote(str(path))} -vf fps=1 pictures/%06d.jpg"
    )


def is_live(source: str | int | Path) -> bool:
    """Whether the source goes on whether or not anyone reads it: a camera's number or a network address."""
    return isinstance(source, int) or str(source).isdecimal() or "://" in str(source)


def open_source(source: str | int | Path, *, reconnect: float = 0.0, channels: int = 3) -> Iterator[Frame]:
    """Frames of a picture, a folder, a glob, a video, a camera (its number) or a network stream.

    A video yields every frame. A live source yields the newest frame and drops those that came while the
    caller was busy. Closing the generator releases the device.

    Args:
        reconnect: seconds without a frame after which a live source that was lost is given up; 0 ends with
            the first loss.
        channels: of pictures, as `load_image` takes it; those of videos and live sources are 3.

    Raises:
        InputError: the source is missing or cannot be read.
    """
    if is_live(source):
        return newest_frames([source], reconnect)
    path = Path(str(source))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        if not path.is_file():
            raise InputError(f"no video at {path}")
        return video_frames(path)
    paths = image_paths(str(source))
    return (Frame(load_image(p, channels), i, str(p), time.monotonic()) for i, p in enumerate(paths))
