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
from yolox_deploy.cli.common import console, parse_settings, parse_size, print_json, print_table
from yolox_deploy.errors import CheckpointError, UsageError, require
from yolox_deploy.models.naming import get_config

if TYPE_CHECKING:
    from yolox_deploy.training.config import TrainConfig
    from yolox_deploy.training.trainer import Trainer, TrainResult

OFFICIAL_WEIGHTS = "official"
STOP_FILE = "stop"

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
    epochs: options.Epochs = None,
    batch: Annotated[
        int | None, typer.Option(help="Pictures a step, over all devices. [default: 64]")
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
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    check_only: Annotated[bool, typer.Option("--check-only", help="Check the data set and end.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a model by the paper's recipe. Settings: the model's recipe, then --config, then options.

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
        "epochs": epochs,
        "batch": batch,
        "accumulate": accumulate,
        "architecture.activation": activation,
        "imgsz": parse_size(imgsz),
        "precision": precision,
        "device": device,
        "workers": workers,
        "freeze_backbone": freeze_backbone or None,
        "patience": patience,
        "seed": seed,
        "out": out,
    }
    changes = _changes(config, settings or [], {name: v for name, v in options.items() if v is not None})
    if check_only and not resume:
        changes.setdefault("model", "yolox_s")  # any: the data set alone is looked at
    chosen = _resumed_config(resume, changes) if resume else _new_config(changes)
    if not (resume or check_only) and (chosen.out / "last.pth").is_file():
        found = f"{chosen.out} holds another run"
        raise UsageError(f"{found}; go on with it by --resume {chosen.out}, or name another folder by --out")
    in_job = "LOCAL_RANK" in os.environ  # one of the processes that torchrun started
    if check_only or not in_job:
        check_data(chosen, headers=resume is None, as_json=check_only and as_json)
    if check_only:
        return
    require("torch", "train")
    from yolox_deploy.training.distributed import is_own_job, run_processes

    if devices > 1 and not in_job:
        raise typer.Exit(run_processes(["-c", COMMAND, *sys.argv[1:]], devices, chosen.device))
    _train(chosen, resume=resume is not None, as_json=as_json, checked=not in_job or is_own_job())


def _changes(config: Path | None, settings: list[str], options: dict[str, object]) -> dict[str, object]:
    """What is set by the file, then by --set, then by the other options; later ones win."""
    from yolox_deploy.training.recipes import load_toml

    changes = load_toml(config) if config else {}
    changes |= parse_settings(settings)
    return {**changes, **options}


def _new_config(changes: dict[str, object]) -> TrainConfig:
    from yolox_deploy.models.weights import fetch_weights
    from yolox_deploy.training.recipes import recipe

    own = {"architecture.depth", "architecture.width"} <= changes.keys()
    given = (
        changes.keys()
        | ({"model"} if own else set())
        | ({"data"} if "train_annotations" in changes else set())
    )
    missing = [f"--{name}" for name in ("model", "data") if name not in given]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} not given; expected --model NAME (`yolox-deploy models` lists them) and "
            "--data FOLDER (or --train-annotations FILE), or --resume RUN"
        )
    model, data = (_text(changes.pop(name, None)) for name in ("model", "data"))
    if changes.get("weights") == OFFICIAL_WEIGHTS:
        if model is None:
            raise UsageError("--weights official needs the name of a model: --model NAME")
        changes["weights"] = fetch_weights(get_config(model))
    return recipe(model, data, **changes)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _resumed_config(run: Path, changes: dict[str, object]) -> TrainConfig:
    """The settings in the last checkpoint of `run`, a folder or that file, with changes."""
    require("torch", "train")
    from yolox_deploy.models.safe_load import safe_load
    from yolox_deploy.training.recipes import from_dict, override

    last = run if run.suffix == ".pth" else run / "last.pth"
    if last.name != "last.pth":
        raise UsageError(f"a run is resumed from its last.pth; found {run}, which --weights can start from")
    if int(os.environ.get("RANK", 0)) and not last.is_file():
        found = f"rank {os.environ['RANK']} finds no {last}"
        raise UsageError(f"{found}; machines that train together have to share the folder of the run")
    content = safe_load(last)
    saved = content.get("config") if isinstance(content, dict) else None
    if not isinstance(saved, dict):
        raise CheckpointError(f"{last} holds no settings; start a new run from it with --weights {last}")
    return override(from_dict(saved), {**changes, "out": last.parent})


def check_data(config: TrainConfig, *, headers: bool, as_json: bool = False) -> None:
    """Print what is found of a data set, before any time is spent on it; stop where training would."""
    from yolox_deploy.data.checks import check_splits
    from yolox_deploy.data.opening import open_splits
    from yolox_deploy.data.report import raise_for_errors

    train, val = open_splits(**config.data_options)
    reports = check_splits(train, val, max_objects=config.augmentation.max_objects, pictures=headers)
    for line in (line for report in reports for line in report.to_lines(errors=False)):
        console().print(line, markup=False, soft_wrap=True)
    if as_json:
        print_json({name: asdict(report) for name, report in zip(("train", "val"), reports, strict=True)})
    raise_for_errors(*reports)


def _train(config: TrainConfig, *, resume: bool, as_json: bool, checked: bool) -> None:
    from yolox_deploy.host import keep_freed_memory
    from yolox_deploy.training.progress import RichProgress
    from yolox_deploy.training.trainer import Trainer

    keep_freed_memory()
    stop = _stop_request(config.out)
    trainer = Trainer(config, progress=RichProgress(), resume=resume, stop=stop, checked=checked)
    is_main = trainer.job.is_main
    try:
        result = trainer.fit()
    except (KeyboardInterrupt, SystemExit):
        if is_main:
            typer.echo(what_is_saved(trainer), err=True)
        raise
    if is_main:
        print_result(config, result, as_json)


def _stop_request(folder: Path) -> Callable[[], bool]:
    """Whether somebody made the file `stop`; it is removed, so that the run can be resumed."""

    def found() -> bool:
        if not (folder / STOP_FILE).is_file():
            return False
        (folder / STOP_FILE).unlink()
        return True

    return found


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
