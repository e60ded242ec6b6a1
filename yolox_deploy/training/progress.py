"""A run shown to people while it lasts."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from yolox_deploy.training.events import (
    EpochFinished,
    Evaluated,
    Event,
    Message,
    RunFinished,
    RunStarted,
    StepFinished,
)

REFRESH_SECONDS = 0.1


class RichProgress:
    """A callback: on standard error a bar over the whole run with the time left; without a terminal a line an epoch.

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

    def __call__(self, event: Event) -> None:
        match event:
            case Message():
                self.message(event.text)
            case RunStarted():
                self._start(event)
            case StepFinished():
                self._step(event)
            case EpochFinished():
                self._end_epoch()
            case Evaluated():
                name = f"epoch {event.epoch}" if event.epoch else "untouched weights"
                self.message(
                    f"{name}: " + "  ".join(f"{key} {value:.4f}" for key, value in event.figures.items())
                )
            case RunFinished():
                self._end_epoch()
                self.bar.stop()

    def message(self, text: str) -> None:
        """Print something that people should read, above the bar."""
        self.console.print(text, markup=False, highlight=False)

    def _start(self, run: RunStarted) -> None:
        self._epochs, self._epoch = run.config.epochs, 0
        self._images = run.pictures / run.steps
        self._task = self.bar.add_task(
            "starting", total=run.config.epochs * run.steps, completed=run.step, speed=""
        )
        self.bar.start()

    def _step(self, event: StepFinished) -> None:
        if event.epoch != self._epoch:
            self._epoch, self._count, self._sums = event.epoch, 0, dict.fromkeys(event.losses, 0.0)
            self._first, self._began = event.step, time.monotonic()
        self._count += 1
        self._sums = {name: total + event.losses[name] for name, total in self._sums.items()}
        means = "  ".join(f"{name} {total / self._count:.3g}" for name, total in self._sums.items())
        self._line = f"epoch {event.epoch}/{self._epochs}  {means}  rate {event.rate:.2g}"
        self.bar.update(self._task, description=self._line, completed=event.step)
        if event.step > self._first:
            speed = (event.step - self._first) * self._images / max(time.monotonic() - self._began, 1e-9)
            self.bar.update(self._task, speed=f"{speed:.1f} images/s")
        if time.monotonic() - self._drawn > REFRESH_SECONDS:
            self.bar.refresh()
            self._drawn = time.monotonic()

    def _end_epoch(self) -> None:
        if self._line and not self.console.is_terminal:
            self.message(self._line)
        self._line = ""
