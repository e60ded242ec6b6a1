"""Names of models: those of the zoo and the roadmap, and names that say an architecture, as in yolox_s@0.4_relu."""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import replace
from typing import Any

from yolox_deploy.errors import UsageError
from yolox_deploy.models.model_config import MAX_WIDTH, MIN_WIDTH, Architecture, ModelConfig, own_config
from yolox_deploy.models.zoo import ROADMAP, ZOO

_NAME = re.compile(
    r"(?P<stem>(?P<base>.+?)(@(?P<at>[^_]*))?)(_(?P<act>silu|lrelu|relu))?(_(?P<channels>\d)ch)?"
)
_OWN = re.compile(r"yolox_d(?P<depth>[\d.]+)_w(?P<width>[\d.]+)(?P<depthwise>_dw)?")


def get_config(name: str) -> ModelConfig:
    """The model called `name`, of the zoo or of the paper's roadmap; hyphens and any case are accepted.

    `NAME@WIDTH` is the same model with another width factor, such as `simota@0.25`, and `yolox_d0.67_w0.5_dw` one
    of depth 0.67 and width 0.5 with depthwise convolutions. An activation and the channels of the picture may
    follow: `yolox_nano_relu_1ch`. None of these has official weights.

    Raises:
        UsageError: no such model, or a file; suggests the closest name, or where it belongs.
    """
    key = name.strip().lower().replace("-", "_")
    parts = _NAME.fullmatch(key)
    config = _base(parts["base"]) if parts else None
    if parts is None or config is None:
        raise _unknown(name, key.partition("@")[0])
    if parts["at"]:
        config = _with_width(config, parts["at"])
    channels = int(parts["channels"] or config.channels)
    return vary(config, activation=parts["act"] or config.activation, channels=channels)


def vary(config: ModelConfig, **changes: Any) -> ModelConfig:
    """`config` with another depth, width, depthwise, activation or channels, under a name that `get_config` knows.

    Raises:
        UsageError: a value that no network can have, or another depth of Darknet-53.
    """
    if all(getattr(config, name) == value for name, value in changes.items()):
        return config
    new = replace(config, weights_url=None, published=(), **changes)
    new.check()
    stem = _same_stem(config) if _plain(config) == _plain(new) else None
    return _suffixed(stem or _plain_model(new), new)


def named(config: ModelConfig) -> ModelConfig:
    """`config` under the name that `get_config` knows it by.

    Raises:
        UsageError: Darknet-53 of another depth.
    """
    return _suffixed(_plain_model(config), config)


def configured(model: ModelConfig | None, architecture: Architecture) -> ModelConfig | None:
    """`model`, or the one of a stated depth and width, with all that is stated; None where too little is.

    Raises:
        UsageError: a value that no network can have.
    """
    stated = architecture.stated
    if model is None and architecture.depth is not None and architecture.width is not None:
        model = named(own_config(architecture.depth, architecture.width))
    return vary(model, **stated) if model is not None else None


def _base(name: str) -> ModelConfig | None:
    own = _OWN.fullmatch(name)
    if own is None:
        return (ZOO | ROADMAP).get(name)
    try:
        depth, width = float(own["depth"]), float(own["width"])
        return named(own_config(depth, width, depthwise=own["depthwise"] is not None))
    except ValueError as error:
        raise UsageError(f"{name} is no model: {error}") from error


def _unknown(name: str, key: str) -> UsageError:
    known = ZOO | ROADMAP
    if re.search(r"[/\\]|\.(pth|pt|ckpt|tar)$", name):
        return UsageError(
            f"{name} is a file, where the name of a model is expected ({', '.join(ZOO)}); a checkpoint is given by "
            f"--weights {shlex.quote(name)}"
        )
    close = [
        match
        for guess in (key, f"yolox_{key}")
        for match in difflib.get_close_matches(guess, known, cutoff=0.8)
    ]
    hint = f"; did you mean {close[0]}?" if close else ""
    return UsageError(f"there is no model called {name!r}; known models: {', '.join(known)}{hint}")


def _same_stem(config: ModelConfig) -> ModelConfig | None:
    """The model that `config` is named after, `nano@0.5` for `nano@0.5_relu`; None for a name of one's own."""
    parts = _NAME.fullmatch(config.name)
    try:
        found = get_config(parts["stem"]) if parts else None
    except UsageError:
        return None
    return found if found is not None and _plain(found) == _plain(config) else None


def _suffixed(base: ModelConfig, config: ModelConfig) -> ModelConfig:
    """`base` with the activation and the channels of `config`."""
    activation = "" if config.activation == base.activation else f"_{config.activation}"
    channels = "" if config.channels == base.channels else f"_{config.channels}ch"
    if not activation + channels:
        return base
    return replace(
        base,
        name=base.name + activation + channels,
        activation=config.activation,
        channels=config.channels,
        weights_url=None,
        published=(),
    )


def _plain_model(config: ModelConfig) -> ModelConfig:
    """The model of this depth and width with the zoo's activation for three channels."""
    rows = (ZOO | ROADMAP).values()
    for row in rows:
        if _plain(row) == _plain(config):
            return row
    if config.backbone == "csp":
        return own_config(config.depth, config.width, depthwise=config.depthwise)
    for row in rows:
        if _plain(replace(row, width=config.width)) == _plain(config):
            return _with_width(row, f"{config.width:.10g}")
    raise UsageError(
        f"{config.name} has Darknet-53, which only a width changes; leave the depth and depthwise out"
    )


def _plain(config: ModelConfig) -> ModelConfig:
    """What makes two models the same but for the activation and the channels of the picture."""
    return replace(
        config, name="", activation="silu", channels=3, test_size=0, weights_url=None, published=()
    )


def _with_width(config: ModelConfig, text: str) -> ModelConfig:
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not MIN_WIDTH <= width <= MAX_WIDTH:
        raise UsageError(f"the width of {config.name} is {text!r}; expected {MIN_WIDTH} to {MAX_WIDTH}")
    if width == config.width:
        return config
    name = f"{config.name}@{width:.10g}"
    return replace(config, name=name, width=width, weights_url=None, published=())
