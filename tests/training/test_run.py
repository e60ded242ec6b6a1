"""Checkpoints of a run, resuming, and weights to start from."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.models import build_model, read_checkpoint
from yolox_deploy.training import recipe
from yolox_deploy.training.config import LATER_SETTINGS, to_dict
from yolox_deploy.training.pretrained import load_pretrained
from yolox_deploy.training.recipes import from_dict
from yolox_deploy.training.run import RunState, load_last, write_torch

FACTS = {
    "model_name": "yolox_nano",
    "class_names": ["cat", "dog"],
    "config": to_dict(recipe("yolox_nano", Path("data"))),
    "steps": 10,
}
STATE = RunState(epoch=2, step=20, best_ap=0.25, best_epoch=1, own_ap=0.25, stale=1, figures={"AP": 0.25})


@pytest.fixture
def last(tmp_path: Path) -> Path:
    weights = build_model("yolox_nano", 2).state_dict()
    path = tmp_path / "last.pth"
    write_torch(path, {"model": weights, "raw": weights, "optimizer": {}, **asdict(STATE), **FACTS})
    return path


def test_state_comes_back(last: Path) -> None:
    state, content = load_last(last, FACTS)
    assert state == STATE
    assert set(content) >= {"model", "raw", "optimizer", "config", "class_names", "model_name", "best_ap"}
    assert not list(last.parent.glob(".*"))


def test_new_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    write_torch(path, {"raw": {}, "optimizer": {}, **asdict(RunState()), **FACTS})
    assert load_last(path, FACTS)[0] == RunState()


def test_other_parts_read_it(last: Path) -> None:
    found = read_checkpoint(last)
    assert (found.model_name, found.num_classes, found.class_names) == ("yolox_nano", 2, ("cat", "dog"))


def test_weights_alone_are_no_state_to_resume(tmp_path: Path) -> None:
    best = tmp_path / "best.pth"
    write_torch(best, {"model": {}, **asdict(STATE), **FACTS})
    with pytest.raises(CheckpointError, match=r"no state to resume from.*--weights"):
        load_last(best, FACTS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": FACTS["config"] | {"batch": 8}}, "batch was 64 and is 8 now"),
        ({"config": FACTS["config"] | {"seed": 1}}, "seed was 0 and is 1 now"),
        ({"class_names": ["cat", "cow"]}, "class_names was .*'dog'.* and is .*'cow'"),
        ({"steps": 11}, "steps was 10 and is 11 now"),
    ],
)
def test_another_run_is_refused(last: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_last(last, FACTS | changed)


def test_a_checkpoint_from_before_a_setting_was_trained_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    old = {name: value for name, value in FACTS["config"].items() if name not in LATER_SETTINGS}
    write_torch(path, {"raw": {}, "optimizer": {}, **asdict(STATE), **FACTS, "config": old})
    assert load_last(path, FACTS)[0] == STATE
    read = from_dict(old)
    assert (read.restore_batchnorm, read.match_classes) == (False, False)
    assert replace(read, restore_batchnorm=True, match_classes=True) == recipe("yolox_nano", Path("data"))
    assert load_last(path, FACTS | {"config": to_dict(read)})[0] == STATE
    with pytest.raises(UsageError, match="iou_aware was False and is True now"):
        load_last(path, FACTS | {"config": FACTS["config"] | {"iou_aware": True}})
    with pytest.raises(UsageError, match="optimizer was 'sgd' and is 'adamw' now"):
        load_last(path, FACTS | {"config": FACTS["config"] | {"optimizer": "adamw"}})


def test_where_and_how_long_may_change(last: Path) -> None:
    config = FACTS["config"] | {
        "epochs": 400,
        "out": "elsewhere",
        "workers": 3,
        "device": "cpu",
        "patience": 5,
    }
    assert load_last(last, FACTS | {"config": config})[0] == STATE


def test_a_failed_write_leaves_the_old_file(last: Path) -> None:
    before = last.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        write_torch(last, {"model": lambda: 0})
    assert last.read_bytes() == before
    assert [path.name for path in last.parent.iterdir()] == ["last.pth"]


def test_the_best_is_kept() -> None:
    state = RunState()
    assert state.note(1, {"AP": 0.0})
    assert not state.note(2, {"AP": 0.0})
    assert state.stale == 1
    assert state.note(3, {"AP": 0.2, "AP50": 0.5})
    assert (state.stale, state.best_ap, state.figures) == (0, 0.2, {"AP": 0.2, "AP50": 0.5})
    assert (state.best_epoch, state.start_ap) == (3, None)


def test_patience_goes_by_the_runs_own_best_not_by_the_weights_at_its_start() -> None:
    state = RunState()
    assert state.note(0, {"AP": 0.5})
    assert state.stale == 0
    assert [state.note(epoch, {"AP": 0.1 * epoch}) for epoch in (1, 2, 3)] == [False] * 3
    assert (state.stale, state.best_epoch, state.best_ap, state.start_ap) == (0, 0, 0.5, 0.5)
    assert not state.note(4, {"AP": 0.25})
    assert state.stale == 1
    assert state.is_impatient(1)
    assert not state.is_impatient(2)
    assert not state.is_impatient(None)


def test_another_class_count_starts_new_predictors(last: Path) -> None:
    model = build_model("yolox_nano", 5)
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    counts, anew, *_ = load_pretrained(model, last)
    source = read_checkpoint(last).state_dict
    for key, value in model.state_dict().items():
        expected = fresh if key.startswith("head.cls_preds.") else source
        assert torch.equal(value, expected[key]), key
    assert counts.startswith(f"{len(source) - 6} of {len(source)} tensors")
    assert "predicts 2 classes and the data set has 5" in anew
    assert "head.cls_preds.0.weight" in anew


def test_the_same_class_count_takes_everything(last: Path) -> None:
    model = build_model("yolox_nano", 2)
    messages = load_pretrained(model, last)
    source = read_checkpoint(last).state_dict
    assert all(torch.equal(value, source[key]) for key, value in model.state_dict().items())
    assert not any("anew" in message for message in messages)


def test_another_model_is_refused(last: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"does not fit yolox_s.*looks like yolox_nano.*--model yolox_nano"
    ):
        load_pretrained(build_model("yolox_s", 2), last)
