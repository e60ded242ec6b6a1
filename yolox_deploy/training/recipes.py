"""The settings of each model, and how they are changed: by a TOML file, by `KEY=VALUE`, from a checkpoint."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from yolox_deploy import records
from yolox_deploy.errors import UsageError, require
from yolox_deploy.models.model_config import Architecture, ModelConfig
from yolox_deploy.models.naming import configured, get_config, named
from yolox_deploy.models.zoo import SIZE_DIVISOR
from yolox_deploy.settings import changed, flatten, typed
from yolox_deploy.training.config import DATA_OPTIONS, Augmentation, Range, TrainConfig
from yolox_deploy.training.renamed import refuse_old_names

SETTINGS = records.FileKind("expected a TOML file of settings such as `epochs = 50`")


class _Recipe(NamedTuple):
    mosaic: float
    mosaic_scale: Range
    mixup: float
    multiscale: tuple[int, int]


_RECIPES = {
    "yolox_nano": _Recipe(0.5, (0.5, 1.5), 0.0, (320, 640)),
    "yolox_tiny": _Recipe(1.0, (0.5, 1.5), 0.0, (320, 640)),
}
_BASE = _Recipe(1.0, (0.1, 2.0), 1.0, (480, 800))
"""All other models. The paper weakens YOLOX-S like Tiny; the released code does not."""


def recipe(model: str | ModelConfig | None, data: str | Path | None = None, **changes: object) -> TrainConfig:
    """The authors' settings for `model`, with `changes` made as by `override`.

    Args:
        model: name in the zoo or a configuration of your own; None where `changes` state a depth and a width.
        data: folder of the data set; None where `changes` name its annotations.
        changes: by name; those of the augmentation and the architecture in mappings, or by dotted names.

    Raises:
        UsageError: no such model or setting, or a value that cannot work.
    """
    refuse_old_names(flatten(changes))
    new = typed(TrainConfig, changes)
    named_model = get_config(model) if isinstance(model, str) else model and named(model)
    stated = Architecture(**{k.partition(".")[2]: v for k, v in new.items() if k.startswith("architecture.")})
    network = configured(named_model or None, stated)
    if network is None:
        raise UsageError("no model is named; expected one, or architecture.depth and architecture.width")
    chosen = next((found for name, found in _RECIPES.items() if network.name.startswith(name)), _BASE)
    augmentation = Augmentation(chosen.mosaic, chosen.mosaic_scale, chosen.mixup)
    where = {name: new[name] for name in DATA_OPTIONS if name in new}
    where |= {} if data is None else {"data": Path(data)}
    config = TrainConfig(network.name, **where, multiscale=chosen.multiscale, augmentation=augmentation)
    return override(config, changes)


def override(config: TrainConfig, values: Mapping[str, object]) -> TrainConfig:
    """`config` with some settings changed.

    Args:
        values: by name, those of the augmentation as "augmentation.mosaic" or in a mapping of their own. A
            value is of the setting's type or a text for it: "0.5", "true", "0.5,1.5", "480x640", "none".

    Another `imgsz` scales `multiscale` with it, unless that is given too.

    Raises:
        UsageError: no such setting (suggests one), or a value that cannot work.
    """
    refuse_old_names(flatten(values))
    new = typed(TrainConfig, values)
    if "imgsz" in new and config.multiscale is not None:
        height = (new["imgsz"] or replace(config, imgsz=None).size)[0]
        sides = [round(side * height / config.size[0] / SIZE_DIVISOR) for side in config.multiscale]
        new.setdefault("multiscale", tuple(max(side, 1) * SIZE_DIVISOR for side in sides))
    return changed(config, new)


def load_toml(path: Path) -> dict[str, object]:
    """The settings in a TOML file, for `override`; those of the augmentation in a table `[augmentation]`.

    Raises:
        InputError: it cannot be read or is no TOML.
        MissingExtraError: Python 3.10 without tomli.
    """
    toml = importlib.import_module("tomllib") if sys.version_info >= (3, 11) else require("tomli", "train")
    return flatten(records.read(path, SETTINGS, lambda content: toml.loads(content.decode())))


def from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """What `config.to_dict` made, as a `TrainConfig`; settings that are missing take the recipe's value.

    Raises:
        UsageError: the model or the data is not named, or what `override` raises.
    """
    named = {name for name in values if values[name] is not None}
    needed = {"model", "data"} if "train_annotations" not in named else {"model"}
    if missing := needed - named:
        raise UsageError(f"the settings do not name {' and '.join(sorted(missing))}; expected both")
    where = {name: values[name] for name in DATA_OPTIONS if name in named}
    return override(recipe(str(values["model"]), **where), values)
