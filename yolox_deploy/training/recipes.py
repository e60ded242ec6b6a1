"""The settings of each model, and how they are changed: by a TOML file, by `KEY=VALUE`, from a checkpoint."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from yolox_deploy import records
from yolox_deploy.errors import UsageError, require
from yolox_deploy.models.zoo import SIZE_DIVISOR, get_config
from yolox_deploy.training.config import Augmentation, Range, TrainConfig

SETTINGS = records.FileKind("expected a TOML file of settings such as `epochs = 50`")
_GROUP = "augmentation."


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


def recipe(model: str, data: Path, **changes: object) -> TrainConfig:
    """The authors' settings for `model`, with `changes` made as by `override`.

    Raises:
        UsageError: no such model or setting, or a value that cannot work.
    """
    chosen = _RECIPES.get(get_config(model).name.partition("@")[0], _BASE)
    augmentation = Augmentation(chosen.mosaic, chosen.mosaic_scale, chosen.mixup)
    config = TrainConfig(model, data, multiscale=chosen.multiscale, augmentation=augmentation)
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
    hints = _hints()
    outer: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for name, value in _flatten(values).items():
        if name not in hints:
            raise _unknown(name, list(hints))
        try:
            converted = _convert(value, hints[name])
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{name} is {value!r}; expected {records.in_words(hints[name])}") from error
        (inner if name.startswith(_GROUP) else outer)[name.removeprefix(_GROUP)] = converted
    if "imgsz" in outer and config.multiscale is not None:
        height = (outer["imgsz"] or replace(config, imgsz=None).size)[0]
        sides = [round(side * height / config.size[0] / SIZE_DIVISOR) for side in config.multiscale]
        outer.setdefault("multiscale", tuple(max(side, 1) * SIZE_DIVISOR for side in sides))
    return replace(config, augmentation=replace(config.augmentation, **inner), **outer)


def load_toml(path: Path) -> dict[str, object]:
    """The settings in a TOML file, for `override`; those of the augmentation in a table `[augmentation]`.

    Raises:
        InputError: it cannot be read or is no TOML.
        MissingExtraError: Python 3.10 without tomli.
    """
    toml = importlib.import_module("tomllib") if sys.version_info >= (3, 11) else require("tomli", "train")
    return _flatten(records.read(path, SETTINGS, lambda content: toml.loads(content.decode())))


def from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """What `config.to_dict` made, as a `TrainConfig`; settings that are missing take the recipe's value.

    Raises:
        UsageError: the model or the data is not named, or what `override` raises.
    """
    missing = {"model", "data"} - values.keys()
    if missing:
        raise UsageError(f"the settings do not name {' and '.join(sorted(missing))}; expected both")
    return override(recipe(str(values["model"]), Path(values["data"])), values)


def _hints() -> dict[str, Any]:
    """The type of each setting by its dotted name."""
    hints = get_type_hints(TrainConfig)
    del hints["augmentation"]
    return hints | {_GROUP + name: hint for name, hint in get_type_hints(Augmentation).items()}


def _flatten(values: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        table = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(table, Mapping):
            flat.update({f"{name}.{inner}": item for inner, item in table.items()})
        else:
            flat[name] = value
    return flat


def _convert(value: Any, hint: Any) -> Any:
    """`value` as `hint`; ValueError, TypeError or KeyError where it is none."""
    options = get_args(hint)
    if type(None) in options:
        if value is None or value == "none":
            return None
        (hint,) = (option for option in options if option is not type(None))
    if get_origin(hint) is tuple:
        parts = re.split("[,x]", value) if isinstance(value, str) else value
        parts = list(parts) if isinstance(parts, list | tuple) else [parts]
        first, second = parts * 2 if len(parts) == 1 else parts
        return _convert(first, get_args(hint)[0]), _convert(second, get_args(hint)[0])
    if get_origin(hint) is Literal:
        return value
    if hint is bool:
        return {"true": True, "false": False}[str(value).lower()]
    if isinstance(value, bool) or (hint is int and isinstance(value, float)):
        raise ValueError(value)
    return hint(value)


def _unknown(name: str, known: list[str]) -> UsageError:
    short = {item.rpartition(".")[2]: item for item in known}
    close = difflib.get_close_matches(name.rpartition(".")[2], short, n=1)
    hint = f"; did you mean {short[close[0]]}?" if close else ""
    return UsageError(f"there is no setting called {name!r}; settings: {', '.join(known)}{hint}")
