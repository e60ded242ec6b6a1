"""Which recipe a run gets, and what it sets."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.models import build_model
from yolox_deploy.settings import flatten, text
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training.config import TrainConfig, settled, to_dict
from yolox_deploy.training.finetuning import NUMBERS, FineTuning, tuned_settings
from yolox_deploy.training.loader import EpochPlan
from yolox_deploy.training.planning import plan_run
from yolox_deploy.training.recipes import TOLD, from_dict, plan, recipe

DATA, WEIGHTS = Path("data"), Path("w.pth")


def planned(pictures: int, known: float | None = None, **changes: Any) -> TrainConfig:
    return plan("yolox_nano", DATA, pictures, known, **{"weights": WEIGHTS, **changes}).config


@pytest.mark.parametrize(
    ("pictures", "changes", "expected", "reason"),
    [
        (36, {"weights": None}, "paper", "starts from random weights"),
        (36, {"weights": "none"}, "paper", "starts from random weights"),
        (36, {}, "finetune", r"from weights, with 36 pictures and no stated epochs; under 1000 are few"),
        (999, {"batch": 4}, "finetune", "with 999 pictures and no stated epochs; under 1000 are few"),
        (1000, {}, "paper", "with 1000 pictures and no stated epochs; 1000 or more are many"),
        (
            999,
            {"epochs": 300},
            "paper",
            r"4800 steps of 64 \(300 epochs of 999 pictures\); 2000 or more are many",
        ),
        (36, {"epochs": 300}, "finetune", "300 steps of 64 .*; under 2000 are few"),
        (5000, {"epochs": 10}, "finetune", "790 steps"),
        (100_000, {"epochs": 2, "batch": 512}, "finetune", "392 steps"),
        (100_000, {"epochs": 2}, "paper", "3126 steps"),
        (
            36,
            {"learning_rate": 0.02},
            "paper",
            "learning_rate is stated and no optimizer, so it is meant for the pap",
        ),
        (36, {"momentum": 0.95}, "paper", "momentum is stated and no optimizer"),
        (36, {"learning_rate": 0.02, "optimizer": "sgd"}, "finetune", "36 pictures"),
        (36, {"recipe": "paper"}, "paper", "it is asked for"),
        (10**6, {"recipe": "finetune"}, "finetune", "it is asked for"),
        (36, {"recipe": "auto"}, "finetune", "36 pictures"),
    ],
)
def test_the_rule(pictures: int, changes: dict[str, Any], expected: str, reason: str) -> None:
    found = plan("yolox_nano", DATA, pictures, **{"weights": WEIGHTS, **changes})
    assert found.config.recipe == expected

    assert re.search(reason, found.reason)


def test_the_papers_recipe_is_as_it_was() -> None:
    found = plan("yolox_s", DATA, 118_000, weights=WEIGHTS, **{"augmentation.flip": 0.25})
    assert found.config == recipe("yolox_s", DATA, weights=WEIGHTS, **{"augmentation.flip": 0.25})
    assert (found.config.optimizer, found.config.learning_rate, found.config.scale_rate) == (
        "sgd",
        0.01,
        True,
    )


def test_some_classes_are_new() -> None:
    config = planned(36, known=0.5)
    assert (config.batch, config.epochs, config.optimizer, config.learning_rate) == (8, 80, "adamw", 1e-3)
    assert (config.scale_rate, config.weight_decay, config.multiscale) == (False, 5e-4, None)
    assert (config.backbone_rate, config.neck_rate) == (0.1, 0.1)
    assert (config.freeze_backbone, config.freeze_neck, config.batchnorm) == (False, False, "train")
    assert (config.ema_ramp, config.ema_decay, config.plain, config.eval_every) == ("short", 0.98, 12, 4)
    assert (config.augmentation.mosaic, config.augmentation.mixup) == (0.5, 0.0)
    assert config == planned(36, known=0.99)


def test_most_classes_are_new() -> None:
    config, other = planned(36, known=0.49), planned(36, known=0.5)
    names = [name for name, value in asdict(config).items() if asdict(other)[name] != value]
    assert names == ["backbone_rate", "neck_rate"]
    assert (config.backbone_rate, config.neck_rate) == (1.0, 1.0)
    assert config == planned(36, known=None)


def test_all_classes_are_known() -> None:
    config, other = planned(36, known=1.0), planned(36, known=0.99)
    names = [name for name, value in asdict(config).items() if asdict(other)[name] != value]
    assert names == ["learning_rate", "batchnorm"]
    assert (config.learning_rate, config.batchnorm) == (1e-4, "frozen")


@pytest.mark.parametrize(("known", "rate"), [(0.0, NUMBERS.new_rate_sgd), (1.0, NUMBERS.known_rate_sgd)])
def test_sgd_has_a_rate_of_its_own(known: float, rate: float) -> None:
    assert planned(36, known, optimizer="sgd").learning_rate == rate


@pytest.mark.parametrize(
    ("pictures", "epochs", "batch", "warmup"),
    [
        (36, 80, 8, 20),
        (40, 80, 8, 20),
        (3, 400, 3, 20),
        (1, 400, 1, 20),
        (205, 16, 8, 20),
        (900, 10, 8, 20),
        (57, 50, 8, 20),
    ],
)
def test_the_run_has_about_400_steps(pictures: int, epochs: int, batch: int, warmup: int) -> None:
    config = planned(pictures)
    assert (config.epochs, config.batch) == (epochs, batch)
    steps = EpochPlan(config, pictures).steps
    assert int(config.warmup * steps) == warmup
    assert config.plain == round(0.15 * epochs)
    assert (epochs - config.plain) / config.eval_every <= 20


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_short_runs_have_a_short_warm_up(epochs: int) -> None:
    config = planned(36, epochs=epochs)
    assert config.warmup == pytest.approx(0.1 * epochs)
    assert config.eval_every == 1


def test_plain_epochs_leave_no_warm_up() -> None:
    assert planned(36, epochs=4, plain_epochs=4).warmup == 0
    assert planned(36, epochs=4, plain_epochs="none").plain == 1
    with pytest.raises(UsageError, match="plain_epochs is 5; expected 0 to the 4 epochs"):
        planned(36, epochs=4, plain_epochs=5)


def test_the_batch_suits_processes_and_parts() -> None:
    assert planned(100, accumulate=3).batch == 9
    assert plan("yolox_nano", DATA, 100, processes=16, weights=WEIGHTS).config.batch == 16
    assert planned(100, batch=4).epochs == 16


STATED = {
    "batch": 4,
    "epochs": 3,
    "learning_rate": 0.5,
    "scale_rate": True,
    "optimizer": "sgd",
    "backbone_rate": 0.25,
    "neck_rate": 0.75,
    "freeze_backbone": True,
    "freeze_neck": True,
    "batchnorm": "frozen",
    "weight_decay": 0.25,
    "warmup_epochs": 0.5,
    "plain_epochs": 2,
    "ema_decay": 0.5,
    "ema_ramp": "release",
    "multiscale": (32, 64),
    "eval_every": 7,
    "augmentation.mosaic": 0.125,
    "augmentation.mosaic_scale": (0.25, 0.75),
    "augmentation.mixup": 0.375,
}


def test_all_that_a_recipe_sets_can_be_stated() -> None:
    assert set(STATED) == {name for names in TOLD for name in names}
    for known in (0.0, 1.0):
        usual = set(tuned_settings({}, 36, known=known))
        assert usual <= set(STATED)
    for recipe_name in ("finetune", "paper"):
        for values in (STATED, {name: text(value) for name, value in STATED.items()}):
            config = planned(36, recipe=recipe_name, **values)
            found = flatten(asdict(config))
            assert {name: found[name] for name in STATED} == STATED


@pytest.mark.parametrize("name", STATED)
def test_each_can_be_stated_alone(name: str) -> None:
    found = flatten(asdict(planned(36, recipe="finetune", **{name: STATED[name]})))
    assert found[name] == STATED[name]
    others = flatten(asdict(planned(36, recipe="finetune")))
    changed = {key for key, value in found.items() if others[key] != value} - {name}
    follow = {
        "batch": {"epochs", "plain_epochs", "warmup_epochs", "eval_every"},
        "epochs": {"plain_epochs", "warmup_epochs", "eval_every"},
        "optimizer": {"learning_rate"},
    }
    assert changed <= follow.get(name, set())


def test_what_people_are_told() -> None:
    lines = plan("yolox_nano", DATA, 36, 0.5, weights=WEIGHTS, epochs=20).to_lines()
    assert lines == [
        "recipe finetune: the run starts from weights, with 20 steps of 64 (20 epochs of 36 pictures); under 2000 are "
        "few; 50% of its classes are known to the weights",
        "  epochs=20 (stated), batch=8, warmup_epochs=2.0, plain_epochs=3, eval_every=1",
        "  optimizer=adamw, learning_rate=0.001, scale_rate=false, weight_decay=0.0005, ema_decay=0.98, ema_ramp=short",
        "  freeze_backbone=false, freeze_neck=false, backbone_rate=0.1, neck_rate=0.1, batchnorm=train",
        "  multiscale=none, augmentation.mosaic=0.5, augmentation.mosaic_scale=0.5,1.5, augmentation.mixup=0.0",
        "  change any by --set NAME=VALUE, all by --recipe paper",
    ]
    new = plan("yolox_s", DATA, 36).to_lines()
    assert new[0] == "recipe paper: the run starts from random weights"
    assert new[1] == "  epochs=300, batch=64, warmup_epochs=5.0, plain_epochs=15, eval_every=none"
    assert new[2].startswith("  optimizer=sgd, learning_rate=0.01")
    assert new[-1] == "  change any by --set NAME=VALUE"


def test_people_are_told_how_known_classes_learn_more() -> None:
    reason = plan("yolox_nano", DATA, 36, 1.0, weights=WEIGHTS).reason
    assert reason.endswith(
        "all of its classes are known to the weights, so they change slowly (learning_rate=0.001 and batchnorm=train "
        "let them learn more)"
    )
    chosen = plan("yolox_nano", DATA, 36, 1.0, weights=WEIGHTS, learning_rate=0.001, optimizer="adamw").reason
    assert chosen.endswith("all of its classes are known to the weights")


def test_a_checkpoint_of_the_same_classes_has_more_to_learn() -> None:
    """Somebody goes on training: measured, the values for known classes hold such a run back."""
    own = plan("yolox_nano", DATA, 36, 1.0, own=True, weights=WEIGHTS)
    assert own.config == planned(36, known=0.5)
    assert own.reason.endswith("all of its classes are known to the weights, which know no others")


def test_what_cannot_be_planned() -> None:
    with pytest.raises(UsageError, match="the recipe finetune is for a run from weights; name them"):
        plan("yolox_nano", DATA, 36, recipe="finetune")
    with pytest.raises(UsageError, match="recipe is best; expected auto, paper or finetune"):
        planned(36, recipe="best")
    with pytest.raises(UsageError, match=r"the recipe finetune is for plan\(\)"):
        recipe("yolox_nano", DATA, recipe="finetune", weights=WEIGHTS)
    with pytest.raises(UsageError, match="did you mean epochs"):
        planned(36, epoch=3)
    with pytest.raises(UsageError, match="the authors' max_epoch is epochs here"):
        planned(36, max_epoch=3)
    with pytest.raises(UsageError, match="batch is 0"):
        planned(36, batch=0)


def test_a_plan_survives_a_checkpoint() -> None:

    config = planned(36, known=1.0)
    assert from_dict(to_dict(config)) == config
    assert settled(config) == config
    assert settled(TrainConfig("yolox_nano", DATA)).recipe == "paper"


def test_other_numbers() -> None:
    found = tuned_settings({}, 36, known=0, numbers=FineTuning(batch=4, steps=90))
    assert (found["batch"], found["epochs"]) == (4, 10)


def test_a_run_is_planned_from_its_files(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "data", train=5, val=1, size=(64, 64))
    weights = tmp_path / "w.pth"
    names = ["ball", "cup", "fish", "key", "leaf", "star"]
    torch.save({"model": build_model("yolox_nano", 6).state_dict(), "class_names": names}, weights)
    found = plan_run("yolox_nano", folder, None, weights=str(weights))
    assert "under 1000 are few; all of its classes are known to the weights" in found.reason
    assert (found.config.batch, found.config.epochs, found.config.batchnorm) == (5, 400, "train")
    torch.save({"model": build_model("yolox_nano", 7).state_dict(), "class_names": [*names, "cat"]}, weights)
    assert plan_run("yolox_nano", folder, None, weights=weights).config.batchnorm == "frozen"
    by_order = plan_run("yolox_nano", folder, None, weights=weights, match_classes="false")
    assert by_order.config.batchnorm == "train"
    assert plan_run("yolox_nano", folder, None, 5, weights=weights, accumulate=2).config.batch == 6
    for name in ("known", "train", "pictures"):
        with pytest.raises(UsageError, match=f"no setting called '{name}'"):
            plan_run("yolox_nano", tmp_path / "nothing", None, **{name: 1, "weights": weights})
    for changes in ({}, {"weights": "none"}, {"weights": weights, "recipe": "paper"}):
        assert plan_run("yolox_nano", tmp_path / "nothing", None, **changes).config.recipe == "paper"
    weights.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"w\.pth"):  # before a recipe is told that does not suit them
        plan_run("yolox_nano", folder, None, weights=weights)
