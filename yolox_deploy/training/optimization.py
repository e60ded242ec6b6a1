"""SGD as YOLOX uses it: Nesterov momentum, and weight decay on convolution weights alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD


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
