"""The way to a run, one for the command line and for Python: stated settings, data, the recipe, the trainer.

torch is loaded where a run is resumed or trained, so data can be checked without it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from yolox_deploy.data.opening import open_splits
from yolox_deploy.data.report import DatasetReport, raise_for_errors
from yolox_deploy.data.splits import Splits
from yolox_deploy.errors import CheckpointError, UsageError, require
from yolox_deploy.files import check_place
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.models.naming import get_config
from yolox_deploy.models.weights import fetch_weights
from yolox_deploy.training.config import DATA_OPTIONS, TrainConfig
from yolox_deploy.training.events import Callback, Evaluated, Event, Message, TrainResult
from yolox_deploy.training.planning import plan_run
from yolox_deploy.training.recipes import from_dict, load_toml, override, plan_stated, read_settings
from yolox_deploy.training.reports import RunReport
from yolox_deploy.training.splits import Check, check_data

if TYPE_CHECKING:
    from yolox_deploy.training.trainer import Trainer

OFFICIAL_WEIGHTS = "official"
STOP_FILE = "stop"
LOG = logging.getLogger("yolox_deploy")

Resume: TypeAlias = bool | Literal["auto"] | Path
"""Go on with the run in `out`, with it where there is one ("auto"), or with that of a folder by its own settings."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        config: all settings.
        data: the pictures, opened.
        reports: what a check of them found, none where they were not checked here.
        resume: as of `Trainer`.
    """

    config: TrainConfig
    data: Splits
    reports: tuple[DatasetReport, ...]
    resume: bool | Literal["auto"]

    def require_sound(self) -> None:
        """Stop where nothing could be learnt.

        Raises:
            InputError: a report holds errors.
        """
        raise_for_errors(*self.reports)

    def trainer(self, callbacks: Sequence[Callback]) -> Trainer:
        """The trainer of this run, which ends with a report; a file `stop` in its folder ends it after the epoch.

        Raises:
            YoloxDeployError: what `require_sound` and `Trainer` raise.
        """
        from yolox_deploy.training.trainer import Trainer

        self.require_sound()
        told: list[Callback] = [*callbacks, RunReport(self.config, self.data)]
        stop = _stop_request(self.config.out)
        return Trainer(self.config, callbacks=told, resume=self.resume, stop=stop, data=self.data)


def train(
    data: str | os.PathLike[str] | None,
    model: str | ModelConfig | None = "yolox_nano",
    *,
    weights: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    imgsz: int | tuple[int, int] | None = None,
    patience: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    cache: bool | None = None,
    seed: int | None = None,
    out: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    resume: bool | str | os.PathLike[str] = False,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    **settings: object,
) -> TrainResult:
    """Train a model on a data set, as `yolox-deploy train` does: the same settings, checks, recipe and files.

    Says nothing unless `progress` is asked for; what people should read goes to the logger `yolox_deploy` (INFO).

    Args:
        data: folder of a data set (COCO, VOC or YOLO text); None where settings say it otherwise.
        model: name in the zoo, or a configuration of your own.
        weights: checkpoint to start from; "official" fetches COCO's. None for random weights.
        epochs, batch, imgsz, patience, device, workers, cache, seed, out: see `TrainConfig`; None for the recipe's.
        config: TOML file with settings; those that are stated here win.
        resume: True to go on with the run in `out`, "auto" to do so where there is one, or the folder of a run to go
            on with by its own settings (`model` is its own then, too).
        callbacks: called with what happens, in the main process: see `yolox_deploy.training` for the events.
        progress: show it on standard error as the command does.
        settings: any other, by name: `learning_rate=0.02`, `augmentation={"mosaic": 0.5}`.

    Returns:
        The checkpoints and the figures of the best one.

    Raises:
        UsageError: no such setting, one that cannot work, or `out` holds a run and `resume` is not said.
        InputError: the data cannot be read or trained on; all that was found, in one message.
        CheckpointError: the weights or the checkpoint cannot be used.
        TrainingError: training cannot go on; a callback that raises ends it so, with the run saved.
    """
    named = {
        **{
            "data": data,
            "model": model,
            "weights": weights,
            "epochs": epochs,
            "batch": batch,
            "imgsz": imgsz,
        },
        **{
            "patience": patience,
            "device": device,
            "workers": workers,
            "cache": cache,
            "seed": seed,
            "out": out,
        },
    }
    stated = {name: value for name, value in named.items() if value is not None}
    changes = {**(load_toml(Path(config)) if config is not None else {}), **stated, **settings}
    goes_on = resume_of(resume)
    if isinstance(goes_on, Path):
        changes.pop("model", None)
    shown: list[Callback] = []
    if progress:
        from yolox_deploy.training.progress import RichProgress

        shown.append(RichProgress())
    told: list[Callback] = [_log, *shown, *callbacks]
    prepared = prepare(
        changes, resume=goes_on, tell=lambda text: [tell(Message(text)) for tell in (_log, *shown)]
    )
    return prepared.trainer(told).fit()


def resume_of(value: object) -> Resume:
    """`value` as an option, a keyword or a line of TOML has it: true, false, none, "auto", or the folder of a run."""
    if isinstance(value, bool) or value is None:
        return bool(value)
    text = str(value)
    if text in ("true", "false"):
        return text == "true"
    return "auto" if text == "auto" else Path(text)


def prepare(
    changes: Mapping[str, object],
    *,
    resume: Resume = False,
    check: Check | None = None,
    tell: Callable[[str], Any],
    processes: int = 1,
) -> Prepared:
    """Settle the settings, and open and check the data; nothing is written.

    Args:
        changes: stated settings, `model` and `data` among them.
        check: how far the data is looked at; None for as far as is left to do in this process.
        tell: told what is found of the data, and which recipe trains on it.
        processes: that will train together, where the environment does not name more.

    Raises:
        UsageError: settings that cannot work, or the folder of the run holds another.
        InputError: the data cannot be read, or cannot be trained on.
        CheckpointError: there is no run to go on with.
    """
    changes = dict(changes)
    goes_on = resume_of(changes.pop("resume", False)) or resume
    how_far = check or _left_to_check(goes_on)
    plan = None
    if isinstance(goes_on, Path):
        config, goes_on = _resumed_config(goes_on, changes), True
        data = open_splits(**config.data_options)
    else:
        model, folder, changes = _named(changes)
        stated = read_settings(changes)
        # What cannot work with any number of pictures is refused before they are looked for.
        out = plan_stated(model, folder, stated, 1, processes=processes).config.out
        check_place(out, "--out", folder=True)
        if not goes_on and check is None and (out / "last.pth").is_file():
            raise UsageError(
                f"{out} holds another run; go on with it by --resume {out}, or name another folder by --out"
            )
        where = {name: stated[name] for name in DATA_OPTIONS if name in stated}
        data = open_splits(**{"data": folder, **where})
        plan = plan_run(model, folder, data.train, processes, **changes)
        config = plan.config
    is_first = int(os.environ.get("RANK", 0)) == 0
    reports = check_data(config, data, how_far, tell if is_first else _ignore)
    prepared = Prepared(config, data, reports, goes_on)
    if plan is not None and is_first and check is None and how_far != "nothing":
        prepared.require_sound()
        for line in plan.to_lines():
            tell(line)
    return prepared


def _ignore(text: str) -> None:
    """What another process tells already."""


def _left_to_check(resume: Resume) -> Check:
    """Headers of pictures take a while: they are read once, before a new run and its processes."""
    if "LOCAL_RANK" not in os.environ:  # else torchrun started this process
        return "annotations" if resume is True or isinstance(resume, Path) else "pictures"
    from yolox_deploy.training.distributed import is_own_job

    return "nothing" if is_own_job() else "annotations"


def _named(changes: dict[str, Any]) -> tuple[str | ModelConfig | None, Path | None, dict[str, Any]]:
    """The model and the folder of the data set of a new run, and its other settings."""
    own = {"architecture.depth", "architecture.width"} <= changes.keys()
    found = {"model": own or "model" in changes, "data": {"data", "train_annotations"} & changes.keys()}
    missing = [f"--{name}" for name, is_there in found.items() if not is_there]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} not given; expected --model NAME (`yolox-deploy models` lists them) and "
            "--data FOLDER (or --train-annotations FILE), or --resume RUN"
        )
    model, data = changes.pop("model", None), changes.pop("data", None)
    if changes.get("weights") == OFFICIAL_WEIGHTS:
        if model is None:
            raise UsageError("--weights official needs the name of a model: --model NAME")
        changes["weights"] = fetch_weights(
            model if isinstance(model, ModelConfig) else get_config(str(model))
        )
    return model, None if data is None else Path(data), changes


def _resumed_config(run: Path, changes: Mapping[str, object]) -> TrainConfig:
    """The settings in the last checkpoint of `run`, a folder or that file, with changes."""
    require("torch", "train")
    from yolox_deploy.models.safe_load import safe_load

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
    if changes.get("recipe") == "auto":
        changes = {name: value for name, value in changes.items() if name != "recipe"}  # it is chosen
    return override(from_dict(saved), {**changes, "out": last.parent})


def _stop_request(folder: Path) -> Callable[[], bool]:
    """Whether somebody made the file `stop`; it is removed, so that the run can be resumed."""

    def found() -> bool:
        if not (folder / STOP_FILE).is_file():
            return False
        (folder / STOP_FILE).unlink()
        return True

    return found


def _log(event: Event) -> None:
    """Messages and figures for those who listen to the logger."""
    if isinstance(event, Message):
        LOG.info(event.text)
    elif isinstance(event, Evaluated):
        figures = "  ".join(f"{name} {value:.4f}" for name, value in event.figures.items())
        LOG.info("epoch %d: %s", event.epoch, figures)
