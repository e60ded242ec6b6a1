"""The plan of a run, made from what its data set and its weights are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.errors import CheckpointError, require
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.training.recipes import Plan, plan_stated, read_settings


def plan_run(
    model: str | ModelConfig | None,
    data: Path,
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
        UsageError, InputError: what `recipes.plan` and `open_dataset` raise.
    """
    stated = read_settings(changes)
    if stated.get("weights") is None or stated.get("recipe") == "paper":
        return plan_stated(model, data, stated, 0, None, processes)
    require("torch", "train")
    from yolox_deploy.training.pretrained import share_known

    train = train or open_dataset(data, "train")
    known = None
    if stated.get("match_classes", True):
        with suppress(CheckpointError):  # told by the run, after what is wrong with the data set
            known = share_known(stated["weights"], train.class_names)
    processes = max(processes, int(os.environ.get("WORLD_SIZE", 1)))
    return plan_stated(model, data, stated, len(train), known, processes)
