"""The loss of the selector branch, which keeps one prediction an object (paper, section 2.1 "End-to-end YOLO").

Source: PSS (Zhou et al., "Object Detection Made Simpler by Eliminating Heuristic NMS", 2021), which the paper
follows: the final score, a product of sigmoids, is trained towards 1 for the one-to-one positives and towards 0
elsewhere, and gradients stop at the branch. The YOLOX paper leaves the details open. Chosen here:

- The score is selector * objectness; the class is left to its own loss.
- Plain cross-entropy instead of the focal loss: the detached objectness already silences the background, where
  the gradient is in proportion to it, so what is learned is to tell an object's duplicates apart.
- Weight 1 beside the kept losses, and no ranking loss as PSS has it: the YOLOX paper names none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from yolox_deploy.training.assign.types import BatchAssignment

SELECTOR_LOSS_WEIGHT = 1.0


def selector_loss(logits: Tensor, objectness: Tensor, assignment: BatchAssignment) -> Tensor:
    """Cross-entropy of selector * objectness over all anchor points, divided by max(positives, 1), weighted.

    `logits` and `objectness` (B, A) are those of the selector and of the objectness; only the first get gradients.
    The constant -ln(objectness) of the positives is left out: without gradient, it would only hide the progress.
    """
    logits, objectness = logits.float(), objectness.detach().float()
    # ln(1 - so) = ln((1 - o) + o (1 - s)), which stays exact where both probabilities are near 1.
    duplicate = F.logsigmoid(objectness) + F.logsigmoid(-logits)
    rejected = -torch.logaddexp(F.logsigmoid(-objectness), duplicate)
    loss = torch.where(assignment.foreground(logits.shape[1]), F.softplus(-logits), rejected).sum()
    return SELECTOR_LOSS_WEIGHT * loss / assignment.positive.sum().clamp(min=1)
