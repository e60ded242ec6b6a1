"""Parameters and GFLOPs against the published table."""

from __future__ import annotations

import pytest
import torch

from yolox_deploy.errors import UsageError
from yolox_deploy.models import ZOO, ModelConfig
from yolox_deploy.models.complexity import count
from yolox_deploy.models.fusion import fuse
from yolox_deploy.models.yolox import YOLOX


@pytest.mark.parametrize("config", ZOO.values(), ids=list(ZOO))
def test_count_agrees_with_the_published_figures(config: ModelConfig) -> None:
    complexity = count(config.name)
    for published in config.published:
        assert published.params_m is not None
        assert complexity.parameters / 1e6 == pytest.approx(published.params_m, abs=0.05)
        # Nano, with its many BatchNorms, feels what the published figure adds: see the docstring of `count`.
        assert complexity.gflops == pytest.approx(published.gflops, rel=0.03 if config.depthwise else 0.01)


def test_nano_gives_the_documented_figure() -> None:
    assert count("yolox-nano").gflops == pytest.approx(1.05, abs=0.005)


def test_operations_grow_with_the_area(nano: YOLOX) -> None:
    small, large = count(nano, (64, 96)), count(nano, (128, 192))
    assert large.gflops == pytest.approx(4 * small.gflops)
    assert large.parameters == small.parameters == 912_159
    assert count(nano, 416) == count(nano) == count("yolox_nano")


def test_folding_does_not_change_the_operations(nano: YOLOX) -> None:
    assert count(fuse(nano)).gflops == pytest.approx(count(nano).gflops)


def test_counting_leaves_the_model_alone(nano: YOLOX) -> None:
    nano.train()
    before = {key: tensor.clone() for key, tensor in nano.state_dict().items()}
    count(nano, 64)
    assert nano.training
    assert not any(module._forward_hooks for module in nano.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in nano.state_dict().items())


def test_wrong_size_and_name_are_refused() -> None:
    with pytest.raises(UsageError, match="nearest sizes are 416x416 and 448x448"):
        count("yolox_nano", 420)
    with pytest.raises(UsageError, match="did you mean yolox_nano"):
        count("yolox_nan")
