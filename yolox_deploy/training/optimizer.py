"""SGD as YOLOX uses it: Nesterov momentum, and weight decay on convolution weights alone."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The trainable parameters of `model` in three groups: norm weights, convolution weights, biases.

    Each has `params`, `name` and `weight_decay`, which is 0 but for the convolutions. Frozen parameters
    (`requires_grad` False) are left out.
    """
    norms, convolutions, biases = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.endswith("bias"):
            biases.append(parameter)
        elif parameter.ndim > 1:
            convolutions.append(parameter)
        else:
            norms.append(parameter)
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
    """SGD with Nesterov momentum over `parameter_groups`.

    `fused` updates all parameters in one kernel: 3 to 5 times faster than separate operations on a CPU. Build the
    optimizer anew after freezing or unfreezing parameters: a fused step wants all of a group to have momentum
    or none.
    """
    groups = [group for group in parameter_groups(model, weight_decay) if group["params"]]
    return SGD(groups, lr=learning_rate, momentum=momentum, nesterov=True, fused=fused)


def set_learning_rate(optimizer: SGD, rate: float) -> None:
    """Use `rate` in every group from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
