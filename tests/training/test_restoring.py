"""BatchNorm of folded checkpoints, and the scale of their weights: back, with the function as it was."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.conftest import draw
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.errors import InputError
from yolox_deploy.models import build_model, load_checkpoint, read_checkpoint
from yolox_deploy.models.blocks import BATCH_NORM_EPS, ConvBlock
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training.restoring import FILTER_NORM, PICTURES, is_folded, restore_batchnorm
from yolox_deploy.training.validation import LetterboxedPictures, Picture

SIZE = (64, 64)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    folder = write_scenes(tmp_path_factory.mktemp("scenes") / "data", train=10, val=1, size=SIZE)
    return open_dataset(folder, "train")


def trained(name: str, classes: int = 2) -> YOLOX:
    """A network with statistics, gains and biases of its own."""
    model = build_model(name, classes)
    state = model.state_dict()
    drawn = {key: torch.from_numpy(np.asarray(draw(key, tuple(state[key].shape)))) for key in state}
    model.load_state_dict({key: state[key] if key == "head.priors" else drawn[key] for key in state})
    return model


@torch.no_grad()
def folded(model: YOLOX) -> YOLOX:
    """`model` with its BatchNorm in the convolutions, under the keys that it had, as exporters leave it."""
    made = copy.deepcopy(model)
    for block in (module for module in made.modules() if isinstance(module, ConvBlock)):
        norm = block.bn
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        block.conv.weight.mul_(scale.view(-1, 1, 1, 1))
        norm.bias.sub_(norm.running_mean * scale)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - BATCH_NORM_EPS)
        norm.weight.fill_(1.0)
    return made


def pictures(dataset: DetectionDataset, size: tuple[int, int] = SIZE, count: int = 4) -> Tensor:
    read = LetterboxedPictures(dataset, size)
    images = [picture.image for index in range(count) if isinstance(picture := read[index], Picture)]
    return torch.from_numpy(np.stack(images)).float()


@torch.no_grad()
def outputs(model: YOLOX, images: Tensor) -> Tensor:
    found: Tensor = copy.deepcopy(model).eval()(images)
    return found


@torch.no_grad()
def norms(model: YOLOX) -> Tensor:
    blocks = [module for module in model.modules() if isinstance(module, ConvBlock)]
    return torch.cat([block.conv.weight.flatten(1).norm(dim=1) for block in blocks])


NETWORKS = (
    "yolox_nano",
    "yolox_d0.1_w0.125_relu",
    "yolox_d0.33_w0.125_dw_lrelu",
    "yolox_darknet53@0.0625",
    "yolov3_baseline@0.0625",
    "end_to_end_decoupled@0.0625",
)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_function_stays(name: str, scenes: DetectionDataset) -> None:
    model = folded(trained(name))
    images, state = pictures(scenes), copy.deepcopy(model.state_dict())
    before = outputs(model, images)
    assert is_folded(model.state_dict())
    said = restore_batchnorm(model, scenes, SIZE, seed=0)
    assert re.search(r"measured on 10 pictures, it has statistics and filters .*change by \d", said)
    assert model.training
    assert not is_folded(model.state_dict())
    after = outputs(model, images)
    scale = before.abs().amax(dim=(0, 1)).clamp(min=1)
    assert float(((after - before).abs() / scale).max()) < 1e-4
    torch.testing.assert_close(norms(model), torch.full_like(norms(model), FILTER_NORM))
    kept = [key for key in state if not re.search(r"\.bn\.|\.conv\.weight$", key)]
    assert kept
    assert all(torch.equal(state[key], model.state_dict()[key]) for key in kept)


def test_the_statistics_are_those_of_the_pictures(scenes: DetectionDataset) -> None:
    """Where training begins with these pictures, its BatchNorm does what evaluation did."""
    model = folded(trained("yolox_d0.1_w0.125"))
    restore_batchnorm(model, scenes, SIZE, seed=0)
    images = pictures(scenes, count=10)
    before = outputs(model, images)[..., :4]
    with torch.no_grad():
        after = model.train()(images)[..., :4]
    assert float((after - before).abs().max()) < 0.02 * float(before.abs().max())


def test_filters_have_the_length_of_new_ones() -> None:
    torch.manual_seed(0)
    for shape in ((64, 16, 1), (64, 8, 3)):
        lengths = nn.Conv2d(shape[1], shape[0], shape[2]).weight.detach().flatten(1).norm(dim=1)
        assert float(lengths.mean()) == pytest.approx(FILTER_NORM, rel=0.03)


@torch.no_grad()
def test_silent_channels_keep_their_function(scenes: DetectionDataset) -> None:
    """Filters of zeros, of hardly anything, and of one sign whose answer never varies."""
    model = folded(trained("yolox_d0.1_w0.125"))
    block, after = (
        model.backbone.get_submodule("backbone.dark2.0"),
        model.backbone.get_submodule("backbone.stem"),
    )
    assert isinstance(block, ConvBlock)
    block.conv.weight[0] = 0.0
    block.conv.weight[1] *= 1e-20
    block.conv.weight[2] *= 1e-4
    after.get_submodule("conv.bn").get_parameter("bias")[:] = -1e4  # SiLU of it is 0: nothing comes in below
    images = pictures(scenes)
    before = outputs(model, images)
    assert "has statistics" in restore_batchnorm(model, scenes, SIZE, seed=0)
    torch.testing.assert_close(outputs(model, images), before, rtol=1e-4, atol=1e-4)
    assert not block.conv.weight[0].any()
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


def test_the_real_weights(shared: Path) -> None:
    data = read_coco(
        shared / "real" / "coco_mini" / "instances.json", [shared / "real" / "coco_mini" / "images"]
    )
    model = build_model("yolox_nano")
    load_checkpoint(model, shared / "real" / "yolox_nano.pth")
    images = pictures(data, (96, 96))
    before, lengths = outputs(model, images), norms(model)
    assert float(lengths.min()) < 0.02 < 40 < float(lengths.max())
    said = restore_batchnorm(model, data, (96, 96), seed=3)
    assert f"measured on {PICTURES} pictures" in said
    torch.testing.assert_close(outputs(model, images), before, rtol=5e-4, atol=5e-4)
    torch.testing.assert_close(norms(model), torch.full_like(lengths, FILTER_NORM))


def test_the_seed_chooses_the_pictures(shared: Path) -> None:
    data = read_coco(
        shared / "real" / "coco_mini" / "instances.json", [shared / "real" / "coco_mini" / "images"]
    )
    states = []
    for seed in (0, 0, 1):
        model = folded(trained("yolox_d0.1_w0.0625"))
        restore_batchnorm(model, data, SIZE, seed)
        states.append(model.state_dict()["head.stems.0.bn.running_mean"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@torch.no_grad()
def test_what_cannot_be_restored_stays(scenes: DetectionDataset) -> None:
    model = folded(trained("yolox_d0.1_w0.125"))
    model.backbone.get_parameter("backbone.stem.conv.conv.weight").mul_(1e38)
    state = copy.deepcopy(model.state_dict())
    said = restore_batchnorm(model, scenes, SIZE, seed=0)
    assert (
        "would change the outputs by nan, more than 0.001, so it stays folded: expect a slower start" in said
    )
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "data", train=3, val=1, size=SIZE)
    data = open_dataset(folder, "train")
    data.path(1).write_bytes(b"no picture")
    with pytest.raises(InputError, match=data.path(1).name):
        restore_batchnorm(folded(trained("yolox_d0.1_w0.125")), data, SIZE, seed=0)


def test_what_is_folded(shared: Path) -> None:
    assert is_folded(read_checkpoint(shared / "real" / "yolox_nano.pth").state_dict)
    assert is_folded(folded(trained("yolox_nano")).state_dict())
    assert not is_folded(trained("yolox_nano").state_dict())
    assert not is_folded(build_model("yolox_nano").state_dict())  # new: there is nothing to bring back
    partly = folded(trained("yolox_nano")).state_dict()
    partly["head.stems.0.bn.running_var"] += 0.5
    assert not is_folded(partly)
