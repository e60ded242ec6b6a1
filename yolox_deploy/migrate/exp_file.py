"""An Exp file of the authors' training code: what it sets, what it builds, and what of it could not be told."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from yolox_deploy.errors import InputError
from yolox_deploy.migrate.modules import CURE, Class, ancestry, read_module
from yolox_deploy.migrate.statements import Built, Follower, Place

CLASS_NAME = "Exp"
AUTHORS_BASE = ("yolox.exp.Exp", "yolox.exp.yolox_base.Exp")

DEFAULTS: dict[str, Any] = {
    "seed": None,
    "output_dir": "./YOLOX_outputs",
    "num_classes": 80,
    "depth": 1.0,
    "width": 1.0,
    "act": "silu",
    "data_num_workers": 4,
    "input_size": (640, 640),
    "multiscale_range": 5,
    "data_dir": None,
    "train_ann": "instances_train2017.json",
    "val_ann": "instances_val2017.json",
    "test_ann": "instances_test2017.json",
    "mosaic_prob": 1.0,
    "mixup_prob": 1.0,
    "hsv_prob": 1.0,
    "flip_prob": 0.5,
    "degrees": 10.0,
    "translate": 0.1,
    "mosaic_scale": (0.1, 2),
    "enable_mixup": True,
    "mixup_scale": (0.5, 1.5),
    "shear": 2.0,
    "warmup_epochs": 5,
    "max_epoch": 300,
    "warmup_lr": 0,
    "min_lr_ratio": 0.05,
    "basic_lr_per_img": 0.01 / 64.0,
    "scheduler": "yoloxwarmcos",
    "no_aug_epochs": 15,
    "ema": True,
    "weight_decay": 5e-4,
    "momentum": 0.9,
    "print_interval": 10,
    "eval_interval": 10,
    "save_history_ckpt": True,
    "test_size": (640, 640),
    "test_conf": 0.01,
    "nmsthre": 0.65,
    "dataset": None,
}
"""What the authors' base class sets (YOLOX 0.3.0)."""


@dataclass(frozen=True)
class Doubt:
    """What could not be told, and why."""

    what: str
    place: Place
    reason: str


@dataclass(frozen=True)
class Exp:
    """What an Exp file says.

    Attributes:
        path: of the file.
        chain: the class and those it inherits from, as far as their files were found.
        values: of its attributes by name, the authors' defaults included.
        places: where those that are not left at the default are set.
        doubts: what could not be told; `values` has what stood before.
        unknown: classes whose files were not found, but for the authors' base.
    """

    path: Path
    chain: list[Class]
    values: dict[str, Any]
    places: dict[str, Place]
    doubts: list[Doubt]
    unknown: list[str]

    @property
    def name(self) -> str:
        """`exp_name`, by default that of the file."""
        name = self.values.get("exp_name")
        return name if isinstance(name, str) and name else self.path.name.partition(".")[0]

    @cached_property
    def own_methods(self) -> dict[str, Place]:
        """Methods of the file and of what it inherits from, but for the authors' base class."""
        found: dict[str, Place] = {}
        for item in reversed([item for item in self.chain if not item.is_authors]):
            methods = [node for node in item.node.body if isinstance(node, ast.FunctionDef)]
            found |= {node.name: Place(item.module.path, node.lineno) for node in methods}
        return found

    def built_by(self, *methods: str) -> list[Built]:
        """The calls in the first of these methods that there is."""
        for name in methods:
            follower = Follower(self.chain, self.values)
            if follower.method(name):
                return follower.found.built
        return []


def read_exp(path: Path) -> Exp:
    """Read an Exp file without running it.

    Raises:
        InputError: it cannot be read, is no Python, or holds no Exp.
    """
    unknown: list[str] = []
    chain = ancestry(_find_class(path), unknown)
    follower = Follower(chain, {})
    for item in reversed(chain):
        follower.class_body(item)
    found = follower.found
    in_class = dict(found.attributes)
    found.attributes |= DEFAULTS
    shadowed = {name: found.places.pop(name) for name in in_class.keys() & DEFAULTS.keys()}
    follower.method("__init__")
    doubts = [Doubt(*item) for item in found.unread]
    doubts += [
        Doubt(name, place, "the base class overwrites what stands in the class; set it in __init__")
        for name, place in shadowed.items()
        if name not in found.places and in_class[name] != DEFAULTS[name]
    ]
    modules = {item.module.path: item.module for item in chain}.values()
    doubts += [Doubt("", Place(m.path, line), said) for m in modules for line, said in m.assumed]
    places = {name: place for name, place in found.places.items() if not _is_of_authors(place, chain)}
    rest = [name for name in dict.fromkeys(unknown) if name not in AUTHORS_BASE and name != "torch.nn.Module"]
    return Exp(path, chain, found.attributes, places, doubts, rest)


def _is_of_authors(place: Place, chain: list[Class]) -> bool:
    return any(item.is_authors and item.module.path == place.path for item in chain)


def _find_class(path: Path) -> Class:
    """The class called Exp, which the authors' tools take; else the only one that looks like it."""
    module = read_module(path)
    classes = [Class(node, module) for node in module.classes]
    named = [item for item in classes if item.node.name == CLASS_NAME]
    alike = [item for item in named[-1:] or classes if _is_exp(item)]
    if len(alike) > 1:
        names = ", ".join(item.node.name for item in alike)
        raise InputError(
            f"{path} has several classes like an Exp ({names}); call the one to read {CLASS_NAME}"
        )
    if not alike:
        raise InputError(f"{path} holds no Exp: no class sets names such as self.max_epoch; {CURE}")
    return alike[0]


def _is_exp(item: Class) -> bool:
    """Whether a class inherits from an Exp, or sets two of the authors' settings; one may be chance."""
    unknown: list[str] = []
    nodes = [node for ancestor in ancestry(item, unknown) for node in ast.walk(ancestor.node)]
    stored = [
        node
        for node in nodes
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    names = {node.attr if isinstance(node, ast.Attribute) else node.id for node in stored}
    return len(names & DEFAULTS.keys()) > 1 or any(name.lower().endswith("exp") for name in unknown)
