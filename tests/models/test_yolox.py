"""Every model against the official implementation, and what holds at any size and class count."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from yolox_deploy.errors import UsageError
from yolox_deploy.models import build_model
from yolox_deploy.models.blocks import ConvBlock
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.postprocess import decode


def official_name(model: YOLOX) -> str:
    return model.config.name.replace("_", "-")


@pytest.fixture(scope="module")
def arrays(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "reference" / "reference.npz") as file:
        return {name: file[name] for name in file.files if name.startswith("yolox-")}


@pytest.fixture(scope="module")
def figures(shared: Path) -> dict[str, dict[str, int]]:
    loaded: dict[str, dict[str, int]] = json.loads((shared / "reference" / "reference.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def official_keys(shared: Path) -> dict[str, dict[str, list[int]]]:
    loaded: dict[str, dict[str, list[int]]] = json.loads(
        (shared / "reference" / "state_dict_keys.json").read_text()
    )
    return loaded


def test_state_dict_has_the_official_keys_order_and_shapes(
    zoo_model: YOLOX, official_keys: dict[str, dict[str, list[int]]]
) -> None:
    ours = [(key, list(tensor.shape)) for key, tensor in zoo_model.state_dict().items()]
    assert ours == list(official_keys[official_name(zoo_model)].items())


def test_parameter_count_is_official(zoo_model: YOLOX, figures: dict[str, dict[str, int]]) -> None:
    parameters = sum(parameter.numel() for parameter in zoo_model.parameters())
    assert parameters == figures[official_name(zoo_model)]["params"]


def test_raw_and_decoded_outputs_are_official(
    zoo_model: YOLOX, zoo_output: torch.Tensor, arrays: dict[str, np.ndarray]
) -> None:
    name = official_name(zoo_model)
    raw = zoo_output.numpy()
    assert raw.shape == (2, 315, 85)
    np.testing.assert_allclose(raw[:, ::7], arrays[f"{name}/raw_stride"], rtol=0, atol=1e-4)
    # A side is exp(t) strides, so what is allowed of t is allowed of the side, relatively.
    decoded = decode(raw, (96, 160))[:, ::7]
    np.testing.assert_allclose(decoded, arrays[f"{name}/decoded_stride"], rtol=1e-4, atol=1e-4)


def test_output_with_batch_statistics_is_official(
    zoo_model: YOLOX, arrays: dict[str, np.ndarray], reference_input: torch.Tensor
) -> None:
    model = copy.deepcopy(zoo_model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    raw = model(reference_input).numpy()
    expected = arrays[f"{official_name(zoo_model)}/raw_batchstats_stride"]
    error = np.abs(raw[:, ::7] - expected)
    # Batch statistics of a 3x5 map amplify rounding: another instruction set moves single values a little further.
    assert np.quantile(error, 0.999) < 6e-3
    assert error.max() < 2e-2


def test_every_batch_norm_has_the_official_eps_and_momentum(zoo_model: YOLOX) -> None:
    norms = [module for module in zoo_model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


@pytest.mark.parametrize("num_classes", [1, 3, 80])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_any_class_count_and_size(num_classes: int, size: tuple[int, int]) -> None:
    model = build_model("yolox-nano", num_classes).eval()
    height, width = size
    anchor_points = sum(height // stride * (width // stride) for stride in model.strides)
    with torch.no_grad():
        assert model(torch.zeros(2, 3, height, width)).shape == (2, anchor_points, 5 + num_classes)


def test_size_that_does_not_divide_is_refused(nano: YOLOX) -> None:
    with pytest.raises(UsageError, match="are 96x160 and 128x160"):
        nano(torch.zeros(1, 3, 100, 160))


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_model_without_classes_is_refused(num_classes: int) -> None:
    with pytest.raises(UsageError, match=f"at least 1 class, found num_classes={num_classes}"):
        build_model("yolox_nano", num_classes)


def test_training_mode_returns_the_logits_of_evaluation_mode(
    nano: YOLOX, reference_input: torch.Tensor
) -> None:
    with torch.no_grad():
        probabilities = nano(reference_input)
        nano.head.training = True  # BatchNorm stays in evaluation mode, so only the outputs differ
        logits = nano(reference_input)
    torch.testing.assert_close(logits[..., :4], probabilities[..., :4], rtol=0, atol=0)
    torch.testing.assert_close(logits[..., 4:].sigmoid(), probabilities[..., 4:], rtol=0, atol=1e-6)


def test_every_parameter_gets_a_gradient(nano: YOLOX, reference_input: torch.Tensor) -> None:
    nano.train()(reference_input).square().mean().backward()
    assert [name for name, parameter in nano.named_parameters() if parameter.grad is None] == []


def test_channels_last_computes_the_same(nano: YOLOX, reference_input: torch.Tensor) -> None:
    with torch.no_grad():
        expected = nano(reference_input)
        for parameter in nano.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        output = nano(reference_input.to(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def test_new_predictors_start_at_the_prior() -> None:
    head = build_model("yolox_nano").head
    for predictors in (head.cls_preds, head.obj_preds):
        assert isinstance(predictors, nn.ModuleList)
        for predictor in predictors:
            bias = predictor.get_parameter("bias")
            torch.testing.assert_close(bias, torch.full_like(bias, -math.log(99)))


def test_a_strided_depthwise_convolution_trains_in_float32_under_autocast() -> None:
    """A CPU needs many times as long for its gradient in bfloat16; without gradients bfloat16 stays."""
    torch.manual_seed(0)
    block = ConvBlock(4, 4, 3, 2, "silu", groups=4)
    x = torch.randn(2, 4, 8, 8).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        seen = block.conv(x)
        with torch.no_grad():
            low = block.conv(x)
    assert (seen.dtype, low.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(seen, block.conv(x.float()), rtol=0, atol=0)
    torch.autograd.backward(seen.sum())
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
