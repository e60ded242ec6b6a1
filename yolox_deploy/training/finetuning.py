"""Fine-tuning: which runs are such, and the values that suit them. Every number is in `FineTuning`.

The paper's recipe is made for 300 epochs of COCO from random weights. In the few hundred steps of a run from weights
its warm-up, its average and its rate do nothing or undo what the weights know (docs/training.md has measurements).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolox_deploy.errors import UsageError
from yolox_deploy.training.config import Recipe, TrainConfig


@dataclass(frozen=True)
class FineTuning:
    """The numbers of the rule and of the recipe.

    Attributes:
        short_run: a run from weights is one where the stated epochs are fewer steps, of 64 pictures where no batch is
            stated.
        few_pictures: so is one where no epochs are stated and there are fewer pictures.
        batch: pictures a step, or all where there are fewer.
        steps, least_epochs: of the run, where no epochs are stated; as many as reach both.
        warmup_steps, warmup_share: steps of the warm-up, and the most of it in a very short run, of all.
        plain_share: of the epochs, without mosaic and with the L1 loss.
        evaluations: at most so many before the plain epochs.
        settings: values of all such runs.
        new_classes, mixed_classes, known_classes: further ones, where the weights know under `mixed_share` of the
            classes, where they know as many, and where they know all and others too.
        new_rate_sgd, known_rate_sgd: learning rates where somebody states the optimiser "sgd".
    """

    short_run: int = 2000
    few_pictures: int = 1000
    batch: int = 8
    steps: int = 400
    least_epochs: int = 10
    warmup_steps: int = 20
    warmup_share: float = 0.1
    plain_share: float = 0.15
    evaluations: int = 20
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            "optimizer": "adamw",
            "scale_rate": False,
            "weight_decay": 5e-4,
            "ema_ramp": "short",
            "ema_decay": 0.98,
            "multiscale": None,
            "augmentation.mosaic": 0.5,
            "augmentation.mosaic_scale": (0.5, 1.5),
            "augmentation.mixup": 0.0,
        }
    )
    mixed_share: float = 0.5
    new_classes: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 1e-3})
    mixed_classes: Mapping[str, Any] = field(
        default_factory=lambda: {"learning_rate": 1e-3, "backbone_rate": 0.1, "neck_rate": 0.1}
    )
    known_classes: Mapping[str, Any] = field(
        default_factory=lambda: {
            "learning_rate": 1e-4,
            "backbone_rate": 0.1,
            "neck_rate": 0.1,
            "batchnorm": "frozen",
        }
    )
    new_rate_sgd: float = 5e-3
    known_rate_sgd: float = 1e-4


NUMBERS = FineTuning()


def choose_recipe(
    stated: Mapping[str, Any], pictures: int, numbers: FineTuning = NUMBERS
) -> tuple[Recipe, str]:
    """The recipe for what is stated, and why.

    Args:
        stated: settings by dotted name.
        pictures: to train on.

    Raises:
        UsageError: fine-tuning is asked for, without weights.
    """
    wanted, weights = stated.get("recipe", "auto"), stated.get("weights")
    if wanted == "finetune" and weights is None:
        raise UsageError("the recipe finetune is for a run from weights; name them, or take the recipe paper")
    if wanted != "auto":
        return wanted, "it is asked for"
    if weights is None:
        return "paper", "the run starts from random weights"
    meant = [name for name in ("learning_rate", "momentum") if name in stated]
    if meant and "optimizer" not in stated:
        return "paper", f"{meant[0]} is stated and no optimizer, so it is meant for the paper's"
    if "epochs" not in stated:
        count = f"{pictures} pictures and no stated epochs"
        if pictures < numbers.few_pictures:
            return (
                "finetune",
                f"the run starts from weights, with {count}; under {numbers.few_pictures} are few",
            )
        return "paper", f"the run starts from weights, with {count}; {numbers.few_pictures} or more are many"
    epochs, batch = stated["epochs"], stated.get("batch", TrainConfig.batch)
    steps = epochs * -(-pictures // max(batch, 1))
    count = f"{steps} steps of {batch} ({epochs} epochs of {pictures} pictures)"
    if steps < numbers.short_run:
        return "finetune", f"the run starts from weights, with {count}; under {numbers.short_run} are few"
    return "paper", f"the run starts from weights, with {count}; {numbers.short_run} or more are many"


def tuned_settings(
    stated: Mapping[str, Any],
    pictures: int,
    *,
    known: float | None,
    own: bool = False,
    processes: int = 1,
    numbers: FineTuning = NUMBERS,
) -> dict[str, Any]:
    """The values of fine-tuning by dotted name; what is stated is left to `stated`.

    Args:
        known: share of the classes that the weights know; None counts as 0.
        own: the weights were trained on these classes alone, perhaps on few pictures: they have more to learn than
            those of COCO, which lose by every step.
        processes: that train together.
    """
    share = known or 0.0
    are_known = share >= 1 and not own
    further = numbers.mixed_classes if share >= numbers.mixed_share else numbers.new_classes
    found = {**numbers.settings, **(numbers.known_classes if are_known else further)}
    if stated.get("optimizer") == "sgd":
        found["learning_rate"] = numbers.known_rate_sgd if are_known else numbers.new_rate_sgd
    parts = max(stated.get("accumulate", 1), 1)
    found["batch"] = -(-max(min(numbers.batch, pictures), processes) // parts) * parts
    batch = max(stated.get("batch", found["batch"]), 1)
    steps = max(min(-(-pictures // batch), pictures // processes), 1)
    found["epochs"] = max(-(-numbers.steps // steps), numbers.least_epochs)
    return found | _phases(stated, stated.get("epochs", found["epochs"]), steps, numbers)


def _phases(stated: Mapping[str, Any], epochs: int, steps: int, numbers: FineTuning) -> dict[str, Any]:
    """Warm-up, plain epochs and evaluations of a run of so many epochs of so many steps."""
    plain = round(numbers.plain_share * epochs)
    strong = epochs - (plain if stated.get("plain_epochs") is None else stated["plain_epochs"])
    warmup = min(numbers.warmup_steps, numbers.warmup_share * epochs * steps) / steps
    return {
        "plain_epochs": plain,
        # Rounded up: of 20 / 7 epochs the trainer's whole steps would be 19.
        "warmup_epochs": max(min(math.ceil(warmup * 1e4) / 1e4, strong), 0),
        "eval_every": max(-(-strong // numbers.evaluations), 1),
    }
