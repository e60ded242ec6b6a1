"""Which anchor points SimOTA considers: the rules of two eras, and how to find the few without looking at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from yolox_deploy.errors import UsageError
from yolox_deploy.training.assign.anchors import AnchorPoints, Level, cell_centres
from yolox_deploy.training.assign.types import Targets, compact

Era = Literal["head", "release"]


@dataclass(frozen=True)
class CandidateRule:
    """Which anchor points a ground truth may claim.

    A candidate lies in the centre region (`radius` strides to each side) of any ground truth, or with `boxes`
    in any box. Claiming one outside one's own centre region, or with `boxes` outside one's own box or centre
    region, costs `penalty`.
    """

    radius: float
    penalty: float
    boxes: bool


RULES: dict[Era, CandidateRule] = {
    "head": CandidateRule(radius=1.5, penalty=1e6, boxes=False),
    "release": CandidateRule(radius=2.5, penalty=1e5, boxes=True),
}
"""`head`: the official code of 2025. `release`: the code that trained the published weights."""


def candidate_rule(era: Era, radius: float | None) -> CandidateRule:
    """The rule of `era`, with `radius` strides in place of its own unless None.

    Raises:
        UsageError: no such era, or a radius that is not positive.
    """
    if era not in RULES:
        raise UsageError(f"There is no era {era!r}; expected one of {', '.join(RULES)}.")
    rule = RULES[era]
    if radius is None:
        return rule
    if not radius > 0:
        raise UsageError(f"The centre radius is {radius}; expected a positive number of strides.")
    return CandidateRule(radius, rule.penalty, rule.boxes)


def banish_padding(targets: Targets) -> Targets:
    """Move the boxes of padding infinitely far away, without area: near nothing, and IoU 0 with everything."""
    padding = ~targets.valid.unsqueeze(2)
    centre = targets.boxes[..., :2].masked_fill(padding, -math.inf)
    size = targets.boxes[..., 2:].masked_fill(padding, 0.0)
    return Targets(torch.cat((centre, size), dim=2), targets.classes, targets.valid)


def find_candidates(anchors: AnchorPoints, targets: Targets, rule: CandidateRule) -> tuple[Tensor, Tensor]:
    """(index (B, K), used (B, K)): slots that hold every candidate, and perhaps others, in anchor order."""
    batch, rows = targets.valid.shape
    total = len(anchors.points)
    if rule.boxes or not anchors.levels:
        index = torch.arange(total, device=targets.boxes.device).expand(batch, total)
        return index, torch.ones_like(index, dtype=torch.bool)
    mask = torch.cat([_near_centres(level, targets, rule.radius) for level in anchors.levels], dim=1)
    # An open interval 2 r long holds at most ceil(2 r) points 1 apart.
    return compact(mask, min(rows * len(anchors.levels) * math.ceil(2 * rule.radius) ** 2, total))


def _near_centres(level: Level, targets: Targets, radius: float) -> Tensor:
    """(B, H * W) bool: the cells of a level in the centre region of any ground truth.

    A region is a rectangle of cells, so their union is a sum of outer products.
    """
    x, y = targets.boxes[..., 0:1], targets.boxes[..., 1:2]
    half = radius * level.stride
    columns = _margin(cell_centres(level.width, level.stride, x.device), x, half) > 0
    rows = _margin(cell_centres(level.height, level.stride, x.device), y, half) > 0
    return (rows.float().transpose(1, 2) @ columns.float()).flatten(1) > 0


def near_and_penalty(
    points: Tensor, strides: Tensor, targets: Targets, rule: CandidateRule
) -> tuple[Tensor, Tensor]:
    """(near (B, K) bool, penalty (B, M, K) float32): which points are candidates, and what claiming one costs.

    `points` (B, K, 2), `strides` (B, K).
    """
    px, py = points.unsqueeze(1).unbind(dim=-1)
    x, y, width, height = targets.boxes.unsqueeze(2).unbind(dim=-1)
    half = rule.radius * strides.unsqueeze(1)
    in_centre = torch.minimum(_margin(px, x, half), _margin(py, y, half))
    if not rule.boxes:
        return in_centre.amax(dim=1) > 0, in_centre.le_(0.0).mul_(rule.penalty)
    in_box = torch.minimum(_margin(px, x, 0.5 * width), _margin(py, y, 0.5 * height))
    near = torch.maximum(in_centre, in_box).amax(dim=1) > 0
    return near, torch.minimum(in_centre, in_box).le_(0.0).mul_(rule.penalty)


def _margin(position: Tensor, middle: Tensor, half: Tensor | float) -> Tensor:
    """How far inside the interval `middle` +- `half` a position is, rounded as the official code rounds it."""
    return torch.minimum(position - (middle - half), (middle + half) - position)
