"""The video of a stream, as somebody who watched it saw it: an answer stays until the next one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy import temporaries
from yolox_deploy.errors import UsageError
from yolox_deploy.files import replacing
from yolox_deploy.preprocess import letterbox

if TYPE_CHECKING:
    from yolox_deploy.detections import Detections

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""What OpenCV's own build writes into each kind of file."""
LEAST_TOLD = 0.99
"""Share of its frames that a whole video tells of: some formats know their duration alone."""
PROBE = 1 << 16
"""Bytes that are written and removed, once a second of video, to see whether the disk takes more."""
MOST_SILENT = 50_000
"""Frames after which a file has grown: encoders keep 256 kB, and a picture that does not change takes 14 bytes."""
LONGEST_HOLD = 2.0
"""Seconds that a picture stays at most: an outage of an hour is no hour of video."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
MARGIN = 6
"""Pixels around the text."""
INK = (255, 255, 255)
LARGEST_SCALE = 0.6


class VideoWriter:
    """Writes pictures at the times when they were there, into a video of constant frame rate.

    The file has its name once the writer is closed, which an exception or Ctrl-C inside its `with` block does too;
    until then it has a hidden one beside it, see `temporaries`. Where no picture came, no file is left. The index of
    an MP4 or MKV is kept in memory until then (70 and 40 bytes a frame); an AVI's is not, which suits streams of many
    hours.

    Args:
        path: its suffix names the format (`CODECS`); an existing file is replaced when the writer is closed.
        rate: frames a second of the video.
        name: what errors call the file; None for `path`.

    Raises:
        UsageError: another suffix, or the folder cannot be written. While it is written, a disk that is full, within a
            second of video, or a file that grows no more; when it is closed, a video that cannot be read back. Nothing
            is left then, and what `path` held before is kept.
    """

    def __init__(self, path: str | Path, rate: float, name: Path | None = None) -> None:
        self.path, self.rate = Path(path), rate
        self._name = name or self.path
        check_suffix(self.path)
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._held: NDArray[np.uint8] | None = None
        self._time = self._debt = 0.0
        self._written = self._checked = self._grown = self._bytes = 0
        self._failure: UsageError | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._part = temporaries.make_file(self.path, self.path.suffix)
        except OSError as error:
            raise UsageError(f"{self._name} cannot be written ({error.strerror})") from error

    def add(self, image: NDArray[np.uint8], time: float) -> None:
        """Show (H, W, 3) uint8 BGR `image` from `time` (seconds, ascending) on.

        The first picture sets the size of the video; others are letterboxed to it.

        Raises:
            UsageError: OpenCV has no encoder for this file, or there is no room for more.
        """
        if self._failure is not None:
            raise self._failure
        if self._video is None:
            self._open(image)
        else:
            self._show_held(time - self._time)
        self._held, self._time = image, time

    def close(self) -> None:
        """Write the last picture and give the file its name; calling it twice is harmless.

        Raises:
            UsageError: the video could not be written whole.
        """
        if self._failure is not None:
            raise self._failure
        if self._video is not None:
            self._debt = 0.0
            self._show_held(1 / self.rate)
            self._video.release()
            self._video = None
            with replacing(self.path, self._part):
                if not _is_whole(self._part, self._written):
                    raise UsageError(
                        f"{self._name} was not written: the video cannot be read back whole, as if the disk were full; "
                        "free some space, or name another place"
                    )
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, image: NDArray[np.uint8]) -> None:
        self._size = (image.shape[0] // 2 * 2, image.shape[1] // 2 * 2)  # encoders halve the colour planes
        codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        self._video = cv2.VideoWriter(str(self._part), codec, self.rate, self._size[::-1])
        if not self._video.isOpened():
            self._video = None
            if not all(self._size):
                raise UsageError(
                    f"{self.path}: a video needs pictures of 2x2 pixels at least, found {image.shape}"
                )
            raise UsageError(
                f"OpenCV cannot write {self._size[1]}x{self._size[0]} pictures to {self.path}; try .mp4 or .avi"
            )

    def _show_held(self, seconds: float) -> None:
        """Write the held picture as often as `seconds` ask for; fractions add up over the pictures."""
        self._debt += min(seconds, LONGEST_HOLD) * self.rate
        copies = round(self._debt)
        self._debt -= copies
        if copies and self._held is not None and self._video is not None:
            held = self._held
            fitted = held if held.shape[:2] == self._size else letterbox(held, self._size)[0]
            for _ in range(copies):
                self._video.write(fitted)
            self._written += copies
            if self._written >= self._checked + self.rate:
                self._check_room()

    def _check_room(self) -> None:
        """Notice that the disk is full, of which encoders say nothing; a quota or limit, by a file that does not grow.

        Raises:
            UsageError: there is no room for more; the file is removed.
        """
        self._checked = self._written
        try:
            size = self._part.stat().st_size
            with tempfile.TemporaryFile(dir=self.path.parent, buffering=0) as probe:
                probe.write(bytes(PROBE))
        except OSError as error:
            reason = error.strerror
        else:
            if size != self._bytes:
                self._bytes, self._grown = size, self._written
            reason = None if self._written < self._grown + MOST_SILENT else "the file grows no more"
        if reason is None:
            return
        self._failure = UsageError(
            f"{self._name} cannot be written further ({reason}); free some space there, or name another place"
        )
        if self._video is not None:
            self._video.release()
            self._video = None
        self._part.unlink(missing_ok=True)
        raise self._failure


def _is_whole(path: Path, frames: int) -> bool:
    """Whether a video can be read and tells its length: OpenCV's encoders tell nobody that writing failed.

    What a full disk cuts off has no end, in which the number of frames is counted.
    """
    video = cv2.VideoCapture(str(path))
    try:
        return bool(video.read()[0]) and video.get(cv2.CAP_PROP_FRAME_COUNT) >= LEAST_TOLD * frames - 1
    finally:
        video.release()


def check_suffix(path: Path) -> None:
    """Raise UsageError where the suffix names no kind of video that can be written."""
    if path.suffix.lower() not in CODECS:
        raise UsageError(f"{path} ends with {path.suffix!r}; expected a video: {', '.join(CODECS)}")


def draw_overlay(image: NDArray[np.uint8], detections: Detections, line: str) -> NDArray[np.uint8]:
    """A copy of `image` (H, W, 3 uint8 BGR) with the boxes, and `line` on a darkened band along the bottom.

    The text is as large as the width allows, up to the size of the boxes' labels on a full-HD picture.
    """
    canvas = detections.plot(image)
    (width, height), baseline = cv2.getTextSize(line, FONT, 1.0, 1)
    scale = min(LARGEST_SCALE, (canvas.shape[1] - 2 * MARGIN) / max(width, 1))
    rows = min(canvas.shape[0], round((height + baseline) * scale) + 2 * MARGIN)
    canvas[-rows:] //= 3
    origin = (MARGIN, canvas.shape[0] - MARGIN - round(baseline * scale))
    cv2.putText(canvas, line, origin, FONT, scale, INK, 1, cv2.LINE_AA)
    return canvas
