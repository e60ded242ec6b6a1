"""Checkpoints: read safely, recognise the model, check the fit, then load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from yolox_deploy.errors import CheckpointError
from yolox_deploy.files import sha256
from yolox_deploy.models.backbones import STEM_CHANNELS
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.models.yolox import YOLOX, build_model
from yolox_deploy.models.zoo import MAX_WIDTH, MIN_WIDTH, ROADMAP, SIZE_DIVISOR, ZOO, get_config

Shapes = dict[str, tuple[int, ...]]

_CLASS_PREDICTORS = ("head.cls_preds.", "head.preds.")
_DARKNET_STEM = "backbone.backbone.stem.0.conv.weight"
_LISTED = 3


@dataclass(frozen=True)
class Checkpoint:
    """Weights, where they came from and what they are for.

    `sha256` is of the file. `model_name` is the zoo model with exactly these keys and shapes, `num_classes`
    its class count; both None for another architecture. `class_names` is None when the file holds none.
    `input_size` (height, width) is the one that our trainer trained it at, None when the file does not tell.
    `state_dict` is on the CPU, all finite.
    """

    path: Path
    sha256: str
    model_name: str | None
    num_classes: int | None
    class_names: tuple[str, ...] | None
    input_size: tuple[int, int] | None
    state_dict: dict[str, Tensor]


def read_checkpoint(path: str | Path, data: bytes | None = None) -> Checkpoint:
    """Read `{"model": state_dict, ...}` or a bare state dict from `path`, without running code from it.

    Args:
        data: what the file would hold, where it is in memory; `path` is then its name in messages.

    Raises:
        CheckpointError: missing, truncated, foreign or unsafe file, no state dict in it, weights that are not
            finite, or class names that do not match the class count.
    """
    path = Path(path)
    content = safe_load(path, data)
    state_dict = _find_state_dict(content, path)
    _check_tensors(state_dict, path)
    found = identify(state_dict)
    model_name, num_classes = found or (None, _class_count(_shapes(state_dict)))
    class_names = _find_class_names(content, num_classes, path)
    input_size = _find_input_size(content)
    digest = sha256(path) if data is None else hashlib.sha256(data).hexdigest()
    return Checkpoint(path, digest, model_name, num_classes, class_names, input_size, state_dict)


def load_checkpoint(model: YOLOX, path: str | Path) -> Checkpoint:
    """Copy the weights of the checkpoint at `path` into `model`, on the device and in the dtype of the model.

    Everything is checked first: after an error the model is as it was.

    Raises:
        CheckpointError: what `read_checkpoint` raises, another class count, or keys and shapes that do not
            fit (names the zoo model that would).
    """
    checkpoint = read_checkpoint(path)
    _check_fit(model, checkpoint)
    model.load_state_dict(checkpoint.state_dict)
    return checkpoint


def identify(state_dict: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """(model name, number of classes) of the model with exactly these keys and shapes, or None.

    Known are the zoo's models and the roadmap's, these also narrowed: `nms_free@0.25`. Rows of the roadmap that
    differ in training alone share a name.
    """
    found = _shapes(state_dict)
    num_classes = _class_count(found)
    if num_classes is None:
        return None
    for name in _zoo_names(found):
        with torch.device("meta"):
            expected = _shapes(build_model(name, num_classes).state_dict())
        if expected == found:
            return name, num_classes
    return None


def _zoo_names(shapes: Shapes) -> list[str]:
    stem = shapes.get(_DARKNET_STEM)
    if stem is None:
        return list(ZOO)
    width = stem[0] / STEM_CHANNELS
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        return []
    return list(dict.fromkeys(get_config(f"{model.name}@{width}").name for model in ROADMAP.values()))


def _shapes(state_dict: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items()}


def _class_count(shapes: Shapes) -> int | None:
    """From the outputs of the first class predictor: per prior the classes, in a coupled head 5 more."""
    decoupled, coupled = (shapes.get(f"{prefix}0.bias") for prefix in _CLASS_PREDICTORS)
    bias, others = (decoupled, 0) if decoupled is not None else (coupled, 5)
    priors = shapes.get("head.priors", (1, 1, 2))
    if bias is None or len(bias) != 1 or len(priors) != 3 or not priors[1] or bias[0] % priors[1]:
        return None
    classes = bias[0] // priors[1] - others
    return classes if classes > 0 else None


def _find_state_dict(content: object, path: Path) -> dict[str, Tensor]:
    inner = content["model"] if isinstance(content, dict) and "model" in content else content
    if isinstance(inner, dict) and inner and all(isinstance(value, Tensor) for value in inner.values()):
        return {str(key): tensor for key, tensor in inner.items()}
    found = f"a dict with {_listing(list(content))}" if isinstance(content, dict) else type(content).__name__
    raise CheckpointError(
        f"{path} holds no weights: expected a state dict, alone or under the key 'model'; found {found}"
    )


def _check_tensors(state_dict: Mapping[str, Tensor], path: Path) -> None:
    for key, tensor in state_dict.items():
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
        if not plain or tensor.is_complex() or tensor.is_quantized:
            raise CheckpointError(f"{path}: {key} is {tensor.dtype}, {tensor.layout}; expected dense numbers")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: {key} holds NaN or infinite values, so the training that wrote it diverged; "
                "use an earlier checkpoint"
            )


def _find_class_names(content: object, num_classes: int | None, path: Path) -> tuple[str, ...] | None:
    names = content.get("class_names") if isinstance(content, dict) else None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    if num_classes is not None and len(names) != num_classes:
        raise CheckpointError(f"{path} names {len(names)} classes but its weights predict {num_classes}")
    return tuple(names)


def _find_input_size(content: object) -> tuple[int, int] | None:
    """`imgsz` among the settings of a training run; whatever else a foreign file keeps there is not ours."""
    settings = content.get("config") if isinstance(content, dict) else None
    size = settings.get("imgsz") if isinstance(settings, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2:
        return None
    sound = all(isinstance(side, int) and side > 0 and side % SIZE_DIVISOR == 0 for side in size)
    return (size[0], size[1]) if sound else None


def _check_fit(model: YOLOX, checkpoint: Checkpoint) -> None:
    expected, found = _shapes(model.state_dict()), _shapes(checkpoint.state_dict)
    if found == expected:
        return
    other = {key for key in found.keys() & expected.keys() if found[key] != expected[key]}
    missing, foreign = expected.keys() - found.keys(), found.keys() - expected.keys()
    count = _class_count(found)
    if not missing and not foreign and all(key.startswith(_CLASS_PREDICTORS) for key in other):
        raise CheckpointError(
            f"{checkpoint.path} predicts {count} classes, the {model.config.name} here {model.num_classes}; "
            f"build the model with num_classes={count} (--classes {count})"
        )
    differences = (("missing", missing), ("foreign", foreign), ("of another shape", other))
    details = "; ".join(f"{what}: {_listing(sorted(keys))}" for what, keys in differences if keys)
    raise CheckpointError(
        f"{checkpoint.path} does not fit {model.config.name} with {model.num_classes} classes: "
        f"{_advice(checkpoint)}; keys {details}"
    )


def _advice(checkpoint: Checkpoint) -> str:
    if checkpoint.model_name is None:
        return "it is none of the zoo's models"
    return (
        f"it looks like {checkpoint.model_name} with {checkpoint.num_classes} classes: "
        f"build_model({checkpoint.model_name!r}, num_classes={checkpoint.num_classes})"
    )


def _listing(keys: list[str]) -> str:
    """`12 (a, b, c, ...)`: a count and the first few."""
    more = ", ..." if len(keys) > _LISTED else ""
    return f"{len(keys)} ({', '.join(map(str, keys[:_LISTED]))}{more})"
