"""Where images come from: files, folders, globs, videos, cameras and network streams."""

from __future__ import annotations

import glob
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))
FIRST_FRAME_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        index: position in the source, from 0; a live source skips numbers where frames were dropped.
        name: path of the picture, or the source's own name.
    """

    image: NDArray[np.uint8]
    index: int
    name: str


def image_paths(source: str | Path) -> list[Path]:
    """The pictures that a file name, a folder (not its subfolders) or a glob means, sorted.

    Raises:
        InputError: there is none.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
        wanted = f"a folder with pictures ({', '.join(sorted(IMAGE_SUFFIXES))})"
    elif path.is_file():
        return [path]
    else:
        found = sorted(Path(name) for name in glob.glob(str(source), recursive=True) if Path(name).is_file())
        wanted = "an existing file, folder or glob"
    if not found:
        raise InputError(f"no picture at {source}; expected {wanted}")
    return found


def is_live(source: str | int | Path) -> bool:
    """Whether the source goes on whether or not anyone reads it: a camera's number or a network address."""
    return isinstance(source, int) or str(source).isdigit() or "://" in str(source)


def open_source(source: str | int | Path) -> Iterator[Frame]:
    """Frames of a picture, a folder, a glob, a video, a camera (its number) or a network stream.

    A video yields every frame. A live source yields the newest frame and drops those that came while the
    caller was busy. Closing the generator releases the device.

    Raises:
        InputError: the source is missing or cannot be read.
    """
    if is_live(source):
        return _newest_frames(source)
    path = Path(str(source))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        if not path.is_file():
            raise InputError(f"no video at {path}")
        return _video_frames(path)
    return (Frame(load_image(p), i, str(p)) for i, p in enumerate(image_paths(str(source))))


def _open_capture(source: str | int | Path) -> cv2.VideoCapture:
    name = str(source)
    capture = cv2.VideoCapture(int(name)) if name.isdigit() else cv2.VideoCapture(name)
    if not capture.isOpened():
        capture.release()
        raise InputError(f"{source} cannot be opened as a video, camera or stream")
    return capture


def _video_frames(path: Path) -> Iterator[Frame]:
    capture = _open_capture(path)
    index = 0
    try:
        while True:
            success, image = capture.read()
            if not success:
                break
            yield Frame(np.asarray(image, np.uint8), index, str(path))
            index += 1
    finally:
        capture.release()
    if index == 0:
        raise InputError(f"{path} holds no frame that can be decoded")


def _newest_frames(source: str | int | Path) -> Iterator[Frame]:
    """A thread reads; the caller gets the latest frame it has not seen."""
    capture = _open_capture(source)
    latest: list[Frame] = []
    changed = threading.Condition()
    done = threading.Event()

    def read() -> None:
        index = 0
        while not done.is_set():
            success, image = capture.read()
            with changed:
                if success:
                    latest[:] = [Frame(np.asarray(image, np.uint8), index, str(source))]
                else:
                    done.set()
                changed.notify()
            index += 1

    reader = threading.Thread(target=read, name=f"frames of {source}", daemon=True)
    reader.start()
    try:
        while True:
            with changed:
                if not changed.wait_for(lambda: bool(latest) or done.is_set(), FIRST_FRAME_SECONDS):
                    raise InputError(f"{source} gave no frame for {FIRST_FRAME_SECONDS:.0f} s")
                if not latest:
                    return
                frame = latest.pop()
            yield frame
    finally:
        done.set()
        reader.join(FIRST_FRAME_SECONDS)
        capture.release()
