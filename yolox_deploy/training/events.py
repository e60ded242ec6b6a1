"""What happens in a run, as values: a callback is any callable that takes one of them.

Epochs and steps count what is finished: epoch 1 is the first one, step 1 the first optimiser step, and epoch 0 the
model before any. Callbacks are called in the main process of a job alone, between two steps, in the order in which
they were given; they see no half-made state, and what they take long for, the training waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from yolox_deploy.errors import TrainingError
from yolox_deploy.files import is_full
from yolox_deploy.training.config import TrainConfig


@dataclass(frozen=True)
class TrainResult:
    """How a run ended, or how far it came.

    Attributes:
        best: the checkpoint with the highest AP.
        last: all that is needed to go on.
        figures: those of `best`: `AP`, `AP50`, `AP75`, `APs`, `APm`, `APl` (0-1; -1 where there is no such object).
        epochs: finished ones.
        best_epoch: of `best`; 0 for the untouched weights that the run started from, None where a run that
            version 0.1.0 began found it.
        start_ap: AP of those weights; None for a run from random ones, or where it was not measured.
    """

    best: Path
    last: Path
    figures: dict[str, float]
    epochs: int
    best_epoch: int | None = None
    start_ap: float | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether no epoch beat the weights that the run started from: `best` is these."""
        return self.best_epoch == 0


@dataclass(frozen=True)
class Message:
    """Something that people should read; may come before `RunStarted`."""

    text: str


@dataclass(frozen=True)
class RunStarted:
    """The first step, or the evaluation before it, comes next.

    Attributes:
        config: all settings.
        class_names: those of the data set.
        pictures, val_pictures: to train on, to evaluate on.
        steps: in an epoch.
        losses: names of those that `StepFinished` tells.
        epoch, step: finished ones: above 0 where a run goes on.
        resumed: it goes on from a checkpoint.
    """

    config: TrainConfig
    class_names: tuple[str, ...]
    pictures: int
    val_pictures: int
    steps: int
    losses: tuple[str, ...]
    epoch: int = 0
    step: int = 0
    resumed: bool = False


@dataclass(frozen=True)
class StepFinished:
    """The losses were looked at: after each step on a CPU, after each tenth on a GPU, where a look waits.

    Attributes:
        epoch: that the step belongs to.
        step: finished ones of the whole run.
        losses: means over the steps since the last look.
        rate: learning rate of the step.
    """

    epoch: int
    step: int
    losses: Mapping[str, float]
    rate: float


@dataclass(frozen=True)
class EpochFinished:
    """The last step of an epoch is done; its evaluation, where it has one, and its checkpoint come next.

    Attributes:
        losses: means over its steps in this session; nothing where an earlier one made them all.
        rate: learning rate of its last step.
        seconds: that its steps in this session took.
    """

    epoch: int
    step: int
    losses: Mapping[str, float]
    rate: float
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The averaged weights were evaluated.

    Attributes:
        epoch: finished ones; 0 for the untouched weights that the run starts from.
        figures: as in `TrainResult`.
        is_best: the AP is the highest so far, so `best` is written next.
        pictures: what was found in the first pictures, drawn beside the truth.
    """

    epoch: int
    step: int
    figures: Mapping[str, float]
    is_best: bool
    pictures: Path


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint lies at `path`, whole; `is_best` tells `best` from `last`."""

    path: Path
    epoch: int
    step: int
    is_best: bool


@dataclass(frozen=True)
class RunFinished:
    """The last event of a run that started, however it ended.

    Attributes:
        result: what it reached.
        error: that ended it, KeyboardInterrupt and SystemExit among them; None where it ended well.
    """

    result: TrainResult
    error: BaseException | None = None


Event: TypeAlias = (
    Message | RunStarted | StepFinished | EpochFinished | Evaluated | CheckpointSaved | RunFinished
)
Callback: TypeAlias = Callable[[Event], None]


class CallbackError(TrainingError):
    """A callback raised; `__cause__` is what."""


class Callbacks:
    """Who is told of a run: its own log first, whose errors are the run's own, then callbacks in their order."""

    def __init__(self, log: Callback | None = None, callbacks: Sequence[Callback] = ()) -> None:
        self._log, self._callbacks = log, tuple(callbacks)

    def message(self, text: str) -> None:
        """Tell people something; raises as `tell`."""
        self.tell(Message(text))

    def tell(self, event: Event) -> None:
        """Call each with `event`.

        Raises:
            CallbackError: one of them raised; names it.
            OSError: the disk is full, whoever finds it out.
        """
        if self._log is not None:
            self._log(event)
        for callback in self._callbacks:
            _call(callback, event)

    def tell_end(self, event: RunFinished) -> None:
        """Call each with the last event, also after one that raises.

        Raises:
            CallbackError: the first error of theirs, where nothing else ended the run.
        """
        if self._log is not None:
            self._log(event)
        failed: CallbackError | OSError | None = None
        for callback in self._callbacks:
            try:
                _call(callback, event)
            except (CallbackError, OSError) as error:
                failed = failed or error
        if failed is not None and event.error is None:
            raise failed


def _call(callback: Callback, event: Event) -> None:
    try:
        callback(event)
    except Exception as error:
        if isinstance(error, OSError) and is_full(error):
            raise
        name = getattr(callback, "__name__", type(callback).__name__)
        raise CallbackError(
            f"the callback {name} raised {type(error).__name__} at {type(event).__name__}: {error}"
        ) from error
