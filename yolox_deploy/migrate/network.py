"""The network that an Exp builds in `get_model`, as a model of the zoo or by its four factors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from yolox_deploy.migrate.exp_file import Exp
from yolox_deploy.migrate.expressions import Unread
from yolox_deploy.migrate.leftovers import Leftover
from yolox_deploy.migrate.statements import Built
from yolox_deploy.models.zoo import STRIDES, ZOO

ACTIVATIONS = ("silu", "relu", "lrelu")
IN_CHANNELS = [256, 512, 1024]
DARKNET_CHANNELS = [128, 256, 512]
NECK, DARKNET, HEAD = "YOLOPAFPN", "YOLOFPN", "YOLOXHead"
POSITIONS = {
    NECK: ("depth", "width", "in_features", "in_channels", "depthwise", "act"),
    DARKNET: ("depth", "in_features"),
    HEAD: ("num_classes", "width", "strides", "in_channels", "act", "depthwise"),
}
"""The arguments of the authors' classes in their order."""

CALL_DEFAULTS = {"depth": 1.0, "width": 1.0, "depthwise": False, "act": "silu"}
CURE = "it is left out; a network with layers of its own cannot be trained or exported here"


@dataclass(frozen=True)
class Network:
    """What is built.

    Attributes:
        model: name in the zoo; the nearest where `architecture` is given.
        architecture: depth, width, depthwise and activation of a network that the zoo does not have, else empty.
        leftovers: what of `get_model` is not in the other two.
    """

    model: str
    architecture: dict[str, Any] = field(default_factory=dict)
    leftovers: list[Leftover] = field(default_factory=list)


def read_network(exp: Exp) -> Network:
    """The network of an Exp, from its `get_model` or from `depth`, `width` and `act`."""
    parts = [_named(item) for item in exp.built_by("get_model") if _is_network(item.name)]
    leftovers = [
        Leftover(item.place, f"get_model builds {item.name}", CURE)
        for item in parts
        if _official(item.name) not in (NECK, DARKNET, HEAD, "YOLOX")
    ]
    neck = next((item for item in parts if _official(item.name) in (NECK, DARKNET)), None)
    head = next((item for item in parts if _official(item.name) == HEAD), None)
    if neck is not None and _official(neck.name) == DARKNET:
        return Network("yolox_darknet53", {}, leftovers + _odd(head, DARKNET_CHANNELS))
    if neck is None and exp.own_methods.get("get_model") and not leftovers:
        leftovers.append(
            Leftover(exp.own_methods["get_model"], "get_model builds no YOLOPAFPN that is read", CURE)
        )
    factors: dict[str, Any] = {"depth": exp.values["depth"], "width": exp.values["width"], "depthwise": False}
    factors["activation"] = exp.values["act"] if neck is None else "silu"
    for part in (neck, head):
        leftovers += _odd(part, IN_CHANNELS)
    if neck is not None:
        factors |= _told(neck, factors, leftovers)
    if head is not None and neck is not None:
        _compare(head, factors, leftovers)
    return _nearest(_sound(factors, exp, leftovers), leftovers)


def _is_network(name: str) -> bool:
    """Whether a call may make a network or a part of one: a class with such a name."""
    parts = ("Head", "Neck", "FPN", "Backbone", "Darknet")
    return name[:1].isupper() and ("yolo" in name.lower() or name.endswith(parts))


def _official(name: str) -> str:
    """The authors' name of a class; between two versions they wrote YoloPafpn."""
    known = (NECK, DARKNET, HEAD, "YOLOX")
    return next((item for item in known if item.lower() == name.lower()), name)


def _named(item: Built) -> Built:
    """The same call with every argument by its name."""
    names = POSITIONS.get(_official(item.name), ())
    values = {
        names[key] if isinstance(key, int) and key < len(names) else key: v for key, v in item.values.items()
    }
    return Built(item.name, item.place, values)


def _told(part: Built, factors: dict[str, Any], leftovers: list[Leftover]) -> dict[str, Any]:
    """The factors that a call gives, or its own defaults; those it cannot tell are left as they are and told."""
    found = {}
    for name in factors:
        argument = "act" if name == "activation" else name
        value = part.values.get(argument, CALL_DEFAULTS[argument])
        if isinstance(value, Unread):
            what = f"{argument} of {part.name}: {value}"
            leftovers.append(Leftover(part.place, what, f"{factors[name]!r} is taken"))
        else:
            found[name] = value
    return found


def _compare(head: Built, factors: dict[str, Any], leftovers: list[Leftover]) -> None:
    """The head has to have the factors of the neck."""
    for argument in ("width", "depthwise", "act"):
        value = head.values.get(argument, CALL_DEFAULTS[argument])
        expected = factors["activation" if argument == "act" else argument]
        if not isinstance(value, Unread) and value != expected:
            what = f"the head has {argument} {value!r}, the neck {expected!r}"
            leftovers.append(Leftover(head.place, what, "both have the neck's here"))


def _odd(part: Built | None, channels: list[int]) -> list[Leftover]:
    """Arguments that make another network than the factors do."""
    usual: dict[str, list[Any]] = {
        "in_channels": channels,
        "strides": list(STRIDES),
        "in_features": ["dark3", "dark4", "dark5"],
    }
    known = {*usual, *CALL_DEFAULTS, "num_classes"}
    leftovers = []
    for name, value in part.values.items() if part is not None else ():
        expected = usual.get(str(name))
        same = isinstance(value, Unread) or value in (None, expected) or value == tuple(expected or ())
        if part is not None and not (same if name in usual else name in known):
            cure = "networks have no such argument here" if expected is None else f"it is {expected} here"
            leftovers.append(Leftover(part.place, f"{name} {value} of {part.name}", cure))
    return leftovers


def _sound(factors: dict[str, Any], exp: Exp, leftovers: list[Leftover]) -> dict[str, Any]:
    """The factors with those replaced that no network can have."""
    usual: dict[str, Any] = {"depth": 1.0, "width": 1.0, "depthwise": False, "activation": "silu"}
    for name, value in factors.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        sound = is_number if name in ("depth", "width") else isinstance(value, bool)
        if not (value in ACTIVATIONS if name == "activation" else sound):
            expected = ", ".join(ACTIVATIONS) if name == "activation" else "a number above 0"
            place = exp.places.get("act" if name == "activation" else name)
            leftovers.append(
                Leftover(place, f"{name} is {value!r}; here {expected}", f"{usual[name]!r} is taken")
            )
            factors[name] = usual[name]
    return factors | {"depth": float(factors["depth"]), "width": float(factors["width"])}


def _nearest(factors: dict[str, Any], leftovers: list[Leftover]) -> Network:
    """The model of the zoo with these factors, or the nearest one and the factors."""

    def distance(name: str) -> float:
        config = ZOO[name]
        width, depth = config.width / factors["width"], config.depth / factors["depth"]
        other = config.depthwise != factors["depthwise"] or config.activation != factors["activation"]
        return float(abs(math.log(width)) + abs(math.log(depth)) + 0.01 * other)

    nearest = min((name for name, config in ZOO.items() if config.backbone == "csp"), key=distance)
    return Network(nearest, {} if distance(nearest) == 0 else factors, leftovers)
