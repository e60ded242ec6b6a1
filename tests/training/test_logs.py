"""The log of a run: means, resuming, and what a crash leaves behind."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import pytest

from yolox_deploy.training.logs import EPOCH_COLUMNS, LOSSES, STEP_COLUMNS, RunLog, read_table

FIGURES = {"AP": 0.25, "AP50": 0.5, "AP75": 0.125, "APs": -1.0, "APm": 0.0, "APl": 1.0}
STEPS_IN_EPOCH = 12


def train(log: RunLog, first: int, last: int, *, add: float = 0.0) -> None:
    """The steps `first` to `last`, whose losses are their number, and an evaluation after each epoch."""
    for step in range(first, last):
        epoch = step // STEPS_IN_EPOCH
        log.step(
            {"epoch": epoch, "step": step, **dict.fromkeys(LOSSES, step + add), "rate": 0.01 / (step + 1)}
        )
        if (step + 1) % STEPS_IN_EPOCH == 0:
            log.epoch({"epoch": epoch, **FIGURES})


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_rows_hold_means_over_ten_steps_and_do_not_cross_an_evaluation(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 24)
    log.close()
    steps, epochs = tmp_path / "steps.csv", tmp_path / "epochs.csv"
    assert steps.read_text().splitlines()[0] == ",".join(STEP_COLUMNS)
    assert column(steps, "step") == ["9", "11", "19", "23"]
    assert column(steps, "epoch") == ["0", "0", "1", "1"]
    assert column(steps, "total") == ["4.5", "10.5", "15.5", "21.5"]
    assert [float(value) for value in column(steps, "rate")] == pytest.approx(
        [0.01 / (step + 1) for step in (9, 11, 19, 23)]
    )
    assert epochs.read_text().splitlines()[0] == ",".join(EPOCH_COLUMNS)
    assert column(epochs, "epoch") == ["0", "1"]
    assert column(epochs, "iou") == ["5.5", "17.5"]
    assert column(epochs, "APs") == ["-1", "-1"]
    assert all(float(value) >= 0 for path in (steps, epochs) for value in column(path, "seconds"))


def test_rows_are_there_as_soon_as_they_are_complete(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 10)
    assert column(tmp_path / "steps.csv", "step") == ["9"]
    train(log, 10, 11)
    assert column(tmp_path / "steps.csv", "step") == ["9"]
    log.close()
    assert column(tmp_path / "steps.csv", "total") == ["4.5", "10"]


def test_means_of_several_steps_are_taken_as_they_come(tmp_path: Path) -> None:
    """On a GPU the trainer reads the losses of ten steps at once."""
    log = RunLog(tmp_path, resumed=False)
    for step in (9, 19):
        log.step({"epoch": 0, "step": step, **dict.fromkeys(LOSSES, float(step)), "rate": 0.01})
    log.close()
    assert column(tmp_path / "steps.csv", "total") == ["9", "19"]


def test_a_resumed_run_replaces_the_steps_that_it_takes_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 35)
    log.close()
    assert column(tmp_path / "steps.csv", "step") == ["9", "11", "19", "23", "29", "34"]
    log = RunLog(tmp_path, resumed=True)
    train(log, 15, 36, add=100)
    log.close()
    assert column(tmp_path / "steps.csv", "step") == ["9", "11", "19", "23", "29", "35"]
    assert column(tmp_path / "steps.csv", "total") == ["4.5", "10.5", "117", "121.5", "126.5", "132.5"]
    assert column(tmp_path / "epochs.csv", "epoch") == ["0", "1", "2"]
    assert column(tmp_path / "epochs.csv", "total") == ["5.5", "119", "129.5"]


def test_resuming_right_before_an_evaluation_keeps_all_steps(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 24)
    log.close()
    log = RunLog(tmp_path, resumed=True)
    log.epoch({"epoch": 1, **FIGURES})
    log.close()
    assert len(column(tmp_path / "steps.csv", "step")) == 4
    assert column(tmp_path / "epochs.csv", "total") == ["5.5", ""]


def test_a_new_run_starts_new_files(tmp_path: Path) -> None:
    for _ in range(2):
        log = RunLog(tmp_path, resumed=False)
        train(log, 0, 12)
        log.close()
    assert column(tmp_path / "steps.csv", "step") == ["9", "11"]


@pytest.mark.parametrize("rest", ["19,1,3.", "19,1,3.5e-", "\x00\x00\x00", "19,1,1,1,1,1,1,1,1,1,1,1\n"])
def test_a_row_that_breaks_off_does_not_stop_a_run(tmp_path: Path, rest: str) -> None:
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 12)
    log.close()
    with (tmp_path / "steps.csv").open("a") as file:
        file.write(rest)
    log = RunLog(tmp_path, resumed=True)
    train(log, 12, 24)
    log.close()
    assert column(tmp_path / "steps.csv", "step") == ["9", "11", "19", "23"]


def test_large_step_numbers_survive(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resumed=False)
    log.step({"epoch": 299, "step": 12345679, **dict.fromkeys(LOSSES, 1 / 3), "rate": 1e-7})
    log.close()
    log = RunLog(tmp_path, resumed=True)
    log.step({"epoch": 299, "step": 12345689, **dict.fromkeys(LOSSES, 1 / 3), "rate": 1e-7})
    log.close()
    assert column(tmp_path / "steps.csv", "step") == ["12345679", "12345689"]
    assert column(tmp_path / "steps.csv", "rate") == ["1e-07", "1e-07"]


def test_the_curves_are_drawn_at_each_evaluation(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 12)
    first = cv2.imread(str(tmp_path / "curves.png"))
    train(log, 12, 24)
    log.close()
    second = cv2.imread(str(tmp_path / "curves.png"))
    assert first is not None
    assert second is not None
    assert (first != second).any()


def test_without_matplotlib_all_but_the_curves_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    log = RunLog(tmp_path, resumed=False)
    assert log.without_curves is not None
    assert "pip install 'yolox-deploy[train]'" in log.without_curves
    train(log, 0, 12)
    log.close()
    assert {"steps.csv", "epochs.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "curves.png").exists()


def test_a_log_without_a_step_writes_nothing(tmp_path: Path) -> None:
    RunLog(tmp_path, resumed=False).close()
    assert list(tmp_path.iterdir()) == []
    assert read_table(tmp_path / "steps.csv", STEP_COLUMNS) == []


def test_tensorboard_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 12)
    log.close()
    assert not (tmp_path / "tensorboard").exists()
    assert (tmp_path / "steps.csv").is_file()


def test_tensorboard_gets_losses_and_figures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path, resumed=False)
    train(log, 0, 12)
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(item.step, item.value) for item in events.Scalars("steps/total")] == [(9, 4.5), (11, 10.5)]
    assert [(item.step, item.value) for item in events.Scalars("figures/AP")] == [(0, 0.25)]
