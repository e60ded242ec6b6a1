"""The figures of a run in files: `steps.csv`, `epochs.csv`, `curves.png`, and TensorBoard's where it is installed."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from yolox_deploy.charts import draw_curves
from yolox_deploy.errors import InputError, MissingExtraError, require, translating
from yolox_deploy.evaluation.coco import METRICS
from yolox_deploy.files import naming, replacing
from yolox_deploy.training.events import (
    EpochFinished,
    Evaluated,
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
)

COUNTS = ("epoch", "step")
"""The first columns of both files. Those of version 0.1.0 begin otherwise, and count from 0."""
STEPS_IN_ROW = 10


class RunLog:
    """A callback that keeps the log of a run in `folder`, one for all processes of a job.

    `steps.csv` has a row for every 10 steps: losses are means over them, `seconds` their time, and `step` (finished
    ones of the run), `epoch` and the learning rate `rate` those of the last. `epochs.csv` has a row for each
    evaluation, with the mean losses of its epoch and the seconds since the row before or the start. Both count what
    is finished, from 1; epoch 0 is the model that the run starts from.

    A resumed run goes on in the same files, without the rows of steps that it takes again. Files of version 0.1.0,
    which count from 0, are counted anew then.

    Attributes:
        without_curves: why `curves.png` is not drawn, with the command that mends it; None where it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.without_curves = _why_no_curves()
        self._began = time.monotonic()
        self._resumed = False
        self._names: tuple[str, ...] = ()
        self._steps: _Table | None = None
        self._epochs: _Table | None = None
        self._board: Any = None
        self._row: list[StepFinished] = []
        self._means: Mapping[str, float] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._resumed, self._names = event.resumed, event.losses
            case StepFinished():
                self._step(event)
            case EpochFinished():
                self._write_steps()
                self._means = event.losses
            case Evaluated():
                self._evaluated(event)
            case RunFinished():
                self._close()

    def _step(self, event: StepFinished) -> None:
        if self._steps is None:
            self._steps = self._open("steps.csv", (*self._names, "rate"), "step", event.step)
        self._row.append(event)
        if event.step % STEPS_IN_ROW == 0:
            self._write_steps()

    def _evaluated(self, event: Evaluated) -> None:
        if self._epochs is None:
            self._epochs = self._open("epochs.csv", (*self._names, *METRICS), "epoch", event.epoch)
        self._epochs.write({"epoch": event.epoch, "step": event.step, **self._means, **event.figures})
        self._send("figures", event.figures, event.epoch)
        if self.without_curves is None:
            steps, epochs = (read_log(self._folder / name) for name in ("steps.csv", "epochs.csv"))
            draw_curves(steps, epochs, self._folder / "curves.png")
        if self._steps is not None:
            self._steps.since = time.monotonic()

    def _close(self) -> None:
        self._write_steps()
        for table in (self._steps, self._epochs, self._board):
            if table:
                table.close()

    def _open(self, name: str, columns: Sequence[str], by: str, start: int) -> _Table:
        """The table `name`; a resumed run keeps the rows whose count `by` is below `start`."""
        if self._board is None:
            self._board = _tensorboard(self._folder / "tensorboard")
        path = self._folder / name
        kept = [row for row in read_log(path) if row.get(by, start) < start] if self._resumed else []
        return _Table(path, (*COUNTS, *columns, "seconds"), kept, self._began)

    def _write_steps(self) -> None:
        if self._steps is not None and self._row:
            last = self._row[-1]
            values = {**mean_losses([event.losses for event in self._row]), "rate": last.rate}
            self._steps.write({"epoch": last.epoch, "step": last.step, **values})
            self._send("steps", values, last.step)
            self._row.clear()

    def _send(self, group: str, values: Mapping[str, float], at: int) -> None:
        for name, value in values.items() if self._board else ():
            self._board.add_scalar(f"{group}/{name}", value, at)


def mean_losses(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each loss; nothing of nothing."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


class _Table:
    """A CSV file that begins with the rows `kept` and grows by rows."""

    def __init__(
        self, path: Path, columns: Sequence[str], kept: Sequence[Mapping[str, float]], since: float
    ) -> None:
        with replacing(path) as part:
            self._file = part.open("w", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._file, columns, extrasaction="ignore")
            self._writer.writeheader()
            for row in kept:
                self._writer.writerow(_short(row))
            self._file.flush()
        self.since, self._path = since, path

    def write(self, row: Mapping[str, float]) -> None:
        now = time.monotonic()
        with naming(self._path):
            self._writer.writerow(_short({**row, "seconds": now - self.since}))
            self._file.flush()
        self.since = now

    def close(self) -> None:
        self._file.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """The filled cells of each row of a log, counted from 1; nothing where there is no file, and no broken row."""
    if not path.is_file():
        return []
    rows = []
    with (
        translating(InputError, f"{path} is no log of training"),
        path.open(newline="", encoding="utf-8", errors="replace") as file,
    ):
        table = csv.DictReader(file)
        is_old = tuple(table.fieldnames or ())[: len(COUNTS)] != COUNTS
        for cells in table:
            with suppress(ValueError):
                row = {name: float(cell) for name, cell in cells.items() if name and cell}
                rows.append({name: value + (is_old and name in COUNTS) for name, value in row.items()})
    return rows


def _short(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.10g}" for name, value in row.items()}


def _tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard's events, or None: it is an extra, and a broken one should end no run."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder))
    except Exception:
        return None


def _why_no_curves() -> str | None:
    """That matplotlib is missing is found before hours of training, and ends no run."""
    try:
        require("matplotlib", "train")
    except MissingExtraError as error:
        return f"no curves.png will be drawn: {error}"
    return None
