"""The network that is exported, built from a name or a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import CLASS_NAMES, default_class_names
from yolox_deploy.errors import UsageError, require
from yolox_deploy.files import embedded_checkpoint
from yolox_deploy.models.model_config import Architecture, ModelConfig
from yolox_deploy.models.naming import configured, get_config
from yolox_deploy.models.weights import fetch_weights
from yolox_deploy.types import InputConvention

if TYPE_CHECKING:
    from yolox_deploy.models.yolox import YOLOX

RANDOM_WEIGHTS = "random"

EMBEDDED_WEIGHTS = "scenes"
"""The YOLOX-Nano in this package, trained on generated scenes (`yolox_deploy.synthetic.scenes`): for demonstrations."""

CLASSES = "class_names"
COCO_SUPPOSED = "COCO's 80, as the checkpoint names none"


@dataclass(frozen=True)
class SourceModel:
    """A network with its origin.

    Attributes:
        network: float32, evaluation mode, neither fused nor folded: the reference of every comparison.
        input_size: (height, width) that the checkpoint was trained at, else the model's test size.
        input: how the network reads pictures.
        weights: the checkpoint, None for random weights.
        notes: sentences on what was recognised in the checkpoint, or supposed.
        facts: what the description of each export of it tells beside that.
    """

    network: YOLOX
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    input: InputConvention = field(default_factory=InputConvention)
    weights: Path | None = None
    weights_sha256: str | None = None
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, H, W) float32 as `input` describes it to undecoded (B, N, 5 + C)."""
        import torch

        with torch.inference_mode():
            output: NDArray[np.float32] = self.network(torch.from_numpy(images)).numpy()
            return output

    def run_exactly(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same as `run`, computed in float64 and rounded once, at the end."""
        import torch

        with torch.inference_mode():
            output = self._exact(torch.from_numpy(images).double())
            rounded: NDArray[np.float32] = output.float().numpy()
            return rounded

    @cached_property
    def _exact(self) -> YOLOX:
        return copy.deepcopy(self.network).double()


def load_source_model(
    model: str | ModelConfig | None,
    weights: str | Path | None,
    class_names: tuple[str, ...] | None,
    architecture: Architecture = Architecture(),  # noqa: B008 - frozen
    legacy: bool | None = None,
) -> SourceModel:
    """Build the network and load its weights, safely.

    Args:
        model: name in the zoo, or a configuration of your own; None to recognise it from the weights.
        weights: a checkpoint, "random", "scenes" for the embedded YOLOX-Nano, or None for the official weights
            of that name.
        class_names: one a class; None for those in the checkpoint, else COCO's.
        architecture: what is known of the network and neither its name nor the checkpoint tells.
        legacy: whether the weights are from before YOLOX 0.1.1; None to tell by them.

    Raises:
        UsageError: neither a model nor weights are named, what is stated contradicts the checkpoint, or the class
            names do not fit.
        CheckpointError: the weights cannot be loaded or do not fit.
        MissingExtraError: torch is not installed.
    """
    named = get_config(model) if isinstance(model, str) else model
    stated = configured(named, architecture)
    official = weights is None
    if weights is None or str(weights) == RANDOM_WEIGHTS:
        if stated is None:
            what = "random weights need the name of a model" if weights else "name a model"
            hint = "" if weights else ", or give --weights FILE"
            raise UsageError(f"{what} (`yolox-deploy models` lists them) or --depth and --width{hint}")
        if weights is not None:
            return _random_model(stated, class_names)
        weights = fetch_weights(stated)
    require("torch", "export")
    from yolox_deploy import models
    from yolox_deploy.models.checkpoint import GUESSED_NAMES, LEGACY_INPUT, load_weights

    file = embedded_checkpoint() if str(weights) == EMBEDDED_WEIGHTS else Path(weights)
    checkpoint = models.read_checkpoint(file)
    config = checkpoint.architecture(named, architecture)
    network = models.build_model(config, checkpoint.num_classes or 80)
    load_weights(network, checkpoint)
    given = class_names or checkpoint.class_names
    names = given or default_class_names(network.num_classes)
    if len(names) != network.num_classes:
        raise UsageError(f"{len(names)} class names were given; {file} has {network.num_classes} classes")
    size = checkpoint.input_size or (config.test_size,) * 2
    settled = {LEGACY_INPUT: legacy is not None, GUESSED_NAMES: class_names is not None}
    doubts = (sentence for sentence in checkpoint.doubts if not settled[sentence])
    convention = config.input(legacy=checkpoint.is_legacy if legacy is None else legacy)
    return SourceModel(
        network.eval(),
        names,
        size,
        convention,
        file,
        checkpoint.sha256,
        notes=(*checkpoint.notes, *doubts),
        facts={CLASSES: COCO_SUPPOSED} if names == CLASS_NAMES and not (given or official) else {},
    )


def _random_model(config: ModelConfig, class_names: tuple[str, ...] | None) -> SourceModel:
    torch = require("torch", "export")
    from yolox_deploy.models import build_model

    names = class_names or default_class_names(80)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(config, len(names)).eval()
    size = (config.test_size,) * 2
    return SourceModel(network, names, size, config.input(), facts={"weights": RANDOM_WEIGHTS})
