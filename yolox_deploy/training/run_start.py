"""How a run starts: the two parts of its data set, and its model, new or as a run before left it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from yolox_deploy.data.checks import check_splits, require_same_classes
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.data.priors import load_priors
from yolox_deploy.data.report import raise_for_errors
from yolox_deploy.errors import UsageError
from yolox_deploy.models import YOLOX, build_model
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.progress import Progress
from yolox_deploy.training.run import RunState, load_last, load_pretrained


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


def new_learner(config: TrainConfig, job: Job, classes: int, progress: Progress) -> Learner:
    """A model with random weights, or those that `config` names; `progress` is told what was taken of them."""
    model = _build(config, classes)
    if config.weights is not None:
        for message in load_pretrained(model, config.weights):
            progress.message(message)
    if config.priors is not None:
        fitted = torch.from_numpy(load_priors(config.priors, config.size))
        model.load_state_dict({"head.priors": fitted}, strict=False)
    return Learner(model, config, job)


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
