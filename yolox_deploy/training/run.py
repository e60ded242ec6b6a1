"""How a run starts, and what it keeps between its sessions: how far it has come, its checkpoints and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolox_deploy.data.checks import check_splits
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.opening import open_splits
from yolox_deploy.data.priors import load_priors
from yolox_deploy.data.report import raise_for_errors
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.files import replacing
from yolox_deploy.models import build_model, read_checkpoint
from yolox_deploy.models.diagnosis import why_unknown
from yolox_deploy.models.recognition import same_but_for_classes, shapes_of
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.config import DATA_OPTIONS, LATER_SETTINGS, TrainConfig
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.progress import Progress

WHERE = frozenset(("accumulate", "device", "out", "precision", "weights", "workers", *DATA_OPTIONS)) - {
    "val_share"
}
HOW_LONG = frozenset(("epochs", "eval_every", "patience"))
MAY_CHANGE = WHERE | HOW_LONG
"""Settings that a resumed run may have other values of: where and how long it runs, not what it learns."""


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


def load_pretrained(model: YOLOX, path: Path) -> list[str]:
    """Copy the weights at `path` into `model`; class predictors for another number of classes stay new.

    Returns:
        Sentences on what was copied and what to expect.

    Raises:
        CheckpointError: it cannot be read, or is of another model.
    """
    checkpoint = read_checkpoint(path)
    own, shapes, found = model.state_dict(), shapes_of(checkpoint.state_dict), checkpoint.model_name
    if not same_but_for_classes(shapes_of(own), shapes):
        why = f"it looks like {found}; train that with --model {found}." if found else why_unknown(shapes)
        raise CheckpointError(f"{path} does not fit {model.config.name}: {why}")
    fitting = {key: value for key, value in checkpoint.state_dict.items() if value.shape == own[key].shape}
    model.load_state_dict(fitting, strict=False)
    fresh = sorted(own.keys() - fitting.keys())
    messages = [f"{len(fitting)} of {len(own)} tensors come from {path}."]
    messages += [f"{path}: {note}." for note in checkpoint.notes]
    if checkpoint.is_legacy:
        messages.append(
            "They are from before YOLOX 0.1.1 (RGB, normalised) and learn to read BGR 0-255 first."
        )
    trained, now = checkpoint.config.activation if checkpoint.config else None, model.config.activation
    if checkpoint.is_recorded and trained != now:
        messages.append(
            f"They were trained with {trained} and go on with {now}; --activation {trained} keeps it."
        )
    if fresh:
        messages.append(
            f"It predicts {checkpoint.num_classes} classes and the data set has {model.num_classes}: "
            f"the class predictors start anew ({', '.join(fresh)})."
        )
    if _is_folded(fitting):
        messages.append(
            "BatchNorm of this checkpoint is folded into the convolutions: its statistics are lost and training "
            "finds them again, so expect a slower start."
        )
    return messages


def _is_folded(weights: Mapping[str, Tensor]) -> bool:
    """Whether all BatchNorm statistics are those of no data: mean 0, one variance."""
    means = [value for key, value in weights.items() if key.endswith("running_mean")]
    variances = torch.cat([value for key, value in weights.items() if key.endswith("running_var")])
    return not any(bool(mean.any()) for mean in means) and bool((variances == variances[0]).all())


def open_data(
    config: TrainConfig, progress: Progress, *, checked: bool
) -> tuple[DetectionDataset, DetectionDataset]:
    """The pictures to train on and those to evaluate on, with the same classes.

    What is not `checked` yet is checked as far as that is cheap (annotations, missing files) and reported on.

    Raises:
        InputError: they cannot be read or trained on.
    """
    train, val = open_splits(**config.data_options)
    if not checked:
        reports = check_splits(train, val, max_objects=config.augmentation.max_objects, pictures=False)
        for line in (line for report in reports for line in report.to_lines(errors=False)):
            progress.message(line)
        raise_for_errors(*reports)
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
