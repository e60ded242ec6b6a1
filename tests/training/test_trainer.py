"""Whole runs: a YOLOX-Nano on a few generated scenes."""

from __future__ import annotations

import csv
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yolox_deploy.data.opening import open_splits
from yolox_deploy.errors import InputError, NonFiniteLossError, TrainingError, UsageError
from yolox_deploy.evaluation.coco import METRICS
from yolox_deploy.models import build_model, load_checkpoint
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.synthetic.scenes import CLASS_NAMES
from yolox_deploy.training import TrainConfig, Trainer
from yolox_deploy.training import checkpoints as checkpoints_module
from yolox_deploy.training import trainer as trainer_module
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.events import Evaluated, Event, Message, RunFinished, StepFinished
from yolox_deploy.training.loader import Batch, stream
from yolox_deploy.training.optimization import yolox_warmup_cosine
from yolox_deploy.training.run import write_torch
from yolox_deploy.training.validation import evaluate

STEPS, EPOCHS = 3, 4
Losses = dict[int, dict[str, float]]


class Recorder:
    """Keeps what it is told; `at` is called with the finished steps of the run once it has been told of them."""

    def __init__(self, at: Callable[[int], None] = lambda step: None) -> None:
        self.at = at
        self.events: list[Event] = []
        self.losses: Losses = {}
        self.rates: dict[int, float] = {}
        self.figures: dict[int, Mapping[str, float]] = {}
        self.messages: list[str] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case StepFinished():
                self.losses[event.step], self.rates[event.step] = dict(event.losses), event.rate
                self.at(event.step)
            case Evaluated():
                self.figures[event.epoch] = event.figures
            case Message():
                self.messages.append(event.text)

    @property
    def closed(self) -> bool:
        return isinstance(self.events[-1], RunFinished)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "data", train=12, val=3, size=(64, 64))


@pytest.fixture
def config(scenes: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        "yolox_nano",
        scenes,
        tmp_path / "run",
        epochs=EPOCHS,
        batch=4,
        imgsz=(64, 64),
        multiscale=(32, 96),
        plain_epochs=1,
        eval_every=2,
        workers=0,
        precision="fp32",
    )


@pytest.fixture(scope="module")
def whole(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Losses, dict[str, Any], Recorder]:
    """An uninterrupted run: its losses, its last checkpoint, all that was told."""
    out, recorder = tmp_path_factory.mktemp("whole"), Recorder()
    config = TrainConfig(
        "yolox_nano",
        scenes,
        out / "run",
        epochs=EPOCHS,
        batch=4,
        imgsz=(64, 64),
        multiscale=(32, 96),
        plain_epochs=1,
        eval_every=2,
        workers=0,
        precision="fp32",
    )
    Trainer(config, callbacks=[recorder]).fit()
    content = safe_load(out / "run" / "last.pth")
    assert isinstance(content, dict)
    return recorder.losses, content, recorder


def evaluated(run: Path) -> list[str]:
    """The epochs in the log."""
    with (run / "epochs.csv").open(newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file)]


def assert_same_end(run: Path, whole: tuple[Losses, dict[str, Any], Recorder]) -> None:
    content = safe_load(run / "last.pth")
    assert isinstance(content, dict)
    for key in ("model", "raw"):
        assert content[key].keys() == whole[1][key].keys()
        assert all(torch.equal(value, whole[1][key][name]) for name, value in content[key].items())
    for key in ("epoch", "step", "ema_updates", "best_ap", "figures", "stale"):
        assert content[key] == whole[1][key]


def test_a_run_from_end_to_end(whole: tuple[Losses, dict[str, Any], Recorder]) -> None:
    losses, content, recorder = whole
    assert list(losses) == list(range(1, STEPS * EPOCHS + 1))
    assert all(np.isfinite(value) for step in losses.values() for value in step.values())
    assert [losses[step]["l1"] > 0 for step in losses] == [False] * 9 + [True] * 3
    assert list(recorder.figures) == [2, 4]
    assert tuple(recorder.figures[4]) == METRICS
    assert recorder.closed
    assert (content["epoch"], content["step"], content["ema_updates"]) == (4, 12, 12)
    assert content["model_name"] == "yolox_nano"
    assert content["class_names"] == list(CLASS_NAMES)
    assert content["config"]["batch"] == 4


def test_files_of_a_run(whole: tuple[Losses, dict[str, Any], Recorder]) -> None:
    out = Path(whole[1]["config"]["out"])
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "last.pth",
        "best.pth",
        "steps.csv",
        "epochs.csv",
        "train_batch_1.jpg",
        "predictions_epoch_4.jpg",
    }
    assert not any(name.startswith(".") for name in names)
    assert evaluated(out) == ["2", "4"]


def test_a_run_without_matplotlib_says_so_at_its_start(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    recorder = Recorder()
    Trainer(config, callbacks=[recorder])
    assert [text for text in recorder.messages if text.startswith("no curves.png will be drawn")]


def test_rates_follow_the_schedule(
    config: TrainConfig, whole: tuple[Losses, dict[str, Any], Recorder]
) -> None:
    schedule = Trainer(config).schedule
    assert (schedule.total, schedule.flat) == (12, 3)
    assert Trainer(replace(config, last_phase="release")).schedule == schedule
    assert whole[2].rates == {step + 1: yolox_warmup_cosine(schedule, step) for step in range(12)}


def test_resumed_after_an_epoch(config: TrainConfig, whole: tuple[Losses, dict[str, Any], Recorder]) -> None:
    answers = iter([False, True])
    first = Trainer(replace(config, eval_every=9), callbacks=[Recorder()], stop=lambda: next(answers)).fit()
    assert first.epochs == 2
    recorder = Recorder()
    result = Trainer(config, callbacks=[recorder], resume=True).fit()
    assert result.epochs == EPOCHS
    assert recorder.losses == {step: whole[0][step] for step in range(7, 13)}
    assert_same_end(config.out, whole)
    assert evaluated(config.out) == ["2", "4"]


@pytest.mark.parametrize(
    ("number", "error", "step"),
    [(signal.SIGINT, KeyboardInterrupt, 5), (signal.SIGTERM, SystemExit, 9)],
)
def test_interrupted_and_resumed(
    config: TrainConfig,
    whole: tuple[Losses, dict[str, Any], Recorder],
    number: signal.Signals,
    error: type[BaseException],
    step: int,
) -> None:
    def interrupt(at: int) -> None:
        if at == step:
            signal.raise_signal(number)

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    recorder = Recorder(interrupt)
    try:
        with pytest.raises(error):
            Trainer(config, callbacks=[recorder]).fit()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert recorder.closed
    assert list(recorder.losses) == list(range(1, step + 1))
    rest = Recorder()
    Trainer(config, callbacks=[rest], resume=True).fit()
    assert recorder.losses | rest.losses == whole[0]
    assert list(rest.losses) == list(range(step + 1, 13))
    assert_same_end(config.out, whole)


def test_interrupted_while_it_evaluates(
    config: TrainConfig, whole: tuple[Losses, dict[str, Any], Recorder]
) -> None:
    class Impatient(Recorder):
        def __call__(self, event: Event) -> None:
            if isinstance(event, Evaluated):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config, callbacks=[Impatient()]).fit()
    rest = Recorder()
    Trainer(config, callbacks=[rest], resume=True).fit()
    assert list(rest.figures) == [2, 4]
    assert_same_end(config.out, whole)


def test_interrupted_while_statistics_are_averaged(
    config: TrainConfig, whole: tuple[Losses, dict[str, Any], Recorder]
) -> None:
    """Between the sum over the processes and its division the statistics are of no use."""

    class Summing(Job):
        def average_statistics(self, *models: torch.nn.Module) -> None:
            buffers = [b for model in models for b in model.buffers() if b.is_floating_point()]
            torch._foreach_mul_(buffers, 2.0)
            signal.raise_signal(signal.SIGINT)
            torch._foreach_div_(buffers, 2.0)

    trainer = Trainer(config)
    trainer.job = Summing(trainer.job.device)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(config, resume=True).fit()
    assert_same_end(config.out, whole)


def test_a_second_interrupt_loses_nothing(
    config: TrainConfig, whole: tuple[Losses, dict[str, Any], Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(at: int) -> None:
        if at == 2:
            signal.raise_signal(signal.SIGINT)

    def interrupted_write(path: Path, content: Mapping[str, Any]) -> None:
        signal.raise_signal(signal.SIGINT)
        write_torch(path, content)

    trainer = Trainer(config, callbacks=[Recorder(interrupt)])
    monkeypatch.setattr(checkpoints_module, "write_torch", interrupted_write)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    monkeypatch.undo()
    assert trainer.checkpoints.saved_step == 2
    rest = Recorder()
    Trainer(config, callbacks=[rest], resume=True).fit()
    assert list(rest.losses) == list(range(3, 13))
    assert_same_end(config.out, whole)


def test_an_interrupted_run_is_saved_before_its_workers_end(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []

    def ended(*arguments: Any, **options: Any) -> Iterator[Batch]:
        try:
            yield from stream(*arguments, **options)
        finally:
            order.append("workers")

    def interrupt(at: int) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(trainer_module, "stream", ended)
    monkeypatch.setattr(checkpoints_module, "write_torch", lambda *_: order.append("saved"))
    with pytest.raises(KeyboardInterrupt):
        Trainer(config, callbacks=[Recorder(interrupt)]).fit()
    assert order == ["saved", "workers"]


def test_a_save_that_fails_is_told_and_claimed_by_nobody(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(at: int) -> None:
        signal.raise_signal(signal.SIGINT)

    def full(path: Path, content: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    recorder = Recorder(interrupt)
    trainer = Trainer(config, callbacks=[recorder])
    monkeypatch.setattr(checkpoints_module, "write_torch", full)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert trainer.checkpoints.saved_step is None
    assert (
        f"{trainer.checkpoints.last} was not written: [Errno 28] No space left on device" in recorder.messages
    )


def test_sigterm_ends_a_run_that_python_started(config: TrainConfig) -> None:
    def interrupt(at: int) -> None:
        if at == 2:
            signal.raise_signal(signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    trainer = Trainer(config, callbacks=[Recorder(interrupt)])
    with pytest.raises(SystemExit) as caught:
        trainer.fit()
    assert caught.value.code == 143
    assert trainer.checkpoints.saved_step == 2
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_processes_go_on_from_one_checkpoint(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 alone writes it; another machine may have an older one."""
    Trainer(config, stop=lambda: True).fit()
    monkeypatch.setattr(Job, "share", lambda self, value: 6)
    with pytest.raises(
        UsageError,
        match=r"finds a .*last.pth of step 3, and rank 0, which writes it, one of step 6.* share the folder",
    ):
        Trainer(config, resume=True)


def test_workers_change_nothing(config: TrainConfig, whole: tuple[Losses, dict[str, Any], Recorder]) -> None:
    Trainer(replace(config, workers=1)).fit()
    assert_same_end(config.out, whole)


def test_resuming_a_finished_run_returns_its_result(config: TrainConfig) -> None:
    config = replace(config, epochs=1, plain_epochs=1, warmup_epochs=0)
    first = Trainer(config).fit()
    assert Trainer(config, resume=True).fit() == first
    assert first.figures == safe_load(first.best)["figures"]


def test_a_non_finite_loss_keeps_the_batch(config: TrainConfig) -> None:
    trainer = Trainer(config)
    with torch.no_grad():
        trainer.learner.model.head.obj_preds[1].bias.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"the loss is nan in step 1 .*nonfinite_batch\.pt"):
        trainer.fit()
    kept = safe_load(config.out / "nonfinite_batch.pt")
    assert isinstance(kept, dict)
    assert kept["images"].shape == (4, 3, 64, 64)
    assert kept["images"].dtype == torch.uint8
    assert kept["targets"].shape == (4, 120, 5)
    assert (kept["epoch"], kept["step"], kept["model_name"]) == (1, 1, "yolox_nano")
    assert np.isnan(kept["losses"]["total"])
    assert not (config.out / "last.pth").exists()


def lose(trainer: Trainer, at: int) -> list[Batch]:
    """Let the loss of step `at` be NaN; returns where the batches are kept that the steps see."""
    backward, seen = trainer.learner.backward, []

    def poisoned(batch: Batch, *arguments: Any, **options: Any) -> torch.Tensor:
        values = backward(batch, *arguments, **options)
        seen.append(batch)
        return values if len(seen) != at + 1 else torch.full_like(values, float("nan"))

    trainer.learner.backward = poisoned  # type: ignore[method-assign]
    return seen


def test_losses_that_are_read_late_tell_of_the_first_bad_step(config: TrainConfig) -> None:
    recorder = Recorder()
    trainer = Trainer(config, callbacks=[recorder])
    trainer.interval = 10  # as on a GPU
    seen = lose(trainer, 4)
    with pytest.raises(NonFiniteLossError, match=r"the loss is nan in step 5 \(epoch 2\)"):
        trainer.fit()
    assert len(seen) == 6
    assert list(recorder.losses) == [3]
    kept = safe_load(config.out / "nonfinite_batch.pt")
    assert isinstance(kept, dict)
    assert torch.equal(kept["images"], seen[4].images)
    assert torch.equal(kept["targets"], seen[4].targets)
    assert (kept["epoch"], kept["step"]) == (2, 5)
    assert trainer.checkpoints.saved_step == 3


def test_an_interrupt_does_not_save_what_a_loss_has_spoilt(config: TrainConfig) -> None:
    recorder = Recorder()
    trainer = Trainer(config, callbacks=[recorder])
    trainer.interval = 10
    seen, update = lose(trainer, 3), trainer.learner.update

    def interrupted(rate: float) -> None:
        update(rate)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)

    trainer.learner.update = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert trainer.checkpoints.saved_step == 3
    assert "last.pth was not written: the loss is nan in step 4" in recorder.messages[-1]
    assert safe_load(config.out / "last.pth")["step"] == 3


def test_weights_that_are_lost_replace_no_checkpoint(config: TrainConfig) -> None:
    trainer = Trainer(config)
    update = trainer.learner.update

    def spoil(rate: float) -> None:
        update(rate)
        if trainer.state.step == 5:
            with torch.no_grad():
                trainer.learner.model.head.obj_preds[1].bias.fill_(float("inf"))

    trainer.learner.update = spoil  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"weights are NaN or infinite after step 6; .*last.pth was left"):
        trainer.fit()
    assert safe_load(config.out / "last.pth")["step"] == 3


def test_patience(config: TrainConfig) -> None:
    recorder = Recorder()
    result = Trainer(
        replace(config, learning_rate=1e-9, eval_every=1, patience=1), callbacks=[recorder]
    ).fit()
    assert result.epochs == 2
    assert list(recorder.figures) == [1, 2]


def test_patience_counts_evaluations_alone(config: TrainConfig) -> None:
    recorder = Recorder()
    trainer = Trainer(replace(config, learning_rate=1e-9, eval_every=2, patience=1), callbacks=[recorder])
    trainer.state.own_ap = 1.0
    assert trainer.fit().epochs == 2
    trainer = Trainer(replace(config, learning_rate=1e-9, eval_every=2, patience=1), resume=True)
    assert trainer.fit().epochs == EPOCHS


def test_a_data_set_with_faults_is_refused_before_the_first_step(config: TrainConfig, tmp_path: Path) -> None:
    """Also where no command line checked it: a class beyond the names was an IndexError in the loss."""
    data = write_scenes(tmp_path / "data", train=4, val=1, size=(64, 64))
    (tmp_path / "yolo").mkdir()
    for split in ("train", "val"):
        (data / split).rename(tmp_path / "yolo" / split)
        for picture in (tmp_path / "yolo" / split).iterdir():
            picture.with_suffix(".txt").write_text("5 0.5 0.5 0.25 0.25\n")
    (tmp_path / "yolo" / "data.yaml").write_text("train: train\nval: val\nnames: [cat, dog]\n")
    recorder = Recorder()
    with pytest.raises(InputError, match=r"4 objects of a class that has no name.*class 5"):
        Trainer(replace(config, data=tmp_path / "yolo"), callbacks=[recorder])
    assert "4 pictures" in recorder.messages[0]
    config = replace(config, data=tmp_path / "yolo")
    assert Trainer(config, data=open_splits(config.data)).train_set.class_names == ("cat", "dog")


def test_a_broken_picture_is_named(config: TrainConfig, tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data", train=4, val=1, size=(64, 64))
    broken = next(iter(sorted((data / "train").iterdir())))
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match=broken.name):
        Trainer(replace(config, data=data)).fit()


def test_fine_tuning_tells_what_it_took(config: TrainConfig, scenes: Path, nameless_weights: Path) -> None:
    recorder = Recorder()
    trainer = Trainer(replace(config, weights=nameless_weights), callbacks=[recorder])
    taken, coco, new = (message for message in recorder.messages if not message.startswith(str(scenes)))
    assert "tensors come from" in taken
    assert "its 80 are COCO's" in coco
    assert new.startswith("Its predictors of 1 classes are taken over by name: cup. New are ball, fish, key,")
    source = safe_load(nameless_weights)["model"]
    name = "backbone.backbone.stem.conv.conv.weight"
    assert torch.equal(trainer.learner.model.state_dict()[name], source[name])
    assert torch.equal(trainer.learner.ema.model.state_dict()[name], source[name])


def test_a_folded_checkpoint_is_restored_or_said_to_be_folded(config: TrainConfig, tmp_path: Path) -> None:
    state = build_model("yolox_nano", 6).state_dict()
    for name in (name for name in state if name.endswith("bn.bias")):
        state[name] += 0.1
    torch.save(state, tmp_path / "folded.pth")
    recorder = Recorder()
    learner = Trainer(replace(config, weights=tmp_path / "folded.pth"), callbacks=[recorder]).learner
    assert "it has statistics and filters of usual length again" in recorder.messages[-1]
    images = torch.rand(2, 3, 64, 64) * 255
    loaded = build_model("yolox_nano", 6).eval()
    loaded.load_state_dict(state)
    with torch.no_grad():
        for model in (learner.model.eval(), learner.ema.model):
            torch.testing.assert_close(model(images), loaded(images), rtol=1e-4, atol=1e-4)
    left = replace(config, weights=tmp_path / "folded.pth", restore_batchnorm=False)
    learner = Trainer(left, callbacks=[recorder]).learner
    assert "stays so (restore_batchnorm=false)" in recorder.messages[-1]
    assert all(torch.equal(value, state[name]) for name, value in learner.model.state_dict().items())


def test_evaluation_disturbs_nothing(config: TrainConfig) -> None:
    trainer = Trainer(config)
    trainer.learner.train()
    before = torch.get_rng_state(), {k: v.clone() for k, v in trainer.learner.model.state_dict().items()}
    found = evaluate(trainer.learner.ema.model, trainer.val_set, (64, 64), trainer.job, batch=2, workers=0)
    assert tuple(found.figures) == METRICS
    assert trainer.learner.model.training
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(torch.equal(value, before[1][k]) for k, value in trainer.learner.model.state_dict().items())


@pytest.mark.slow
def test_evaluation_gives_the_figures_of_the_detector(shared: Path) -> None:
    from yolox_deploy.data.coco_format import read_coco

    model = build_model("yolox_nano", 80).eval()
    load_checkpoint(model, shared / "real" / "yolox_nano.pth")
    mini = shared / "real" / "coco_mini"
    dataset = read_coco(mini / "instances.json", mini / "images")
    found = evaluate(model, dataset, (416, 416), Job(torch.device("cpu")), batch=8, workers=0)
    expected = {"AP": 0.3116, "AP50": 0.4941, "AP75": 0.3235}
    assert {name: found.figures[name] for name in expected} == pytest.approx(expected, abs=1e-3)
    assert [index for index, _ in found.examples] == list(range(8))


@pytest.mark.slow
def test_the_best_is_exported(whole: tuple[Losses, dict[str, Any], Recorder], tmp_path: Path) -> None:
    from yolox_deploy import export

    weights = Path(whole[1]["config"]["out"]) / "best.pth"
    artifact = export(None, "onnx", weights=weights, imgsz=64, out=tmp_path / "nano.onnx", verify=False)
    assert artifact.info.model == "yolox_nano"
    assert artifact.info.class_names == CLASS_NAMES
