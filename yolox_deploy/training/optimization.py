"""How the weights move: the optimiser, the learning rate over a run, and averaged weights.

SGD with Nesterov momentum, weight decay on convolution weights alone; quadratic warm-up, cosine and a flat end (paper,
section 2.1, and released code); the average is what a YOLOX checkpoint holds and what is evaluated. AdamW, and rates of
their own for the backbone and the neck, are for short runs from weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from yolox_deploy.errors import UsageError
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.config import Optimizer, TrainConfig

DECAY = 0.9998
RAMP_UPDATES, SHORT_RAMP_UPDATES = 2000.0, 10.0
SECOND_BETA = 0.999
"""Of AdamW, as its paper and PyTorch have it."""
REFERENCE_BATCH = 64
FLOOR_RATIO = 0.05
"""Where the cosine ends, of the peak."""


def parameter_groups(
    model: nn.Module, weight_decay: float, rates: Mapping[str, float] | None = None
) -> list[dict[str, object]]:
    """The trainable parameters of `model` in three groups: norm weights, convolution weights, biases.

    Each has `params`, `name` and `weight_decay`, which is 0 but for the convolutions. Frozen parameters
    (`requires_grad` False) are left out.

    Args:
        rates: factors of the learning rate by the beginning of parameters' names, first come first served. Where one
            is not 1 there are three groups for each and three for the rest, with the `factor` and such a name as
            "backbone.backbone.norm".
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    factors = dict(rates or {})
    if all(factor == 1 for factor in factors.values()):
        return list(_kinds(named, weight_decay, "", 1.0))
    groups: list[dict[str, object]] = []
    for prefix, factor in {**factors, "": 1.0}.items():
        part = [(name, parameter) for name, parameter in named if name.startswith(prefix)]
        named = [(name, parameter) for name, parameter in named if not name.startswith(prefix)]
        groups += _kinds(part, weight_decay, prefix, factor)
    return groups


def _kinds(
    named: list[tuple[str, nn.Parameter]], weight_decay: float, prefix: str, factor: float
) -> Iterator[dict[str, object]]:
    """The three groups of one part of the model."""
    biases = [parameter for name, parameter in named if name.endswith("bias")]
    weights = [parameter for name, parameter in named if not name.endswith("bias")]
    convolutions = [parameter for parameter in weights if parameter.ndim > 1]
    norms = [parameter for parameter in weights if parameter.ndim <= 1]
    for name, parameters in (("norm", norms), ("convolution", convolutions), ("bias", biases)):
        decay = weight_decay if name == "convolution" else 0.0
        yield {"params": parameters, "name": prefix + name, "weight_decay": decay, "factor": factor}


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    kind: Optimizer = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    rates: Mapping[str, float] | None = None,
    fused: bool = True,
) -> SGD | AdamW:
    """The optimiser over `parameter_groups`; parameters that are unfrozen later are not in it.

    `fused` updates all parameters in one kernel: 3 to 5 times faster than separate operations on a CPU.

    SGD's momentum starts at 0, which makes the first step PyTorch's own: 0.9 * 0 + gradient. Left to the first step, a
    fused one makes it of uninitialised memory, and a loss scaler that finds an overflow there lets it stay so.

    Args:
        kind: "sgd" with Nesterov momentum, or "adamw", whose betas are `momentum` and 0.999.
        rates: as for `parameter_groups`.
    """
    groups = [group for group in parameter_groups(model, weight_decay, rates) if group["params"]]
    if kind == "adamw":
        return AdamW(groups, lr=learning_rate, betas=(momentum, SECOND_BETA), fused=fused)
    optimizer = SGD(groups, lr=learning_rate, momentum=momentum, nesterov=True, fused=fused)
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_learning_rate(optimizer: SGD | AdamW, rate: float) -> None:
    """Use `rate`, times the factor of the group, from the next step on.

    The groups of a checkpoint from before there were factors have none.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def ema_decay(updates: int, decay: float = DECAY, *, short: bool = False) -> float:
    """d = decay * (1 - exp(-updates / 2000)): the average follows closely at first, for it begins at random.

    For `short` runs min(decay, updates / (10 + updates)): after 200 steps the former is still 0.095 and averages
    nothing.
    """
    if short:
        return min(decay, updates / (SHORT_RAMP_UPDATES + updates))
    return decay * (1.0 - math.exp(-updates / RAMP_UPDATES))


class ModelEMA:
    """An exponential moving average of all floating state of a model, BatchNorm statistics included.

    `model` is the averaged copy: evaluation mode, no gradients. Other state, such as counters, stays as it was
    when the copy was made. `updates` counts the updates and goes into a checkpoint beside the weights; set both
    to resume.

    Make it from the bare module (not its DDP wrapper) once that has its device and memory format: it holds on to
    the tensors, for a walk over the model at each update would take longer than the update.
    """

    def __init__(self, model: YOLOX, *, decay: float = DECAY, short: bool = False) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.model.zero_grad(set_to_none=True)
        self.decay, self.short = decay, short
        self.updates = 0
        self._source, self._average = _floating_state(model), _floating_state(self.model)

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the model: average <- d * average + (1 - d) * model, in one pass."""
        self.updates += 1
        weight = 1.0 - ema_decay(self.updates, self.decay, short=self.short)
        torch._foreach_lerp_(self._average, self._source, weight)


def _floating_state(model: YOLOX) -> list[Tensor]:
    return [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]


@dataclass(frozen=True)
class WarmupCosine:
    """When the learning rate has which value; lengths in iterations.

    It rises from 0 to `peak` as the square of time during `warmup`, falls as a cosine to `FLOOR_RATIO * peak`, and
    stays there for the last `flat` iterations.

    Raises:
        UsageError: the parts do not fit into `total`, or a value is negative.
    """

    peak: float
    total: int
    warmup: int
    flat: int

    def __post_init__(self) -> None:
        if min(self.peak, self.warmup, self.flat) < 0:
            raise UsageError(f"a schedule has no negative values; found {self}")
        if self.warmup + self.flat > self.total:
            raise UsageError(
                f"{self.warmup} iterations of warm-up and {self.flat} at the end do not fit into {self.total}; "
                "train for more epochs or shorten them"
            )


def yolox_warmup_cosine(schedule: WarmupCosine, iteration: int) -> float:
    """The learning rate for `iteration`, counted from 0 (the official code counts the same way)."""
    if iteration < schedule.warmup:
        return schedule.peak * (iteration / schedule.warmup) ** 2
    floor = schedule.peak * FLOOR_RATIO
    falling = schedule.total - schedule.warmup - schedule.flat
    elapsed = iteration - schedule.warmup
    if elapsed >= falling:
        return floor
    return floor + 0.5 * (schedule.peak - floor) * (1.0 + math.cos(math.pi * elapsed / falling))


def scaled_learning_rate(batch: int, rate: float = 0.01) -> float:
    """Linear scaling (paper, section 2.1): `rate` is meant for 64 images, `batch` counts those of all devices."""
    return rate * batch / REFERENCE_BATCH


def peak_rate(config: TrainConfig) -> float:
    """The highest learning rate of a run."""
    return (
        scaled_learning_rate(config.batch, config.learning_rate)
        if config.scale_rate
        else config.learning_rate
    )
