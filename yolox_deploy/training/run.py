"""How a run starts, and what it keeps between its sessions: how far it has come, its checkpoints and weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.priors import load_priors
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.files import replacing
from yolox_deploy.models import build_model
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.config import DATA_OPTIONS, LATER_SETTINGS, TrainConfig
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.pretrained import load_pretrained
from yolox_deploy.training.restoring import FOLDED, is_folded, restore_batchnorm

WHERE = frozenset(
    ("accumulate", "cache", "device", "out", "precision", "report", "weights", "workers", *DATA_OPTIONS)
) - {"val_share"}
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
        best_ap: the highest AP so far, that of the weights it started from among them.
        best_epoch: which had it; 0 for those weights, None where version 0.1.0 found it.
        start_ap: the AP of those weights; None where it was not measured.
        own_ap: the highest AP of the run's own epochs. Patience goes by it: small sets seldom beat good weights
            at once, and a run under them still learns.
        stale: evaluations since then.
        figures: of the best evaluation.
    """

    epoch: int = 0
    step: int = 0
    best_ap: float = -math.inf
    best_epoch: int | None = None
    start_ap: float | None = None
    own_ap: float = -math.inf
    stale: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def note(self, epoch: int, figures: dict[str, float]) -> bool:
        """Take in the evaluation of `epoch`, 0 for the weights at the start; whether it is the best so far."""
        found = figures["AP"]
        if epoch == 0:
            self.start_ap = found
        else:
            self.stale = 0 if found > self.own_ap else self.stale + 1
            self.own_ap = max(self.own_ap, found)
        if found > self.best_ap:
            self.best_ap, self.best_epoch, self.figures = found, epoch, figures
            return True
        return False

    def is_impatient(self, patience: int | None) -> bool:
        """Whether so many evaluations, None for any number, brought the run nothing."""
        return patience is not None and self.stale >= patience

    def why_finished(self, config: TrainConfig) -> str:
        """What to say of a run that has nothing left to train."""
        why = f"it has its {self.epoch} epochs; more by --epochs"
        if self.is_impatient(config.patience):
            why = (
                f"{self.stale} evaluations brought no better AP; more by --patience, or --resume {config.out}"
            )
        return f"the run in {config.out} is finished: {why}"


def write_torch(path: Path, content: Mapping[str, Any]) -> None:
    """`torch.save` of a whole file; see `replacing`.

    Raises:
        OSError: it cannot be written, as when the disk is full.
    """
    # Into a file of Python's, whose errors are the system's; torch's own hides them where a part was written.
    with replacing(path) as part, part.open("wb") as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_last(path: Path, facts: Mapping[str, Any]) -> tuple[RunState, dict[str, Any]]:
    """Read the checkpoint that a run is to go on from.

    Args:
        facts: of the run now; `config`, `class_names` and `steps` (in an epoch) have to be those at `path`.

    Returns:
        The state, and the whole content for `Learner.restore`.

    Raises:
        CheckpointError: it cannot be read, or holds no state of a run.
        UsageError: it is of a run with other settings, classes or pictures; names all that differs.
    """
    content = safe_load(path)
    if isinstance(content, dict) and "best_ap" in content:
        content = {"best_epoch": None, "start_ap": None, "own_ap": content["best_ap"], **content}  # of 0.1.0
    names = [item.name for item in fields(RunState)]
    if not isinstance(content, dict) or not {*names, *facts, "raw", "optimizer"} <= content.keys():
        raise CheckpointError(
            f"{path} holds no state to resume from; to start a new run from its weights use --weights {path}"
        )
    now = {name: value for name, value in facts["config"].items() if name not in MAY_CHANGE}
    saved = {**LATER_SETTINGS, **content["config"]}
    pairs = {name: (saved.get(name), value) for name, value in now.items()}
    pairs |= {name: (content[name], facts[name]) for name in ("class_names", "steps")}
    differing = [
        f"{name} was {before!r} and is {value!r} now"
        for name, (before, value) in pairs.items()
        if before != value
    ]
    if differing:
        raise UsageError(
            f"{path} cannot be resumed: {', '.join(differing)}; restore that, go on by its own settings with --resume "
            f"{path.parent}, or start a new run with --weights {path}"
        )
    return RunState(**{name: content[name] for name in names}), content


def new_learner(
    config: TrainConfig, job: Job, train: DetectionDataset, tell: Callable[[str], None]
) -> Learner:
    """A model with random weights, or those that `config` names; `tell` is told what was taken of them.

    Raises:
        CheckpointError, InputError: the weights, the priors or a picture of `train` cannot be read.
    """
    model = _build(config, len(train.class_names))
    if config.weights is not None:
        names = train.class_names if config.match_classes else None
        for message in load_pretrained(model, config.weights, names):
            tell(message)
    if config.priors is not None:
        fitted = torch.from_numpy(load_priors(config.priors, config.size))
        model.load_state_dict({"head.priors": fitted}, strict=False)
    if config.weights is not None and is_folded(model.state_dict()):
        if config.restore_batchnorm:
            _restore_together(model, config, job, train, tell)
        else:
            tell(FOLDED)
    return Learner(model, config, job)


def _restore_together(
    model: YOLOX, config: TrainConfig, job: Job, train: DetectionDataset, tell: Callable[[str], None]
) -> None:
    """Measure in the main process, and give all the result: sums of another order would round otherwise."""
    if job.is_main:
        tell(restore_batchnorm(model, train, config.size, config.seed))
    model.load_state_dict(job.share(model.state_dict()))


def resumed_learner(
    config: TrainConfig, job: Job, last: Path, facts: Mapping[str, Any]
) -> tuple[Learner, RunState]:
    """The model as the checkpoint `last` holds it, and how far its run had come; `facts` as for `load_last`.

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
    learner = Learner(_build(config, len(facts["class_names"])), config, job)
    learner.restore(content)
    return learner, state


def _build(config: TrainConfig, classes: int) -> YOLOX:
    """The model with weights of the seed, which leaves torch's generator as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build_model(config.model, classes)
