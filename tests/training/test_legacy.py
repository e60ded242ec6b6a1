"""Weights from before YOLOX 0.1.1 go on as a network that reads pixels as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.test_restoring import folded, norms, trained
from yolox_deploy.models import build_model
from yolox_deploy.models.recognition import is_legacy
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.pretrained import load_pretrained
from yolox_deploy.training.restoring import is_folded
from yolox_deploy.types import InputConvention

NETWORKS = ("yolox_d0.1_w0.125", "yolox_darknet53@0.0625")


def first_block(model: YOLOX, images: Tensor) -> Tensor:
    stem = model.eval().backbone.get_submodule("backbone.stem")
    with torch.no_grad():
        found: Tensor = stem(images) if model.config.backbone == "csp" else stem.get_submodule("0")(images)
    return found


def normalised(images: Tensor) -> Tensor:
    """(B, 3, H, W) BGR 0-255 as the networks of then read it."""
    legacy = InputConvention.legacy()
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (legacy.mean, legacy.std))
    return (images.flip(1) * legacy.scale - mean) / std


@pytest.mark.parametrize("is_without", [False, True], ids=["batch norm", "folded"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_block_reads_pixels(tmp_path: Path, name: str, is_without: bool) -> None:
    source = folded(trained(name)) if is_without else trained(name)
    assert is_legacy(source.state_dict())
    torch.save(source.state_dict(), tmp_path / "old.pth")
    model = build_model(name, 2)
    messages = load_pretrained(model, tmp_path / "old.pth", ("cat", "dog"))
    assert "their first convolution is made to read BGR 0-255" in messages[1]
    assert not is_legacy(model.state_dict())
    assert is_folded(model.state_dict()) is is_without
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    expected, found = first_block(source, normalised(images)), first_block(model, images)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[..., 0, :], expected[..., 0, :], atol=1e-2)
    if not is_without:  # else it is left to `restoring`
        torch.testing.assert_close(norms(model), norms(source))
    others = [key for key in source.state_dict() if ".stem." not in key]
    assert all(torch.equal(model.state_dict()[key], source.state_dict()[key]) for key in others)
