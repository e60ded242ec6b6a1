"""Weights from before YOLOX 0.1.1, made to read pixels as they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from yolox_deploy.models.blocks import BATCH_NORM_EPS
from yolox_deploy.models.recognition import STEMS
from yolox_deploy.training.restoring import LEAST_NORM
from yolox_deploy.types import InputConvention


def read_pixels(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the first block that read BGR, 0-255, as those of `weights` read RGB, normalised.

    Normalising is (pixel * scale - mean) / std. Its factor goes into the filters, and its constant into the mean that
    BatchNorm takes off. The filters then get their length back, which BatchNorm leaves free, for a learning rate means
    little to short ones. Where BatchNorm is folded, which a mean of 0 tells, the constant goes into the bias, and the
    length is left to `restoring`. All is exact but at the border of the picture, which the convolution pads with 0: the
    mean colour before, black now.
    """
    convention, stem = (
        InputConvention.legacy(),
        next(stem for stem in STEMS if f"{stem}conv.weight" in weights),
    )
    mean, std = (
        torch.tensor(value, dtype=torch.float64).view(3, 1, 1) for value in (convention.mean, convention.std)
    )
    names = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    weight, gain, bias, center, variance = (weights[f"{stem}{name}"].double() for name in names)
    rgb = weight.reshape(len(weight), -1, 3, *weight.shape[2:])
    constant = (rgb * mean / std).sum(dim=(1, 2, 3, 4))
    bgr = (rgb * convention.scale / std).flip(2)
    deviation = (variance + BATCH_NORM_EPS).sqrt()
    if center.any():
        before, after = (filters.flatten(1).norm(dim=1) for filters in (rgb, bgr))
        factor = torch.where(after > LEAST_NORM, before / after.clamp(min=LEAST_NORM), 1.0)
        bgr *= factor.view(-1, 1, 1, 1, 1)
        center, variance = factor * (center + constant), factor**2 * variance
        gain = gain * (variance + BATCH_NORM_EPS).sqrt() / (factor * deviation)
    else:
        bias = bias - constant * gain / deviation
    found = dict(zip(names, (bgr.reshape(weight.shape), gain, bias, center, variance), strict=True))
    return {f"{stem}{name}": value.to(weights[f"{stem}{name}"].dtype) for name, value in found.items()}
