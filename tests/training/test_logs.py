"""The log of a run: means, resuming, and what a crash leaves behind."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import cv2
import pytest

from yolox_deploy.evaluation.coco import METRICS
from yolox_deploy.training import TrainConfig
from yolox_deploy.training.events import EpochFinished, Evaluated, RunFinished, RunStarted, StepFinished
from yolox_deploy.training.events import TrainResult as Result
from yolox_deploy.training.logs import RunLog, mean_losses, read_log

FIGURES = {"AP": 0.25, "AP50": 0.5, "AP75": 0.125, "APs": -1.0, "APm": 0.0, "APl": 1.0}
LOSSES = ("total", "iou", "obj", "cls", "l1", "positives")
STEPS_IN_EPOCH = 12
OLD = Path(__file__).parents[1] / "files_0_1_0" / "run"
CONFIG = TrainConfig("yolox_nano", Path("data"), Path("run"))


def begin(folder: Path, *, step: int = 0, losses: tuple[str, ...] = LOSSES) -> RunLog:
    """The log of a run that was told to begin, after `step` of an earlier session."""
    log = RunLog(folder)
    log(RunStarted(CONFIG, ("cat",), 12, 4, STEPS_IN_EPOCH, losses, resumed=step > 0))
    return log


def end(log: RunLog) -> None:
    log(RunFinished(Result(Path("best.pth"), Path("last.pth"), FIGURES, 1)))


def step_of(step: int, *, epoch: int | None = None, value: float | None = None) -> StepFinished:
    """A step whose losses are its number, or `value`."""
    losses = dict.fromkeys(LOSSES, float(step) if value is None else value)
    return StepFinished(epoch or -(-step // STEPS_IN_EPOCH), step, losses, 0.01 / step)


def train(log: RunLog, first: int, last: int, *, add: float = 0.0) -> None:
    """The steps `first` to `last`, whose losses are their number, and an evaluation after each epoch."""
    rows: list[StepFinished] = []
    for step in range(first, last + 1):
        rows.append(step_of(step, value=step + add))
        log(rows[-1])
        if step % STEPS_IN_EPOCH == 0:
            epoch = step // STEPS_IN_EPOCH
            log(EpochFinished(epoch, step, mean_losses([row.losses for row in rows]), 0.01, 1.0))
            log(Evaluated(epoch, step, FIGURES, is_best=True, pictures=Path("predictions.jpg")))
            rows.clear()


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_rows_hold_means_over_ten_steps_and_do_not_cross_an_evaluation(tmp_path: Path) -> None:
    log = begin(tmp_path)
    train(log, 1, 24)
    end(log)
    steps, epochs = tmp_path / "steps.csv", tmp_path / "epochs.csv"
    assert steps.read_text().splitlines()[0] == ",".join(("epoch", "step", *LOSSES, "rate", "seconds"))
    assert column(steps, "step") == ["10", "12", "20", "24"]
    assert column(steps, "epoch") == ["1", "1", "2", "2"]
    assert column(steps, "total") == ["5.5", "11.5", "16.5", "22.5"]
    assert [float(value) for value in column(steps, "rate")] == pytest.approx(
        [0.01 / step for step in (10, 12, 20, 24)]
    )
    assert epochs.read_text().splitlines()[0] == ",".join(("epoch", "step", *LOSSES, *METRICS, "seconds"))
    assert column(epochs, "epoch") == ["1", "2"]
    assert column(epochs, "step") == ["12", "24"]
    assert column(epochs, "iou") == ["6.5", "18.5"]
    assert column(epochs, "APs") == ["-1", "-1"]
    assert all(float(value) >= 0 for path in (steps, epochs) for value in column(path, "seconds"))


def test_a_model_with_a_selector_has_a_column_of_it(tmp_path: Path) -> None:
    log = begin(tmp_path, losses=(*LOSSES, "selector"))
    log(Evaluated(0, 0, FIGURES, is_best=True, pictures=Path("predictions.jpg")))
    end(log)
    assert column(tmp_path / "epochs.csv", "selector") == [""]


def test_the_untouched_model_is_epoch_0(tmp_path: Path) -> None:
    log = begin(tmp_path)
    log(Evaluated(0, 0, FIGURES, is_best=True, pictures=Path("predictions.jpg")))
    train(log, 1, 12)
    end(log)
    assert column(tmp_path / "epochs.csv", "epoch") == ["0", "1"]
    assert column(tmp_path / "epochs.csv", "total") == ["", "6.5"]


def test_rows_are_there_as_soon_as_they_are_complete(tmp_path: Path) -> None:
    log = begin(tmp_path)
    train(log, 1, 10)
    assert column(tmp_path / "steps.csv", "step") == ["10"]
    train(log, 11, 11)
    assert column(tmp_path / "steps.csv", "step") == ["10"]
    end(log)
    assert column(tmp_path / "steps.csv", "total") == ["5.5", "11"]


def test_means_of_several_steps_are_taken_as_they_come(tmp_path: Path) -> None:
    """On a GPU the trainer reads the losses of ten steps at once."""
    log = begin(tmp_path)
    for step in (10, 20):
        log(step_of(step, epoch=1))
    end(log)
    assert column(tmp_path / "steps.csv", "total") == ["10", "20"]


def test_a_resumed_run_replaces_the_steps_that_it_takes_again(tmp_path: Path) -> None:
    log = begin(tmp_path)
    train(log, 1, 35)
    end(log)
    assert column(tmp_path / "steps.csv", "step") == ["10", "12", "20", "24", "30", "35"]
    log = begin(tmp_path, step=15)
    train(log, 16, 36, add=100)
    end(log)
    assert column(tmp_path / "steps.csv", "step") == ["10", "12", "20", "24", "30", "36"]
    assert column(tmp_path / "steps.csv", "total") == ["5.5", "11.5", "118", "122.5", "127.5", "133.5"]
    assert column(tmp_path / "epochs.csv", "epoch") == ["1", "2", "3"]
    assert column(tmp_path / "epochs.csv", "total") == ["6.5", "120", "130.5"]


def test_resuming_right_before_an_evaluation_keeps_all_steps(tmp_path: Path) -> None:
    log = begin(tmp_path)
    train(log, 1, 24)
    end(log)
    log = begin(tmp_path, step=24)
    log(EpochFinished(2, 24, {}, 0.01, 0.0))
    log(Evaluated(2, 24, FIGURES, is_best=False, pictures=Path("predictions.jpg")))
    end(log)
    assert len(column(tmp_path / "steps.csv", "step")) == 4
    assert column(tmp_path / "epochs.csv", "total") == ["6.5", ""]


def test_a_new_run_starts_new_files(tmp_path: Path) -> None:
    for _ in range(2):
        log = begin(tmp_path)
        train(log, 1, 12)
        end(log)
    assert column(tmp_path / "steps.csv", "step") == ["10", "12"]


@pytest.mark.parametrize("rest", ["2,19,3.", "2,19,3.5e-", "\x00\x00\x00", "2", "2,19,1,1,1,1,1,1,1,1,1,1\n"])
def test_a_row_that_breaks_off_does_not_stop_a_run(tmp_path: Path, rest: str) -> None:
    log = begin(tmp_path)
    train(log, 1, 12)
    end(log)
    with (tmp_path / "steps.csv").open("a") as file:
        file.write(rest)
    log = begin(tmp_path, step=12)
    train(log, 13, 24)
    end(log)
    assert column(tmp_path / "steps.csv", "step") == ["10", "12", "20", "24"]


def test_large_step_numbers_survive(tmp_path: Path) -> None:
    for step in (12345679, 12345689):
        log = begin(tmp_path, step=step - 1)
        log(StepFinished(300, step, dict.fromkeys(LOSSES, 1 / 3), 1e-7))
        end(log)
    assert column(tmp_path / "steps.csv", "step") == ["12345679", "12345689"]
    assert column(tmp_path / "steps.csv", "rate") == ["1e-07", "1e-07"]


def test_files_of_0_1_0_are_read_and_gone_on_with_counted_from_1(tmp_path: Path) -> None:
    """Twice: what is written in the new way is not shifted again."""
    for name in ("steps.csv", "epochs.csv"):
        shutil.copy(OLD / name, tmp_path / name)
    assert [(row["epoch"], row["step"]) for row in read_log(tmp_path / "steps.csv")] == [(2, 4)]
    (old,) = read_log(tmp_path / "epochs.csv")
    assert (old["epoch"], old["total"], "step" in old) == (2, 10.76771212, False)
    for step in (5, 7):
        log = begin(tmp_path, step=step - 1)
        log(step_of(step, epoch=step))
        log(Evaluated(step, step, FIGURES, is_best=True, pictures=Path("predictions.jpg")))
        end(log)
    assert column(tmp_path / "steps.csv", "step") == ["4", "5", "7"]
    assert column(tmp_path / "epochs.csv", "epoch") == ["2", "5", "7"]
    assert column(tmp_path / "epochs.csv", "total")[0] == "10.76771212"


def test_the_curves_are_drawn_at_each_evaluation(tmp_path: Path) -> None:
    log = begin(tmp_path)
    train(log, 1, 12)
    first = cv2.imread(str(tmp_path / "curves.png"))
    train(log, 13, 24)
    end(log)
    second = cv2.imread(str(tmp_path / "curves.png"))
    assert first is not None
    assert second is not None
    assert (first != second).any()


def test_without_matplotlib_all_but_the_curves_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    log = begin(tmp_path)
    assert log.without_curves is not None
    assert "pip install 'yolox-deploy[train]'" in log.without_curves
    train(log, 1, 12)
    end(log)
    assert {"steps.csv", "epochs.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "curves.png").exists()


def test_a_log_without_a_step_writes_nothing(tmp_path: Path) -> None:
    end(begin(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert read_log(tmp_path / "steps.csv") == []


def test_tensorboard_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = begin(tmp_path)
    train(log, 1, 12)
    end(log)
    assert not (tmp_path / "tensorboard").exists()
    assert (tmp_path / "steps.csv").is_file()


def test_tensorboard_gets_losses_and_figures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = begin(tmp_path)
    train(log, 1, 12)
    end(log)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(item.step, item.value) for item in events.Scalars("steps/total")] == [(10, 5.5), (12, 11.5)]
    assert [(item.step, item.value) for item in events.Scalars("figures/AP")] == [(1, 0.25)]
