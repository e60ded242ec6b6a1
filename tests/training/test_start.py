"""`yolox_deploy.train`: the command's way to a run, from Python, with callbacks."""

from __future__ import annotations

import errno
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import yolox_deploy
from yolox_deploy.errors import CheckpointError, InputError, TrainingError, UsageError
from yolox_deploy.models import read_checkpoint
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.synthetic.scenes import CLASS_NAMES
from yolox_deploy.training import (
    CheckpointSaved,
    EpochFinished,
    Evaluated,
    RunFinished,
    RunStarted,
    StepFinished,
    TrainResult,
)
from yolox_deploy.training.events import Callbacks, Event
from yolox_deploy.training.logs import read_log

TINY: dict[str, Any] = {
    "model": "yolox_nano@0.0625",
    "batch": 4,
    "imgsz": 64,
    "workers": 0,
    "device": "cpu",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 pictures to train on, so two steps an epoch, and 2 to evaluate."""
    return write_scenes(tmp_path_factory.mktemp("scenes") / "data", train=8, val=2, size=(64, 64))


@pytest.fixture(scope="module")
def finished(
    scenes: Path, nano_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, list[Event]]:
    """A run of two epochs that starts from trained weights and is too short and fast to better them."""
    events: list[Event] = []
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = {
        **TINY,
        "model": "yolox_nano",
        "imgsz": (192, 256),
        "multiscale": None,
        "learning_rate": 3.0,
        "warmup_epochs": 0,
    }
    data = write_scenes(out.parent / "data", train=8, val=2)
    result = yolox_deploy.train(
        data, weights=nano_weights, epochs=2, out=out, callbacks=[events.append], **settings
    )
    return result, events


def test_the_events_of_a_run_in_their_order(finished: tuple[TrainResult, list[Event]]) -> None:
    result, events = finished
    began, *rest = [event for event in events if type(event).__name__ != "Message"]
    assert isinstance(began, RunStarted)
    assert (began.pictures, began.val_pictures, began.steps, began.resumed) == (8, 2, 2, False)
    assert (began.class_names, began.config.epochs) == (CLASS_NAMES, 2)
    assert "selector" not in began.losses
    epoch = [StepFinished, StepFinished, EpochFinished, Evaluated, CheckpointSaved]
    assert [type(event) for event in rest] == [Evaluated, CheckpointSaved, *epoch, *epoch, RunFinished]
    steps = [event for event in rest if isinstance(event, StepFinished)]
    assert [(event.epoch, event.step) for event in steps] == [(1, 1), (1, 2), (2, 3), (2, 4)]
    assert tuple(steps[0].losses) == began.losses
    ends = [event for event in rest if isinstance(event, EpochFinished)]
    assert [(event.epoch, event.step) for event in ends] == [(1, 2), (2, 4)]
    mean = (steps[0].losses["total"] + steps[1].losses["total"]) / 2
    assert ends[0].losses["total"] == pytest.approx(mean)
    assert ends[0].rate == steps[1].rate
    saved = [event for event in rest if isinstance(event, CheckpointSaved)]
    assert [(event.path.name, event.epoch, event.is_best) for event in saved] == [
        ("best.pth", 0, True),
        ("last.pth", 1, False),
        ("last.pth", 2, False),
    ]
    assert rest[-1] == RunFinished(result, None)


def test_the_untouched_model_is_the_best_until_an_epoch_beats_it(
    finished: tuple[TrainResult, list[Event]], nano_weights: Path
) -> None:
    result, events = finished
    evaluations = [event for event in events if isinstance(event, Evaluated)]
    assert [event.epoch for event in evaluations] == [0, 1, 2], "each epoch of a short run"
    assert [event.is_best for event in evaluations] == [True, False, False]
    start = evaluations[0].figures
    assert start["AP"] > 0.2
    assert (result.best_epoch, result.start_ap, result.figures) == (0, start["AP"], start)
    assert result.is_untouched
    assert evaluations[0].pictures.name == "predictions_epoch_0.jpg"
    assert evaluations[0].pictures.is_file()
    (row, *_) = read_log(result.best.with_name("epochs.csv"))
    assert (row["epoch"], row["step"]) == (0, 0)
    assert row["AP"] == pytest.approx(start["AP"])
    best, given = read_checkpoint(result.best), read_checkpoint(nano_weights)
    assert (best.model_name, best.class_names) == ("yolox_nano", CLASS_NAMES)
    stem = "backbone.backbone.stem.conv.conv.weight"
    assert torch.equal(best.state_dict[stem], given.state_dict[stem].float())
    content: Any = safe_load(result.best)
    assert (content["epoch"], content["config"]["imgsz"]) == (0, [192, 256])


def test_a_resumed_run_does_not_evaluate_its_start_again(
    finished: tuple[TrainResult, list[Event]], tmp_path: Path
) -> None:
    out = shutil.copytree(finished[0].best.parent, tmp_path / "run")
    events: list[Event] = []
    result = yolox_deploy.train(None, resume=out, epochs=3, callbacks=[events.append])
    assert [event.epoch for event in events if isinstance(event, Evaluated)] == [3]
    assert (result.best_epoch, result.start_ap, result.epochs) == (0, finished[0].start_ap, 3)
    (began,) = [event for event in events if isinstance(event, RunStarted)]
    assert (began.resumed, began.epoch, began.step) == (True, 2, 4)


def test_it_is_quiet_and_tells_the_logger(
    scenes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "yolox_deploy")
    result = yolox_deploy.train(scenes, epochs=1, out=tmp_path / "run", **TINY)
    assert capfd.readouterr() == ("", "")
    assert any("8 pictures" in record.message for record in caplog.records)
    assert any(record.message.startswith("epoch 1: AP ") for record in caplog.records)
    assert (result.best_epoch, result.start_ap, result.is_untouched) == (1, None, False)
    with pytest.raises(UsageError, match="holds another run"):
        yolox_deploy.train(scenes, epochs=1, out=tmp_path / "run", **TINY)


def test_progress_is_shown_where_it_is_asked_for(
    scenes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    yolox_deploy.train(scenes, epochs=1, out=tmp_path / "run", progress=True, **TINY)
    out, err = capfd.readouterr()
    assert out == ""
    assert "8 pictures" in err
    assert "epoch 1/1  total " in err


def test_resume_auto_begins_goes_on_and_knows_the_end(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    seen: list[tuple[bool, int]] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, RunStarted):
            seen.append((event.resumed, event.step))
        if isinstance(event, StepFinished) and event.step == 3 and not seen[-1][0]:
            raise KeyboardInterrupt

    def again(**changes: Any) -> list[str]:
        texts: list[str] = []

        def note(event: Event) -> None:
            texts.append(getattr(event, "text", ""))

        yolox_deploy.train(
            scenes, out=out, resume="auto", callbacks=[interrupt, note], **{**TINY, "epochs": 2, **changes}
        )
        return texts

    with pytest.raises(KeyboardInterrupt):
        again()
    again()
    assert seen == [(False, 0), (True, 3)]
    assert [row["epoch"] for row in read_log(out / "epochs.csv")] == [1, 2]
    assert any(f"the run in {out} is finished: it has its 2 epochs" in text for text in again())
    with pytest.raises(UsageError, match=r"cannot be resumed: seed was 0 and is 1 now"):
        again(seed=1)
    all_told = (
        r"momentum was 0\.9 and is 0\.8 now, seed was 0 and is 1 now; .*own settings with --resume \S+/run,"
    )
    with pytest.raises(UsageError, match=all_told):  # recipes change several where one is stated
        again(seed=1, momentum=0.8)
    (out / "last.pth").write_bytes(b"PK broken")
    with pytest.raises(CheckpointError, match=r"last\.pth .*to begin anew, remove it"):
        again()


def test_a_run_that_lost_its_patience_is_finished_for_auto_alone(scenes: Path, tmp_path: Path) -> None:
    settings = {**TINY, "learning_rate": 1e-9, "patience": 1, "epochs": 4, "out": tmp_path / "run"}
    assert yolox_deploy.train(scenes, **settings).epochs == 2
    assert yolox_deploy.train(scenes, **settings, resume="auto").epochs == 2
    assert yolox_deploy.train(scenes, **settings, resume=True).epochs == 3


def test_a_callback_that_raises_ends_the_run_with_its_checkpoint(scenes: Path, tmp_path: Path) -> None:
    told: list[Event] = []

    def broken_uploader(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == 3:
            raise ConnectionError("no route to host")

    settings = {**TINY, "epochs": 2, "out": tmp_path / "run"}
    with pytest.raises(
        TrainingError,
        match=r"broken_uploader raised ConnectionError at StepFinished: no route.* saved in .*last",
    ) as caught:
        yolox_deploy.train(scenes, callbacks=[broken_uploader, told.append], **settings)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert isinstance(told[-1], RunFinished)
    assert told[-1].error is caught.value
    content: Any = safe_load(tmp_path / "run" / "last.pth")
    assert content["step"] == 3
    assert yolox_deploy.train(scenes, resume=True, **settings).epochs == 2


def test_a_callback_that_raises_at_the_end_spoils_nothing(scenes: Path, tmp_path: Path) -> None:
    told: list[Event] = []

    class Uploader:
        def __call__(self, event: Event) -> None:
            if isinstance(event, RunFinished):
                raise ValueError("no room")

    with pytest.raises(
        TrainingError, match="the callback Uploader raised ValueError at RunFinished: no room"
    ):
        yolox_deploy.train(
            scenes, epochs=1, out=tmp_path / "run", callbacks=[Uploader(), told.append], **TINY
        )
    assert isinstance(told[-1], RunFinished)
    content: Any = safe_load(tmp_path / "run" / "last.pth")
    assert content["epoch"] == 1


def test_before_the_first_step_there_is_nothing_to_save(scenes: Path, tmp_path: Path) -> None:
    def refuse(event: Event) -> None:
        if isinstance(event, RunStarted):
            raise ValueError("no such project")

    settings = {**TINY, "epochs": 1, "out": tmp_path / "run"}
    with pytest.raises(TrainingError, match=r"no such project.*nothing was saved"):
        yolox_deploy.train(scenes, callbacks=[refuse], **settings)
    assert yolox_deploy.train(scenes, **settings).epochs == 1, "the same call begins anew"


def test_settings_of_a_file_are_used_and_stated_ones_win(scenes: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('epochs = 1\nseed = 3\nresume = "auto"\n[augmentation]\nflip = 0.25\n')
    for _ in range(2):
        result = yolox_deploy.train(scenes, config=file, seed=4, out=tmp_path / "run", **TINY)
    saved: Any = safe_load(result.last)
    config = saved["config"]
    assert (config["seed"], config["augmentation"]["flip"], result.epochs) == (4, 0.25, 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epoch": 3}, UsageError, "there is no setting called 'epoch'.*did you mean epochs"),
        ({"data": None}, UsageError, "--data not given"),
        ({"data": "nothing"}, InputError, "no data set folder at nothing"),
        ({"model": "yolox_q"}, UsageError, "known models"),
        ({"weights": "nothing.pth"}, CheckpointError, "nothing.pth does not exist"),
        ({"resume": True}, CheckpointError, "last.pth does not exist"),
    ],
)
def test_what_cannot_work_is_refused(
    scenes: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        yolox_deploy.train(**{"data": scenes, "out": tmp_path / "run", "epochs": 1, **TINY, **changes})
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_told_as_such_whoever_finds_it() -> None:
    told: list[Event] = []

    def full(event: Event) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "run/labels.png")

    callbacks = Callbacks(callbacks=[full, told.append])
    end = RunFinished(TrainResult(Path("best.pth"), Path("last.pth"), {}, 1))
    with pytest.raises(OSError, match=r"run/labels\.png"):
        callbacks.message("anything")
    with pytest.raises(OSError, match=r"run/labels\.png"):
        callbacks.tell_end(end)
    assert told == [end]
