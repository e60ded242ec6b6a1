"""What goes into a label assigner and what comes out: shapes that depend on no value, so nothing waits for a GPU.

B images, A anchor points, C classes, M rows of ground truth (padded), P slots for positives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from yolox_deploy.training.assign.anchors import AnchorPoints


@dataclass(frozen=True)
class Predictions:
    """What a model says of a batch, detached from the graph.

    `boxes` (B, A, 4) float32 cx, cy, w, h in pixels; `objectness` (B, A) and `classes` (B, A, C) logits in the
    precision of the model; `selector` (B, A) likewise, None for a model without one.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor
    selector: Tensor | None = None


@dataclass(frozen=True)
class Targets:
    """The ground truth of a batch: `boxes` (B, M, 4) float32 cx, cy, w, h in pixels, `classes` (B, M) int64,
    `valid` (B, M) bool, False for padding.
    """

    boxes: Tensor
    classes: Tensor
    valid: Tensor

    @classmethod
    def from_padded(cls, targets: Tensor) -> Targets:
        """From (B, M, 5) rows of class, cx, cy, w, h; a row without area, such as zeros, is padding."""
        boxes = targets[..., 1:].float()
        return cls(boxes, targets[..., 0].long(), (boxes[..., 2:] > 0).all(dim=-1))


@dataclass(frozen=True)
class BatchAssignment:
    """The positives of a batch, in slots of a fixed number, each image's in anchor order.

    All (B, P). `index` int64: the anchor point; `gt` int64: the ground truth it is to predict; `iou` float32:
    the IoU of its prediction with that box; `positive` bool: False for a slot not in use, whose other values
    are valid indices without meaning. An anchor point fills at most one slot.

    `ignored` (B, A) bool: anchor points, none of them positive, that the objectness loss leaves out; None for none.
    """

    index: Tensor
    gt: Tensor
    iou: Tensor
    positive: Tensor
    ignored: Tensor | None = None

    def foreground(self, num_anchors: int) -> Tensor:
        """(B, A) bool: the positive anchor points."""
        mask = torch.zeros((self.index.shape[0], num_anchors), dtype=torch.uint8, device=self.index.device)
        # Slots not in use share an index with one that is: adding lets either come last.
        return mask.scatter_add_(1, self.index, self.positive.to(torch.uint8)) > 0


Assigner: TypeAlias = Callable[[Predictions, AnchorPoints, Targets], BatchAssignment]
"""Decides which anchor points are positive, and for which ground truth."""


def no_positives(like: Tensor) -> BatchAssignment:
    """The assignment of images without a row of ground truth, as many as `like` is long: no slots."""
    index = torch.zeros((like.shape[0], 0), dtype=torch.int64, device=like.device)
    return BatchAssignment(index, index, index.float(), index.bool())


def compact(mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The positions of the True values of `mask` (B, N), in order, in slots.

    Returns (index (B, K) int64, used (B, K) bool); slots not in use point at 0, and True values of a row beyond
    `most` are dropped. K is `most`: unlike with `nonzero`, the shape is known without looking at the values. On a
    CPU, where a look costs nothing, K is no more than the fullest row needs.
    """
    rows, length = mask.shape
    rank = mask.cumsum(dim=1)
    slots = min(most, max(int(rank[:, -1].max()), 1)) if mask.device.type == "cpu" else most
    slot = torch.where(mask, rank - 1, slots).clamp(max=slots)
    positions = torch.arange(length, device=mask.device).expand(rows, length)
    index = torch.zeros((rows, slots + 1), dtype=torch.int64, device=mask.device).scatter_(1, slot, positions)
    used = torch.arange(slots, device=mask.device) < rank[:, -1:]
    return torch.where(used, index[:, :slots], 0), used


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """The rows (B, K, D) of `values` (B, N, D) at `index` (B, K) int64; differentiable.

    On a CPU, index_select and its gradient are several times faster than gather.
    """
    rows = values.flatten(0, 1).index_select(0, _flat(index, values.shape[1]))
    return rows.view(*index.shape, values.shape[2])


def add_rows(values: Tensor, index: Tensor, rows: Tensor) -> None:
    """The reverse of `take_rows`: add `rows` (B, K, D) to the rows of `values` (B, N, D) at `index`, in place."""
    place = _flat(index, values.shape[1]).unsqueeze(1).expand(-1, values.shape[2])
    values.view(-1, values.shape[2]).scatter_add_(0, place, rows.flatten(0, 1))


def _flat(index: Tensor, length: int) -> Tensor:
    """(B * K,) rows of all images' (B * `length`) together."""
    return (index + torch.arange(len(index), device=index.device).unsqueeze(1) * length).flatten()


def trim_padding(targets: Tensor) -> Tensor:
    """Drop the last columns of host targets (B, M, 5) that pad every image: work grows with M.

    The loader can do this before it sends a batch to a GPU; there the count is not known without waiting.
    """
    columns = Targets.from_padded(targets).valid.any(dim=0).tolist()
    used = max((column + 1 for column, valid in enumerate(columns) if valid), default=0)
    return targets[:, :used]
