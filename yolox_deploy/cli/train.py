"""`yolox-deploy train`: a model learns a data set, and the command says how to export it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import (
    console,
    echo,
    is_quiet,
    parse_settings,
    parse_size,
    print_json,
    print_table,
)
from yolox_deploy.errors import UsageError, require

if TYPE_CHECKING:
    from yolox_deploy.training.config import TrainConfig
    from yolox_deploy.training.events import Callback, TrainResult
    from yolox_deploy.training.start import Prepared
    from yolox_deploy.training.trainer import Trainer

LOGGERS = ("mlflow", "wandb")

COMMAND = "from yolox_deploy.cli import main; main()"
"""What each process of `--devices N` runs, with the same arguments."""


def train_command(
    model: Annotated[
        str | None, typer.Option(help="Name in the zoo; not needed with [architecture] depth and width.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data set: COCO, VOC or YOLO text.")] = None,
    train_annotations: Annotated[
        Path | None, typer.Option(help="COCO JSON, folder of XML or text files, or list, by name.")
    ] = None,
    val_annotations: Annotated[
        Path | None, typer.Option(help="The same to evaluate on. [default: a part of the others]")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Their pictures. [default: near them]")] = None,
    val_images: Annotated[Path | None, typer.Option(help="Those to evaluate on. [default: --images]")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Checkpoint to start from; 'official' fetches COCO's. [default: none]")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="auto, paper or finetune: values that nobody states. [default: auto]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data. [default: the recipe's]")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Pictures a step, over all devices. [default: the recipe's]")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(help="Parts of a batch, for small memories.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes to train with, one a GPU.")] = 1,
    activation: Annotated[
        str | None, typer.Option(help="silu, lrelu or relu. [default: the model's]")
    ] = None,
    imgsz: options.InputSize = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16 or bf16. [default: by device]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:0, …")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that prepare pictures.")] = None,
    freeze_backbone: Annotated[
        bool, typer.Option("--freeze-backbone", help="Train the neck and the head alone.")
    ] = False,
    patience: Annotated[int | None, typer.Option(help="Evaluations to wait for a better AP.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/train]")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as augmentation.mosaic=0.5."),
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Keep the pictures in memory.")] = False,
    log: Annotated[
        list[str] | None, typer.Option(metavar="mlflow|wandb", help="Log the run there, too.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN|auto", help="Go on with the run in this folder; auto: in --out, if any."),
    ] = None,
    check_only: Annotated[bool, typer.Option("--check-only", help="Check the data set and end.")] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a model by the paper's recipe, or fine-tune it. Settings: the recipe, then --config, then options.

    Ctrl-C saves and ends; --resume goes on. A file `stop` in the run's folder ends it after the epoch.
    """
    options = {
        "model": model,
        "data": data,
        "train_annotations": train_annotations,
        "val_annotations": val_annotations,
        "images": images,
        "val_images": val_images,
        "weights": weights,
        "recipe": recipe,
        "epochs": epochs,
        "batch": batch,
        "accumulate": accumulate,
        "architecture.activation": activation,
        "imgsz": parse_size(imgsz),
        "precision": precision,
        "device": device,
        "workers": workers,
        "freeze_backbone": freeze_backbone or None,
        "cache": cache or None,
        "patience": patience,
        "seed": seed,
        "out": out,
    }
    for name in log or []:
        if name not in LOGGERS:
            raise UsageError(f"--log {name}: expected {' or '.join(LOGGERS)}")
    changes = _changes(config, settings or [], {name: v for name, v in options.items() if v is not None})
    if check_only and not resume:
        changes.setdefault("model", "yolox_s")  # any: the data set alone is looked at
        changes["recipe"] = "paper"
    loggers = _loggers(log or [])
    from yolox_deploy.training.start import prepare, resume_of

    prepared = prepare(
        changes,
        resume=resume_of(resume),
        check="pictures" if check_only else None,
        tell=tell,
        processes=devices,
    )
    if check_only and as_json:
        reports = zip(("train", "val"), prepared.reports, strict=True)
        print_json({name: asdict(report) for name, report in reports})
    prepared.require_sound()
    if check_only:
        return
    require("torch", "train")
    from yolox_deploy.training.distributed import run_processes

    if devices > 1 and "LOCAL_RANK" not in os.environ:  # which torchrun sets in the processes that it starts
        raise typer.Exit(run_processes(["-c", COMMAND, *sys.argv[1:]], devices, prepared.config.device))
    _train(prepared, loggers, as_json=as_json)


def _changes(config: Path | None, settings: list[str], options: dict[str, object]) -> dict[str, object]:
    """What is set by the file, then by --set, then by the other options; later ones win."""
    from yolox_deploy.training.recipes import load_toml

    changes = load_toml(config) if config else {}
    changes |= parse_settings(settings)
    return {**changes, **options}


def tell(text: str) -> None:
    """Print a line for people."""
    console().print(text, markup=False, soft_wrap=True)


def _loggers(names: list[str]) -> list[Callback]:
    """The callbacks that `--log` names, where this process tells of the run; their services have settings of their own.

    Raises:
        MissingExtraError: one is not installed.
    """
    from yolox_deploy.training import MlflowCallback, WandbCallback

    kinds: dict[str, Callable[[], Callback]] = dict(
        zip(LOGGERS, (MlflowCallback, WandbCallback), strict=True)
    )
    return [] if int(os.environ.get("RANK", 0)) else [kinds[name]() for name in names]


def _train(prepared: Prepared, loggers: list[Callback], *, as_json: bool) -> None:
    from yolox_deploy.host import keep_freed_memory
    from yolox_deploy.training.progress import RichProgress

    keep_freed_memory()
    shown = [] if is_quiet() else [RichProgress()]
    trainer = prepared.trainer([*shown, *loggers])
    is_main = trainer.job.is_main
    try:
        result = trainer.fit()
    except (KeyboardInterrupt, SystemExit):
        if is_main:
            echo(what_is_saved(trainer), err=True)
        raise
    if is_main:
        print_result(prepared.config, result, as_json)


def print_result(config: TrainConfig, result: TrainResult, as_json: bool) -> None:
    """The figures of the best epoch, and the commands to go on with."""
    if as_json:
        paths = {"best": str(result.best), "last": str(result.last)}
        counts = {"epochs": result.epochs, "best_epoch": result.best_epoch, "start_AP": result.start_ap}
        print_json({**result.figures, **paths, **counts})
        return
    what = "the untouched weights" if result.is_untouched else f"best of {result.epochs} epochs"
    if result.best_epoch:
        what += f": epoch {result.best_epoch}"
    title = f"{config.model} in {config.out}, {what}"
    print_table(tuple(result.figures), [[f"{value:.4f}" for value in result.figures.values()]], title)
    if result.is_untouched:
        echo(
            f"no epoch beat the weights it started from (AP {result.start_ap:.4f}): {result.best.name} is these, "
            "untouched"
        )
    elif result.start_ap is not None:
        echo(f"the weights it started from have AP {result.start_ap:.4f}")
    page = config.out / "report" / "index.html"
    if page.is_file():
        echo(f"what it finds and gets wrong: {page}")
    if result.epochs < config.epochs:
        echo(f"ended before epoch {config.epochs}; {_how_to_resume(config)}")
    size = "" if config.imgsz is None else " --imgsz {}x{}".format(*config.size)
    weights = shlex.quote(str(result.best))
    echo(f"export it with: yolox-deploy export {config.model} --weights {weights} --to onnx{size}")


def what_is_saved(trainer: Trainer) -> str:
    """What an interrupted run left."""
    checkpoints = trainer.checkpoints
    how = f"; {_how_to_resume(trainer.config)}" if checkpoints.saved_step is not None else ""
    return f"{checkpoints.saved}{how}"


def _how_to_resume(config: TrainConfig) -> str:
    return f"go on with: yolox-deploy train --resume {shlex.quote(str(config.out))}"
