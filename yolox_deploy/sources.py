"""Where images come from: files, folders, globs, videos, cameras and network streams."""

from __future__ import annotations

import glob
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from yolox_deploy.capture import Frame, LiveSource, video_frames
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.images import load_image
from yolox_deploy.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Found, find, is_video

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Frame",
    "FrameBuffer",
    "image_paths",
    "is_live",
    "open_source",
]

STOP_SECONDS = 2.0
"""How long closing waits for a read that is under way; one that hangs ends by itself later."""


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
    return isinstance(source, int) or str(source).isdecimal() or "://" in str(source)


def open_source(
    source: str | int | Path | Iterable[str | int | Path], *, reconnect: float = 0.0, channels: int = 3
) -> Iterator[Frame]:
    """Frames of a picture, a folder and those below it, a glob, a video, a camera (its number) or a network stream.

    A video yields every frame. A live source yields the newest frame and drops those that came while the
    caller was busy. Several sources in a list come one after another; an iterable without a length is read as it
    goes. Closing the generator releases the device.

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
        return _newest_frames(source, reconnect)
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
    for source in sources if isinstance(sources, Sequence) else ():
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


def _newest_frames(source: str | int | Path, reconnect: float) -> Iterator[Frame]:
    """A thread reads; the caller gets the latest frame it has not seen."""
    live = LiveSource(source, patience=reconnect)
    with FrameBuffer(iter(live), live.name, silence=live.longest_silence) as latest:
        try:
            while (frame := latest.take()) is not None:
                yield frame
        finally:
            live.stop()


class FrameBuffer:
    """The latest frames of a source: a thread reads them, and another takes them. A context manager.

    Args:
        frames: read to their end, or until the buffer is stopped; then closed.
        name: of the source.
        maxlen: frames that may wait; one more drops the oldest.
        silence: seconds after which no frame will come any more; None for no limit.

    Attributes:
        appeared: frames that were read so far.
        stopped: set when no further frame is read or taken.
    """

    def __init__(
        self,
        frames: Generator[Frame, None, None],
        name: str,
        maxlen: int = 1,
        *,
        silence: float | None = None,
    ) -> None:
        self.appeared, self.stopped = 0, threading.Event()
        self._name, self._silence = name, silence
        self._waiting: deque[Frame] = deque(maxlen=maxlen)
        self._changed = threading.Condition()
        self._ended = False
        self._failure: Exception | None = None
        self._reader = threading.Thread(
            target=self._read, args=(frames,), name=f"frames of {name}", daemon=True
        )

    def __enter__(self) -> FrameBuffer:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._reader.join(STOP_SECONDS)

    def stop(self) -> None:
        """No further frame is read or taken; may be called from any thread."""
        self.stopped.set()
        with self._changed:
            self._changed.notify_all()

    def take(self, is_due: Callable[[Frame, bool], bool] = lambda newest, awaited: True) -> Frame | None:
        """Wait for the oldest frame that waits; None at the end, or where the buffer was stopped.

        Args:
            is_due: whether to take it, or to wait for one more; told the newest frame, and whether it came while
                the caller was waiting.

        Raises:
            InputError: no frame came for too long. Also whatever reading raised.
        """
        with self._changed:
            before = self.appeared
            while not self.stopped.is_set():
                if self._waiting and is_due(self._waiting[-1], self.appeared > before):
                    self._changed.notify_all()
                    return self._waiting.popleft()
                if self._failure is not None:
                    raise self._failure
                if self._ended:
                    return None
                if not self._changed.wait(self._silence):
                    raise InputError(f"{self._name} gave no frame for {self._silence:.0f} s")
        return None

    def wait_until_taken(self) -> None:
        """Wait, in the thread that reads, until no frame is left to take, or the buffer is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self.stopped.is_set())

    def _read(self, frames: Generator[Frame, None, None]) -> None:
        try:
            with closing(frames):
                for frame in frames:
                    if self.stopped.is_set():
                        break
                    with self._changed:
                        self._waiting.append(frame)
                        self.appeared += 1
                        self._changed.notify_all()
        except Exception as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
