"""MLflow: settings, losses and figures by epoch, checkpoints where they are wanted."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from yolox_deploy.errors import require
from yolox_deploy.training.callbacks.common import keep_id, metrics_of, read_id, settings_of
from yolox_deploy.training.events import EpochFinished, Evaluated, Event, RunFinished, RunStarted

RUN_FILE = "mlflow_run.txt"
PARAMS_IN_BATCH = 100
"""MLflow's own limit."""


class MlflowCallback:
    """Logs a run to MLflow: a server, or a local database without any connection.

    MLflow's own reports of usage are switched off for this process (`MLFLOW_DISABLE_TELEMETRY`, unless it is set),
    which works where nothing imported it before.

    Args:
        experiment: its name; made where it is missing.
        tracking_uri: "http://server:5000", "sqlite:///mlflow.db"; None for MLflow's own setting (MLFLOW_TRACKING_URI).
        name: of the run there; None for that of its folder.
        checkpoints: keep `best.pth` and `last.pth` as artefacts when the run ends.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(
        self,
        experiment: str = "yolox-deploy",
        *,
        tracking_uri: str | None = None,
        name: str | None = None,
        checkpoints: bool = False,
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read where it is imported
        self._mlflow: Any = require("mlflow", "mlflow")
        self._client = self._mlflow.MlflowClient(tracking_uri=tracking_uri)
        self._experiment, self._name, self._keeps_checkpoints = experiment, name, checkpoints
        self._run: str | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case EpochFinished() | Evaluated():
                self._log(metrics_of(event), event.epoch)
            case RunFinished():
                self._end(event)

    def _start(self, run: RunStarted) -> None:
        file = run.config.out / RUN_FILE
        self._run = read_id(file, run)
        if self._run is not None:
            self._client.set_terminated(self._run, "RUNNING")
            return
        found = self._client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self._experiment)
        created = self._client.create_run(experiment, run_name=self._name or run.config.out.name)
        self._run = str(created.info.run_id)
        keep_id(file, self._run)
        param = self._mlflow.entities.Param
        params = [param(name, value) for name, value in settings_of(run).items()]
        for first in range(0, len(params), PARAMS_IN_BATCH):
            self._client.log_batch(self._run, params=params[first : first + PARAMS_IN_BATCH])

    def _log(self, values: Mapping[str, float], epoch: int) -> None:
        now = int(1000 * time.time())
        metric = self._mlflow.entities.Metric
        self._client.log_batch(
            self._run, metrics=[metric(name, value, now, epoch) for name, value in values.items()]
        )

    def _end(self, event: RunFinished) -> None:
        if self._run is None:
            return
        if self._keeps_checkpoints:
            for path in (event.result.best, event.result.last):
                if path.is_file():
                    self._client.log_artifact(self._run, str(path))
        error = event.error
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        self._client.set_terminated(
            self._run, "FINISHED" if error is None else "KILLED" if stopped else "FAILED"
        )
        self._run = None
