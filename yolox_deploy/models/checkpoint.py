"""Checkpoints: read safely, recognise the model, check the fit, then load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolox_deploy.class_names import CLASS_NAMES
from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.files import sha256
from yolox_deploy.models.diagnosis import why_unknown
from yolox_deploy.models.entries import find_class_names, find_input_size, told_configs
from yolox_deploy.models.model_config import Architecture, ModelConfig
from yolox_deploy.models.naming import configured, vary
from yolox_deploy.models.recognition import (
    class_count,
    is_legacy,
    recognise,
    same_but_for_classes,
    shapes_of,
)
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.models.state_dicts import find_weights, listing
from yolox_deploy.models.yolox import YOLOX

LEGACY_INPUT = (
    "its first convolution is that of a model from before YOLOX 0.1.1, so it is given RGB pictures divided by 255 and "
    "normalised (InputConvention.legacy())"
)
GUESSED_NAMES = (
    f"it predicts {len(CLASS_NAMES)} classes and names none, so they are called as COCO's are; others are given by "
    "--names FILE or class_names"
)
TRAINERS_ENTRIES = ("curr_ap", "epoch", "global_step", "hyper_parameters", "meta")
"""Entries that trainers of today write and the authors' released files do not have."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights, where they came from and what they are for.

    Attributes:
        path, sha256: the file.
        config: the model with exactly these keys and shapes; None where no network here has them. Its activation is
            the file's where it `is_recorded`, else the one that such models commonly have.
        num_classes: None where the weights do not tell.
        class_names: None when the file holds none.
        input_size: (height, width) that our trainer trained it at, None when the file does not tell.
        state_dict: on the CPU, all finite, under the authors' names.
        notes: sentences on what was done to find the weights.
        is_recorded: whether the file tells the activation.
        is_legacy: whether the network reads RGB, normalised (see `recognition.is_legacy`); our trainer's never do.
        is_trained: whether it is certainly not a file that the authors released.
    """

    path: Path
    sha256: str
    config: ModelConfig | None
    num_classes: int | None
    class_names: tuple[str, ...] | None
    input_size: tuple[int, int] | None
    state_dict: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    is_recorded: bool = False
    is_legacy: bool = False
    is_trained: bool = False

    @property
    def model_name(self) -> str | None:
        """The name of `config`, which `get_config` knows."""
        return self.config.name if self.config is not None else None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences on what the file does not say itself: its input where that is legacy, its classes' names."""
        nameless = self.class_names is None and self.num_classes == len(CLASS_NAMES)
        found = {LEGACY_INPUT: self.is_legacy, GUESSED_NAMES: nameless and self.is_trained}
        return tuple(sentence for sentence, holds in found.items() if holds)

    def architecture(self, model: ModelConfig | None, stated: Architecture) -> ModelConfig:
        """The network to build for these weights.

        Args:
            model: the one that a person named, or None.
            stated: what a person said of it.

        Raises:
            UsageError: the activation is stated and the file tells another.
            CheckpointError: nothing is named, and the weights are of no network here.
        """
        if model is None and self.config is None:
            model = configured(None, stated)
        base = model or self.config
        if base is None:
            raise CheckpointError(
                f"{self.path} is no YOLOX that can be built: {why_unknown(shapes_of(self.state_dict))}"
            )
        if self.config is not None:
            base = vary(base, channels=self.config.channels)
        if self.config is not None and self.is_recorded:
            found = self.config.activation
            if stated.activation not in (None, found):
                raise UsageError(
                    f"{self.path} was trained with {found}, as it says; leave the activation {stated.activation} out"
                )
            base = vary(base, activation=found)
        return configured(base, stated) or base


def read_checkpoint(path: str | Path, data: bytes | None = None) -> Checkpoint:
    """Read the weights in `path`, without running code from it.

    Taken are `{"model": state_dict, ...}`, a bare state dict, and what Lightning, mmengine and mmdetection write.

    Args:
        data: what the file would hold, where it is in memory; `path` is then its name in messages.

    Raises:
        CheckpointError: missing, truncated, foreign or unsafe file, no state dict in it, weights that are not
            finite, or class names that do not match the class count.
    """
    path = Path(path)
    content = safe_load(path, data)
    weights, notes = find_weights(content, path)
    _check_tensors(weights, path)
    entries: Mapping[Any, Any] = content if isinstance(content, dict) else {}
    shapes = shapes_of(weights)
    told = list(told_configs(entries))
    config = recognise(shapes, told)
    classes = class_count(shapes)
    reads = (_reads(config),) if config is not None and config.channels != 3 else ()
    return Checkpoint(
        path=path,
        sha256=sha256(path) if data is None else hashlib.sha256(data).hexdigest(),
        config=config,
        num_classes=classes,
        class_names=find_class_names(entries, classes, path),
        input_size=find_input_size(entries),
        state_dict=weights,
        notes=(*notes, *reads),
        is_recorded=config in told,
        is_legacy=config not in told and is_legacy(weights),
        is_trained=bool(
            notes or entries.keys() & set(TRAINERS_ENTRIES) or (config and not config.weights_url)
        ),
    )


def load_checkpoint(model: YOLOX, path: str | Path) -> Checkpoint:
    """Copy the weights of the checkpoint at `path` into `model`, on the device and in the dtype of the model.

    Everything is checked first: after an error the model is as it was.

    Raises:
        CheckpointError: what `read_checkpoint` raises, another class count, or keys and shapes that do not
            fit (names the model that would).
    """
    checkpoint = read_checkpoint(path)
    load_weights(model, checkpoint)
    return checkpoint


def load_weights(model: YOLOX, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint that was read; see `load_checkpoint`."""
    _check_fit(model, checkpoint)
    model.load_state_dict(checkpoint.state_dict)


def identify(state_dict: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """(model name, number of classes) of the model with exactly these keys and shapes, or None; see `recognise`."""
    shapes = shapes_of(state_dict)
    config, classes = recognise(shapes), class_count(shapes)
    return (config.name, classes) if config is not None and classes is not None else None


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


def _check_fit(model: YOLOX, checkpoint: Checkpoint) -> None:
    expected, found = shapes_of(model.state_dict()), shapes_of(checkpoint.state_dict)
    if found == expected:
        return
    count = class_count(found)
    if same_but_for_classes(expected, found):
        raise CheckpointError(
            f"{checkpoint.path} predicts {count} classes, the {model.config.name} here {model.num_classes}; "
            f"build the model with num_classes={count}"
        )
    other = {key for key in found.keys() & expected.keys() if found[key] != expected[key]}
    missing, foreign = expected.keys() - found.keys(), found.keys() - expected.keys()
    differences = (("missing", missing), ("foreign", foreign), ("of another shape", other))
    details = "; ".join(f"{what}: {listing(sorted(keys))}" for what, keys in differences if keys)
    raise CheckpointError(
        f"{checkpoint.path} does not fit {model.config.name} with {model.num_classes} classes: "
        f"{_advice(checkpoint)}; keys {details}"
    )


def _advice(checkpoint: Checkpoint) -> str:
    if checkpoint.config is None:
        return f"it is none of the zoo's models, and {why_unknown(shapes_of(checkpoint.state_dict))}"
    reads = f", and {_reads(checkpoint.config)}" if checkpoint.config.channels != 3 else ""
    name, count = checkpoint.model_name, checkpoint.num_classes
    return (
        f"it looks like {name} with {count} classes: build_model({name!r}, num_classes={count}){reads}; it is "
        "recognised where no name, depth and width are given"
    )


def _reads(config: ModelConfig) -> str:
    what = {1: "1 channel: grey pictures", 4: "4 channels: BGR pictures with alpha"}
    return f"it reads {what[config.channels]}"
