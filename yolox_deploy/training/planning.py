"""The plan of a run, made from what its data set and its weights are."""

from __future__ import annotations

import os
from pathlib import Path

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.opening import open_splits
from yolox_deploy.errors import require
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.training.config import DATA_OPTIONS
from yolox_deploy.training.recipes import Plan, plan_stated, read_settings


def plan_run(
    model: str | ModelConfig | None,
    data: Path | None,
    train: DetectionDataset | None = None,
    processes: int = 1,
    /,
    **changes: object,
) -> Plan:
    """`recipes.plan` with the number of pictures, and the share of the classes that the weights know.

    Args:
        model, data, changes: as for `recipes.plan`.
        train: the pictures to train on; None to open those of `data`, where the recipe depends on them.
        processes: that train together, where the environment does not name more.

    Raises:
        UsageError, InputError: what `recipes.plan` and `open_splits` raise.
        CheckpointError: the weights cannot be read.
    """
    stated = read_settings(changes)
    if stated.get("weights") is None or stated.get("recipe") == "paper":
        return plan_stated(model, data, stated, 0, processes=processes)
    require("torch", "train")
    from yolox_deploy.training.pretrained import known_classes

    if train is None:
        where = {name: stated[name] for name in DATA_OPTIONS if name in stated}
        train, _ = open_splits(**{"data": data, **where})
    known, own = None, False
    if stated.get("match_classes", True):
        known, own = known_classes(stated["weights"], train.class_names)
    processes = max(processes, int(os.environ.get("WORLD_SIZE", 1)))
    return plan_stated(model, data, stated, len(train), known, own=own, processes=processes)
