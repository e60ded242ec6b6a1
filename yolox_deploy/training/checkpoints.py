"""How a run begins, and the two checkpoints that its main process writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.errors import CheckpointError, TrainingError
from yolox_deploy.models import get_config
from yolox_deploy.training.config import TrainConfig, to_dict
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.events import CheckpointSaved, TrainResult
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.run import RunState, new_learner, resumed_learner, write_torch

Resume: TypeAlias = bool | Literal["auto"]


class Checkpoints:
    """`best.pth`, the averaged weights with the highest AP, and `last.pth`, all that is needed to go on.

    Args:
        folder: of the run.
        learner, state: whose they are.
        facts: on the run, kept in both: model, class names, settings.
        writes: whether this process writes them.

    Attributes:
        saved_step: finished steps in `last`, None while nothing wrote it.
    """

    def __init__(
        self, folder: Path, learner: Learner, state: RunState, facts: Mapping[str, Any], *, writes: bool
    ) -> None:
        self.last, self.best = folder / "last.pth", folder / "best.pth"
        self._learner, self._state, self._facts, self._writes = learner, state, facts, writes
        self.saved_step: int | None = None

    def require_finite(self) -> None:
        """Stop before weights that are lost are evaluated or replace a sound checkpoint.

        Raises:
            TrainingError: a weight is NaN or infinite.
        """
        if not self._learner.is_finite():
            raise TrainingError(
                f"weights are NaN or infinite after step {self._state.step}; {self.last} was left as it was. "
                "Go on from it, or start anew with a lower learning rate"
            )

    def save_best(self) -> CheckpointSaved:
        """Write the weights that were just evaluated."""
        if self._writes:
            weights = self._learner.ema.model.state_dict()
            write_torch(self.best, {"model": weights, **asdict(self._state), **self._facts})
        return CheckpointSaved(self.best, self._state.epoch, self._state.step, is_best=True)

    def save_last(self) -> CheckpointSaved:
        """Write where the run is."""
        if self._writes:
            write_torch(self.last, {**self._learner.state(), **asdict(self._state), **self._facts})
            self.saved_step = self._state.step
        return CheckpointSaved(self.last, self._state.epoch, self._state.step, is_best=False)

    @property
    def saved(self) -> str:
        """What a run that ends here leaves, in words."""
        if self.saved_step is None:
            return "nothing was saved"
        lost = self._state.step - self.saved_step
        return f"{self.last} lacks the last {lost} steps" if lost else f"saved in {self.last}"

    def result(self) -> TrainResult:
        """How far the run came."""
        state = self._state
        return TrainResult(self.best, self.last, state.figures, state.epoch, state.best_epoch, state.start_ap)


class Beginning(NamedTuple):
    """What a run begins with; `resumed` tells whether it goes on from a checkpoint."""

    learner: Learner
    state: RunState
    checkpoints: Checkpoints
    resumed: bool


def begin(
    config: TrainConfig,
    job: Job,
    train: DetectionDataset,
    steps: int,
    resume: Resume,
    tell: Callable[[str], None],
) -> Beginning:
    """A new model, or the one in the last checkpoint of `config.out`.

    Args:
        train: the pictures to train on.
        steps: in an epoch.
        resume: as of `Trainer`.
        tell: told what was taken of weights.

    Raises:
        UsageError, CheckpointError: what the run is to begin with does not fit it, or cannot be read.
    """
    facts = {
        "model_name": config.model,
        "class_names": list(train.class_names),
        "config": to_dict(config),
        "steps": steps,
    }
    last = config.out / "last.pth"
    # One process decides for all: another machine may not see the folder, and says so when it resumes.
    resumed = bool(job.share(last.is_file())) if resume == "auto" else resume
    if resumed:
        try:
            learner, state = resumed_learner(config, job, last, facts)
        except CheckpointError as error:
            cure = ". To go on, put a sound one there; to begin anew, remove it" if last.is_file() else ""
            raise CheckpointError(f"{error}{cure}") from error
    else:
        learner, state = new_learner(config, job, train, tell), RunState()
    if resume is True and state.is_impatient(config.patience):
        state.stale = 0
    kept = {**facts, "architecture": get_config(config.model).record()}
    checkpoints = Checkpoints(config.out, learner, state, kept, writes=job.is_main)
    checkpoints.saved_step = state.step if resumed else None
    return Beginning(learner, state, checkpoints, resumed)
