"""Optimal transport: the solver against closed forms, the assigner on cases whose plan is plain."""

from __future__ import annotations

import math

import pytest
import torch

from yolox_deploy.training.assign.anchors import anchor_points
from yolox_deploy.training.assign.ota import ota, sinkhorn
from yolox_deploy.training.assign.simota import simota_batch
from yolox_deploy.training.assign.types import BatchAssignment, Predictions, Targets

SIZE, STRIDES = (160, 192), (8, 16, 32)
ANCHORS = anchor_points(SIZE, STRIDES)
TOTAL = len(ANCHORS.points)


def draw() -> tuple[Predictions, Targets]:
    """Twelve objects, and predictions that fit the nearest of them more or less."""
    rng = torch.Generator().manual_seed(0)
    centre = torch.rand(1, 12, 2, generator=rng) * torch.tensor([192.0, 160.0])
    size = 8 + 80 * torch.rand(1, 12, 2, generator=rng)
    truth = torch.cat((centre, size), dim=2)
    nearest = torch.cdist(ANCHORS.points, centre[0]).argmin(dim=1)
    noise = torch.randn(TOTAL, 4, generator=rng) * torch.tensor([3.0, 3.0, 0.2, 0.2])
    boxes = torch.cat((centre[0, nearest] + noise[:, :2], size[0, nearest] * noise[:, 2:].exp()), dim=1)
    logits = 2 * torch.randn(1, TOTAL, 7, generator=rng) - 2
    labels = torch.randint(0, 6, (1, 12), generator=rng)
    predictions = Predictions(boxes[None], logits[..., 0], logits[..., 1:])
    return predictions, Targets(truth, labels, torch.ones(1, 12, dtype=torch.bool))


def owners(found: BatchAssignment) -> dict[int, int]:
    """Anchor point -> ground truth, of the first image."""
    used = found.positive[0]
    return dict(zip(found.index[0, used].tolist(), found.gt[0, used].tolist(), strict=True))


def test_the_plan_of_two_by_two() -> None:
    plan = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.ones(2), torch.ones(2), eps=1.0)
    diagonal = 1 / (1 + math.exp(-1))
    torch.testing.assert_close(plan, torch.tensor([[diagonal, 1 - diagonal], [1 - diagonal, diagonal]]))


@pytest.mark.parametrize("forbidden", [0.0, 1e6])
def test_the_margins_are_supply_and_demand(forbidden: float) -> None:
    rng = torch.Generator().manual_seed(0)
    cost = torch.rand(4, 30, generator=rng)
    cost[:3, 20:] += forbidden
    supply = torch.tensor([3.0, 5.0, 1.0, 21.0])
    plan = sinkhorn(cost, supply, torch.ones(30))
    assert torch.isfinite(plan).all()
    torch.testing.assert_close(plan.sum(dim=1), supply, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plan.sum(dim=0), torch.ones(30), rtol=0, atol=0.02)
    if forbidden:
        assert plan[:3, 20:].max() < 1e-6


def test_no_supply_of_background() -> None:
    plan = sinkhorn(torch.rand(3, 4), torch.tensor([2.0, 2.0, 0.0]), torch.ones(4))
    assert plan[2].tolist() == [0.0] * 4


def test_as_many_positives_as_good_predictions() -> None:
    """Three predictions fit the object and know its class, so k = 3 and the plan is nearly whole numbers."""
    box = torch.tensor([84.0, 84.0, 40.0, 40.0])
    boxes = torch.cat((ANCHORS.points, torch.full((TOTAL, 2), 1.0)), dim=1)
    classes = torch.full((1, TOTAL, 2), -5.0)
    good = [10 * 24 + 10, 10 * 24 + 9, 480 + 5 * 12 + 5]
    boxes[good], classes[0, good, 1] = box, 5.0
    rows = torch.zeros(1, 3, 5)
    rows[0, 1] = torch.tensor([1.0, *box.tolist()])
    predictions = Predictions(boxes[None], torch.full((1, TOTAL), 5.0), classes)
    found = ota(predictions, ANCHORS, Targets.from_padded(rows))
    assert owners(found) == dict.fromkeys(sorted(good), 1)
    torch.testing.assert_close(found.iou[0], torch.ones(3))


def test_duplicates_that_ask_for_more_than_there_is() -> None:
    box = torch.tensor([84.0, 84.0, 40.0, 40.0])
    rows = torch.cat((torch.zeros(1, 30, 1), box.expand(1, 30, 4)), dim=2)
    predictions = Predictions(box.expand(1, TOTAL, 4), torch.zeros(1, TOTAL), torch.zeros(1, TOTAL, 2))
    found = ota(predictions, ANCHORS, Targets.from_padded(rows))
    assert torch.isfinite(found.iou).all()
    assert 0 < found.positive.sum() < 40


def test_simota_is_near_it() -> None:
    predictions, targets = draw()
    exact = set(owners(ota(predictions, ANCHORS, targets)).items())
    simple = set(owners(simota_batch(predictions, ANCHORS, targets)).items())
    assert 0.4 < len(exact & simple) / len(exact | simple) < 1


def test_a_ground_truth_that_no_point_is_near() -> None:
    predictions, _ = draw()
    rows = torch.tensor([[[0.0, 1e4, 1e4, 10.0, 10.0]]])
    assert not ota(predictions, ANCHORS, Targets.from_padded(rows)).positive.any()
