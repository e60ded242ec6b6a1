"""Schedule, optimiser and averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from yolox_deploy.errors import UsageError
from yolox_deploy.models import build_model
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.config import Optimizer, TrainConfig
from yolox_deploy.training.optimization import (
    ModelEMA,
    WarmupCosine,
    build_optimizer,
    ema_decay,
    parameter_groups,
    peak_rate,
    scaled_learning_rate,
    set_learning_rate,
    yolox_warmup_cosine,
)

KINDS: tuple[Optimizer, ...] = ("sgd", "adamw")


def test_official_learning_rates(reference: dict[str, Any]) -> None:
    schedule = WarmupCosine(peak=0.01, total=30_000, warmup=500, flat=1_500)
    for iteration, rate in reference["lr_yoloxwarmcos"].items():
        assert yolox_warmup_cosine(schedule, int(iteration)) == pytest.approx(rate, rel=1e-9)


def test_schedule_without_some_parts() -> None:
    plain = WarmupCosine(peak=1.0, total=10, warmup=0, flat=0)
    assert yolox_warmup_cosine(plain, 0) == 1.0
    assert yolox_warmup_cosine(plain, 10) == pytest.approx(0.05)
    only_warmup = WarmupCosine(peak=1.0, total=4, warmup=4, flat=0)
    assert [yolox_warmup_cosine(only_warmup, i) for i in (0, 2)] == pytest.approx([0.0, 0.25])
    rates = [yolox_warmup_cosine(WarmupCosine(1.0, 100, 10, 20), i) for i in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert set(rates[80:]) == {0.05}


def test_schedule_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="do not fit into 10"):
        WarmupCosine(peak=0.01, total=10, warmup=6, flat=5)
    with pytest.raises(UsageError, match="negative"):
        WarmupCosine(peak=0.01, total=10, warmup=-1, flat=5)


def test_linear_scaling() -> None:
    assert scaled_learning_rate(64) == 0.01
    assert scaled_learning_rate(16) == 0.0025


def test_three_groups(nano: YOLOX) -> None:
    optimizer = build_optimizer(nano, learning_rate=0.1)
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert {name: group["weight_decay"] for name, group in groups.items()} == {
        "norm": 0.0,
        "convolution": 5e-4,
        "bias": 0.0,
    }
    convolutions = [m for m in nano.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in nano.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {id(p) for p in groups["convolution"]["params"]} == {id(m.weight) for m in convolutions}
    assert {id(p) for p in groups["norm"]["params"]} == {id(m.weight) for m in norms}
    biases = [m.bias for m in (*convolutions, *norms) if m.bias is not None]
    assert {id(p) for p in groups["bias"]["params"]} == {id(bias) for bias in biases}
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in groups.values())
    set_learning_rate(optimizer, 0.03)
    assert [group["lr"] for group in optimizer.param_groups] == [0.03] * 3


RATES = {"backbone.backbone.": 0.1, "backbone.": 0.5}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_have_rates_of_their_own(nano: YOLOX, kind: Optimizer) -> None:
    optimizer = build_optimizer(nano, learning_rate=1.0, kind=kind, rates=RATES)
    set_learning_rate(optimizer, 0.02)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(nano.parameters()))
    for name, parameter in nano.named_parameters():
        factor = (
            0.1 if name.startswith("backbone.backbone.") else 0.5 if name.startswith("backbone.") else 1.0
        )
        assert rates[id(parameter)] == pytest.approx(0.02 * factor), name
    decays = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert len(decays) == 9
    assert {name for name, decay in decays.items() if decay} == {
        "backbone.backbone.convolution",
        "backbone.convolution",
        "convolution",
    }


def test_rates_of_one_leave_three_groups(nano: YOLOX) -> None:
    named = parameter_groups(nano, 5e-4, {"backbone.backbone.": 1.0, "backbone.": 1.0})
    assert [group["name"] for group in named] == ["norm", "convolution", "bias"]
    assert named == parameter_groups(nano, 5e-4)


def test_groups_of_older_checkpoints_have_no_factor(nano: YOLOX) -> None:
    optimizer = build_optimizer(nano, learning_rate=0.1)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["factor"]
    optimizer.load_state_dict(state)
    set_learning_rate(optimizer, 0.03)
    assert [(group["name"], group["lr"]) for group in optimizer.param_groups] == [
        ("norm", 0.03),
        ("convolution", 0.03),
        ("bias", 0.03),
    ]


def test_adamw_is_that_of_torch() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    groups = [
        {"params": [theirs.weight], "weight_decay": 0.5},
        {"params": [theirs.bias], "weight_decay": 0.0},
    ]
    plain = torch.optim.AdamW(groups, lr=0.1, betas=(0.8, 0.999))
    made = build_optimizer(ours, learning_rate=0.1, kind="adamw", momentum=0.8, weight_decay=0.5)
    for model, optimizer in ((ours, made), (theirs, plain)):
        for _ in range(3):
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])


@pytest.mark.parametrize(("scale_rate", "expected"), [(True, 0.02 / 8), (False, 0.02)])
def test_the_highest_rate(scale_rate: bool, expected: float) -> None:
    config = TrainConfig("yolox_nano", Path("data"), batch=8, learning_rate=0.02, scale_rate=scale_rate)
    assert peak_rate(config) == expected


def test_frozen_parameters_are_left_out(nano: YOLOX) -> None:
    nano.backbone.requires_grad_(False)
    optimizer = build_optimizer(nano, learning_rate=0.1)
    chosen = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert chosen == {id(p) for p in nano.head.parameters()}


def test_fused_steps_follow_the_definition() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    expected = {name: p.detach().clone().double() for name, p in model.named_parameters()}
    momentum = {name: torch.zeros_like(p) for name, p in expected.items()}
    optimizer = build_optimizer(model, learning_rate=0.05)
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn(parameter.shape, generator=rng)
            decay = 5e-4 if parameter.ndim > 1 else 0.0
            gradient = parameter.grad.double() + decay * expected[name]
            momentum[name] = 0.9 * momentum[name] + gradient
            expected[name] = expected[name] - 0.05 * (gradient + 0.9 * momentum[name])
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.double(), expected[name], rtol=1e-5, atol=1e-6)


@pytest.fixture
def nan_for_uninitialised() -> Iterator[None]:
    """Memory that nothing was written to is NaN, not what happens to lie there."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("nan_for_uninitialised")
def test_a_first_step_that_overflowed_leaves_nothing_behind() -> None:
    """A loss scaler leaves it to the fused step to do nothing; the second step is then the first."""
    skipped, fresh = nn.Linear(3, 2), nn.Linear(3, 2)
    fresh.load_state_dict(skipped.state_dict())
    optimizers = [build_optimizer(model, learning_rate=0.1) for model in (skipped, fresh)]
    for model in (skipped, fresh):
        model(torch.ones(1, 3)).sum().backward()
    optimizers[0].found_inf, optimizers[0].grad_scale = torch.ones(()), torch.ones(())
    optimizers[0].step()
    optimizers[0].found_inf = torch.zeros(())
    for optimizer in optimizers:
        optimizer.step()
    for name, value in skipped.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name


def test_the_first_step_is_that_of_torch() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for model, optimizer in (
        (ours, build_optimizer(ours, learning_rate=0.1, weight_decay=0.0)),
        (theirs, plain),
    ):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_ema_decay_values() -> None:
    assert ema_decay(0) == 0.0
    assert ema_decay(2000) == pytest.approx(0.9998 * (1 - math.exp(-1)))
    assert ema_decay(10**6) == pytest.approx(0.9998)


def test_the_average_of_a_short_run() -> None:
    assert [ema_decay(n, 0.98, short=True) for n in (0, 10, 90)] == [0.0, 0.5, 0.9]
    assert ema_decay(1000, 0.98, short=True) == 0.98
    ema = ModelEMA(build_model("yolox_nano", 1), decay=0.98, short=True)
    with torch.no_grad():
        ema._source[0].add_(11.0)
        expected = ema._average[0] + 10.0
    ema.update()
    torch.testing.assert_close(ema._average[0], expected)


def test_ema_follows_the_definition(nano: YOLOX) -> None:
    ema = ModelEMA(nano)
    expected = {k: v.clone().double() for k, v in nano.state_dict().items() if v.is_floating_point()}
    rng = torch.Generator().manual_seed(0)
    for update in range(1, 4):
        with torch.no_grad():
            for value in nano.state_dict().values():
                if value.is_floating_point():
                    value.add_(0.1 * torch.randn(value.shape, generator=rng))
        ema.update()
        decay = ema_decay(update)
        source = nano.state_dict()
        expected = {k: decay * v + (1 - decay) * source[k].double() for k, v in expected.items()}
    averaged = ema.model.state_dict()
    assert ema.updates == 3
    for key, value in expected.items():
        torch.testing.assert_close(averaged[key].double(), value, rtol=1e-5, atol=1e-5)


def test_ema_is_a_copy_for_evaluation(nano: YOLOX) -> None:
    for parameter in nano.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(nano.state_dict())
    ema = ModelEMA(nano)
    ema.update()
    assert nano.training
    assert not ema.model.training
    assert not any(p.requires_grad or p.grad is not None for p in ema.model.parameters())
    assert all(torch.equal(before[key], value) for key, value in nano.state_dict().items())


def test_ema_resumes(nano: YOLOX) -> None:
    first = ModelEMA(nano, decay=0.999)
    first.update()
    second = ModelEMA(nano, decay=0.999)
    second.model.load_state_dict(first.model.state_dict())
    second.updates = first.updates
    with torch.no_grad():
        nano.head.stems[0].conv.weight.add_(1.0)
    first.update()
    second.update()
    others = second.model.state_dict()
    assert all(torch.equal(value, others[key]) for key, value in first.model.state_dict().items())
