"""Models of the zoo with reproducible weights, shared by the tests of this folder."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from yolox_deploy.models import ZOO, build_model
from yolox_deploy.models.yolox import YOLOX


def draw(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of the state-dict entry `key` that the reference figures were computed with."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith(("running_var", "bn.weight")):
        return rng.uniform(0.5, 1.5, shape)
    if key.endswith(("running_mean", "bias")):
        return rng.standard_normal(shape) * 0.1
    kernel: np.ndarray = rng.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[1:]))
    return kernel


def drawn_model(name: str, num_classes: int = 80) -> YOLOX:
    """An evaluation-mode model whose weights depend on their names only."""
    model = build_model(name, num_classes).eval()
    state = model.state_dict()
    drawn = {key: torch.from_numpy(np.asarray(draw(key, tuple(state[key].shape)))) for key in state}
    model.load_state_dict(drawn)
    return model


@pytest.fixture(scope="session", params=list(ZOO))
def zoo_model(request: pytest.FixtureRequest) -> YOLOX:
    """Each model of the zoo in turn, without gradients; tests leave it as it is."""
    return drawn_model(request.param).requires_grad_(False)


@pytest.fixture(scope="session")
def zoo_output(zoo_model: YOLOX, reference_input: torch.Tensor) -> torch.Tensor:
    """The raw output (2, 315, 85) of `zoo_model` for `reference_input`."""
    output: torch.Tensor = zoo_model(reference_input)
    return output


@pytest.fixture
def nano() -> YOLOX:
    """A YOLOX-Nano of 80 classes that a test may change."""
    return drawn_model("yolox_nano")


@pytest.fixture(scope="session")
def reference_input() -> torch.Tensor:
    """The (2, 3, 96, 160) float32 batch of the reference figures."""
    rng = np.random.default_rng(zlib.crc32(b"input"))
    return torch.from_numpy(rng.uniform(0, 1, (2, 3, 96, 160)).astype(np.float32))
