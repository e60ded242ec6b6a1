"""Training at several sizes: one size for every process and all pictures of ten steps (paper, section 2.1)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from yolox_deploy.models.zoo import SIZE_DIVISOR

STEPS_PER_SIZE = 10


def size_of_step(
    step: int, size: tuple[int, int], heights: tuple[int, int] | None, seed: int
) -> tuple[int, int]:
    """The (height, width) of training in `step`; a function of its arguments, so that all processes agree.

    Args:
        step: optimiser steps since the beginning of the run.
        size: (height, width) of the pictures before.
        heights: least and greatest height, multiples of 32; None for `size` always.
        seed: of the run.
    """
    if heights is None:
        return size
    rng = np.random.default_rng([seed, step // STEPS_PER_SIZE])
    rows = int(rng.integers(heights[0] // SIZE_DIVISOR, heights[1] // SIZE_DIVISOR, endpoint=True))
    return SIZE_DIVISOR * rows, SIZE_DIVISOR * max(int(rows * size[1] / size[0]), 1)


def to_input(
    images: Tensor, targets: Tensor, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """What the network and the losses read, at `size` (height, width).

    Args:
        images: (B, 3, H, W) uint8, BGR.
        targets: (B, M, 5) class, cx, cy, w, h in pixels of `images`.

    Returns:
        (B, 3, *size) float32 0-255 on `device`, channels last; and targets in its pixels, where they were.
    """
    height, width = images.shape[-2:]
    pixels = images.to(device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
    if (height, width) == size:
        return pixels, targets
    scale = torch.tensor([1.0, size[1] / width, size[0] / height, size[1] / width, size[0] / height])
    pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    return pixels.contiguous(memory_format=torch.channels_last), targets * scale
