"""The selector's loss, the other loss options, and one step of training with each head."""

from __future__ import annotations

import pytest
import torch

from yolox_deploy.models import build_model
from yolox_deploy.training import compute_losses
from yolox_deploy.training.assign import ASSIGNERS
from yolox_deploy.training.assign.anchors import anchor_points, box_giou
from yolox_deploy.training.assign.types import BatchAssignment, Targets
from yolox_deploy.training.losses import LossOptions, losses_of_assignment, selector_loss

TARGETS = torch.tensor([[[1.0, 20, 24, 18, 26], [2.0, 60, 40, 50, 40]], [[0.0, 50, 30, 24, 24], [0.0] * 5]])
STEPS = 30


def assignment(index: int, slots: int = 2, iou: float = 0.7) -> BatchAssignment:
    """One image, one positive at `index`, the other slots not in use."""
    used = torch.arange(slots) < 1
    return BatchAssignment(
        torch.where(used, index, 0)[None], torch.zeros((1, slots), dtype=torch.int64),
        torch.full((1, slots), iou), used[None],
    )  # fmt: skip


def test_equals_cross_entropy_of_the_product() -> None:
    torch.manual_seed(0)
    logits, objectness = torch.randn(1, 9, requires_grad=True), torch.randn(1, 9, requires_grad=True)
    score = logits.sigmoid() * objectness.sigmoid()
    wanted = torch.zeros(1, 9)
    wanted[0, 4] = 1
    entropy = torch.nn.functional.binary_cross_entropy(score, wanted, reduction="sum")
    loss = selector_loss(logits, objectness, assignment(4))
    torch.testing.assert_close(loss, entropy + objectness[0, 4].sigmoid().log())
    (expected,) = torch.autograd.grad(entropy, logits)
    loss.backward()
    torch.testing.assert_close(logits.grad, expected)
    assert objectness.grad is None


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[200.0, -200.0, 200.0]], requires_grad=True)
    loss = selector_loss(logits, torch.tensor([[200.0, 200.0, -200.0]]), assignment(1))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_giou() -> None:
    boxes = torch.tensor([[5.0, 5, 10, 10], [15.0, 5, 10, 10], [35.0, 5, 10, 10]])
    torch.testing.assert_close(box_giou(boxes[0], boxes), torch.tensor([1.0, 0.0, -0.5]))


def test_a_box_that_misses_is_moved_by_giou_alone() -> None:
    anchors = anchor_points((32, 32), (32,))
    targets = Targets.from_padded(torch.tensor([[[0.0, 80, 16, 10, 10]]]))
    moved = []
    for box_loss in ("iou", "giou"):
        raw = torch.zeros(1, 1, 6, requires_grad=True)
        options = LossOptions(box_loss=box_loss)
        losses = losses_of_assignment(raw, anchors, targets, assignment(0, 1, 0.0), options=options)
        losses.iou.backward()
        moved.append(float(raw.grad[0, 0, 0]))
    assert moved[0] == 0 > moved[1]


@pytest.mark.parametrize(("iou_aware", "best"), [(False, 20.0), (True, 0.8473)])
def test_iou_aware_objectness_has_its_least_loss_at_the_iou(iou_aware: bool, best: float) -> None:
    anchors = anchor_points((32, 32), (32,))
    targets = Targets.from_padded(torch.tensor([[[0.0, 16, 16, 10, 10]]]))
    raw = torch.zeros(1, 1, 6)
    raw[..., 4] = best  # sigmoid(0.8473) = 0.7
    raw.requires_grad_()
    options = LossOptions(iou_aware=iou_aware)
    losses_of_assignment(raw, anchors, targets, assignment(0), options=options).obj.backward()
    assert abs(float(raw.grad[0, 0, 4])) < 1e-4


@pytest.mark.parametrize(
    ("name", "assigner", "options"),
    [
        ("yolov3_baseline", "yolov3", LossOptions(iou_aware=True)),
        ("decoupled_head", "yolov3", LossOptions(box_loss="giou")),
        ("nms_free", "simota", LossOptions()),
        ("end_to_end_coupled", "yolov3", LossOptions()),
    ],
)
def test_steps_of_each_head_lower_its_losses(name: str, assigner: str, options: LossOptions) -> None:
    torch.manual_seed(0)
    model = build_model(f"{name}@0.0625", 3).train()
    images = torch.rand(2, 3, 64, 96) * 255
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def losses() -> dict[str, torch.Tensor]:
        return compute_losses(
            model, images, TARGETS, assigner=ASSIGNERS[assigner], use_l1=True, options=options
        )

    before = losses()
    assert ("selector" in before) == model.config.selector
    before["total"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    for _ in range(STEPS):
        optimizer.step()
        optimizer.zero_grad()
        after = losses()
        after["total"].backward()
    assert after["total"] < 0.9 * before["total"]
