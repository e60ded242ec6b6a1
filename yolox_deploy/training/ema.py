"""Averaged weights: what a YOLOX checkpoint holds and what is evaluated."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from yolox_deploy.models import YOLOX

DECAY = 0.9998
RAMP_UPDATES = 2000.0


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
