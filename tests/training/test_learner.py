"""One model with its optimiser: gradients, accumulation, precision, a frozen backbone."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from yolox_deploy.errors import UsageError
from yolox_deploy.models import build_model
from yolox_deploy.training import TrainConfig, compute_losses
from yolox_deploy.training import learner as learner_module
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.learner import LOSS_NAMES, Learner, cpu_has_bfloat16, resolve_precision
from yolox_deploy.training.loader import Batch
from yolox_deploy.training.losses import LossOptions

CPU = torch.device("cpu")
SIZE = (64, 64)


def learner(**settings: Any) -> Learner:
    torch.manual_seed(0)
    config = TrainConfig("yolox_nano", Path("data"), imgsz=SIZE, precision="fp32")
    config = TrainConfig(**{**vars(config), **settings})
    made = Learner(build_model("yolox_nano", 2), config, Job(CPU))
    made.train()
    return made


@pytest.fixture
def batch() -> Batch:
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (4, 3, *SIZE), generator=rng, dtype=torch.uint8)
    targets = torch.zeros(4, 120, 5)
    targets[:, :2] = torch.tensor([[0.0, 20, 20, 24, 24], [1, 40, 44, 30, 20]])
    return Batch(images, targets)


def gradients(of: Learner) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in of.model.named_parameters() if p.grad is not None}


def test_gradients_are_those_of_the_losses(batch: Batch) -> None:
    ours, plain = learner(), learner()
    values = ours.backward(batch, SIZE, use_l1=True)
    losses = compute_losses(plain.model, batch.images.float(), batch.targets, use_l1=True)
    torch.autograd.backward(losses["total"])
    for name, value in losses.items():
        torch.testing.assert_close(values[LOSS_NAMES.index(name)], value.detach())
    expected = gradients(plain)
    for name, gradient in gradients(ours).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5)


def test_loss_options_reach_the_losses(batch: Batch) -> None:
    plain, other = learner(), learner(box_loss="giou", iou_aware=True)
    values = other.backward(batch, SIZE, use_l1=False)
    options = LossOptions(box_loss="giou", iou_aware=True)
    losses = compute_losses(plain.model, batch.images.float(), batch.targets, options=options)
    released = learner().backward(batch, SIZE, use_l1=False)
    for name in ("iou", "obj"):
        place = LOSS_NAMES.index(name)
        torch.testing.assert_close(values[place], losses[name].detach())
        assert values[place] != released[place]


def test_accumulated_gradients_are_the_mean_of_the_parts(batch: Batch) -> None:
    whole = learner(accumulate=2)
    values = whole.backward(batch, SIZE, use_l1=False)
    parts = [learner(), learner()]
    halves = [
        part.backward(Batch(batch.images[rows], batch.targets[rows]), SIZE, use_l1=False)
        for part, rows in zip(parts, (slice(0, 2), slice(2, 4)), strict=True)
    ]
    torch.testing.assert_close(values, torch.stack(halves).mean(dim=0))
    first, second = map(gradients, parts)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradient, (first[name] + second[name]) / 2, rtol=1e-4, atol=1e-6)


def test_more_parts_than_pictures(batch: Batch) -> None:
    few = Batch(batch.images[:2], batch.targets[:2])
    assert torch.isfinite(learner(accumulate=4).backward(few, SIZE, use_l1=False)).all()


def test_update_uses_the_rate_and_clears_gradients(batch: Batch) -> None:
    made = learner()
    before = copy.deepcopy(made.model.state_dict())
    made.backward(batch, SIZE, use_l1=False)
    made.update(0.0)
    parameters = dict(made.model.named_parameters())
    assert all(torch.equal(before[name], value) for name, value in parameters.items())
    assert all(value.grad is None for value in parameters.values())
    made.backward(batch, SIZE, use_l1=False)
    made.update(0.1)
    assert made.ema.updates == 2
    assert sum(not torch.equal(before[name], value) for name, value in parameters.items()) > 100


def test_frozen_backbone_stays_as_it_is(batch: Batch) -> None:
    made = learner(freeze_backbone=True, weights=Path("w.pth"))
    before = copy.deepcopy(made.model.state_dict())
    made.backward(batch, SIZE, use_l1=False)
    made.update(0.1)
    for name, value in made.model.state_dict().items():
        if name.startswith("backbone.backbone."):
            assert torch.equal(before[name], value), name
    changed = [
        name for name, value in made.model.state_dict().items() if not torch.equal(before[name], value)
    ]
    assert any(name.startswith("backbone.") for name in changed)
    assert any(name.startswith("head.") for name in changed)


def moved(made: Learner, batch: Batch) -> list[str]:
    """What of the model differs after a step."""
    before = copy.deepcopy(made.model.state_dict())
    made.backward(batch, SIZE, use_l1=False)
    made.update(0.1)
    return [name for name, value in made.model.state_dict().items() if not torch.equal(before[name], value)]


def test_frozen_neck_stays_as_it_is(batch: Batch) -> None:
    made = learner(freeze_neck=True, weights=Path("w.pth"))
    names = moved(made, batch)
    assert any(name.startswith("head.") for name in names)
    assert any(name.startswith("backbone.backbone.") for name in names)
    assert not [name for name in names if re.match(r"backbone\.(?!backbone\.)", name)]


def test_the_head_alone_moves(batch: Batch) -> None:
    names = moved(learner(freeze_backbone=True, freeze_neck=True, weights=Path("w.pth")), batch)
    assert names
    assert all(name.startswith("head.") for name in names)


def test_frozen_statistics_stay_and_are_used(batch: Batch) -> None:
    made = learner(batchnorm="frozen")
    names = moved(made, batch)
    assert not [name for name in names if "running" in name or "batches_tracked" in name]
    assert any(name.endswith("bn.bias") for name in names)
    assert any(name.endswith("running_mean") for name in moved(learner(), batch))


def test_rates_of_parts_reach_the_optimiser(batch: Batch) -> None:
    names = moved(learner(backbone_rate=0.0, neck_rate=0.5, optimizer="adamw"), batch)
    weights = [name for name in names if "running" not in name and "tracked" not in name]
    assert {name.partition(".")[0] for name in weights} == {"backbone", "head"}
    assert not [name for name in weights if name.startswith("backbone.backbone.")]


def test_adamw_comes_back(batch: Batch) -> None:
    settings = {"optimizer": "adamw", "backbone_rate": 0.1, "ema_ramp": "short", "ema_decay": 0.98}
    one, other = learner(**settings), learner(**settings)
    moved(one, batch)
    other.restore(copy.deepcopy(one.state()))
    for made in (one, other):
        moved(made, batch)
    for key in ("model", "raw"):
        expected = one.state()[key]
        assert all(torch.equal(value, expected[name]) for name, value in other.state()[key].items())


def test_bfloat16_is_near_float32(batch: Batch) -> None:
    exact = learner().backward(batch, SIZE, use_l1=False)
    near = learner(precision="bf16").backward(batch, SIZE, use_l1=False)
    assert not torch.equal(exact, near)
    torch.testing.assert_close(near[0], exact[0], rtol=0.05, atol=0.0)


def test_precision_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    assert resolve_precision(None, cuda) == "fp16"
    assert resolve_precision("bf16", CPU) == "bf16"
    monkeypatch.setattr(learner_module, "cpu_has_bfloat16", lambda: True)
    assert resolve_precision(None, CPU) == "bf16"
    monkeypatch.setattr(learner_module, "cpu_has_bfloat16", lambda: False)
    assert resolve_precision(None, CPU) == "fp32"
    with pytest.raises(UsageError, match="bf16 or fp32"):
        resolve_precision("fp16", CPU)


def test_bfloat16_support_is_a_question_torch_may_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert cpu_has_bfloat16() is False


def test_state_comes_back(batch: Batch) -> None:
    one, other = learner(), learner(seed=3)
    one.backward(batch, SIZE, use_l1=False)
    one.update(0.05)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.add_(1.0)
    other.restore(copy.deepcopy(one.state()))
    for made in (one, other):
        made.backward(batch, SIZE, use_l1=False)
        made.update(0.05)
    for key in ("model", "raw"):
        expected = one.state()[key]
        assert all(torch.equal(value, expected[name]) for name, value in other.state()[key].items())


def test_it_learns(batch: Batch) -> None:
    made = learner()
    losses = []
    for _ in range(30):
        losses.append(float(made.backward(batch, SIZE, use_l1=False)[0]))
        made.update(0.02)
    assert min(losses[-5:]) < 0.9 * losses[0]
