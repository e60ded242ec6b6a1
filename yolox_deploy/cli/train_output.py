"""What `train` prints once a run ended or was interrupted."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from yolox_deploy.cli.common import print_json, print_table

if TYPE_CHECKING:
    from yolox_deploy.training.config import TrainConfig
    from yolox_deploy.training.trainer import Trainer, TrainResult


def print_result(config: TrainConfig, result: TrainResult, as_json: bool) -> None:
    """The figures of the best epoch, and the commands to go on with."""
    if as_json:
        paths = {"best": str(result.best), "last": str(result.last)}
        print_json({**result.figures, **paths, "epochs": result.epochs})
        return
    title = f"{config.model} in {config.out}, best of {result.epochs} epochs"
    print_table(tuple(result.figures), [[f"{value:.4f}" for value in result.figures.values()]], title)
    if result.epochs < config.epochs:
        typer.echo(f"ended before epoch {config.epochs}; {_how_to_resume(config)}")
    size = "" if config.imgsz is None else " --imgsz {}x{}".format(*config.size)
    weights = shlex.quote(str(result.best))
    typer.echo(f"export it with: yolox-deploy export {config.model} --weights {weights} --to onnx{size}")


def what_is_saved(trainer: Trainer) -> str:
    """What an interrupted run left."""
    if trainer.saved_step is None:
        return "nothing was saved"
    lost = trainer.state.step - trainer.saved_step
    what = f"{trainer.last} lacks the last {lost} steps" if lost else f"saved in {trainer.last}"
    return f"{what}; {_how_to_resume(trainer.config)}"


def _how_to_resume(config: TrainConfig) -> str:
    return f"go on with: yolox-deploy train --resume {shlex.quote(str(config.out))}"
