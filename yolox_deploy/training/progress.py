"""What a run tells people while it lasts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

REFRESH_SECONDS = 0.1


class Progress:
    """Told by a `Trainer` what happens, and tells nobody; epochs and steps count from 0."""

    def start(self, epochs: int, steps: int, resumed_at: int, pictures: int) -> None:
        """A run of `epochs` with `steps` and `pictures` each begins with the epoch `resumed_at`."""

    def step(self, epoch: int, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Step `step` of `epoch` had these losses and this learning rate; a trainer may leave steps out."""

    def evaluated(self, epoch: int, figures: Mapping[str, float]) -> None:
        """These are the figures after `epoch`."""

    def message(self, text: str) -> None:
        """Something that people should read; may come before `start`."""

    def close(self) -> None:
        """The run ended or was interrupted."""


class RichProgress(Progress):
    """On standard error a bar over the whole run with the time left; without a terminal a line an epoch.

    Losses and images per second are means over the epoch so far, evaluations left out.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        text = TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=1))
        speed = TextColumn("{task.fields[speed]}", table_column=Column(no_wrap=True))
        columns = (BarColumn(16), TimeRemainingColumn(compact=True), speed, text)
        # No thread of its own: the data loader forks.
        self.bar = Bar(
            *columns,
            console=self.console,
            auto_refresh=False,
            expand=True,
            speed_estimate_period=600,
            disable=not self.console.is_terminal,
        )
        self._drawn = 0.0
        self._line = ""

    def start(self, epochs: int, steps: int, resumed_at: int, pictures: int) -> None:
        self._epochs, self._steps, self._epoch = epochs, steps, -1
        self._images = pictures / steps
        self._task = self.bar.add_task(
            "starting", total=epochs * steps, completed=resumed_at * steps, speed=""
        )
        self.bar.start()

    def step(self, epoch: int, step: int, losses: Mapping[str, float], rate: float) -> None:
        if epoch != self._epoch:
            self._end_epoch()
            self._epoch, self._count, self._sums = epoch, 0, dict.fromkeys(losses, 0.0)
            self._first, self._began = step, time.monotonic()
        self._count += 1
        self._sums = {name: total + losses[name] for name, total in self._sums.items()}
        means = "  ".join(f"{name} {total / self._count:.3g}" for name, total in self._sums.items())
        self._line = f"epoch {epoch + 1}/{self._epochs}  {means}  rate {rate:.2g}"
        done = epoch * self._steps + step + 1
        self.bar.update(self._task, description=self._line, completed=done)
        if step > self._first:
            speed = (step - self._first) * self._images / max(time.monotonic() - self._began, 1e-9)
            self.bar.update(self._task, speed=f"{speed:.1f} images/s")
        if time.monotonic() - self._drawn > REFRESH_SECONDS:
            self.bar.refresh()
            self._drawn = time.monotonic()

    def evaluated(self, epoch: int, figures: Mapping[str, float]) -> None:
        self._end_epoch()
        self.message(f"epoch {epoch + 1}: " + "  ".join(f"{name} {v:.4f}" for name, v in figures.items()))

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._end_epoch()
        self.bar.stop()

    def _end_epoch(self) -> None:
        if self._line and not self.console.is_terminal:
            self.message(self._line)
        self._line = ""
