"""The pictures of a run: opened once, and checked before any time is spent on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from yolox_deploy.data.checks import check_splits, require_same_classes
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.data.report import DatasetReport, raise_for_errors
from yolox_deploy.training.config import TrainConfig

Check: TypeAlias = Literal["pictures", "annotations", "nothing"]
"""How far data is looked at: to the header of each picture, to its annotations and missing files, not at all."""


class Splits(NamedTuple):
    """Pictures to train on and to evaluate on."""

    train: DetectionDataset
    val: DetectionDataset


def open_splits(folder: Path) -> Splits:
    """The pictures of a data set.

    Raises:
        InputError: they cannot be read.
    """
    return Splits(open_dataset(folder, "train"), open_dataset(folder, "val"))


def check_data(
    config: TrainConfig, data: Splits, check: Check, tell: Callable[[str], None]
) -> tuple[DatasetReport, ...]:
    """Tell what is found in `data`, a report on each split; none where nothing is to be checked."""
    if check == "nothing":
        return ()
    most = config.augmentation.max_objects
    reports = check_splits(data.train, data.val, max_objects=most, pictures=check == "pictures")
    for line in (line for report in reports for line in report.to_lines(errors=False)):
        tell(line)
    return reports


def require_sound(data: Splits, reports: tuple[DatasetReport, ...]) -> None:
    """Stop where nothing could be learnt.

    Raises:
        InputError: a report holds errors, or the splits differ in their classes.
    """
    raise_for_errors(*reports)
    require_same_classes(data.train, data.val)


def open_checked(config: TrainConfig, tell: Callable[[str], None]) -> Splits:
    """The pictures of a run whose caller checked nothing: what is cheap is, and told.

    Raises:
        InputError: they cannot be read or trained on, or the splits differ in their classes.
    """
    data = open_splits(config.data)
    require_sound(data, check_data(config, data, "annotations", tell))
    return data
