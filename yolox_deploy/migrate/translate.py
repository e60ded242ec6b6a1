"""From what an Exp says to settings of ours: each setting of the authors whose effect differs from the recipe's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from yolox_deploy.errors import InputError, UsageError, translating
from yolox_deploy.migrate.data_set import DataSet, read_data_set
from yolox_deploy.migrate.exp_file import DEFAULTS, Exp, read_exp
from yolox_deploy.migrate.leftovers import Leftover
from yolox_deploy.migrate.modules import CURE
from yolox_deploy.migrate.network import Network, read_network
from yolox_deploy.migrate.own_code import read_own_code
from yolox_deploy.models.zoo import SIZE_DIVISOR
from yolox_deploy.settings import flatten
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.recipes import override, recipe
from yolox_deploy.training.renamed import MEGVII_SETTINGS

EMA_DECAY = 0.9998
REFERENCE_BATCH = 64
COMMENTS = {
    "imgsz": "height, width",
    "last_phase": "the authors close mosaic one epoch before no_aug_epochs",
    "multiscale": "least and greatest height, in pixels",
    "learning_rate": "basic_lr_per_img × 64: for 64 pictures a step",
    "augmentation.hsv": "half of hsv_prob: of each of three shifts",
}
FIXED = {"warmup_lr": 0, "min_lr_ratio": 0.05, "scheduler": "yoloxwarmcos", "perspective": 0}
"""What is always so here."""


@dataclass(frozen=True)
class Migration:
    """An Exp in our terms.

    Attributes:
        exp: what was read.
        network, data_set: of it.
        settings: ours by dotted name, for `recipe` or TOML; the model and the data are among them.
        export_size: (height, width) of evaluation and of exported files.
        leftovers: what is not carried over.
        legacy: whether its checkpoints expect RGB, normalised, as before YOLOX 0.1.1.
    """

    exp: Exp
    network: Network
    data_set: DataSet
    settings: dict[str, Any]
    export_size: tuple[int, int]
    leftovers: list[Leftover]
    legacy: bool


class _Rule(NamedTuple):
    """How a setting of ours follows from theirs; `convert` takes the values of `old`, () for one that is not set."""

    new: str
    old: tuple[str, ...]
    convert: Callable[..., Any] = lambda value: value


def _rounded(size: Any) -> tuple[int, int]:
    """The nearest (height, width) that a network takes."""
    height, width = (max(round(side / SIZE_DIVISOR), 1) * SIZE_DIVISOR for side in size)
    return height, width


def _multiscale(size: Any, span: Any, explicit: Any) -> Any:
    """Least and greatest height of training; "none" for a single size."""
    units = size[0] // SIZE_DIVISOR
    low, high = (units - span, units + span) if explicit == () else explicit or (units, units)
    return "none" if low == high == units else (low * SIZE_DIVISOR, high * SIZE_DIVISOR)


_RULES = (
    _Rule("epochs", ("max_epoch",)),
    _Rule("imgsz", ("input_size",), _rounded),
    _Rule("multiscale", ("input_size", "multiscale_range", "random_size"), _multiscale),
    _Rule("learning_rate", ("basic_lr_per_img",), lambda rate: rate * REFERENCE_BATCH),
    _Rule("momentum", ("momentum",)),
    _Rule("weight_decay", ("weight_decay",)),
    _Rule("ema_decay", ("ema",), lambda ema: EMA_DECAY if ema else 0.0),
    _Rule("eval_every", ("eval_interval",)),
    _Rule("augmentation.mosaic", ("mosaic_prob",)),
    _Rule("augmentation.mosaic_scale", ("mosaic_scale",)),
    _Rule(
        "augmentation.mixup", ("enable_mixup", "mixup_prob"), lambda enabled, share: share if enabled else 0.0
    ),
    _Rule("augmentation.mixup_scale", ("mixup_scale",)),
    _Rule("augmentation.degrees", ("degrees",)),
    _Rule("augmentation.shear", ("shear",)),
    _Rule("augmentation.translate", ("translate",)),
    _Rule("augmentation.hsv", ("hsv_prob",), lambda share: share / 2),
    _Rule("augmentation.flip", ("flip_prob",)),
    _Rule("augmentation.max_objects", ("max_labels",)),
)
_WHERE_SET = (
    _Rule("workers", ("data_num_workers",)),
    _Rule("seed", ("seed",)),
    _Rule("batch", ("batch_size",)),
)
"""Carried over where an Exp sets them: two do not change what is learnt, the third is no name of the authors."""


def migrate(path: Path) -> Migration:
    """Read an Exp file, without running it, as settings of ours.

    Raises:
        InputError: it cannot be read, is no Python, or holds no Exp.
    """
    with translating(InputError, f"{path} cannot be read as an Exp", CURE):
        return _migrated(path)


def _migrated(path: Path) -> Migration:
    exp = read_exp(path)
    network, data_set, code = read_network(exp), read_data_set(exp), read_own_code(exp)
    leftovers = [*network.leftovers, *data_set.leftovers, *code.leftovers]
    base = recipe(network.model, Path())
    found = _converted(exp, code.values, base, leftovers)
    found |= _schedule(exp, found["epochs"], leftovers)
    settings: dict[str, Any] = {"model": network.model, **data_set.settings, "out": f"runs/{exp.name}"}
    settings |= {"recipe": base.recipe, "epochs": found["epochs"], "last_phase": "release"}
    settings |= _differing(found, base)
    settings |= {f"architecture.{name}": value for name, value in network.architecture.items()}
    size = _export_size(exp, found["imgsz"], leftovers)
    leftovers += _fixed(exp)
    leftovers.sort(key=lambda item: (item.place.path != path, item.place.line) if item.place else (False, 0))
    return Migration(exp, network, data_set, settings, size, leftovers, code.legacy)


def _converted(
    exp: Exp, values: Mapping[str, Any], base: TrainConfig, leftovers: list[Leftover]
) -> dict[str, Any]:
    """Our value of each rule; that of the authors' default where theirs cannot work here."""
    found = {}
    set_ = [rule for rule in _WHERE_SET if rule.old[0] in exp.places and values[rule.old[0]] is not None]
    for rule in (*_RULES, *set_):
        old = {name: values[name] for name in rule.old if name in values}
        try:
            found[rule.new] = _ours(rule, old, base)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            found[rule.new] = _fallback(rule, old, base)
            what = ", ".join(f"{name} = {value!r}" for name, value in old.items())
            reason = f" ({error})" if isinstance(error, UsageError) else ""
            place = next((exp.places[name] for name in reversed(rule.old) if name in exp.places), None)
            cure = f"it does not work here{reason}; {rule.new} {found[rule.new]} is taken"
            leftovers.append(Leftover(place, what, cure))
    sizes = tuple(values["input_size"]) if isinstance(values["input_size"], tuple | list) else ()
    if len(sizes) == 2 and found["imgsz"] != sizes:
        cure = f"sides are multiples of {SIZE_DIVISOR}: {found['imgsz']} is taken"
        leftovers.append(Leftover(exp.places.get("input_size"), f"input_size {sizes}", cure))
    return found


def _ours(rule: _Rule, old: Mapping[str, Any], base: TrainConfig) -> Any:
    """What a rule makes of their values; raises where that cannot work."""
    value = rule.convert(*(old.get(name, ()) for name in rule.old))
    return _effective(override(base, {rule.new: value}))[rule.new]


def _fallback(rule: _Rule, old: Mapping[str, Any], base: TrainConfig) -> Any:
    """With the authors' defaults for all values but the first, else for all, else the recipe's."""
    defaults = {name: DEFAULTS[name] for name in rule.old if name in DEFAULTS}
    for values in (defaults | dict(list(old.items())[:1]), defaults):
        with suppress(TypeError, ValueError, LookupError, ArithmeticError):
            return _ours(rule, values, base)
    return _effective(base)[rule.new]


def _effective(config: TrainConfig) -> dict[str, Any]:
    """The settings of a run by dotted name, with what stands for None where that follows from others."""
    own = {"imgsz": config.size, "plain_epochs": config.flat, "warmup_epochs": config.warmup}
    return flatten(asdict(config)) | own


def _differing(found: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
    """What has to be said to get `found` from the recipe; None as the text "none", which TOML can hold."""
    usual = _effective(replace(base, epochs=found["epochs"], plain_epochs=0, warmup_epochs=0))
    short = replace(base, epochs=found["epochs"])
    usual |= {"plain_epochs": short.flat, "warmup_epochs": short.warmup}
    if found["imgsz"] != usual["imgsz"]:
        del usual["multiscale"]  # another size would scale it
    differing = {name: value for name, value in found.items() if value != usual.get(name, ())}
    return {name: "none" if value is None else value for name, value in differing.items()}


def _schedule(exp: Exp, epochs: int, leftovers: list[Leftover]) -> dict[str, Any]:
    """`plain_epochs` and `warmup_epochs`, made to fit into the run as the authors' trainer would."""
    plain, warmup = exp.values["no_aug_epochs"], exp.values["warmup_epochs"]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (plain, warmup)):
        leftovers.append(
            Leftover(exp.places.get("no_aug_epochs"), "epochs that are no numbers", "15 and 5 are taken")
        )
        plain, warmup = DEFAULTS["no_aug_epochs"], DEFAULTS["warmup_epochs"]
    plain, warmup = max(int(plain), 0), max(warmup, 0)
    if plain >= epochs:
        what = (
            f"no_aug_epochs {plain} of {epochs} epochs: the authors' trainer then never uses mosaic or MixUp"
        )
        cure = "so it is here; without both plain_epochs and warmup_epochs, 15 % and 5 % of a short run are taken"
        leftovers.append(Leftover(exp.places.get("no_aug_epochs") or exp.places.get("max_epoch"), what, cure))
    plain = min(plain, epochs)
    if warmup > epochs - plain:
        what = f"warmup_epochs {warmup:g} with {plain} plain epochs of {epochs}"
        cure = f"warm-up ends before the plain epochs here: {epochs - plain} are taken"
        leftovers.append(Leftover(exp.places.get("warmup_epochs"), what, cure))
    return {"plain_epochs": plain, "warmup_epochs": float(min(warmup, epochs - plain))}


def _export_size(exp: Exp, trained: tuple[int, int], leftovers: list[Leftover]) -> tuple[int, int]:
    try:
        size = _rounded(exp.values["test_size"])
    except (TypeError, ValueError, ArithmeticError):
        return trained
    if size != trained:
        what = f"test_size {size} with input_size {trained}"
        cure = "`train` evaluates at imgsz; the files are exported at test_size, and eval measures there"
        leftovers.append(Leftover(exp.places.get("test_size"), what, cure))
    return size


def _fixed(exp: Exp) -> list[Leftover]:
    """Settings of the authors that cannot be chosen here, where they are not as they are here."""
    return [
        Leftover(exp.places.get(name), f"{name} = {exp.values[name]!r}", MEGVII_SETTINGS[name].word)
        for name, value in FIXED.items()
        if exp.values.get(name, value) != value
    ]
