"""How a run starts, and what it keeps between its sessions: how far it has come, its checkpoints and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from yolox_deploy.data.checks import check_splits, require_same_classes
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.data.priors import load_priors
from yolox_deploy.data.report import raise_for_errors
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.files import replacing
from yolox_deploy.models import build_model
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.config import LATER_SETTINGS, TrainConfig
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.pretrained import load_pretrained
from yolox_deploy.training.progress import Progress
from yolox_deploy.training.restoring import FOLDED, is_folded, restore_batchnorm

WHERE = frozenset(("accumulate", "data", "device", "out", "precision", "weights", "workers"))
HOW_LONG = frozenset(("epochs", "eval_every", "patience"))
AT_THE_START = frozenset(("match_classes", "restore_batchnorm"))
MAY_CHANGE = WHERE | HOW_LONG | AT_THE_START
"""Settings that a resumed run may have other values of: where, how long, how it began, not what it learns."""


@dataclass
class RunState:
    """How far a run has come.

    Attributes:
        epoch: finished ones, evaluation included.
        step: finished optimiser steps of the whole run.
        best_ap: the highest AP so far.
        stale: evaluations since then.
        figures: of the best evaluation.
    """

    epoch: int = 0
    step: int = 0
    best_ap: float = -math.inf
    stale: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def note(self, figures: dict[str, float]) -> bool:
        """Take in an evaluation; whether it is the best so far."""
        if figures["AP"] > self.best_ap:
            self.best_ap, self.stale, self.figures = figures["AP"], 0, figures
            return True
        self.stale += 1
        return False


def write_torch(path: Path, content: Mapping[str, Any]) -> None:
    """`torch.save` of a whole file; see `replacing`."""
    with replacing(path) as part:
        torch.save(dict(content), part)


def load_last(path: Path, facts: Mapping[str, Any]) -> tuple[RunState, dict[str, Any]]:
    """Read the checkpoint that a run is to go on from.

    Args:
        facts: of the run now; `config`, `class_names` and `steps` (in an epoch) have to be those at `path`.

    Returns:
        The state, and the whole content for `Learner.restore`.

    Raises:
        CheckpointError: it cannot be read, or holds no state of a run.
        UsageError: it is of a run with other settings, classes or pictures; names what differs.
    """
    content = safe_load(path)
    names = [item.name for item in fields(RunState)]
    if not isinstance(content, dict) or not {*names, *facts, "raw", "optimizer"} <= content.keys():
        raise CheckpointError(
            f"{path} holds no state to resume from; to start a new run from its weights use --weights {path}"
        )
    now = {name: value for name, value in facts["config"].items() if name not in MAY_CHANGE}
    saved = {**LATER_SETTINGS, **content["config"]}
    pairs = {name: (saved.get(name), value) for name, value in now.items()}
    pairs |= {name: (content[name], facts[name]) for name in ("class_names", "steps")}
    for name, (before, value) in pairs.items():
        if before != value:
            raise UsageError(
                f"{path} cannot be resumed: {name} was {before!r} and is {value!r} now; "
                f"restore it, or start a new run with --weights {path}"
            )
    return RunState(**{name: content[name] for name in names}), content


def open_data(
    config: TrainConfig, progress: Progress, *, checked: bool
) -> tuple[DetectionDataset, DetectionDataset]:
    """The pictures of `config.data` to train on and those to evaluate on.

    What is not `checked` yet is checked as far as that is cheap (annotations, missing files) and reported on.

    Raises:
        InputError: they cannot be read or trained on, or differ in their classes.
    """
    train, val = open_dataset(config.data, "train"), open_dataset(config.data, "val")
    if not checked:
        reports = check_splits(train, val, max_objects=config.augmentation.max_objects, pictures=False)
        for line in (line for report in reports for line in report.to_lines(errors=False)):
            progress.message(line)
        raise_for_errors(*reports)
    require_same_classes(train, val)
    return train, val


def new_learner(config: TrainConfig, job: Job, train: DetectionDataset, progress: Progress) -> Learner:
    """A model with random weights, or those that `config` names; `progress` is told what was taken of them.

    Raises:
        CheckpointError, InputError: the weights, the priors or a picture of `train` cannot be read.
    """
    model = _build(config, len(train.class_names))
    if config.weights is not None:
        names = train.class_names if config.match_classes else None
        for message in load_pretrained(model, config.weights, names):
            progress.message(message)
    if config.priors is not None:
        fitted = torch.from_numpy(load_priors(config.priors, config.size))
        model.load_state_dict({"head.priors": fitted}, strict=False)
    if config.weights is not None and is_folded(model.state_dict()):
        if config.restore_batchnorm:
            _restore_together(model, config, job, train, progress)
        else:
            progress.message(FOLDED)
    return Learner(model, config, job)


def _restore_together(
    model: YOLOX, config: TrainConfig, job: Job, train: DetectionDataset, progress: Progress
) -> None:
    """Measure in the main process, and give all the result: sums of another order would round otherwise."""
    if job.is_main:
        progress.message(restore_batchnorm(model, train, config.size, config.seed))
    model.load_state_dict(job.share(model.state_dict()))


def resumed_learner(
    config: TrainConfig, job: Job, last: Path, facts: Mapping[str, Any]
) -> tuple[Learner, RunState]:
    """The model as the checkpoint `last` holds it, and how far its run had come; `facts` as for `load_last`.

    A run that ended for want of patience gets it anew.

    Raises:
        UsageError: the processes of the job find different checkpoints, or what `load_last` raises.
    """
    state, content = load_last(last, facts)
    step = job.share(state.step)
    if state.step != step:
        raise UsageError(
            f"rank {job.rank} finds a {last} of step {state.step}, and rank 0, which writes it, one of step {step}; "
            "machines that train together have to share the folder of the run"
        )
    if config.patience is not None and state.stale >= config.patience:
        state.stale = 0
    learner = Learner(_build(config, len(facts["class_names"])), config, job)
    learner.restore(content)
    return learner, state


def _build(config: TrainConfig, classes: int) -> YOLOX:
    """The model with weights of the seed, which leaves torch's generator as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build_model(config.model, classes)
