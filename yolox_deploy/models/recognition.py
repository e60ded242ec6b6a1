"""The network that a state dict is of, read from its keys and shapes; its activation does not stand there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from yolox_deploy.errors import UsageError
from yolox_deploy.models.backbones import STEM_CHANNELS
from yolox_deploy.models.blocks import BATCH_NORM_EPS, Focus
from yolox_deploy.models.model_config import MAX_WIDTH, MIN_WIDTH, ModelConfig, own_config
from yolox_deploy.models.naming import get_config, named, vary
from yolox_deploy.models.yolox import build_model
from yolox_deploy.models.zoo import ROADMAP
from yolox_deploy.types import LEGACY_STEM_WEIGHT, USUAL_ORDERS

Shapes = dict[str, tuple[int, ...]]

CLASS_PREDICTORS = ("head.cls_preds.", "head.preds.")
STEMS = ("backbone.backbone.stem.conv.", "backbone.backbone.stem.0.")
"""Where the first convolution and its BatchNorm lie: of CSPDarknet, of Darknet-53."""


def shapes_of(state_dict: Mapping[str, Tensor]) -> Shapes:
    """The shape of each tensor."""
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items()}


def class_count(shapes: Shapes) -> int | None:
    """From the outputs of the first class predictor: per prior the classes, in a coupled head 5 more."""
    key = next((key for prefix in CLASS_PREDICTORS if (key := f"{prefix}0.bias") in shapes), "")
    bias, others = shapes.get(key), columns_before_classes(key)
    priors = shapes.get("head.priors", (1, 1, 2))
    if bias is None or len(bias) != 1 or len(priors) != 3 or not priors[1] or bias[0] % priors[1]:
        return None
    classes = bias[0] // priors[1] - others
    return classes if classes > 0 else None


def columns_before_classes(key: str) -> int:
    """Of each prior in the class predictor `key`: a coupled head predicts the box and the objectness in it, too."""
    return 5 if key.startswith(CLASS_PREDICTORS[1]) else 0


def same_but_for_classes(one: Shapes, other: Shapes) -> bool:
    """Whether two networks differ in nothing but the number of classes."""
    keys = one.keys() if one.keys() == other.keys() else ()
    unlike = (key for key in keys if one[key] != other[key])
    return bool(keys) and all(key.startswith(CLASS_PREDICTORS) for key in unlike)


def recognise(shapes: Shapes, named: Iterable[ModelConfig] = ()) -> ModelConfig | None:
    """The model with exactly these keys and shapes, or None.

    Known are the zoo's models, CSP models of any depth and width, with depthwise convolutions or without, and the
    roadmap's at any width, for 1, 3 or 4 channels. Rows of the roadmap that differ in training alone share a name.

    Args:
        named: models that are tried first, as only a name or a record tells the activation.
    """
    for config in (*named, *_candidates(shapes)):
        if _expected(config, shapes) == shapes:
            return config
    return None


def nearest(shapes: Shapes) -> tuple[ModelConfig, list[str]] | None:
    """The model of this depth and width, and the keys that are missing, foreign or of another shape."""
    config = next(_candidates(shapes), None)
    if config is None:
        return None
    expected = _expected(config, shapes)
    keys = sorted(shapes.keys() | expected.keys())
    return config, [key for key in keys if shapes.get(key) != expected.get(key)]


def stem_channels(shapes: Shapes) -> int | None:
    """Channels of the pictures that the first convolution reads; None where there is none."""
    focus, plain = (shapes.get(f"{stem}conv.weight") for stem in STEMS)
    stem = focus or plain
    if stem is None or len(stem) != 4:
        return None
    return stem[1] if plain else stem[1] // len(Focus.PHASES)


def is_legacy(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the first convolution was trained on pictures divided by 255 and normalised, as before YOLOX 0.1.1.

    What counts are its weights times the factors of its BatchNorm: the smaller the values that come in, the larger
    the weights. A network that has seen no picture is neither.
    """
    for stem in STEMS:
        weight = state_dict.get(f"{stem}conv.weight")
        found = [
            state_dict.get(f"{stem}bn.{name}") for name in ("weight", "running_var", "running_mean", "bias")
        ]
        if weight is None or any(tensor is None for tensor in found):
            continue
        gamma, variance, mean, beta = (tensor.double() for tensor in found if tensor is not None)
        if bool((gamma == 1).all() and (variance == 1).all() and not mean.any() and not beta.any()):
            return False
        factors = (gamma / (variance + BATCH_NORM_EPS).sqrt()).view(-1, 1, 1, 1)
        return float((weight.double() * factors).abs().mean()) > LEGACY_STEM_WEIGHT
    return False


def _expected(config: ModelConfig, shapes: Shapes) -> Shapes:
    """The shapes of this model with as many classes; none where these cannot be told."""
    classes = class_count(shapes)
    if classes is None:
        return {}
    with torch.device("meta"):
        return shapes_of(build_model(config, classes).state_dict())


def _candidates(shapes: Shapes) -> Iterator[ModelConfig]:
    channels = stem_channels(shapes)
    if channels not in USUAL_ORDERS:
        return
    focus, plain = (shapes.get(f"{stem}conv.weight") for stem in STEMS)
    if focus is not None:
        models: Iterable[ModelConfig] = _csp_models(shapes, focus[0])
    else:
        models = _darknet_models(plain[0]) if plain is not None else ()
    for model in models:
        yield vary(model, channels=channels)


def _darknet_models(stem: int) -> Iterator[ModelConfig]:
    width = stem / STEM_CHANNELS
    if MIN_WIDTH <= width <= MAX_WIDTH:
        names = (get_config(f"{model.name}@{width}").name for model in ROADMAP.values())
        yield from map(get_config, dict.fromkeys(names))


def _csp_models(shapes: Shapes, stem: int) -> Iterator[ModelConfig]:
    """The one CSP model of this depth and width, named by the zoo where it is there."""
    bottlenecks = [_count(shapes, part) for part in ("backbone.backbone.dark2.1.m.", "backbone.C3_p4.m.")]
    towers = shapes.get("head.stems.0.conv.weight", (4 * stem,))[0]
    depthwise = any(".dconv." in key for key in shapes)
    try:
        found = own_config(_depth(*bottlenecks), _width(stem, towers), depthwise=depthwise)
    except UsageError:
        return
    yield named(found)


def _count(shapes: Shapes, part: str) -> int:
    """Bottlenecks of a cross-stage partial layer."""
    return len({key.removeprefix(part).partition(".")[0] for key in shapes if key.startswith(part)})


def _depth(backbone: int, neck: int) -> float:
    """The zoo's factor for so many bottlenecks; the backbone has one at least, the neck may have none."""
    return round(backbone / 3, 2) if neck else 0.1


def _width(stem: int, towers: int) -> float:
    """The shortest factor that gives the stem and the head so many channels."""
    width = towers / 256
    for digits in range(1, 6):
        short = round(width, digits)
        if (int(64 * short), int(256 * short)) == (stem, towers):
            return short
    return width
