"""Frames that wait: each source is read in a thread of its own, and the latest frames are taken by turns."""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from yolox_deploy.capture import Frame, LiveSource
from yolox_deploy.errors import InputError

STOP_SECONDS = 2.0
"""How long closing waits for reads that are under way; one that hangs ends by itself later."""

MOST_BYTES = 1 << 30
"""Of the frames of a source that wait, beside the newest: as a full buffer does, more of them drop the oldest."""

IsDue = Callable[[Frame, bool], bool]
"""Whether a frame is taken now; told the newest one, and whether it came while the caller was waiting."""


def _at_once(newest: Frame, awaited: bool) -> bool:
    return True


def _size(frame: Frame) -> int:
    return int(getattr(frame.image, "nbytes", 0))  # some are read when they are taken


class FrameBuffer:
    """The latest frames of a source, read in a thread; `Turns.add` makes it.

    Attributes:
        name: of the source.
        appeared: frames that were read so far.
        stopped: set when no further frame is read or taken.
        ended_at: when the last frame was read, in seconds of `time.monotonic`; None while more may come.
        failure: why no more came.
    """

    def __init__(
        self,
        frames: Generator[Frame, None, None],
        name: str,
        maxlen: int,
        silence: float | None,
        is_due: IsDue,
        changed: threading.Condition,
    ) -> None:
        self.name, self.appeared, self.stopped = name, 0, threading.Event()
        self.ended_at: float | None = None
        self.failure: Exception | None = None
        self._silence, self._is_due, self._changed = silence, is_due, changed
        self._waiting: deque[Frame] = deque(maxlen=maxlen)
        self._bytes = 0
        self._heard = time.monotonic()
        self._reader = threading.Thread(
            target=self._read, args=(frames,), name=f"frames of {name}", daemon=True
        )

    def start(self) -> None:
        """Begin to read."""
        self._heard = time.monotonic()
        self._reader.start()

    def stop(self) -> None:
        """No further frame is read or taken; may be called from any thread."""
        self.stopped.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait until the thread that reads has ended, at most so long."""
        self._reader.join(seconds)

    def poll(self, known: int) -> Frame | None:
        """The oldest frame that waits, where it is due; `known` had appeared when the caller began to wait."""
        if self.stopped.is_set() or not self._waiting:
            return None
        if not self._is_due(self._waiting[-1], self.appeared > known):
            return None
        self._heard = time.monotonic()
        self._changed.notify_all()
        return self._oldest()

    @property
    def is_over(self) -> bool:
        """Whether no frame will come any more."""
        return self.ended_at is not None or self.stopped.is_set()

    def patience(self) -> float | None:
        """Seconds until the source counts as lost; None for never. Where they are over, it is given up."""
        if self._silence is None or self.is_over:
            return None
        left = self._heard + self._silence - time.monotonic()
        if left <= 0:
            self.failure = InputError(f"{self.name} gave no frame for {self._silence:.0f} s")
            self.ended_at = time.monotonic()
            self.stopped.set()
        return max(left, 0.0)

    def wait_until_taken(self) -> None:
        """Wait, in the thread that reads, until no frame is left to take, or the buffer is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self.stopped.is_set())

    def _keep(self, frame: Frame) -> None:
        size = _size(frame)
        while self._waiting and (
            len(self._waiting) == self._waiting.maxlen or self._bytes + size > MOST_BYTES
        ):
            self._oldest()
        self._waiting.append(frame)
        self._bytes += size

    def _oldest(self) -> Frame:
        frame = self._waiting.popleft()
        self._bytes -= _size(frame)
        return frame

    def _read(self, frames: Generator[Frame, None, None]) -> None:
        try:
            with closing(frames):
                for frame in frames:
                    if self.stopped.is_set():
                        break
                    with self._changed:
                        self._keep(frame)
                        self.appeared += 1
                        self._heard = time.monotonic()
                        self._changed.notify_all()
        except Exception as error:
            self.failure = self.failure or error
        finally:
            with self._changed:
                self.ended_at = self.ended_at or time.monotonic()
                self._changed.notify_all()


class Turns:
    """Takes from several buffers by turns. A context manager, in which they are read.

    After a frame of one source it is the next source's turn, then the one after it; a source that has no frame due is
    passed over. So nobody waits for a slow source, and a fast one gets no more than its turn while others have frames.
    A source that is lost ends alone: a warning says so, and the others go on.
    """

    def __init__(self) -> None:
        self.buffers: list[FrameBuffer] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._next = 0
        self._told: set[int] = set()

    def add(
        self,
        frames: Generator[Frame, None, None],
        name: str,
        maxlen: int = 1,
        *,
        silence: float | None = None,
        is_due: IsDue = _at_once,
    ) -> FrameBuffer:
        """One more source, before the first is read.

        Args:
            frames: read to their end, or until the buffer is stopped; then closed.
            name: of the source, for errors.
            maxlen: frames that may wait, of 1 GiB together; one more drops the oldest.
            silence: seconds after which no frame will come any more; None for no limit.
            is_due: whether a frame is taken, or one more is waited for.
        """
        self.buffers.append(FrameBuffer(frames, name, maxlen, silence, is_due, self._changed))
        return self.buffers[-1]

    def __enter__(self) -> Turns:
        for buffer in self.buffers:
            buffer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for buffer in self.buffers:
            buffer.join(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """No further frame is read or taken; may be called from any thread."""
        self._stopped.set()
        for buffer in self.buffers:
            buffer.stop()

    def take(self) -> tuple[int, Frame] | None:
        """Wait for the next frame that is due: the number of its buffer, and the frame.

        Returns:
            None once all sources have ended, or where all were stopped.

        Raises:
            InputError: as of `check`, once all sources have ended.
        """
        with self._changed:
            known = [buffer.appeared for buffer in self.buffers]
            while True:
                waits = [seconds for buffer in self.buffers if (seconds := buffer.patience()) is not None]
                over = all(buffer.is_over for buffer in self.buffers)
                if not over:
                    self._tell()
                for number in (*range(self._next, len(self.buffers)), *range(self._next)):
                    if (frame := self.buffers[number].poll(known[number])) is not None:
                        self._next = (number + 1) % len(self.buffers)
                        return number, frame
                if over:
                    break
                self._changed.wait(min(waits, default=None))
        if not self._stopped.is_set():
            self.check()
        return None

    def check(self) -> None:
        """Raise what ended sources before their time: one failure as it is, several as one InputError."""
        failures = [buffer.failure for buffer in self.buffers if buffer.failure is not None]
        if len(failures) == 1:
            raise failures[0]
        if failures:
            told = "; ".join(map(str, failures))
            raise InputError(f"{len(failures)} of {len(self.buffers)} sources were lost: {told}")

    def _tell(self) -> None:
        """Warn of each source that was lost while others go on."""
        for number, buffer in enumerate(self.buffers):
            if buffer.failure is not None and number not in self._told:
                self._told.add(number)
                warnings.warn(f"{buffer.failure}; the other sources go on", stacklevel=2)


def open_live(sources: Sequence[str | int | Path], reconnect: float) -> list[LiveSource]:
    """Cameras and addresses, opened at the same time; one that is there twice has a number in its second name.

    Raises:
        InputError: one of them cannot be opened.
    """
    with ThreadPoolExecutor(max(len(sources), 1)) as pool:
        found = list(pool.map(lambda source: LiveSource(source, patience=reconnect), sources))
    for live, name in zip(found, distinct([live.name for live in found]), strict=True):
        live.name = name
    return found


def distinct(names: Sequence[str]) -> list[str]:
    """The names, where one that was there before has a number behind it."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name} ({number})"
        found.append(unique)
    return found


def newest_frames(
    sources: Sequence[str | int | Path], reconnect: float = 0.0
) -> Generator[Frame, None, None]:
    """Of each live source the newest frame that the caller has not seen, by turns until all have ended."""
    lives, turns = open_live(sources, reconnect), Turns()
    for live in lives:
        turns.add(iter(live), live.name, silence=live.longest_silence)
    with turns:
        try:
            while (taken := turns.take()) is not None:
                yield taken[1]
        finally:
            for live in lives:
                live.stop()
