"""The losses against official values, a slow definition, and what must not change them."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from yolox_deploy.errors import UsageError
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training import compute_losses
from yolox_deploy.training.assign.anchors import anchor_points, decode_boxes
from yolox_deploy.training.assign.simota import simota_batch
from yolox_deploy.training.assign.types import Predictions, Targets
from yolox_deploy.training.losses import Losses, losses_from_predictions, losses_of_assignment

OFFICIAL = {"total": "total_loss", "iou": "iou_loss", "obj": "conf_loss", "cls": "cls_loss", "l1": "l1_loss"}
SIZE = (96, 128)
STRIDES = (8, 16, 32)
ANCHORS = 12 * 16 + 6 * 8 + 3 * 4


def draw_predictions(batch: int = 3, classes: int = 5, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    raw = torch.randn(batch, ANCHORS, 5 + classes, generator=rng)
    raw[..., 4:] -= 2.0
    return raw.requires_grad_()


def draw_targets(seed: int = 0) -> Tensor:
    """(3, 20, 5): 7 objects, none, 3 objects."""
    rng = torch.Generator().manual_seed(seed)
    targets = torch.zeros(3, 20, 5)
    for image, count in ((0, 7), (2, 3)):
        targets[image, :count, 0] = torch.randint(0, 5, (count,), generator=rng).float()
        targets[image, :count, 1:3] = torch.rand(count, 2, generator=rng) * torch.tensor([128.0, 96.0])
        targets[image, :count, 3:] = 5 + 40 * torch.rand(count, 2, generator=rng)
    return targets


@pytest.mark.parametrize("use_l1", [False, True])
def test_official_losses_and_gradients(
    use_l1: bool,
    nano: YOLOX,
    train_images: Tensor,
    reference: dict[str, Any],
    reference_arrays: dict[str, Tensor],
) -> None:
    losses = compute_losses(nano, train_images, reference_arrays["loss/labels"], use_l1=use_l1)
    expected = reference[f"loss_l1_{use_l1}"]
    assert set(losses) == set(OFFICIAL)
    for name, official in OFFICIAL.items():
        assert losses[name].item() == pytest.approx(expected[official], rel=1e-4), name
    losses["total"].backward()
    norms = {name: p.grad.norm() for name, p in nano.named_parameters() if p.grad is not None}
    for name, norm in reference[f"gradnorm_l1_{use_l1}"].items():
        assert norms[name].item() == pytest.approx(norm, rel=1e-3), name
    total = torch.stack(list(norms.values())).norm().item()
    assert total == pytest.approx(reference[f"gradnorm_total_l1_{use_l1}"], rel=1e-3)


def naive_losses(raw: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The definition for a given assignment, image by image and positive by positive."""
    anchors = anchor_points(SIZE, STRIDES)
    boxes = decode_boxes(raw[..., :4], anchors.points, anchors.strides)
    truth = Targets.from_padded(targets)
    found = simota_batch(
        Predictions(boxes.detach(), raw[..., 4].detach(), raw[..., 5:].detach()), anchors, truth
    )
    sums = {name: raw.new_zeros(()) for name in ("iou", "obj", "cls", "l1")}
    for image in range(len(raw)):
        objectness = torch.zeros(ANCHORS)
        for slot in torch.nonzero(found.positive[image]).flatten().tolist():
            anchor, gt = int(found.index[image, slot]), int(found.gt[image, slot])
            label, x, y, w, h = targets[image, gt].tolist()
            objectness[anchor] = 1.0
            px, py, pw, ph = boxes[image, anchor]
            left, right = torch.clamp(px - pw / 2, min=x - w / 2), torch.clamp(px + pw / 2, max=x + w / 2)
            top, bottom = torch.clamp(py - ph / 2, min=y - h / 2), torch.clamp(py + ph / 2, max=y + h / 2)
            shared = (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
            sums["iou"] = sums["iou"] + 1 - (shared / (pw * ph + w * h - shared)) ** 2
            wanted = torch.zeros(raw.shape[2] - 5)
            wanted[int(label)] = found.iou[image, slot]
            sums["cls"] = sums["cls"] + F.binary_cross_entropy_with_logits(
                raw[image, anchor, 5:], wanted, reduction="sum"
            )
            stride = anchors.strides[anchor]
            column, row = anchors.points[anchor] / stride - 0.5
            code = torch.stack(
                (x / stride - column, y / stride - row, (w / stride).log(), (h / stride).log())
            )
            sums["l1"] = sums["l1"] + (raw[image, anchor, :4] - code).abs().sum()
        sums["obj"] = sums["obj"] + F.binary_cross_entropy_with_logits(
            raw[image, :, 4], objectness, reduction="sum"
        )
    count = max(int(found.positive.sum()), 1)
    return {name: (5 if name == "iou" else 1) * value / count for name, value in sums.items()}


def test_equals_the_definition() -> None:
    raw, targets = draw_predictions(), draw_targets()
    losses = losses_from_predictions(raw, SIZE, targets, use_l1=True)
    expected = naive_losses(raw, targets)
    for name, value in expected.items():
        torch.testing.assert_close(getattr(losses, name), value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses.total, sum(expected.values()), rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(losses.total, raw)
    (wanted,) = torch.autograd.grad(sum(expected.values()), raw)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rows", [0, 4])
def test_a_batch_without_objects(rows: int) -> None:
    raw = draw_predictions()
    losses = losses_from_predictions(raw, SIZE, torch.zeros(3, rows, 5), use_l1=True)
    assert losses.iou.item() == losses.cls.item() == losses.l1.item() == 0.0
    assert losses.positives.item() == 0
    expected = F.softplus(raw[..., 4]).sum()
    torch.testing.assert_close(losses.total, expected)
    losses.total.backward()
    assert torch.isfinite(raw.grad).all()
    assert raw.grad[..., 5:].count_nonzero() == 0


def numbers(losses: Losses) -> dict[str, float]:
    return {field.name: getattr(losses, field.name).item() for field in fields(losses)}


def test_padding_and_order_do_not_matter() -> None:
    raw, targets = draw_predictions(), draw_targets()
    expected = numbers(losses_from_predictions(raw, SIZE, targets, use_l1=True))
    scattered = torch.zeros(3, 31, 5)
    scattered[:, torch.randperm(31, generator=torch.Generator().manual_seed(4))[:20]] = targets
    assert numbers(losses_from_predictions(raw, SIZE, scattered, use_l1=True)) == pytest.approx(expected)
    assert expected["positives"] == int(expected["positives"]) > 0


def test_overflow_away_from_the_objects_leaves_gradients_finite() -> None:
    raw = draw_predictions().detach()
    targets = torch.zeros(3, 4, 5)
    targets[:, 0] = torch.tensor([1.0, 100.0, 80.0, 20.0, 20.0])
    raw[:, 0, 2:4] = 1000.0
    raw.requires_grad_()
    losses = losses_from_predictions(raw, SIZE, targets, use_l1=True)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert torch.isfinite(raw.grad).all()


def test_float32_under_autocast() -> None:
    low, targets = draw_predictions().detach().bfloat16().requires_grad_(), draw_targets()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_from_predictions(low, SIZE, targets, use_l1=True)
    expected = losses_from_predictions(low.detach().float(), SIZE, targets, use_l1=True)
    assert losses.total.dtype == torch.float32
    assert numbers(losses) == numbers(expected)
    losses.total.backward()
    assert low.grad.dtype == torch.bfloat16


def test_autocast_training_step(nano: YOLOX, train_images: Tensor) -> None:
    targets = torch.zeros(4, 3, 5)
    targets[:, 0] = torch.tensor([7.0, 80.0, 70.0, 60.0, 50.0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = compute_losses(nano, train_images, targets)
    losses["total"].backward()
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in nano.parameters())


def test_another_assigner() -> None:
    raw, targets = draw_predictions(), draw_targets()
    release = losses_from_predictions(raw, SIZE, targets, assigner=partial(simota_batch, rules="release"))
    head = losses_from_predictions(raw, SIZE, targets)
    assert release.positives > 0
    assert release.total != head.total


class Watcher(TorchDispatchMode):
    """Counts operations and keeps the size of the largest tensor any of them made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.largest = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        for made in result if isinstance(result, tuple | list) else (result,):
            if isinstance(made, Tensor):
                # A broadcast view costs nothing: what counts is memory.
                self.largest = max(self.largest, made.untyped_storage().nbytes())
        return result


def watch(batch: int, rows: int, rules: str) -> Watcher:
    """One forward and backward pass of assignment and losses at 640 x 640, 80 classes, without any values."""
    anchors = anchor_points((640, 640), STRIDES, "meta")
    with Watcher() as watcher:
        raw = torch.empty(batch, len(anchors.points), 85, device="meta", requires_grad=True)
        truth = Targets.from_padded(torch.empty(batch, rows, 5, device="meta"))
        boxes = decode_boxes(raw[..., :4], anchors.points, anchors.strides)
        found = simota_batch(Predictions(boxes, raw[..., 4], raw[..., 5:]), anchors, truth, rules=rules)
        losses_of_assignment(raw, anchors, truth, found, use_l1=True).total.backward()
    return watcher


@pytest.mark.parametrize("rules", ["2025", "release"])
def test_no_synchronisation_no_loops_and_no_quadruple_tensor(rules: str) -> None:
    """Tensors without values cannot be looked at: `.item()`, `nonzero` and boolean indexing would raise."""
    small, large = watch(2, 3, rules), watch(16, 120, rules)
    assert small.operations == large.operations
    whole_predictions, pairs = 16 * 8400 * 85 * 4, 16 * 120 * 8400 * 4
    assert large.largest <= max(whole_predictions, pairs)


def test_wrong_mode_and_shapes(nano: YOLOX, train_images: Tensor) -> None:
    targets = torch.zeros(4, 1, 5)
    with pytest.raises(UsageError, match=r"model\.train\(\)"):
        compute_losses(nano.eval(), train_images, targets)
    with pytest.raises(UsageError, match="anchor points"):
        losses_from_predictions(draw_predictions(), (96, 96), draw_targets())
    for wrong in (targets, targets[0], torch.zeros(3, 1, 6)):
        with pytest.raises(UsageError, match=r"\(3, M, 5\)"):
            losses_from_predictions(draw_predictions(), SIZE, wrong)
