"""How far a command is that works through many pictures: one row on a terminal, below the lines it prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from yolox_deploy.cli.common import console, echo, plain

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text


class Counting:
    """Counts pictures, and prints lines above the row that shows it.

    Args:
        total: how many there are; None where that is not known.
        live: what draws the row; None where standard error is no terminal.
    """

    def __init__(self, total: int | None, live: Live | None = None) -> None:
        self._total, self._live = total, live
        self._begun = time.monotonic()
        self._done = self._worked = 0

    def advance(self, *, worked: bool = True) -> None:
        """One more; not `worked` where it was there already, and says nothing about the rate."""
        self._done += 1
        self._worked += worked

    def echo(self, line: str) -> None:
        """Print a line on standard output."""
        if self._live is None or not sys.stdout.isatty():
            echo(line)
            return
        from rich.text import Text

        self._live.console.print(Text(plain(line)), soft_wrap=True)

    def __rich__(self) -> Text:
        from rich.text import Text

        seconds = max(time.monotonic() - self._begun, 1e-6)
        rate = self._worked / seconds
        known = self._total is not None and self._total >= self._done
        text = f"{self._done:,}/{self._total:,}" if known else f"{self._done:,}"
        if self._worked:
            text += f", {rate:.1f}/s"
        if known and self._worked:
            left = timedelta(seconds=round(((self._total or 0) - self._done) / rate))
            text += f", {str(left).removeprefix('0:')} left"
        return Text(text, style="cyan", no_wrap=True, overflow="ellipsis")


@contextmanager
def counting(total: int | None) -> Iterator[Counting]:
    """Count on standard error where it is a terminal, else in silence."""
    out = console()
    if not out.is_terminal:
        yield Counting(total)
        return
    from rich.live import Live

    with Live(console=out, transient=True, redirect_stdout=False, refresh_per_second=5) as live:
        counter = Counting(total, live)
        live.update(counter)
        yield counter
