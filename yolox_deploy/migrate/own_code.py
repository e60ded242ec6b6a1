"""What an Exp changes by code of its own: its data loader, its other methods, its own attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolox_deploy.migrate.exp_file import DEFAULTS, Exp
from yolox_deploy.migrate.expressions import Unread
from yolox_deploy.migrate.leftovers import Leftover
from yolox_deploy.migrate.statements import Built
from yolox_deploy.training.renamed import MEGVII_SETTINGS

MOSAIC, TRANSFORM = "MosaicDetection", "TrainTransform"
LOADER_DEFAULTS: dict[str, dict[str, Any]] = {
    MOSAIC: {
        "degrees": 10.0,
        "translate": 0.1,
        "mosaic_scale": (0.5, 1.5),
        "mixup_scale": (0.5, 1.5),
        "shear": 2.0,
        "enable_mixup": True,
        "mosaic_prob": 1.0,
        "mixup_prob": 1.0,
    },
    TRANSFORM: {"max_labels": 50, "flip_prob": 0.5, "hsv_prob": 1.0},
}
"""What the authors' classes do where a data loader does not say."""

EARLY_NAMES = {"scale": "mosaic_scale", "mscale": "mixup_scale"}
MAX_LABELS = 120
"""Of the authors' own data loader."""

HOOKS = {
    "get_optimizer": "SGD with Nesterov momentum trains here, with momentum and weight_decay",
    "get_lr_scheduler": MEGVII_SETTINGS["scheduler"].word,
    "get_evaluator": "AP is COCO's here",
    "random_resize": "sizes are drawn from `multiscale` here, every 10 steps",
    "preprocess": "pictures enter as they are: BGR, 0-255",
    "get_trainer": "the trainer is that of the paper here",
    "eval": "AP is COCO's here",
}
"""Methods of the authors' base that an Exp may replace, and what is done here."""

HARMLESS = ("exp_name", "output_dir", "num_classes", "print_interval", "save_history_ckpt", "test_ann")
"""Where it does not matter that one could not be told."""


@dataclass(frozen=True)
class OwnCode:
    """What counts in the end.

    Attributes:
        values: the settings by the authors' names, as the data loader uses them.
        legacy: whether pictures are fed as RGB, normalised.
        leftovers: what of the code is not carried over.
    """

    values: dict[str, Any]
    legacy: bool
    leftovers: list[Leftover]


def read_own_code(exp: Exp) -> OwnCode:
    """What the code of an Exp makes of its settings."""
    leftovers = [*_doubts(exp), *_methods(exp), *_attributes(exp)]
    values = exp.values | {"max_labels": MAX_LABELS}
    if "scale" in exp.places and "mosaic_scale" not in exp.places:
        values["mosaic_scale"] = exp.values["scale"]
    loader = exp.built_by("get_data_loader")
    values |= _augmented(loader, values, leftovers)
    if "get_data_loader" in exp.own_methods and not any(item.name == MOSAIC for item in loader):
        what = "get_data_loader builds no MosaicDetection"
        cure = "pictures are augmented by the settings; if yours had no mosaic, --set augmentation.mosaic=0"
        leftovers.append(Leftover(exp.own_methods["get_data_loader"], what, cure))
    fed = [*loader, *exp.built_by("get_dataset"), *exp.built_by("get_eval_dataset", "get_eval_loader")]
    normalised = [item for item in fed if "rgb_means" in item.values or item.values.get("legacy") is True]
    if normalised:
        what = f"{normalised[0].name} with RGB means: checkpoints of this Exp are from before YOLOX 0.1.1"
        cure = "export, predict and eval them with --legacy; what `train` makes here takes BGR, 0-255"
        leftovers.append(Leftover(normalised[0].place, what, cure))
    return OwnCode(values, bool(normalised), leftovers)


def _augmented(loader: list[Built], values: dict[str, Any], leftovers: list[Leftover]) -> dict[str, Any]:
    """What MosaicDetection and the TrainTransform inside it are given by a data loader of the Exp's own."""
    found: dict[str, Any] = {}
    names = [item.name for item in loader]
    if MOSAIC not in names:
        return found
    within = loader[names.index(MOSAIC) :]
    for name, defaults in LOADER_DEFAULTS.items():
        call = next((item for item in [*within, *loader] if item.name == name), None)
        given = (
            {}
            if call is None
            else {EARLY_NAMES.get(str(key), key): value for key, value in call.values.items()}
        )
        for key, default in defaults.items() if call is not None else ():
            found[key] = given.get(key, default)
            if isinstance(found[key], Unread):
                found[key] = values.get(key, default)
                cure = f"{found[key]!r} is taken"
                leftovers.append(
                    Leftover(call.place if call else None, f"{key} of {name}: {given[key]}", cure)
                )
    return found


def _doubts(exp: Exp) -> list[Leftover]:
    """Settings that could not be told, with the value that stands."""
    found = []
    for doubt in exp.doubts:
        if doubt.what in MEGVII_SETTINGS and doubt.what not in HARMLESS:
            value = exp.values.get(doubt.what)
            taken = "it is left at its default" if isinstance(value, Unread) else f"{value!r} is taken"
            found.append(Leftover(doubt.place, f"{doubt.what}: {doubt.reason}", taken))
        elif doubt.what not in MEGVII_SETTINGS and not doubt.what.isidentifier():
            found.append(Leftover(doubt.place, doubt.reason, "look whether that changes a setting"))
    for name in exp.unknown:
        cure = "the defaults of YOLOX 0.3.0 stand for what it sets; run this in the folder that its import begins at"
        found.append(Leftover(None, f"{name}, which it inherits from, was not found", cure))
    return found


def _methods(exp: Exp) -> list[Leftover]:
    found = []
    for name, cure in HOOKS.items():
        if name not in exp.own_methods:
            continue
        made = [item.name for item in exp.built_by(name) if item.name[:1].isupper()]
        if name == "get_evaluator" and set(made) <= {"COCOEvaluator", "VOCEvaluator"}:
            continue
        builds = f" ({', '.join(dict.fromkeys(made))})" if made else ""
        found.append(Leftover(exp.own_methods[name], f"{name} of its own{builds}", cure))
    return found


def _attributes(exp: Exp) -> list[Leftover]:
    """Attributes that the authors' code does not know."""
    known = (
        MEGVII_SETTINGS.keys() - {"fp16"} | DEFAULTS.keys()
    )  # theirs is an option of the trainer, no attribute
    own = [name for name in exp.places if name not in known and not name.startswith("_")]
    if not own:
        return []
    place, names = exp.places[own[0]], ", ".join(own)
    return [Leftover(place, f"attributes of its own ({names})", "nothing here reads them")]
