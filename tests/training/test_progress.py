"""What people see of a run, on a terminal and in a log file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from yolox_deploy.training import progress as progress_module
from yolox_deploy.training.progress import Progress, RichProgress


def tell(progress: Progress) -> None:
    """Two epochs of three steps, the first evaluated."""
    progress.message("12 of [12] tensors come from w.pth.")
    progress.start(2, 3, 0, 12)
    for epoch in range(2):
        for step in range(3):
            progress.step(epoch, step, {"total": 2.0 + step, "l1": 0.0}, 0.01)
        if epoch == 0:
            progress.evaluated(0, {"AP": 0.25, "APs": -1.0})
    progress.close()


def written(*, terminal: bool) -> str:
    out = io.StringIO()
    tell(RichProgress(Console(file=out, force_terminal=terminal, width=120, soft_wrap=True)))
    return out.getvalue()


def test_without_a_terminal_each_epoch_is_one_line() -> None:
    assert written(terminal=False).splitlines() == [
        "12 of [12] tensors come from w.pth.",
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
    progress.start(2, 3, 0, 12)
    (task,) = progress.bar.tasks
    found = []
    for epoch, step, now in ((0, 0, 10.0), (0, 1, 10.5), (0, 2, 11.0), (1, 0, 99.0), (1, 2, 101.0)):  # noqa: B007
        progress.step(epoch, step, {"total": 1.0}, 0.01)
        found.append(task.fields["speed"])
    assert found == ["", "8.0 images/s", "8.0 images/s", "8.0 images/s", "4.0 images/s"]
    progress.close()


def test_a_resumed_run_starts_where_it_was() -> None:
    progress = RichProgress(Console(file=io.StringIO(), force_terminal=True))
    progress.start(10, 3, 4, 12)
    (task,) = progress.bar.tasks
    assert (task.completed, task.total) == (12, 30)
    progress.step(4, 0, {"total": 1.0}, 0.01)
    assert task.completed == 13
    progress.close()


def test_it_may_end_before_it_began() -> None:
    out = io.StringIO()
    RichProgress(Console(file=out)).close()
    assert out.getvalue() == ""


def test_silence_says_nothing(capsys: object) -> None:
    tell(Progress())
    out, err = capsys.readouterr()  # type: ignore[attr-defined]
    assert out == err == ""
