"""The network that is exported, built from a name or a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import default_class_names
from yolox_deploy.errors import UsageError, require
from yolox_deploy.files import embedded_checkpoint
from yolox_deploy.models.weights import fetch_weights
from yolox_deploy.models.zoo import get_config

if TYPE_CHECKING:
    from yolox_deploy.models.yolox import YOLOX

RANDOM_WEIGHTS = "random"

EMBEDDED_WEIGHTS = "scenes"
"""The YOLOX-Nano in this package, trained on generated scenes (`yolox_deploy.synthetic.scenes`): for demonstrations."""


@dataclass(frozen=True)
class SourceModel:
    """A network with its origin.

    Attributes:
        network: float32, evaluation mode, neither fused nor folded: the reference of every comparison.
        input_size: (height, width) that the checkpoint was trained at, else the model's test size.
        weights: the checkpoint, None for random weights.
    """

    network: YOLOX
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    weights: Path | None = None
    weights_sha256: str | None = None

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, H, W) float32, BGR 0-255, to undecoded (B, N, 5 + C)."""
        import torch

        with torch.inference_mode():
            output: NDArray[np.float32] = self.network(torch.from_numpy(images)).numpy()
            return output


def load_source_model(
    model: str | None, weights: str | Path | None, class_names: tuple[str, ...] | None
) -> SourceModel:
    """Build the network and load its weights, safely.

    Args:
        model: name in the zoo, None to recognise it from the weights.
        weights: a checkpoint, "random", "scenes" for the embedded YOLOX-Nano, or None for the official weights
            of that name.
        class_names: one a class; None for those in the checkpoint, else COCO's.

    Raises:
        UsageError: neither a model nor weights are named, or the class names do not fit.
        CheckpointError: the weights cannot be loaded or do not fit.
        MissingExtraError: torch is not installed.
    """
    torch = require("torch", "export")
    from yolox_deploy import models

    if str(weights) == RANDOM_WEIGHTS:
        if model is None:
            raise UsageError("random weights need the name of a model")
        names = class_names or default_class_names(80)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = models.build_model(model, len(names)).eval()
        return SourceModel(network, names, (network.config.test_size,) * 2)
    if model is None and weights is None:
        raise UsageError("name a model (`yolox-deploy models` lists them) or give --weights FILE")
    file = _file(model, weights)
    checkpoint = models.read_checkpoint(file)
    name = model or checkpoint.model_name
    if name is None:
        raise UsageError(f"{file} is none of the zoo's models; name the one it was made from")
    network = models.build_model(name, checkpoint.num_classes or 80)
    models.load_checkpoint(network, file)
    names = class_names or checkpoint.class_names or default_class_names(network.num_classes)
    if len(names) != network.num_classes:
        raise UsageError(f"{len(names)} class names were given; {file} has {network.num_classes} classes")
    size = checkpoint.input_size or (network.config.test_size,) * 2
    return SourceModel(network.eval(), names, size, file, checkpoint.sha256)


def _file(model: str | None, weights: str | Path | None) -> Path:
    if str(weights) == EMBEDDED_WEIGHTS:
        return embedded_checkpoint()
    return Path(weights) if weights is not None else fetch_weights(get_config(str(model)))
