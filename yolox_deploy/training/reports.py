"""What a run leaves for people to look at: `labels.png` before the first step, the folder `report` after the last."""

from __future__ import annotations

import warnings

from yolox_deploy.data.labels import draw_labels
from yolox_deploy.data.splits import Splits
from yolox_deploy.errors import MissingExtraError, YoloxDeployError, require
from yolox_deploy.evaluation.running import evaluate
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.events import Event, RunFinished, RunStarted

LABELS, FOLDER = "labels.png", "report"


class RunReport:
    """A callback that draws what there is to learn, and at the end writes what `best` finds and gets wrong.

    Without matplotlib it does neither; the run's log tells that (`RunLog.without_curves`).

    Args:
        data: of the run.
    """

    def __init__(self, config: TrainConfig, data: Splits) -> None:
        self._config, self._data = config, data

    def __call__(self, event: Event) -> None:
        if not self._config.report or not isinstance(event, RunStarted | RunFinished):
            return
        try:
            require("matplotlib", "train")
        except MissingExtraError:
            return
        out, val = self._config.out, self._data.val
        if isinstance(event, RunStarted):
            if not event.resumed:
                draw_labels(self._data.train, out / LABELS, self._config.size)
        elif event.error is None and event.result.best.is_file():
            try:
                evaluate(event.result.best, val).save(out / FOLDER)
            except YoloxDeployError as failure:  # the run is whole without it
                warnings.warn(f"there is no report of {event.result.best}: {failure}", stacklevel=2)
