"""BatchNorm against float64: as exact on a CPU in either layout, and PyTorch's in all else."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from yolox_deploy.models import build_model
from yolox_deploy.models.batch_norm import BatchNorm2d, statistics_of

MANY = (4, 16, 160, 160)
"""102,400 pixels a channel."""


def noise(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Channels-last, mean 100, deviation 30."""
    torch.manual_seed(0)
    return (30 * torch.randn(shape) + 100).to(dtype).contiguous(memory_format=torch.channels_last)


def errors(mean: Tensor, variance: Tensor, tensor: Tensor) -> tuple[float, float]:
    """Greatest error of a mean in deviations, and of a variance in itself."""
    exact = tensor.double()
    own_mean, own = exact.mean((0, 2, 3)), exact.var((0, 2, 3), correction=0)
    far = (mean.double() - own_mean).abs() / own.sqrt()
    return float(far.max()), float(((variance.double() - own) / own).abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [MANY, (5, 5, 52, 52), (1, 24, 96, 160)])
def test_statistics_are_exact(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    tensor = noise(shape, dtype)
    mean, variance = errors(*statistics_of(tensor), tensor)
    assert mean < 5e-6
    assert variance < 5e-6


def test_pytorch_alone_is_not() -> None:
    tensor, unused = noise(MANY), torch.zeros(MANY[1])
    _, variance = errors(*torch.batch_norm_update_stats(tensor, unused, unused, 0.0), tensor)
    assert variance > 5e-6  # else ours is needed no more


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_is_that_of_float64(dtype: torch.dtype) -> None:
    tensor = noise(MANY, dtype)
    gradient = torch.randn(MANY).to(dtype).contiguous(memory_format=torch.channels_last)
    ours = BatchNorm2d(MANY[1], eps=1e-3, momentum=0.03)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    exact = nn.BatchNorm2d(MANY[1], eps=1e-3, momentum=0.03).double()
    exact.load_state_dict(ours.state_dict())
    found, expected = [], []
    for norm, values, kept in ((ours, tensor, found), (exact, tensor.double(), expected)):
        leaf = values.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        output = norm(leaf)
        output.backward(gradient.to(values.dtype))
        assert output.dtype == values.dtype
        kept += [output.detach(), leaf.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()]
    rounding = 4e-3 if dtype == torch.bfloat16 else 5e-6
    tolerances = (rounding, rounding, 1e-4, 1e-4, 1e-6, 1e-6, 0.0)
    for one, other, tolerance in zip(found, expected, tolerances, strict=True):
        assert float((one.double() - other).abs().max() / other.abs().max()) <= tolerance
    assert found[0].is_contiguous(memory_format=torch.channels_last)


def test_only_training_on_many_pixels_differs() -> None:
    ours = BatchNorm2d(4)
    theirs = nn.BatchNorm2d(4)
    theirs.load_state_dict(ours.state_dict())
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for tensor in (
        noise((2, 4, 160, 160)).contiguous(),
        noise((2, 4, 8, 8)),
        noise((2, 4, 160, 160)).double(),
    ):
        one, other = (copy.deepcopy(norm).to(tensor.dtype) for norm in (ours, theirs))
        assert torch.equal(one(tensor), other(tensor))
    assert torch.equal(ours.eval()(noise((2, 4, 160, 160))), theirs.eval()(noise((2, 4, 160, 160))))
    assert BatchNorm2d(4, device="meta")(torch.empty(2, 4, 160, 160, device="meta")).shape == (2, 4, 160, 160)


def test_a_network_answers_the_same_in_both_layouts() -> None:
    torch.manual_seed(0)
    model = build_model("yolox_nano", num_classes=2)
    images = 255 * torch.rand(2, 3, 192, 192)
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        expected = exact(images.double())
        found = model.to(memory_format=torch.channels_last)(
            images.contiguous(memory_format=torch.channels_last)
        )
    assert float((found - expected).square().mean().sqrt()) < 1e-3
