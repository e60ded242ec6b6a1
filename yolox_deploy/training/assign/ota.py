"""OTA, which SimOTA simplifies: assignment as optimal transport, solved by Sinkhorn-Knopp.

Source: Ge et al., "OTA: Optimal Transport Assignment for Object Detection", CVPR 2021, and its released code. A
reference to compare with: it loops over images and waits for the host.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from yolox_deploy.training.assign.anchors import AnchorPoints, box_iou
from yolox_deploy.training.assign.simota import (
    IOU_EPS,
    IOU_WEIGHT,
    candidate_rule,
    find_candidates,
    near_and_penalty,
)
from yolox_deploy.training.assign.types import (
    BatchAssignment,
    Predictions,
    Targets,
    compact,
    no_positives,
    take_rows,
)

TOP_IOUS = 20
"""Best IoUs whose sum is the supply of a ground truth (section 3.3; SimOTA takes 10)."""
ENTROPY_WEIGHT = 0.1
ITERATIONS = 50


@torch.no_grad()
def ota(predictions: Predictions, anchors: AnchorPoints, targets: Targets) -> BatchAssignment:
    """Assign anchor points to ground truths by an optimal transport plan; an `Assigner`.

    Each candidate (SimOTA's rule: in the centre region of any ground truth) demands one label. Ground truth i
    supplies k_i of them, the sum of its 20 largest IoUs inside its own centre region, truncated, at least 1; the
    background supplies the rest, and where the k_i ask for more than there is all are scaled down. A label costs
    class loss - 3 ln(IoU + 1e-8) + 1e6 outside the own centre region; of the background, the class loss against no
    class at all. A candidate goes to the supplier that sends it most (section 3.1); positive unless that is the
    background. A ground truth can end with none.

    Chosen here: the class loss is SimOTA's, the BCE of sqrt(class * objectness) in place of the focal loss, so that
    the two differ in the matching alone; rows of the plan are not rescaled by their largest entry, which the
    released code does and the paper does not.
    """
    total = len(anchors.points)
    if targets.boxes.shape[1] == 0:
        return no_positives(predictions.boxes)
    owner = torch.full((len(targets.boxes), total), -1, device=targets.boxes.device)
    for image in range(len(owner)):
        kept = torch.nonzero(targets.valid[image]).flatten()
        if len(kept) == 0:
            continue
        one = slice(image, image + 1)
        truth = Targets(*(part[one, kept] for part in (targets.boxes, targets.classes, targets.valid)))
        seen = Predictions(predictions.boxes[one], predictions.objectness[one], predictions.classes[one])
        candidates, supplier = _transport(seen, anchors, truth)
        owner[image, candidates] = torch.cat((kept, kept.new_tensor([-1])))[supplier]
    index, positive = compact(owner >= 0, total)
    gt = owner.gather(1, index).clamp(min=0)
    boxes = take_rows(predictions.boxes, index).masked_fill(~positive.unsqueeze(2), 0.0)
    return BatchAssignment(index, gt, box_iou(take_rows(targets.boxes, gt), boxes), positive)


def sinkhorn(
    cost: Tensor, supply: Tensor, demand: Tensor, *, eps: float = ENTROPY_WEIGHT, iterations: int = ITERATIONS
) -> Tensor:
    """The plan (S, D) float32 that moves `supply` (S,) to `demand` (D,) at the least cost - `eps` * entropy.

    `cost` (S, D) for one unit; both sums must be equal. In logarithms, so that large costs do not underflow. The
    last half step makes the rows sum to the supply; the columns approach the demand.
    """
    logits = cost.float() / -eps
    log_supply, log_demand = supply.float().log(), demand.float().log()
    rows, columns = torch.zeros_like(log_supply), torch.zeros_like(log_demand)
    for _ in range(iterations):
        columns = log_demand - (logits + rows.unsqueeze(1)).logsumexp(dim=0)
        rows = log_supply - (logits + columns).logsumexp(dim=1)
    return (logits + rows.unsqueeze(1) + columns).exp()


def _transport(predictions: Predictions, anchors: AnchorPoints, truth: Targets) -> tuple[Tensor, Tensor]:
    """(candidates (K,), supplier (K,)) of one image with G > 0 ground truths; supplier G is the background."""
    rule = candidate_rule("2025", None)
    index, used = find_candidates(anchors, truth, rule)
    near, penalty = near_and_penalty(anchors.points[index], anchors.strides[index], truth, rule)
    keep = torch.nonzero((used & near)[0]).flatten()
    candidates, penalty = index[0, keep], penalty[0][:, keep]
    ious = box_iou(truth.boxes[0][:, None], predictions.boxes[0, candidates])
    objectness = predictions.objectness[0, candidates, None].float().sigmoid()
    score = (predictions.classes[0, candidates].float().sigmoid() * objectness).sqrt()
    classes, background = _class_losses(score, truth.classes[0])
    cost = classes - IOU_WEIGHT * (ious + IOU_EPS).log() + penalty
    supply = _supply(ious * (penalty == 0), len(candidates))
    plan = sinkhorn(torch.cat((cost, background[None])), supply, torch.ones_like(background))
    return candidates, plan.max(dim=0).indices


def _class_losses(score: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """BCE of `score` (K, C) against each of G one-hot classes, (G, K), and against none, (K,)."""
    absent = F.binary_cross_entropy(score, torch.zeros_like(score), reduction="none")
    present = F.binary_cross_entropy(score, torch.ones_like(score), reduction="none")
    background = absent.sum(dim=1)
    return background + (present - absent).T[classes], background


def _supply(ious: Tensor, demand: int) -> Tensor:
    """(G + 1,) float32: labels of each ground truth, from its IoUs (G, K), and of the background; `demand` in all."""
    best = ious.topk(min(TOP_IOUS, demand), dim=1).values.sum(dim=1)
    wanted = best.floor().clamp(min=1)
    wanted *= (demand / wanted.sum()).clamp(max=1)
    return torch.cat((wanted, (demand - wanted.sum()).clamp(min=0)[None]))
