"""The figures of a run in files: `steps.csv`, `epochs.csv`, `curves.png`, and TensorBoard's where it is installed.

The losses of the steps are read now and then: on a GPU each look waits for it.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolox_deploy.charts import draw_curves
from yolox_deploy.errors import NonFiniteLossError
from yolox_deploy.evaluation.coco import METRICS
from yolox_deploy.files import replacing
from yolox_deploy.training.learner import LOSS_NAMES, size_of_step
from yolox_deploy.training.loader import EpochPlan, Samples, stream
from yolox_deploy.training.run import write_torch

LOSSES = ("total", "iou", "obj", "cls", "l1", "selector", "positives")
STEP_COLUMNS = ("step", "epoch", *LOSSES, "rate", "seconds")
EPOCH_COLUMNS = ("epoch", *LOSSES, *METRICS, "seconds")
STEPS_IN_ROW = 10


class RunLog:
    """The log of a run in `folder`, one for all processes of a job.

    `steps.csv` has a row for every 10 steps: losses are means over them, `seconds` their time, and `step`,
    `epoch` and the learning rate `rate` those of the last. `epochs.csv` has a row for each evaluation, with the
    mean losses of its epoch and the seconds since the row before or the start. Both count from 0.

    A resumed run goes on in the same files, without the rows of steps that it takes again.
    """

    def __init__(self, folder: Path, *, resumed: bool) -> None:
        self._folder = folder
        self._resumed = resumed
        self._began = time.monotonic()
        self._steps: _Table | None = None
        self._epochs: _Table | None = None
        self._events: Any = None
        self._row: list[Mapping[str, float]] = []
        self._epoch: list[Mapping[str, float]] = []

    def step(self, values: Mapping[str, float]) -> None:
        """Take in the `STEP_COLUMNS` of one step, or the means of some, but for the seconds."""
        if self._steps is None:
            self._steps = self._open("steps.csv", STEP_COLUMNS, values["step"])
        if self._epoch and self._epoch[-1]["epoch"] != values["epoch"]:
            self._epoch.clear()
        self._row.append(values)
        self._epoch.append(values)
        if (values["step"] + 1) % STEPS_IN_ROW == 0:
            self._write_steps()

    def epoch(self, values: Mapping[str, float]) -> None:
        """Take in the number of an `epoch` and its figures."""
        self._write_steps()
        if self._epochs is None:
            self._epochs = self._open("epochs.csv", EPOCH_COLUMNS, values["epoch"])
        self._epochs.write({**_means(self._epoch), **values})
        self._send("figures", values, int(values["epoch"]))
        steps = read_table(self._folder / "steps.csv", STEP_COLUMNS)
        epochs = read_table(self._folder / "epochs.csv", EPOCH_COLUMNS)
        draw_curves(steps, epochs, self._folder / "curves.png")
        if self._steps is not None:
            self._steps.since = time.monotonic()

    def close(self) -> None:
        """Write what is left."""
        self._write_steps()
        for table in (self._steps, self._epochs, self._events):
            if table:
                table.close()

    def _open(self, name: str, columns: Sequence[str], start: float) -> _Table:
        if self._events is None:
            self._events = _tensorboard(self._folder / "tensorboard")
        return _Table(self._folder / name, columns, start if self._resumed else 0, self._began)

    def _write_steps(self) -> None:
        if self._steps is not None and self._row:
            last = self._row[-1]
            values = {**last, **_means(self._row)}
            self._steps.write(values)
            self._send("steps", values, int(last["step"]))
            self._row.clear()

    def _send(self, group: str, values: Mapping[str, float], at: int) -> None:
        for name, value in values.items() if self._events else ():
            self._events.add_scalar(f"{group}/{name}", value, at)


class _Table:
    """A CSV file that grows by rows; of what it held, the rows stay whose first column is below `start`."""

    def __init__(self, path: Path, columns: Sequence[str], start: float, since: float) -> None:
        kept = [row for row in read_table(path, columns) if row.get(columns[0], start) < start]
        with replacing(path) as part:
            self._file = part.open("w", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._file, columns)
            self._writer.writeheader()
            for row in kept:
                self._writer.writerow(_short(row))
            self._file.flush()
        self.since = since

    def write(self, row: Mapping[str, float]) -> None:
        now = time.monotonic()
        self._writer.writerow(_short({**row, "seconds": now - self.since}))
        self._file.flush()
        self.since = now

    def close(self) -> None:
        self._file.close()


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, float]]:
    """The filled cells of each row of a log; nothing where there is no file, and no row that breaks off."""
    if not path.is_file():
        return []
    rows = []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            with suppress(ValueError):
                rows.append({name: float(row[name]) for name in columns if row.get(name)})
    return rows


def _short(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.10g}" for name, value in row.items()}


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in LOSSES} if rows else {}


def _tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard's events, or None: it is an extra, and a broken one should end no run."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder))
    except Exception:
        return None


class LossReader:
    """Keeps what `Learner.backward` returns, on its device, until somebody wants to know.

    Args:
        plan, samples: of the run, to prepare the batch of a bad step again.
    """

    def __init__(self, plan: EpochPlan, samples: Samples) -> None:
        self.plan, self.samples = plan, samples
        self._unread: dict[int, Tensor] = {}

    def add(self, step: int, values: Tensor) -> None:
        """Take in the losses of `step` of the run."""
        self._unread[step] = values

    def read(self) -> dict[str, float]:
        """The mean losses of the steps since the last look; nothing where there were none.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite; its first step is named, and the file with the batch.
        """
        if not self._unread:
            return {}
        rows = torch.stack(list(self._unread.values()))
        steps = dict(zip(self._unread, rows.tolist(), strict=True))
        self._unread.clear()
        for step, row in steps.items():
            losses = dict(zip(LOSS_NAMES, row, strict=True))
            if not math.isfinite(losses["total"]):
                raise NonFiniteLossError(
                    f"the loss is {losses['total']} in step {step} (epoch {step // self.plan.steps}): {losses}. The "
                    f"batch is in {self._keep_batch(step, losses)}; look at its targets, or lower the learning rate"
                )
        return dict(zip(LOSS_NAMES, rows.mean(dim=0).tolist(), strict=True))

    def _keep_batch(self, step: int, losses: dict[str, float]) -> Path:
        """Write the batch of `step` as it was trained on."""
        config, rank = self.plan.config, self.plan.rank
        with closing(stream(self.samples, self.plan, step=step, workers=0, pin_memory=False)) as batches:
            batch = next(batches)
        size = size_of_step(step, config.size, config.multiscale, config.seed)
        about = {"epoch": step // self.plan.steps, "step": step, "size": size, "losses": losses}
        path = config.out / f"nonfinite_batch{f'_rank{rank}' if rank else ''}.pt"
        write_torch(path, {**batch._asdict(), **about, "model_name": config.model})
        return path
