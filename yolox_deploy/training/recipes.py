"""The settings of each model and run, and how they are changed: by a TOML file, by `KEY=VALUE`, from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from yolox_deploy import records
from yolox_deploy.documents import parse_toml
from yolox_deploy.errors import UsageError
from yolox_deploy.models.model_config import Architecture, ModelConfig
from yolox_deploy.models.naming import configured, get_config, named
from yolox_deploy.models.zoo import SIZE_DIVISOR
from yolox_deploy.settings import changed, flatten, text, typed
from yolox_deploy.training.config import DATA_OPTIONS, LATER_SETTINGS, Augmentation, Range, TrainConfig
from yolox_deploy.training.finetuning import choose_recipe, tuned_settings
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


TOLD = (
    ("epochs", "batch", "warmup_epochs", "plain_epochs", "eval_every"),
    ("optimizer", "learning_rate", "scale_rate", "weight_decay", "ema_decay", "ema_ramp"),
    ("freeze_backbone", "freeze_neck", "backbone_rate", "neck_rate", "batchnorm"),
    ("multiscale", "augmentation.mosaic", "augmentation.mosaic_scale", "augmentation.mixup"),
)
"""Settings in which recipes differ, a line of what people are told each: run, steps, network, pictures."""


@dataclass(frozen=True)
class Plan:
    """How a run is to be trained, and why so.

    Attributes:
        config: its `recipe` is "paper" or "finetune".
        reason: for that recipe.
        values: of `TOLD`, as the run has them.
        stated: names of the settings that a person chose.
    """

    config: TrainConfig
    reason: str
    values: Mapping[str, object]
    stated: frozenset[str]

    def to_lines(self) -> list[str]:
        """What people are told before the run: the recipe, its values, and how to have others."""
        said = (
            ", ".join(
                f"{name}={text(self.values[name])}{' (stated)' if name in self.stated else ''}"
                for name in names
            )
            for names in TOLD
        )
        other = "finetune" if self.config.recipe == "paper" else "paper"
        cure = "change any by --set NAME=VALUE"
        if self.config.weights is not None:
            cure += f", all by --recipe {other}"
        return [f"recipe {self.config.recipe}: {self.reason}", *(f"  {line}" for line in said), f"  {cure}"]


def plan(
    model: str | ModelConfig | None,
    data: str | Path | None,
    pictures: int,
    known: float | None = None,
    *,
    own: bool = False,
    processes: int = 1,
    **changes: object,
) -> Plan:
    """The settings for `model` by the recipe that suits the run, with `changes`, which always win.

    That is fine-tuning where the run starts from weights and its stated epochs are few steps, or where no epochs are
    stated and it has few pictures; else the paper's (see `finetuning`). `recipe="paper"` or "finetune" decides it.

    Args:
        model, data, changes: as for `recipe`.
        pictures: to train on.
        known: share of the classes that the weights know, 0 to 1 (see `pretrained.known_classes`); None counts as 0.
        own: the weights were trained on these classes and no others.
        processes: that train together.

    Raises:
        UsageError: what `recipe` raises, or fine-tuning without weights.
    """
    stated = read_settings(changes)
    return plan_stated(model, data, stated, pictures, known, own=own, processes=processes)


def plan_stated(
    model: str | ModelConfig | None,
    data: str | Path | None,
    stated: Mapping[str, Any],
    pictures: int,
    known: float | None = None,
    *,
    own: bool = False,
    processes: int = 1,
) -> Plan:
    """`plan` for settings as `read_settings` gives them."""
    name, reason = choose_recipe(stated, pictures)
    settings = stated
    if name == "finetune":
        tuned = tuned_settings(stated, pictures, known=known, own=own, processes=processes)
        settings = {**tuned, **stated}
        if known is not None:
            share = "all" if known >= 1 else f"{known:.0%}"
            reason += (
                f"; {share} of its classes are known to the weights{', which know no others' if own else ''}"
            )
        if settings.get("batchnorm") == "frozen" and not {"batchnorm", "learning_rate"} & stated.keys():
            reason += ", so they change slowly (learning_rate=0.001 and batchnorm=train let them learn more)"
    config = _paper(model, data, {**settings, "recipe": name})
    found = flatten(asdict(config)) | {"warmup_epochs": config.warmup, "plain_epochs": config.flat}
    return Plan(config, reason, {key: found[key] for names in TOLD for key in names}, frozenset(stated))


def read_settings(changes: Mapping[str, object]) -> dict[str, Any]:
    """`changes` by dotted name, each as the type of its setting.

    Raises:
        UsageError: no such setting (suggests one, or tells the name of the authors'), or no value of it.
    """
    refuse_old_names(flatten(changes))
    return typed(TrainConfig, changes)


def recipe(model: str | ModelConfig | None, data: str | Path | None = None, **changes: object) -> TrainConfig:
    """The authors' settings for `model`, with `changes` made as by `override`; `plan` chooses among recipes.

    Args:
        model: name in the zoo or a configuration of your own; None where `changes` state a depth and a width.
        data: folder of the data set; None where `changes` name its annotations.
        changes: by name; those of the augmentation and the architecture in mappings, or by dotted names.

    Raises:
        UsageError: no such model or setting, or a value that cannot work.
    """
    if changes.get("recipe", "paper") != "paper":
        raise UsageError(f"the recipe {changes['recipe']} is for plan(); recipe() gives the paper's")
    return _paper(model, data, {**changes, "recipe": "paper"})


def _paper(
    model: str | ModelConfig | None, data: str | Path | None, changes: Mapping[str, object]
) -> TrainConfig:
    """The authors' settings with changes, whatever `changes` call their recipe."""
    new = read_settings(changes)
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
    new = read_settings(values)
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
    return flatten(records.read(path, SETTINGS, parse_toml))


def from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """What `config.to_dict` made, as a `TrainConfig`; what is missing is as in runs from before it was a setting.

    Raises:
        UsageError: the model or the data is not named, or what `override` raises.
    """
    named = {name for name in values if values[name] is not None}
    needed = {"model", "data"} if "train_annotations" not in named else {"model"}
    if missing := needed - named:
        raise UsageError(f"the settings do not name {' and '.join(sorted(missing))}; expected both")
    where = {name: values[name] for name in DATA_OPTIONS if name in named}
    return override(recipe(str(values["model"]), **where), {**LATER_SETTINGS, **values})
