"""Exact folding of a trained model into fewer operations for inference and export."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from yolox_deploy.models.blocks import ConvBlock, Focus
from yolox_deploy.models.heads import DetectionHead

Model = TypeVar("Model", bound=nn.Module)


def fuse(model: Model) -> Model:
    """An inference copy of `model` that computes the same function with fewer operations.

    BatchNorm becomes part of its convolution, the sizes of priors part of a bias, and the Focus stem becomes one
    6x6 convolution of stride 2, so no slices of it remain in an exported graph. `model` is not changed. The copy
    is in evaluation mode, needs no gradients, and its state dict no longer has the official keys.
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(fused.modules()):
        if isinstance(module, ConvBlock):
            _fold_batch_norm(module)
        elif isinstance(module, nn.SiLU | nn.LeakyReLU | nn.ReLU):
            module.inplace = True
        elif isinstance(module, DetectionHead):
            module.fold_priors()
    _fold_focus(fused)
    return fused


def _fold_batch_norm(block: ConvBlock) -> None:
    """Move the BatchNorm of `block` into its convolution, in place; float64 leaves one rounding."""
    norm = block.bn
    if not isinstance(norm, nn.BatchNorm2d):
        return
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = block.conv.weight.double() * scale.view(-1, 1, 1, 1)
    bias = norm.bias.double() - norm.running_mean.double() * scale
    dtype = block.conv.weight.dtype
    block.conv.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    block.conv.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    block.bn = nn.Identity()


def _fold_focus(module: nn.Module) -> None:
    """Replace every Focus stem below `module` by its convolution with the slicing folded in."""
    for name, child in module.named_children():
        if isinstance(child, Focus):
            child.conv.conv = _focus_convolution(child.conv.conv)
            setattr(module, name, child.conv)
        else:
            _fold_focus(child)


def _focus_convolution(conv: nn.Conv2d) -> nn.Conv2d:
    """The 6x6 convolution of stride 2 on the image that equals Focus slicing and the 3x3 `conv`."""
    weight = focus_kernel(conv.weight)
    folded = nn.Conv2d(
        weight.shape[1], weight.shape[0], 6, 2, padding=2, device=weight.device, dtype=weight.dtype
    )
    folded.weight = nn.Parameter(weight, requires_grad=False)
    folded.bias = conv.bias
    return folded


def focus_kernel(weight: Tensor) -> Tensor:
    """Rearrange a 3x3 kernel on Focus channels (O, 4 * I, 3, 3) into a 6x6 kernel on pixels (O, I, 6, 6).

    Tap (k_row, k_col) of phase (row, col) touches the pixel (2 * k_row + row, 2 * k_col + col) of the window.
    """
    outputs, inputs = weight.shape[0], weight.shape[1] // len(Focus.PHASES)
    kernel = torch.zeros(outputs, inputs, 6, 6, dtype=weight.dtype, device=weight.device)
    for part, (row, column) in zip(torch.split(weight, inputs, dim=1), Focus.PHASES, strict=True):
        kernel[:, :, row::2, column::2] = part
    return kernel
