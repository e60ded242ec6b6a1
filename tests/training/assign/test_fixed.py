"""The assigners by geometry, on cases small enough to count by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from yolox_deploy.errors import UsageError
from yolox_deploy.training.assign.anchors import AnchorPoints, anchor_points
from yolox_deploy.training.assign.fixed import center, center3x3, yolov3
from yolox_deploy.training.assign.simota import simota_batch
from yolox_deploy.training.assign.types import Assigner, BatchAssignment, Predictions, Targets
from yolox_deploy.training.losses import losses_from_predictions

SIZE, STRIDES = (96, 128), (8, 16, 32)
START = (0, 192, 240)
"""First anchor points of the levels of 12x16, 6x8 and 3x4 cells."""
PRIORS = torch.tensor([[[8.0, 8], [16, 8]], [[16, 16], [32, 16]], [[64, 64], [96, 64]]])


def run(assigner: Assigner, rows: list[list[float]], anchors: AnchorPoints | None = None) -> BatchAssignment:
    """One image with ground truths cx, cy, w, h; every prediction is a box of 10 x 10 about its point."""
    anchors = anchors or anchor_points(SIZE, STRIDES)
    total = len(anchors.points)
    boxes = torch.cat((anchors.points, torch.full((total, 2), 10.0)), dim=1)
    targets = torch.cat((torch.zeros(len(rows), 1), torch.tensor(rows)), dim=1)
    predictions = Predictions(boxes[None], torch.zeros(1, total), torch.zeros(1, total, 2))
    return assigner(predictions, anchors, Targets.from_padded(targets[None]))


def pairs(found: BatchAssignment) -> dict[int, int]:
    """Anchor point -> ground truth, of the first image."""
    used = found.positive[0]
    return dict(zip(found.index[0, used].tolist(), found.gt[0, used].tolist(), strict=True))


@pytest.mark.parametrize(
    ("box", "point"),
    [
        ([20, 28, 10, 10], 3 * 16 + 2),
        ([100, 50, 64, 10], 6 * 16 + 12),
        ([100, 50, 10, 65], START[1] + 3 * 8 + 6),
        ([100, 50, 128, 128], START[1] + 3 * 8 + 6),
        ([100, 50, 129, 10], START[2] + 1 * 4 + 3),
        ([0, 0, 500, 10], START[2]),
    ],
)
def test_the_level_of_the_size_and_the_cell_of_the_centre(box: list[float], point: int) -> None:
    assert pairs(run(center, [box])) == {point: 0}


def test_the_iou_is_that_of_the_prediction() -> None:
    found = run(center, [[20, 28, 20, 20]])
    assert found.iou[0, 0].item() == pytest.approx(0.25)


def test_the_smaller_box_wins_then_the_first() -> None:
    assert pairs(run(center, [[20, 28, 30, 30], [21, 29, 10, 10]])) == {50: 1}
    assert pairs(run(center, [[20, 28, 10, 30], [21, 29, 30, 10]])) == {50: 0}


def test_a_centre_outside_the_image_and_padding_get_nothing() -> None:
    outside = [[128.0, 20, 10, 10], [20, -1, 10, 10], [-3, 20, 10, 10], [20, 99, 10, 10], [0, 0, 0, 0]]
    for assigner in (center, center3x3):
        assert pairs(run(assigner, outside)) == {}
        assert pairs(run(assigner, [*outside, [20, 28, 10, 10]]))[50] == 5


def test_nine_cells_fewer_at_a_corner() -> None:
    cells = {row * 16 + column for row in (2, 3, 4) for column in (1, 2, 3)}
    assert pairs(run(center3x3, [[20, 28, 10, 10]])).keys() == cells
    assert pairs(run(center3x3, [[4, 4, 10, 10]])).keys() == {0, 1, 16, 17}
    assert pairs(run(center3x3, [[127, 95, 200, 10]])).keys() == {START[2] + i for i in (6, 7, 10, 11)}


def test_contested_cells_leave_the_rest_to_the_larger_box() -> None:
    found = pairs(run(center3x3, [[20, 28, 30, 30], [36, 28, 10, 10]]))
    for row in (2, 3, 4):
        owners = [found[row * 16 + column] for column in range(1, 6)]
        assert owners == [0, 0, 1, 1, 1]
    assert len(found) == 15


def test_points_of_anchor_priors() -> None:
    anchors = anchor_points(SIZE, STRIDES, priors=PRIORS)
    plain = anchor_points(SIZE, STRIDES)
    assert anchors.priors is not None
    first = torch.cat((torch.arange(192), torch.arange(384, 432), torch.arange(480, 492)))
    assert torch.equal(anchors.points[first], plain.points)
    assert torch.equal(anchors.strides[first], plain.strides)
    assert torch.equal(anchors.points[192:384], plain.points[:192])
    assert anchors.priors[[0, 191, 192, 383, 384, 432, 480, 503]].tolist() == [
        *([8, 8], [8, 8], [16, 8], [16, 8]),
        *([16, 16], [32, 16], [64, 64], [96, 64]),
    ]
    assert len(anchors.points) == len(anchors.strides) == len(anchors.priors) == 504
    assert sum(level.height * level.width for level in anchors.levels) == 504
    with pytest.raises(UsageError, match=r"expected \(3, P, 2\)"):
        anchor_points(SIZE, STRIDES, priors=PRIORS[:2])


@pytest.mark.parametrize(
    ("box", "point"),
    [
        ([20, 28, 9, 7], 50),
        ([20, 28, 16, 8], 192 + 50),
        ([20, 28, 15, 15], 384 + 1 * 8 + 1),
        ([20, 28, 90, 60], 480 + 12),
        ([20, 28, 8, 40], 384 + 1 * 8 + 1),
    ],
)
def test_the_prior_of_the_best_shape(box: list[float], point: int) -> None:
    found = run(yolov3, [box], anchor_points(SIZE, STRIDES, priors=PRIORS))
    assert pairs(found) == {point: 0}


def test_good_predictions_that_are_not_the_best_are_ignored() -> None:
    anchors = anchor_points(SIZE, STRIDES, priors=PRIORS)
    boxes = torch.cat((anchors.points, torch.ones(504, 2)), dim=1)
    boxes[[50, 242, 300]] = torch.tensor([[20.0, 28, 16, 8], [20, 28, 16, 8], [20, 28, 9, 8]])
    boxes[301] = torch.tensor([20.0, 28, 8, 8])
    predictions = Predictions(boxes.expand(2, 504, 4), torch.zeros(2, 504), torch.zeros(2, 504, 2))
    targets = Targets.from_padded(torch.tensor([[[0, 20.0, 28, 16, 8], [0] * 5], [[0] * 5, [0] * 5]]))
    found = yolov3(predictions, anchors, targets)
    assert found.ignored is not None
    assert torch.nonzero(found.ignored).tolist() == [[0, 50], [0, 300]]
    assert pairs(found) == {242: 0}


def test_ignored_points_have_no_objectness_loss() -> None:
    rng = torch.Generator().manual_seed(0)
    raw = 0.1 * torch.randn(1, 504, 7, generator=rng)
    raw[..., :2] += 0.5
    raw.requires_grad_()
    targets = torch.tensor([[[1.0, 20, 28, 8, 8]]])
    losses = losses_from_predictions(raw, SIZE, targets, assigner=yolov3, priors=PRIORS)
    (gradient,) = torch.autograd.grad(losses.total, raw)
    assert losses.positives == 1
    # Cell (2, 3) of stride 8 holds two predictions: of one the box is the best prior's, the other is near too.
    silent = torch.nonzero(gradient[0, :, 4] == 0).flatten().tolist()
    assert 50 not in silent
    assert 242 in silent
    counted = [i for i in range(504) if i not in silent]
    expected = torch.nn.functional.softplus(raw[0, counted, 4]).sum() - raw[0, 50, 4]
    torch.testing.assert_close(losses.obj, expected)


@pytest.mark.parametrize("assigner", [center, center3x3])
def test_a_head_of_the_wrong_kind(assigner: Assigner) -> None:
    box = [[20.0, 28, 10, 10]]
    with pytest.raises(UsageError, match="anchor-free head"):
        run(assigner, box, anchor_points(SIZE, STRIDES, priors=PRIORS))
    with pytest.raises(UsageError, match="no priors"):
        run(yolov3, box)
    plain = anchor_points(SIZE, STRIDES)
    with pytest.raises(UsageError, match="in levels"):
        run(assigner, box, AnchorPoints(plain.points, plain.strides))


def test_simota_takes_priors_too() -> None:
    def candidates(anchors: AnchorPoints) -> Tensor:
        found = run(simota_batch, [[20, 28, 10, 10], [90, 50, 12, 12]], anchors)
        return anchors.points[found.index[found.positive]]

    with_priors = anchor_points(SIZE, STRIDES, priors=PRIORS)
    without_levels = AnchorPoints(with_priors.points, with_priors.strides)
    assert torch.equal(candidates(with_priors), candidates(without_levels))
