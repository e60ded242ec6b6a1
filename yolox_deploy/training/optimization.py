"""How the weights move: the optimiser, the learning rate over a run, and averaged weights.

SGD with Nesterov momentum, weight decay on convolution weights alone; quadratic warm-up, cosine and a flat end (paper,
section 2.1, and released code); the average is what a YOLOX checkpoint holds and what is evaluated.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD

from yolox_deploy.errors import UsageError
from yolox_deploy.models.yolox import YOLOX

DECAY = 0.9998
RAMP_UPDATES = 2000.0
REFERENCE_BATCH = 64
FLOOR_RATIO = 0.05
"""Where the cosine ends, of the peak."""


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The trainable parameters of `model` in three groups: norm weights, convolution weights, biases.

    Each has `params`, `name` and `weight_decay`, which is 0 but for the convolutions. Frozen parameters
    (`requires_grad` False) are left out.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    biases = [parameter for name, parameter in named if name.endswith("bias")]
    weights = [parameter for name, parameter in named if not name.endswith("bias")]
    convolutions = [parameter for parameter in weights if parameter.ndim > 1]
    norms = [parameter for parameter in weights if parameter.ndim <= 1]
    return [
        {"params": norms, "name": "norm", "weight_decay": 0.0},
        {"params": convolutions, "name": "convolution", "weight_decay": weight_decay},
        {"params": biases, "name": "bias", "weight_decay": 0.0},
    ]


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    fused: bool = True,
) -> SGD:
    """SGD with Nesterov momentum over `parameter_groups`; parameters that are unfrozen later are not in it.

    `fused` updates all parameters in one kernel: 3 to 5 times faster than separate operations on a CPU.

    Momentum starts at 0, which makes the first step PyTorch's own: 0.9 * 0 + gradient. Left to the first step, a
    fused one makes it of uninitialised memory, and a loss scaler that finds an overflow there lets it stay so.
    """
    groups = [group for group in parameter_groups(model, weight_decay) if group["params"]]
    optimizer = SGD(groups, lr=learning_rate, momentum=momentum, nesterov=True, fused=fused)
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_learning_rate(optimizer: SGD, rate: float) -> None:
    """Use `rate` in every group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def ema_decay(updates: int, decay: float = DECAY) -> float:
    """d = decay * (1 - exp(-updates / 2000)): the average follows closely at first, for it begins at random."""
    return decay * (1.0 - math.exp(-updates / RAMP_UPDATES))


class ModelEMA:
    """An exponential moving average of all floating state of a model, BatchNorm statistics included.

    `model` is the averaged copy: evaluation mode, no gradients. Other state, such as counters, stays as it was
    when the copy was made. `updates` counts the updates and goes into a checkpoint beside the weights; set both
    to resume.

    Make it from the bare module (not its DDP wrapper) once that has its device and memory format: it holds on to
    the tensors, for a walk over the model at each update would take longer than the update.
    """

    def __init__(self, model: YOLOX, *, decay: float = DECAY) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.model.zero_grad(set_to_none=True)
        self.decay = decay
        self.updates = 0
        self._source, self._average = _floating_state(model), _floating_state(self.model)

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the model: average <- d * average + (1 - d) * model, in one pass."""
        self.updates += 1
        weight = 1.0 - ema_decay(self.updates, self.decay)
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
