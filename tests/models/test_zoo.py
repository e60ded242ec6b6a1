"""The table of models, its look-up, and the size rule; none of it needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from yolox_deploy.errors import UsageError
from yolox_deploy.models import ZOO, ModelConfig, get_config
from yolox_deploy.models.zoo import check_input_size


def test_importing_the_zoo_does_not_import_torch() -> None:
    code = "import sys; from yolox_deploy.models import ZOO, get_config; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("config", ZOO.values(), ids=list(ZOO))
def test_entry_is_complete(config: ModelConfig) -> None:
    assert get_config(config.name.replace("_", "-").upper()) is config
    assert config.weights_url is not None
    assert config.weights_url.endswith(".pth")
    assert check_input_size((config.test_size, config.test_size))
    assert len(config.published) == 2
    for figures in config.published:
        assert figures.source
        assert figures.ap_val or figures.ap_test_dev
        assert figures.params_m
        assert figures.gflops


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("yolox_nanoo", "yolox_nano"),
        ("yolo_s", "yolox_s"),
        ("tiny", "yolox_tiny"),
        ("darknet53", "yolox_darknet53"),
    ],
)
def test_unknown_name_suggests_the_closest(wrong: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"no model called '{wrong}'; .*; did you mean {meant}\\?"):
        get_config(wrong)


def test_name_that_resembles_nothing_lists_the_models() -> None:
    with pytest.raises(UsageError, match=r"'resnet'; known models: yolox_nano, yolox_tiny"):
        get_config("resnet")


@pytest.mark.parametrize("size", [(32, 32), (96, 160), (640, 320)])
def test_size_that_divides_is_returned(size: tuple[int, int]) -> None:
    assert check_input_size(size) == size


@pytest.mark.parametrize(
    ("size", "below", "above"),
    [
        ((420, 416), "416x416", "448x416"),
        ((640, 639), "640x608", "640x640"),
        ((100, 330), "96x320", "128x352"),
        ((0, 20), "32x32", "64x64"),
        ((-64, 64), "32x64", "64x64"),
    ],
)
def test_other_sizes_name_the_nearest_two(size: tuple[int, int], below: str, above: str) -> None:
    with pytest.raises(UsageError, match=f"{size[0]}x{size[1]} .* are {below} and {above}"):
        check_input_size(size)
