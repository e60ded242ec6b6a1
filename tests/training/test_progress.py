"""What people see of a run, on a terminal and in a log file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from yolox_deploy.training import TrainConfig
from yolox_deploy.training import progress as progress_module
from yolox_deploy.training.events import (
    EpochFinished,
    Evaluated,
    Message,
    RunFinished,
    RunStarted,
    StepFinished,
    TrainResult,
)
from yolox_deploy.training.progress import RichProgress

FINISHED = RunFinished(TrainResult(Path("best.pth"), Path("last.pth"), {}, 2))


def begin(progress: RichProgress, *, epochs: int = 2, epoch: int = 0) -> None:
    config = TrainConfig("yolox_nano", Path("data"), epochs=epochs)
    progress(RunStarted(config, ("cat",), 12, 4, 3, ("total", "l1"), epoch, 3 * epoch, epoch > 0))


def tell(progress: RichProgress) -> None:
    """The untouched model, and two epochs of three steps, the first evaluated."""
    progress(Message("12 of [12] tensors come from w.pth."))
    begin(progress)
    progress(Evaluated(0, 0, {"AP": 0.125}, True, Path("predictions_epoch_0.jpg")))
    for step in range(1, 7):
        epoch = -(-step // 3)
        progress(StepFinished(epoch, step, {"total": 1.0 + (step - 1) % 3 + 1, "l1": 0.0}, 0.01))
        if step % 3 == 0:
            progress(EpochFinished(epoch, step, {"total": 3.0, "l1": 0.0}, 0.01, 1.0))
        if step == 3:
            progress(Evaluated(1, 3, {"AP": 0.25, "APs": -1.0}, True, Path("predictions_epoch_1.jpg")))
    progress(FINISHED)


def written(*, terminal: bool) -> str:
    out = io.StringIO()
    tell(RichProgress(Console(file=out, force_terminal=terminal, width=120, soft_wrap=True)))
    return out.getvalue()


def test_without_a_terminal_each_epoch_is_one_line() -> None:
    assert written(terminal=False).splitlines() == [
        "12 of [12] tensors come from w.pth.",
        "untouched weights: AP 0.1250",
        "epoch 1/2  total 3  l1 0  rate 0.01",
        "epoch 1: AP 0.2500  APs -1.0000",
        "epoch 2/2  total 3  l1 0  rate 0.01",
    ]


def test_on_a_terminal_a_bar_shows_the_epoch_the_losses_and_the_rate() -> None:
    text = written(terminal=True)
    for part in ("epoch 2/2", "total 3", "rate 0.01", "AP 0.2500", "━", "images/s"):
        assert part in text


def test_the_bar_shows_the_images_a_second_of_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three steps with 4 images each; the first is where the clock starts."""
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    progress = RichProgress(Console(file=io.StringIO(), force_terminal=True, width=120))
    begin(progress)
    (task,) = progress.bar.tasks
    found = []
    for epoch, step, now in ((1, 1, 10.0), (1, 2, 10.5), (1, 3, 11.0), (2, 4, 99.0), (2, 6, 101.0)):  # noqa: B007
        progress(StepFinished(epoch, step, {"total": 1.0}, 0.01))
        found.append(task.fields["speed"])
    assert found == ["", "8.0 images/s", "8.0 images/s", "8.0 images/s", "4.0 images/s"]
    progress(FINISHED)


def test_a_resumed_run_starts_where_it_was() -> None:
    progress = RichProgress(Console(file=io.StringIO(), force_terminal=True))
    begin(progress, epochs=10, epoch=4)
    (task,) = progress.bar.tasks
    assert (task.completed, task.total) == (12, 30)
    progress(StepFinished(5, 13, {"total": 1.0}, 0.01))
    assert task.completed == 13
    progress(FINISHED)


def test_it_may_end_before_it_began() -> None:
    out = io.StringIO()
    RichProgress(Console(file=out))(FINISHED)
    assert out.getvalue() == ""
