"""Anchor points and the one box code of every head.

An anchor point is the centre of a cell of a feature level, in input pixels: ((column, row) + 0.5) * stride.
Boxes are cx, cy, w, h in input pixels; their code is tx, ty, tw, th. Their overlap is here too, as IoU and GIoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from yolox_deploy.errors import UsageError

UNION_EPS = 1e-16

LOG_EPS = 1e-8


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU (...) of boxes (..., 4) that broadcast against one another; 0, not NaN, for two boxes without area."""
    x1, y1, w1, h1 = first.unbind(dim=-1)
    x2, y2, w2, h2 = second.unbind(dim=-1)
    shared = _overlap(x1, w1, x2, w2) * _overlap(y1, h1, y2, h2)
    return shared / (w1 * h1 + UNION_EPS + w2 * h2 - shared)


def box_giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU (...), -1 to 1, of boxes (..., 4): IoU less the share of their hull that neither covers.

    Source: Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019.
    """
    x1, y1, w1, h1 = first.unbind(dim=-1)
    x2, y2, w2, h2 = second.unbind(dim=-1)
    shared = _overlap(x1, w1, x2, w2) * _overlap(y1, h1, y2, h2)
    union = w1 * h1 + UNION_EPS + w2 * h2 - shared
    hull = _span(x1, w1, x2, w2) * _span(y1, h1, y2, h2) + UNION_EPS
    return shared / union - (hull - union) / hull


def _span(centre1: Tensor, side1: Tensor, centre2: Tensor, side2: Tensor) -> Tensor:
    """The length of the least interval that holds two, along one axis."""
    half1, half2 = side1 / 2, side2 / 2
    return torch.maximum(centre1 + half1, centre2 + half2) - torch.minimum(centre1 - half1, centre2 - half2)


def _overlap(centre1: Tensor, side1: Tensor, centre2: Tensor, side2: Tensor) -> Tensor:
    """The length that two intervals share, along one axis."""
    half1, half2 = side1 / 2, side2 / 2
    end = torch.minimum(centre1 + half1, centre2 + half2)
    start = torch.maximum(centre1 - half1, centre2 - half2)
    return (end - start).clamp(min=0)


@dataclass(frozen=True)
class Level:
    """A grid of anchor points: `height` x `width` cells of `stride` pixels, row-major."""

    height: int
    width: int
    stride: int


@dataclass(frozen=True)
class AnchorPoints:
    """A anchor points, level after level.

    `points` (A, 2) float32 x, y in pixels; `strides` (A,) float32 in pixels. `levels` describes the same points
    as regular grids, which lets an assigner skip most of them; empty for points of any other arrangement.
    `priors` (A, 2) float32 w, h in pixels of the prior of each point; None for an anchor-free head. A feature
    level with several priors is as many entries of `levels`, one after another.
    """

    points: Tensor
    strides: Tensor
    levels: tuple[Level, ...] = ()
    priors: Tensor | None = None


def anchor_points(
    image_size: tuple[int, int],
    strides: Sequence[int],
    device: torch.device | str | None = None,
    priors: Tensor | None = None,
) -> AnchorPoints:
    """The anchor points of an input of `image_size` (height, width in pixels), on `device`.

    `priors` (levels, P, 2) w, h in pixels on `device`: inside a level come all cells of its first prior
    (row-major), then all of its second. Made on the device: nothing is copied there.

    Raises:
        UsageError: `priors` of another shape.
    """
    if priors is not None and (priors.ndim != 3 or priors.shape[0] != len(strides) or priors.shape[2] != 2):
        raise UsageError(f"the priors have shape {tuple(priors.shape)}; expected ({len(strides)}, P, 2)")
    height, width = image_size
    repeats = 1 if priors is None else priors.shape[1]
    levels = tuple(
        Level(height // stride, width // stride, stride) for stride in strides for _ in range(repeats)
    )
    points, steps = _layout(levels, torch.device(device or "cpu"))
    if priors is None:
        return AnchorPoints(points, steps, levels)
    shapes = zip(priors.float().flatten(0, 1), levels, strict=True)
    sizes = [shape.expand(level.height * level.width, 2) for shape, level in shapes]
    return AnchorPoints(points, steps, levels, torch.cat(sizes))


@lru_cache(maxsize=32)
def _layout(levels: tuple[Level, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """(points (A, 2), strides (A,)) float32, made once a size; nobody may change them."""
    with torch.inference_mode(False):  # What is made in that mode has no place in a graph later.
        points = [_level_points(level, device) for level in levels]
        steps = [
            torch.full((level.height * level.width,), float(level.stride), device=device) for level in levels
        ]
        return torch.cat(points), torch.cat(steps)


def cell_centres(cells: int, stride: int, device: torch.device | str | None) -> Tensor:
    """(cells,) float32 pixel positions of the cell centres along one axis of a level."""
    return (torch.arange(cells, dtype=torch.float32, device=device) + 0.5) * stride


def _level_points(level: Level, device: torch.device) -> Tensor:
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
