"""Ctrl-C and SIGTERM end a command by an exception, so that files are finished and temporary ones cleared."""

from __future__ import annotations

import _thread
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDED_BY = 128
"""Added to a signal's number: the exit code of a program that it ended."""
AGAIN_SECONDS = 0.02
LONGEST_WAIT = 5.0
"""Seconds that a signal waits for an import, or for a temporary folder that is made or cleared."""


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in the block, SIGTERM and SIGHUP SystemExit, and lose none of them.

    Libraries drop exceptions while they are imported, and Python inside destructors: a signal waits for the end of an
    import, and one whose exception was dropped comes again. It waits for `tempfile` too, where a folder that was just
    made, or is half cleared, would stay. Those that somebody ignores, as nohup does, stay ignored.
    """
    numbers = [
        getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")
    ]  # Windows has no SIGHUP
    heard = [number for number in numbers if number and signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, _Ending()) for number in heard}
    hook = sys.unraisablehook

    def dropped(lost: Any) -> None:
        number = _number_of(lost.exc_value)
        if number is None:
            hook(lost)
        else:
            _send_again(number)

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Ending:
    """Raises what a signal means, once nothing is under way that has to end first."""

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self._first = self._first or now
        if _has_to_end(frame) and now - self._first < LONGEST_WAIT:
            _send_again(number)
            return
        self._first = None
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(ENDED_BY + number)


def _has_to_end(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(("<frozen importlib", tempfile.__file__)):
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    threading.Timer(AGAIN_SECONDS, _send, (number,)).start()


def _send(number: int) -> None:
    """Send a signal to the main thread, which may be asleep."""
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def _number_of(error: BaseException | None) -> int | None:
    """The signal that raised an exception."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > ENDED_BY:
        return error.code - ENDED_BY
    return None


def was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C began it, whatever a library made of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
