"""The pictures of a run: opened once, and checked before any time is spent on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from yolox_deploy.data.checks import check_splits
from yolox_deploy.data.opening import open_splits
from yolox_deploy.data.report import DatasetReport, raise_for_errors
from yolox_deploy.data.splits import Splits
from yolox_deploy.training.config import TrainConfig

Check: TypeAlias = Literal["pictures", "annotations", "nothing"]
"""How far data is looked at: to the header of each picture, to its annotations and missing files, not at all."""


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


def open_checked(config: TrainConfig, tell: Callable[[str], None]) -> Splits:
    """The pictures of a run whose caller checked nothing: what is cheap is, and told.

    Raises:
        InputError: they cannot be read or trained on.
    """
    data = open_splits(**config.data_options)
    raise_for_errors(*check_data(config, data, "annotations", tell))
    return data
