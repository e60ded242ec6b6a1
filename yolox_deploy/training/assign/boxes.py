"""Intersection over union of boxes cx, cy, w, h."""

from __future__ import annotations

import torch
from torch import Tensor

UNION_EPS = 1e-16


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
