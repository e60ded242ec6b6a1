"""Reference values and a YOLOX-Nano with reproducible weights, shared by the tests of this folder."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yolox_deploy.models import build_model
from yolox_deploy.models.yolox import YOLOX


def generator(name: str) -> np.random.Generator:
    """The random generator that belongs to `name`."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def draw(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of the state-dict entry `key` that the reference figures were computed with."""
    rng = generator(key)
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith(("running_var", "bn.weight")):
        return rng.uniform(0.5, 1.5, shape)
    if key.endswith(("running_mean", "bias")):
        return rng.standard_normal(shape) * 0.1
    return rng.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[1:]))


@pytest.fixture
def nano() -> YOLOX:
    """A YOLOX-Nano of 80 classes in training mode that a test may change."""
    model = build_model("yolox_nano").train()
    state = model.state_dict()
    model.load_state_dict(
        {key: torch.from_numpy(np.asarray(draw(key, tuple(state[key].shape)))) for key in state}
    )
    return model


@pytest.fixture(scope="session")
def train_images() -> torch.Tensor:
    """The (4, 3, 160, 160) float32 batch of the loss references."""
    return torch.from_numpy(generator("train_input").uniform(0, 255, (4, 3, 160, 160)).astype(np.float32))


@pytest.fixture(scope="session")
def reference(shared: Path) -> dict[str, Any]:
    """The scalars computed with the official implementation."""
    content: dict[str, Any] = json.loads((shared / "reference" / "reference.json").read_text())
    return content


@pytest.fixture(scope="session")
def reference_arrays(shared: Path) -> dict[str, torch.Tensor]:
    """The arrays computed with the official implementation."""
    with np.load(shared / "reference" / "reference.npz") as arrays:
        wanted = [name for name in arrays if name.startswith(("simota", "loss"))]
        return {name: torch.from_numpy(arrays[name]) for name in wanted}
