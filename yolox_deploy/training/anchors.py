"""Anchor points and the box code of the anchor-free head.

An anchor point is the centre of a cell of a feature level, in input pixels: ((column, row) + 0.5) * stride.
Boxes are cx, cy, w, h in input pixels; their code is tx, ty, tw, th.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_EPS = 1e-8


@dataclass(frozen=True)
class Level:
    """One feature level: `height` x `width` cells of `stride` pixels, row-major."""

    height: int
    width: int
    stride: int


@dataclass(frozen=True)
class AnchorPoints:
    """A anchor points, level after level.

    `points` (A, 2) float32 x, y in pixels; `strides` (A,) float32 in pixels. `levels` describes the same points
    as regular grids, which lets an assigner skip most of them; empty for points of any other arrangement.
    """

    points: Tensor
    strides: Tensor
    levels: tuple[Level, ...] = ()


def anchor_points(
    image_size: tuple[int, int], strides: Sequence[int], device: torch.device | str | None = None
) -> AnchorPoints:
    """The anchor points of an input of `image_size` (height, width in pixels), on `device`.

    Made on the device: nothing is copied there.
    """
    height, width = image_size
    levels = tuple(Level(height // stride, width // stride, stride) for stride in strides)
    points = [_level_points(level, device) for level in levels]
    steps = [
        torch.full((level.height * level.width,), level.stride, dtype=torch.float32, device=device)
        for level in levels
    ]
    return AnchorPoints(torch.cat(points), torch.cat(steps), levels)


def cell_centres(cells: int, stride: int, device: torch.device | str | None) -> Tensor:
    """(cells,) float32 pixel positions of the cell centres along one axis of a level."""
    return (torch.arange(cells, dtype=torch.float32, device=device) + 0.5) * stride


def _level_points(level: Level, device: torch.device | str | None) -> Tensor:
    """(height * width, 2) float32 x, y."""
    x = cell_centres(level.width, level.stride, device).expand(level.height, level.width)
    y = cell_centres(level.height, level.stride, device)[:, None].expand(level.height, level.width)
    return torch.stack((x, y), dim=-1).flatten(0, 1)


def decode_boxes(code: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Box codes (..., 4) to boxes (..., 4) cx, cy, w, h in pixels.

    centre = (t_xy + grid) * stride, size = exp(t_wh) * stride, grid being the column and row of the cell.
    `points` (..., 2) and `strides` (...) broadcast against the boxes.
    """
    step = strides.unsqueeze(-1)
    centre = code[..., :2] * step + (points - 0.5 * step)
    # exp of a strided view is not vectorised on a CPU: ten times slower than the copy.
    return torch.cat((centre, code[..., 2:].contiguous().exp() * step), dim=-1)


def encode_boxes(boxes: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """The inverse of `decode_boxes`, with ln(size / stride + 1e-8)."""
    step = strides.unsqueeze(-1)
    offset = (boxes[..., :2] - (points - 0.5 * step)) / step
    return torch.cat((offset, (boxes[..., 2:] / step + LOG_EPS).log()), dim=-1)
