"""Ctrl-C and SIGTERM end a command by an exception, so that files are finished and temporary ones cleared."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDED_BY = 128
"""Added to a signal's number: the exit code of a program that it ended."""
AGAIN_SECONDS = 0.02


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP where nobody ignores it (as nohup does), end the block by SystemExit; lose none of them.

    Python drops an exception that a signal raises inside a destructor, of which the imports of large libraries have
    many. Such a signal comes again a moment later.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda caught, _frame: sys.exit(ENDED_BY + caught))
    before = sys.unraisablehook

    def dropped(lost: Any) -> None:
        number = _number_of(lost.exc_value)
        if number is None:
            before(lost)
        else:
            threading.Timer(AGAIN_SECONDS, _send, (number,)).start()

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = before


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
    """Whether Ctrl-C began it: a library interrupted while it imports its parts raises something else."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
