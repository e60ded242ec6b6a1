"""Videos, cameras and network streams through OpenCV, and back again after a lost connection."""

from __future__ import annotations

import math
import re
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError, translating
from yolox_deploy.picture_headers import check_size, most_pixels
from yolox_deploy.signatures import of_file
from yolox_deploy.video_ends import ends_early

TIMEOUT_SECONDS = 10.0
"""How long a network stream may take to open, or to send a frame."""
USUAL_RATE = 30.0
"""Frames a second of a video that does not say."""
FASTEST_RATE = 1000.0
"""A source that claims more frames a second than this does not know its rate."""
LEAST_LOSS, LEAST_SHARE = 0.5, 0.05
"""Seconds, and share of a video, whose absence is told: lengths of files are estimates."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 8.0
"""Seconds before a lost source is opened again; doubled from one attempt to the next."""


class BrokenVideoWarning(UserWarning):
    """A video ended before its file says: what was read of it is right, and the rest is not there."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        index: position in the source, from 0; a live source skips numbers where frames were dropped.
        name: path of the picture, or the source's own name.
        appeared: when it was read, in seconds of `time.monotonic`.
        time: seconds since the first frame of this video, as its file says, or of the live source, by the clock; None
            where frames have no time of their own, as pictures of a folder.
    """

    image: NDArray[np.uint8]
    index: int
    name: str
    appeared: float = 0.0
    time: float | None = None


def is_cut(before: Frame | None, frame: Frame) -> bool:
    """Whether another video begins or ends between two frames of a source, as in a folder: times begin anew there."""
    if before is None or (before.time is None and frame.time is None):
        return False
    return before.name != frame.name or (frame.time or 0.0) < (before.time or 0.0)


def public_name(source: str | int | Path) -> str:
    """What to call a source in messages and records: an address without the user and password in it."""
    return re.sub(r"(?<=://)[^/?#]*@", "", str(source))


def open_capture(source: str | int | Path) -> cv2.VideoCapture:
    """A video file, a camera (its number) or the address of a network stream.

    Raises:
        InputError: it cannot be opened, or its frames have more pixels than pictures may (`picture_headers`).
    """
    name = str(source)
    with translating(InputError, f"{public_name(source)} cannot be opened as a video, camera or stream"):
        capture = _capture(name)
    if not capture.isOpened():
        capture.release()
        kind = of_file(Path(name))
        if kind is not None and kind.family != "video":
            raise InputError(f"{name} {kind.instead_of('a video', name)}")
        raise InputError(f"{public_name(source)} cannot be opened as a video, camera or stream")
    try:
        height, width = (capture.get(side) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        check_size(int(height), int(width), public_name(source), most_pixels())
    except BaseException:
        capture.release()
        raise
    return capture


def _capture(name: str) -> cv2.VideoCapture:
    if name.isdecimal():
        return cv2.VideoCapture(int(name))
    if "://" in name and cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends():
        limit = int(TIMEOUT_SECONDS * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG, limits)
    return cv2.VideoCapture(name)


def frame_rate(capture: cv2.VideoCapture) -> float | None:
    """Frames a second that the source claims; None where it does not know."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate <= FASTEST_RATE else None


def video_rate(path: Path) -> float | None:
    """Frames a second of a video file; None where it does not say.

    Raises:
        InputError: it cannot be opened.
    """
    capture = open_capture(path)
    try:
        return frame_rate(capture)
    finally:
        capture.release()


def video_frames(path: Path) -> Iterator[Frame]:
    """Every frame of a video file; a warning says where it breaks off before the end that it claims.

    Raises:
        InputError: it cannot be opened, or holds no frame.

    Warns:
        BrokenVideoWarning: once all frames are read, by the length that the file states and by its last part.
    """
    capture = open_capture(path)
    times, index = _FileTimes(capture), 0
    try:
        while (image := _read(capture)) is not None:
            yield Frame(image, index, str(path), time.monotonic(), times.of_latest())
            index += 1
        missing = times.missing()
    finally:
        capture.release()
    if index == 0:
        raise InputError(f"{path} holds no frame that can be decoded")
    if missing is None and ends_early(path):
        missing = "the file ends in the middle of a part"
    if missing is not None:
        _tell_broken(str(path), index, missing)


def _tell_broken(name: str, frames: int, missing: str) -> None:
    warnings.warn(
        f"{name} breaks off after {frames} frames: {missing}; copy or download it again",
        BrokenVideoWarning,
        stacklevel=3,
    )


class LiveSource:
    """Every frame of a camera or network stream, read in the thread that iterates.

    Where the connection is lost it is opened again, after longer and longer waits. A source that knows its
    length is a file behind an address: it is read once, and a `BrokenVideoWarning` tells where it ends early.

    Args:
        source: number of a camera, or an address.
        patience: seconds without a frame after which a lost source is given up; 0 ends with the first loss.

    Attributes:
        name: the source, without a password.
        rate: frames a second that it claims; None where it does not know.
        reconnects: how often it came back.

    Raises:
        InputError: it cannot be opened; while iterating, it gives no frame at all, or stays away longer than
            `patience`.
    """

    def __init__(self, source: str | int | Path, *, patience: float = 0.0) -> None:
        self.source, self.name, self.patience, self.reconnects = source, public_name(source), patience, 0
        self._capture = open_capture(source)
        self.rate = frame_rate(self._capture)
        self._stopped = threading.Event()

    def __iter__(self) -> Generator[Frame, None, None]:
        index, begun = 0, 0.0
        is_file = self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        patience = 0.0 if is_file else self.patience
        times = _FileTimes(self._capture)
        try:
            while not self._stopped.is_set():
                image = _read(self._capture)
                if image is None and index == 0:
                    raise InputError(f"{self.name} was opened but gives no frame that can be decoded")
                if image is None and patience > 0:
                    image = self._recover(index)
                if image is None:
                    missing = times.missing() if is_file else None
                    if missing is not None:
                        _tell_broken(self.name, index, missing)
                    return
                appeared = time.monotonic()
                begun = begun or appeared
                yield Frame(
                    image, index, self.name, appeared, times.of_latest() if is_file else appeared - begun
                )
                index += 1
        finally:
            self._capture.release()

    @property
    def longest_silence(self) -> float:
        """Seconds after which no frame will come any more: a backend without time limits hangs."""
        return self.patience + 4 * TIMEOUT_SECONDS

    def stop(self) -> None:
        """End the iteration, from another thread: with its next frame, or at once while it waits to reconnect."""
        self._stopped.set()

    def _recover(self, frames: int) -> NDArray[np.uint8] | None:
        """The first frame after a loss; None where `stop` was called meanwhile."""
        deadline, wait = time.monotonic() + self.patience, FIRST_WAIT
        while not self._stopped.wait(max(0.0, min(wait, deadline - time.monotonic()))):
            if (image := self._reopened()) is not None:
                self.reconnects += 1
                return image
            if time.monotonic() >= deadline:
                raise InputError(
                    f"{self.name} was lost after {frames} frames and did not come back within {self.patience:g} s"
                )
            wait = min(2 * wait, LONGEST_WAIT)
        return None

    def _reopened(self) -> NDArray[np.uint8] | None:
        self._capture.release()
        try:
            self._capture = open_capture(self.source)
        except InputError:
            return None
        return _read(self._capture)


class _FileTimes:
    """When each frame of a video file is to be seen, in seconds after the first.

    What the file says holds, also at a rate that varies; where it says nothing new, the next frame comes one period of
    its rate after the one before.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._period = 1 / (frame_rate(capture) or USUAL_RATE)
        self._first: float | None = None
        self._time = 0.0

    def of_latest(self) -> float:
        """The time of the frame that was read last; called once a frame."""
        said = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._first is None:
            self._first = said  # not 0 in OpenCV's own reader of AVI files
        else:
            later = said - self._first
            self._time = later if self._time < later < math.inf else self._time + self._period
        return self._time

    def missing(self) -> str | None:
        """What is not there between the latest frame and the end that the file claims; None where they agree."""
        claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT) * self._period
        missing = claimed - self._time - self._period
        if not max(LEAST_LOSS, claimed * LEAST_SHARE) < missing < math.inf:
            return None
        return f"{missing:.1f} s before its end no more can be decoded"


def _read(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    success, image = capture.read()
    return np.asarray(image, np.uint8) if success else None
