"""Weights & Biases: settings, losses and figures by epoch, checkpoints where they are wanted."""

from __future__ import annotations

import os
from typing import Any

from yolox_deploy.errors import require
from yolox_deploy.training.callbacks.common import keep_id, metrics_of, read_id, settings_of
from yolox_deploy.training.events import EpochFinished, Evaluated, Event, RunFinished, RunStarted

RUN_FILE = "wandb_run.txt"


class WandbCallback:
    """Logs a run to Weights & Biases, or with `mode="offline"` to files that `wandb sync` sends later.

    Its own reports of errors and usage are switched off for this process (`WANDB_ERROR_REPORTING`, unless it is set);
    nothing is sent but the settings, losses and figures: no console, no code, no state of git, none of the machine.

    Args:
        project: its name.
        name: of the run there; None for that of its folder.
        checkpoints: keep `best.pth` as an artefact when the run ends.
        options: more of `wandb.init`, such as `mode="offline"`, `entity=`, `dir=`.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(
        self,
        project: str = "yolox-deploy",
        *,
        name: str | None = None,
        checkpoints: bool = False,
        **options: Any,
    ) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read where its service process starts
        self._wandb: Any = require("wandb", "wandb")
        self._project, self._name, self._keeps_checkpoints = project, name, checkpoints
        self._options = options
        self._run: Any = None

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case EpochFinished() | Evaluated():
                self._run.log(metrics_of(event), step=event.epoch)
            case RunFinished():
                self._end(event)

    def _start(self, run: RunStarted) -> None:
        file = run.config.out / RUN_FILE
        earlier = read_id(file, run)
        own = {
            **{"console": "off", "silent": True, "disable_git": True, "disable_code": True},
            **{"x_disable_meta": True, "x_disable_stats": True, "x_disable_machine_info": True},
            **{"x_save_requirements": False},
        }
        known = {name: value for name, value in own.items() if name in self._wandb.Settings.model_fields}
        options = {
            "project": self._project,
            "name": self._name or run.config.out.name,
            "config": settings_of(run),
            "dir": str(run.config.out),
            **({"id": earlier, "resume": "allow"} if earlier else {}),
            **self._options,
        }
        self._run = self._wandb.init(settings=self._wandb.Settings(**known), **options)
        keep_id(file, self._run.id)

    def _end(self, event: RunFinished) -> None:
        if self._run is None:
            return
        if self._keeps_checkpoints and event.result.best.is_file():
            artifact = self._wandb.Artifact(f"model-{self._run.id}", type="model")
            artifact.add_file(str(event.result.best))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=0 if event.error is None else 1)
        self._run = None
