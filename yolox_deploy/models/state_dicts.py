"""Finding the weights of a network in what a training framework saved, and giving them our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from yolox_deploy.errors import CheckpointError
from yolox_deploy.models import mmdetection

AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema")
"""Keys of averaged weights: what a run is evaluated with, and what one deploys."""
PLAIN = ("model", "state_dict", "model_state_dict", "net", "network")
"""Keys of weights; the authors, and `yolox-deploy train`, keep the averaged ones under the first."""
INNER = ("module", "state_dict", "model")
"""Keys of the weights inside an averaged model that was saved as a whole."""

MARKS = ("backbone.backbone.stem.conv.conv.weight", "backbone.backbone.stem.0.conv.weight")
"""The first convolution by its full name: what stands before it is a prefix."""
ROOTS = ("backbone.", "neck.", "head.", "bbox_head.")

_LISTED = 3


class Found(NamedTuple):
    """Weights under our names, and sentences on what was done to find them."""

    weights: dict[str, Tensor]
    notes: tuple[str, ...]


def find_weights(content: object, path: Path) -> Found:
    """The weights in `content`, what `torch.save` wrote to `path`.

    Taken are a bare state dict, also one amid other entries, and one under a key that training frameworks use:
    averaged weights before others. Prefixes that all weights share, and what stands beside them, are taken off.

    Raises:
        CheckpointError: there are no weights, or those of several networks.
    """
    name, weights = _holder(content, path)
    weights, notes = _without_prefix(weights, path)
    if name not in (None, "model"):
        notes.insert(0, f"the weights are those under {name!r}")
    if all(mark in weights for mark in mmdetection.MARKS):
        weights = mmdetection.renamed(weights)
        notes.append("mmdetection's names of the layers were translated")
    return Found(weights, tuple(notes))


def listing(keys: list[str]) -> str:
    """`12 (a, b, c, ...)`: a count and the first few."""
    more = ", ..." if len(keys) > _LISTED else ""
    return f"{len(keys)} ({', '.join(map(str, keys[:_LISTED]))}{more})"


def _holder(content: object, path: Path) -> tuple[str | None, dict[str, Tensor]]:
    """The key of the weights, None where they lie bare, and the weights."""
    if isinstance(content, dict):
        # mmengine exchanges the two for saving: there the averaged weights are the plain ones.
        meta = content.get("meta")
        exchanged = "message_hub" in content or (isinstance(meta, dict) and "mmengine_version" in meta)
        for name in (*(() if exchanged else AVERAGED), *PLAIN):
            weights = _tensors(content.get(name))
            if weights:
                return name, weights
        weights = _tensors(content)
        if weights:
            return None, weights
    found = f"a dict with {listing(list(content))}" if isinstance(content, dict) else type(content).__name__
    raise CheckpointError(
        f"{path} holds no weights: expected a state dict, alone or under the key 'model' or 'state_dict'; found {found}"
    )


def _tensors(value: object) -> dict[str, Tensor]:
    """The tensors of a state dict, which has dots in its keys, or of one a key deeper; else nothing."""
    if not isinstance(value, dict):
        return {}
    for name in INNER:
        inner = value.get(name)
        if isinstance(inner, dict) and _tensors(inner):
            return _tensors(inner)
    tensors = {str(key): item for key, item in value.items() if isinstance(item, Tensor)}
    return tensors if any("." in key for key in tensors) else {}


def _without_prefix(weights: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of the one network in `weights` by its own names; a sentence where something was taken off."""
    prefix = _prefix(weights, path)
    if prefix is None:
        return weights, []
    rest = [key for key in weights if not key.startswith(prefix)]
    if any(key.startswith(ROOTS) for key in rest):
        return weights, []  # not shared by all: the message on missing keys says the rest
    # mmdetection 2 keeps a second copy as buffers whose names have no dots; averaging counts its steps so.
    kept = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    beside = [key for key in kept if "." not in key]
    kept = {key: value for key, value in kept.items() if "." in key}
    notes = [f"{prefix!r} was taken off all names"] if prefix else []
    left = [*rest, *beside]
    if left:
        notes.append(f"left out, as no part of the network: {listing(sorted(left))}")
    return kept, notes


def _prefix(weights: Mapping[str, Tensor], path: Path) -> str | None:
    """What stands before the names of the network's parts; None where there is no YOLOX."""
    found = {_before(key, MARKS) for key in weights} - {None}
    if not found:
        found = {_before(key, mmdetection.MARKS[:1]) for key in weights} - {None}
    prefixes = sorted(str(prefix) for prefix in found)
    averaged = [prefix for prefix in prefixes if re.search(r"(^|[._])ema([._]|$)", prefix)]
    if len(prefixes) > 1 and len(averaged) != 1:
        raise CheckpointError(
            f"{path} holds the weights of several networks: {', '.join(repr(prefix) for prefix in prefixes)}; "
            "save the one to use: torch.save({'model': network.state_dict()}, PATH)"
        )
    return next(iter(averaged or prefixes), None)


def _before(key: str, marks: tuple[str, ...]) -> str | None:
    for mark in marks:
        prefix = key.removesuffix(mark)
        if prefix != key and (not prefix or prefix.endswith(".")):
            return prefix
    return None
