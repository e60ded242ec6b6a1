"""The rows of the paper's Tables 1 and 2 as models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from yolox_deploy.benchmarks.roadmap.rows import TABLE_2
from yolox_deploy.errors import UsageError
from yolox_deploy.models import build_model, get_config, read_checkpoint
from yolox_deploy.models.checkpoint import identify
from yolox_deploy.models.complexity import count
from yolox_deploy.models.fusion import fuse
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.models.zoo import CLASSIC, ROADMAP
from yolox_deploy.postprocess import decode

COUNTED = ("yolov3_baseline", "decoupled_head", "simota", "nms_free")
HEADS = ("yolov3_baseline", "decoupled_head", "nms_free", "end_to_end_coupled", "end_to_end_decoupled")


def small(name: str) -> YOLOX:
    torch.manual_seed(0)
    return build_model(f"{name}@0.0625", 3)


@pytest.mark.parametrize("name", COUNTED)
def test_counts_are_those_of_table_2(name: str) -> None:
    row = TABLE_2[name]
    found = count(name, 640)
    assert found.parameters / 1e6 == pytest.approx(row.published.params_m, rel=1e-3)
    assert found.gflops == pytest.approx(row.published.gflops, rel=1e-2)


def test_rows_are_found_by_name() -> None:
    assert get_config("Strong-Augmentation") is get_config("decoupled_head")
    assert get_config("simota") is get_config("yolox_darknet53")
    with pytest.raises(UsageError, match="did you mean multi_positives"):
        get_config("multi_positive")


def test_a_width_may_follow_the_name() -> None:
    config = get_config("nms_free@0.25")
    assert (config.name, config.width, config.selector) == ("nms_free@0.25", 0.25, True)
    assert get_config("yolox_darknet53@0.5").weights_url is None
    assert get_config("simota@1") is get_config("simota")
    with pytest.raises(UsageError, match="the width of nms_free is 'narrow'"):
        get_config("nms_free@narrow")


@pytest.mark.parametrize("name", HEADS)
def test_output_shapes(name: str) -> None:
    model = small(name)
    rows = 126 * model.config.priors
    images = torch.zeros(2, 3, 64, 96)
    assert model(images).shape == (2, rows, 8 + model.config.selector)
    with torch.no_grad():
        assert model.eval()(images).shape == (2, rows, 8)


@pytest.mark.parametrize("name", ["yolov3_baseline", "decoupled_head"])
def test_a_silent_predictor_answers_the_priors(name: str) -> None:
    model = small(name).eval()
    for predictor in model.head.box_predictors():
        torch.nn.init.zeros_(predictor.weight)
        torch.nn.init.zeros_(predictor.bias)
    with torch.no_grad():
        boxes = decode(model(torch.zeros(1, 3, 32, 64)).numpy(), (32, 64), 3)[0, :, :4]
    coarse = boxes[-6:].reshape(3, 2, 4)
    np.testing.assert_allclose(coarse[..., :2], np.broadcast_to([[16, 16], [48, 16]], (3, 2, 2)))
    np.testing.assert_allclose(coarse[:, 0, 2:], CLASSIC[2], rtol=1e-5)
    np.testing.assert_allclose(boxes[:32, 2:], np.broadcast_to(CLASSIC[0][0], (32, 2)), rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_folding_is_exact(name: str) -> None:
    model = small(name).eval()
    images = torch.rand(1, 3, 32, 64) * 255
    with torch.no_grad():
        torch.testing.assert_close(fuse(model)(images), model(images), rtol=1e-4, atol=1e-4)
    assert fuse(model).head.priors is None


def test_the_selector_multiplies_in_and_stops_gradients() -> None:
    model = small("nms_free")
    images = torch.rand(1, 3, 32, 64) * 255
    model(images)[..., -1].sum().backward()
    moved = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {f"head.sel_preds.{level}.weight" for level in range(3)} <= moved
    assert all(key.startswith("head.sel_") for key in moved)
    model.eval()
    with torch.no_grad():
        answers = model(images)
        model.head.training = True
        logits = model(images)
    assert answers.shape[2] == logits.shape[2] - 1
    torch.testing.assert_close(answers[..., 4], logits[..., 4].sigmoid() * logits[..., -1].sigmoid())
    torch.testing.assert_close(answers[..., 5:], logits[..., 5:-1].sigmoid())


@pytest.mark.parametrize("name", sorted({model.name for model in ROADMAP.values()}))
@pytest.mark.parametrize("width", ["", "@0.25"])
def test_identify_recognises_every_row(name: str, width: str) -> None:
    with torch.device("meta"):
        state = build_model(name + width, 3).state_dict()
    assert identify(state) == (name + width, 3)


def test_priors_travel_in_the_checkpoint(tmp_path: Path) -> None:
    model = small("yolov3_baseline")
    assert model.head.priors is not None
    model.head.priors.mul_(2)
    torch.save({"model": model.state_dict(), "class_names": ["a", "b", "c"]}, tmp_path / "fitted.pth")
    checkpoint = read_checkpoint(tmp_path / "fitted.pth")
    assert (checkpoint.model_name, checkpoint.num_classes) == ("yolov3_baseline@0.0625", 3)
    other = build_model(checkpoint.model_name, 3)
    other.load_state_dict(checkpoint.state_dict)
    assert torch.equal(other.head.priors, 2 * torch.tensor(CLASSIC))


def test_other_numbers_of_priors_have_no_default() -> None:
    with pytest.raises(UsageError, match="priors is 2"):
        build_model(replace(get_config("yolov3_baseline"), priors=2))
