"""Weights that a run starts from: what fits is copied, class predictors row by row, by the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from yolox_deploy.class_names import CLASS_NAMES, LISTED, find_names
from yolox_deploy.errors import CheckpointError
from yolox_deploy.models import read_checkpoint
from yolox_deploy.models.checkpoint import GUESSED_NAMES, Checkpoint
from yolox_deploy.models.diagnosis import why_unknown
from yolox_deploy.models.recognition import (
    CLASS_PREDICTORS,
    columns_before_classes,
    same_but_for_classes,
    shapes_of,
)
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.legacy import read_pixels

IN_ORDER = "match_classes=false takes them in their order"
Sources = Sequence[int | None]
"""For each class of the data set its class in the checkpoint."""


def load_pretrained(model: YOLOX, path: Path, class_names: Sequence[str] | None = None) -> list[str]:
    """Copy the weights at `path` into `model`, the rows of its class predictors by the names of the classes.

    A row that the checkpoint does not have is zero, and so is its bias: the class is as likely as not wherever there is
    an object, so that objectness decides. Without `class_names` rows are taken in their order where both sides have as
    many, and predictors for another number of classes stay new.

    Args:
        class_names: of the data set, one a class of `model`.

    Returns:
        Sentences on what was copied and what to expect.

    Raises:
        CheckpointError: it cannot be read, or is of another model.
    """
    checkpoint = read_checkpoint(path)
    own, shapes, found = model.state_dict(), shapes_of(checkpoint.state_dict), checkpoint.model_name
    if not same_but_for_classes(shapes_of(own), shapes):
        why = f"it looks like {found}; train that with --model {found}." if found else why_unknown(shapes)
        raise CheckpointError(f"{path} does not fit {model.config.name}: {why}")
    weights, rows = dict(checkpoint.state_dict), list[str]()
    if checkpoint.is_legacy:
        weights |= read_pixels(weights)
    if class_names is not None:
        sources, rows = find_rows(class_names, checkpoint)
        weights |= _predictors(weights, sources, model.head.num_priors)
    fitting = {key: value for key, value in weights.items() if value.shape == own[key].shape}
    model.load_state_dict(fitting, strict=False)
    fresh = sorted(own.keys() - fitting.keys())
    messages = [f"{len(fitting)} of {len(own)} tensors come from {path}."]
    messages += [f"{path}: {note}." for note in checkpoint.notes]
    if checkpoint.is_legacy:
        messages.append(
            "They are from before YOLOX 0.1.1 (RGB, normalised): their first convolution is made to read BGR 0-255, "
            "which changes what they see at the border of a picture alone."
        )
    trained, now = checkpoint.config.activation if checkpoint.config else None, model.config.activation
    if checkpoint.is_recorded and trained != now:
        messages.append(
            f"They were trained with {trained} and go on with {now}; --activation {trained} keeps it."
        )
    if fresh:
        messages.append(
            f"It predicts {checkpoint.num_classes} classes and the data set has {model.num_classes}: "
            f"the class predictors start anew ({', '.join(fresh)})."
        )
    return messages + rows


def known_classes(path: Path, class_names: Sequence[str]) -> tuple[float, bool]:
    """How much the checkpoint at `path` knows of the classes.

    Returns:
        The share of them, 0 to 1, whose rows it has; and whether it names these and no others, as one does that was
        trained on them.

    Raises:
        CheckpointError: it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    sources, _ = find_rows(class_names, checkpoint)
    share = sum(source is not None for source in sources) / max(len(sources), 1)
    return share, set(checkpoint.class_names or ()) == set(class_names)


def find_rows(class_names: Sequence[str], checkpoint: Checkpoint) -> tuple[Sources, list[str]]:
    """The class of the checkpoint for each name, None for a new one, and sentences on that.

    A checkpoint without names has COCO's where it predicts 80 classes, unless it is another trainer's and the data set
    has as many: then, and with any other number of classes that both have, the order decides.
    """
    known, count = checkpoint.class_names, checkpoint.num_classes
    messages = []
    if known is None:
        is_guess = GUESSED_NAMES in checkpoint.doubts
        if count == len(class_names) and (is_guess or count != len(CLASS_NAMES)):
            text = f"The checkpoint names no classes and has {count} as the data set: they are taken in their order."
            return range(count), [text]
        if count == len(CLASS_NAMES):
            known = CLASS_NAMES
            sure = (
                f"not for certain: {GUESSED_NAMES.partition(';')[0]}" if is_guess else "as the authors' have"
            )
            messages = [f"The checkpoint names no classes; its {count} are COCO's, {sure}."]
    if known is None:
        text = f"The checkpoint names none of its {count} classes: all {len(class_names)} of the data set are new."
        return [None] * len(class_names), [f"{text} {_new(class_names, count)}"]
    sources = find_names(class_names, known)
    if tuple(class_names) != tuple(known):
        messages.append(_said(class_names, known, sources))
    return sources, messages


def _said(class_names: Sequence[str], known: Sequence[str], sources: Sources) -> str:
    """Which classes keep their rows, under which name, and which are new."""
    taken = [
        name if name == known[source] else f"{name} (there {known[source]})"
        for name, source in zip(class_names, sources, strict=True)
        if source is not None
    ]
    new = [name for name, source in zip(class_names, sources, strict=True) if source is None]
    if not taken:
        return f"None of its {len(known)} classes has a name of the data set. {_new(new, len(known))}"
    said = f"Its predictors of {len(taken)} classes are taken over by name: {_listed(taken)}."
    return f"{said} {_new(new, len(known) - len(taken))}" if new else said


def _new(names: Sequence[str], left: int | None) -> str:
    """`left`: classes of the checkpoint that nothing was taken of."""
    more = f"; {IN_ORDER}" if len(names) == left else ""
    return f"New are {_listed(names)}: their predictors start at zero, where objectness alone decides{more}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[: 2 * LISTED]) + (
        f" and {len(names) - 2 * LISTED} more" if len(names) > 2 * LISTED else ""
    )


def _predictors(weights: Mapping[str, Tensor], sources: Sources, priors: int) -> dict[str, Tensor]:
    """The class predictors among `weights` with the rows of `sources`."""
    return {
        key: _rows(value, sources, priors, columns_before_classes(key))
        for key, value in weights.items()
        if key.startswith(CLASS_PREDICTORS)
    }


def _rows(value: Tensor, sources: Sources, priors: int, others: int) -> Tensor:
    """`value` (priors * (others + classes), ...) of a checkpoint for the classes of `sources`; zero for None."""
    found = value.reshape(priors, -1, *value.shape[1:])
    new = torch.zeros(priors, others + len(sources), *found.shape[2:], dtype=value.dtype)
    new[:, :others] = found[:, :others]
    for place, source in enumerate(sources):
        if source is not None:
            new[:, others + place] = found[:, others + source]
    return new.flatten(0, 1)
