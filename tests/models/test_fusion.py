"""Folding BatchNorm and the Focus stem changes the work, not the function."""

from __future__ import annotations

import torch
from torch import nn

from yolox_deploy.models.blocks import ConvBlock, Focus
from yolox_deploy.models.fusion import focus_kernel, fuse
from yolox_deploy.models.yolox import YOLOX


def test_fused_model_computes_the_same(
    zoo_model: YOLOX, zoo_output: torch.Tensor, reference_input: torch.Tensor
) -> None:
    fused = fuse(zoo_model)
    assert not any(isinstance(module, nn.BatchNorm2d | Focus) for module in fused.modules())
    torch.testing.assert_close(fused(reference_input), zoo_output, rtol=0, atol=1e-4)
    square = reference_input[:1, :, :64, :64]
    torch.testing.assert_close(fused(square), zoo_model(square), rtol=0, atol=1e-4)


def test_the_original_is_not_changed(nano: YOLOX) -> None:
    before = {key: tensor.clone() for key, tensor in nano.state_dict().items()}
    fused = fuse(nano)
    for parameter in fused.parameters():
        parameter.zero_()
    after = nano.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_stem_becomes_one_exact_convolution(nano: YOLOX) -> None:
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    stem = nano.get_submodule("backbone.backbone.stem")
    fused = fuse(nano).get_submodule("backbone.backbone.stem")
    assert isinstance(stem, Focus)
    assert isinstance(fused, ConvBlock)
    assert (fused.conv.kernel_size, fused.conv.stride, fused.conv.padding) == ((6, 6), (2, 2), (2, 2))
    expected = stem(images / 255)
    torch.testing.assert_close(fused(images / 255), expected, rtol=0, atol=1e-5)


def test_focus_kernel_only_moves_weights() -> None:
    weight = torch.arange(2.0 * 12 * 9).reshape(2, 12, 3, 3)
    kernel = focus_kernel(weight)
    assert kernel.shape == (2, 3, 6, 6)
    assert torch.equal(kernel.flatten().sort().values, weight.flatten())
    assert kernel[0, 0, 1, 0] == weight[0, 3, 0, 0]  # phase (row 1, column 0) is the second


def test_fused_copy_is_for_inference(nano: YOLOX) -> None:
    fused = fuse(nano.train())
    assert nano.training
    assert not fused.training
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert all(module.inplace for module in fused.modules() if isinstance(module, nn.SiLU))
    assert fused.config is not None
    assert fused.num_classes == nano.num_classes


def test_exported_graph_has_neither_slices_nor_batch_norm(nano: YOLOX) -> None:
    program = torch.export.export(fuse(nano), (torch.zeros(1, 3, 64, 64),))
    operations = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [name for name in operations if "slice" in name or "norm" in name]
