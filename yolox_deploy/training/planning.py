"""The plan of a run, made from what its data set and its weights are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.errors import CheckpointError, require
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.training.recipes import Plan, plan


def plan_run(
    model: str | ModelConfig | None, data: Path, train: DetectionDataset | None = None, **changes: object
) -> Plan:
    """`recipes.plan` with the number of pictures, and the share of the classes that the weights know.

    Args:
        model, data, changes: as for `recipes.plan`.
        train: the pictures to train on; None to open those of `data`, where the recipe depends on them.

    Raises:
        UsageError, InputError: what `recipes.plan` and `open_dataset` raise.
    """
    weights = changes.get("weights")
    if weights in (None, "none") or changes.get("recipe") == "paper":
        return plan(model, data, 0, None, 1, **changes)
    require("torch", "train")
    from yolox_deploy.training.pretrained import share_known

    train = train or open_dataset(data, "train")
    known = None
    with suppress(CheckpointError):  # told by the run, after what is wrong with the data set
        if str(changes.get("match_classes", True)).lower() == "true":
            known = share_known(Path(str(weights)), train.class_names)
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return plan(model, data, len(train), known, processes, **changes)
