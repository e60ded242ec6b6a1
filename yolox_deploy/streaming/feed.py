"""A thread in which the frames of a stream appear at their time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from yolox_deploy.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Appeared(Generic[T]):
    """A frame, its index and when it appeared, in seconds since the stream began."""

    index: int
    captured: float
    frame: T


class Feed(Generic[T]):
    """A thread in which frames appear at their time; the latest `size` of them are kept."""

    def __init__(self, frames: Sequence[T], frame_rate: float, size: int) -> None:
        self._frames, self._period = frames, 1 / frame_rate
        self._latest: deque[Appeared[T]] = deque(maxlen=size)
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._ended = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._feed, name="frames of a stream", daemon=True)
        self._zero = time.perf_counter()

    def __enter__(self) -> Feed[T]:
        self._zero = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def now(self) -> float:
        """Seconds since the stream began."""
        return time.perf_counter() - self._zero

    @property
    def _newest(self) -> int:
        return self._latest[-1].index if self._latest else -1

    def next(self, choose: Callable[..., int | None], patience: float) -> Appeared[T] | None:
        """Wait until `choose(now=, newest=)` takes a frame; None at the end of the stream."""
        with self._changed:
            idle_since = self._newest
            while True:
                newest = self._newest
                # Whoever waited for this frame is there in time: the moment it takes to wake up must not look like
                # the end of the frame's tail, or `ShrinkingTail` would wait again, and again.
                now = newest * self._period if newest > idle_since else self.now()
                if (chosen := choose(now=now, newest=newest)) is not None:
                    return next(item for item in self._latest if item.index == chosen)
                if self._failure is not None:
                    raise InputError(f"frame {newest + 1} of the stream cannot be read") from self._failure
                if self._ended:
                    return None
                if not self._changed.wait(patience):
                    raise InputError(f"frame {newest + 1} of the stream did not appear for {patience:.0f} s")

    def _feed(self) -> None:
        try:
            for index in range(len(self._frames)):
                frame = self._frames[index]
                if self._stopped.wait(max(index * self._period - self.now(), 0)):
                    return
                with self._changed:
                    self._latest.append(Appeared(index, self.now(), frame))
                    self._changed.notify()
        except Exception as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
