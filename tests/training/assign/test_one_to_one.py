"""One-to-one assignment against its definition and on cases made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from yolox_deploy.training.assign.anchors import anchor_points, box_iou
from yolox_deploy.training.assign.one_to_one import one_to_one
from yolox_deploy.training.assign.types import BatchAssignment, Predictions, Targets

SIZE, STRIDES = (64, 64), (8, 16)
ANCHORS = anchor_points(SIZE, STRIDES)
TOTAL = 64 + 16


def make(rows: list[list[float]], seed: int = 0) -> tuple[Predictions, Targets]:
    """Noisy predictions, and targets class, cx, cy, w, h, of one image."""
    rng = torch.Generator().manual_seed(seed)
    size = 12 + 8 * torch.rand(TOTAL, 2, generator=rng)
    boxes = torch.cat((ANCHORS.points + 3 * torch.randn(TOTAL, 2, generator=rng), size), dim=1)
    logits = torch.randn(TOTAL, 4, generator=rng)
    predictions = Predictions(boxes[None], logits[None, :, 0], logits[None, :, 1:])
    return predictions, Targets.from_padded(torch.tensor([rows]))


def pairs(found: BatchAssignment) -> dict[int, int]:
    """Ground truth -> anchor point, of the first image."""
    used = found.positive[0]
    return dict(zip(found.gt[0, used].tolist(), found.index[0, used].tolist(), strict=True))


def qualities(predictions: Predictions, targets: Targets) -> Tensor:
    """(G, A) by the definition; -1 outside the centre region."""
    selector = 1.0 if predictions.selector is None else predictions.selector[0].sigmoid()
    score = predictions.classes[0].sigmoid() * (predictions.objectness[0].sigmoid() * selector)[:, None]
    rows = []
    for box, label in zip(targets.boxes[0], targets.classes[0], strict=True):
        quality = score[:, label] ** 0.2 * box_iou(box, predictions.boxes[0]) ** 0.8
        inside = ((ANCHORS.points - box[:2]).abs() < 1.5 * ANCHORS.strides[:, None]).all(dim=1)
        rows.append(torch.where(inside, quality, -1.0))
    return torch.stack(rows)


@pytest.mark.parametrize("seed", range(4))
def test_highest_quality_first(seed: int) -> None:
    rows = [[seed % 3, 20.0 + 3 * i, 24.0 + 5 * (i % 2), 14, 16] for i in range(8)]
    predictions, targets = make(rows, seed)
    if seed % 2:
        predictions = replace(predictions, selector=torch.linspace(-2, 2, TOTAL)[None])
    quality = qualities(predictions, targets)
    expected: dict[int, int] = {}
    for place in quality.flatten().sort(descending=True, stable=True).indices.tolist():
        row, column = divmod(place, TOTAL)
        if row not in expected and column not in expected.values() and quality[row, column] > -1:
            expected[row] = column
    found = one_to_one(predictions, ANCHORS, targets)
    assert pairs(found) == expected
    assert len(expected) == 8
    used = found.positive
    wanted = box_iou(targets.boxes[0][found.gt[used]], predictions.boxes[0][found.index[used]])
    torch.testing.assert_close(found.iou[used], wanted)


def test_the_loser_of_a_conflict_takes_its_next() -> None:
    _, targets = make([[0, 20, 20, 12, 12], [0, 20, 20, 12, 13]])
    boxes = torch.cat((ANCHORS.points, torch.ones(TOTAL, 2)), dim=1)
    boxes[18] = torch.tensor([20.0, 20, 12, 13])
    boxes[19] = torch.tensor([20.0, 20, 12, 9])
    flat = Predictions(boxes[None], torch.zeros(1, TOTAL), torch.zeros(1, TOTAL, 3))
    assert pairs(one_to_one(flat, ANCHORS, targets)) == {1: 18, 0: 19}


def test_a_sure_selector_decides_between_equals() -> None:
    _, targets = make([[0, 24, 24, 12, 12]])
    boxes = torch.tensor([24.0, 24, 12, 12]).expand(1, TOTAL, 4)
    flat = Predictions(boxes, torch.zeros(1, TOTAL), torch.zeros(1, TOTAL, 3))
    assert pairs(one_to_one(flat, ANCHORS, targets)) == {0: 18}
    selector = torch.zeros(1, TOTAL)
    selector[0, 27] = 3.0
    selector[0, 60] = 9.0
    assert pairs(one_to_one(replace(flat, selector=selector), ANCHORS, targets)) == {0: 27}


def test_more_ground_truths_than_points() -> None:
    predictions, targets = make([[0, 4, 4, 8, 8]] * 20)
    found = one_to_one(predictions, ANCHORS, targets)
    inside = int(((ANCHORS.points - 4).abs() < 1.5 * ANCHORS.strides[:, None]).all(dim=1).sum())
    assert 0 < inside < 20
    assert found.positive.sum() == inside
    assert len(set(pairs(found).values())) == inside


def test_small_boxes_without_overlap_still_get_a_point() -> None:
    predictions, targets = make([[0, 20, 20, 0.5, 0.5]])
    far = replace(predictions, boxes=predictions.boxes + 1000)
    assert pairs(one_to_one(far, ANCHORS, targets)).keys() == {0}
