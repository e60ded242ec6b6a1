"""The training settings of each row of the paper's Tables 1, 2 and 5."""

from __future__ import annotations

from pathlib import Path

from yolox_deploy.benchmarks.roadmap.rows import AugmentationRow, RoadmapRow, find_row
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.recipes import override, recipe

Row = RoadmapRow | AugmentationRow


def row_config(row_name: str, data: Path, *, width: float | None = None, **changes: object) -> TrainConfig:
    """The settings that train the row `row_name` on `data`, with `changes` made as by `recipes.override`.

    Beside what the row names, rows share everything: the settings of their model's `recipe`, and the L1 loss of
    the last epochs, also where those have no strong augmentation to end. So neighbours in Table 2 differ in what
    the paper says, and in `RoadmapRow.iou_aware`.

    Args:
        width: another width factor of the model, as in `simota@0.25`; None for its own.

    Raises:
        UsageError: no such row or setting, or a value that cannot work.
    """
    row = find_row(row_name)
    model = row.model.name if width is None else f"{row.model.name}@{width:g}"
    config = recipe(model, data, assigner=row.assigner, iou_aware=row.iou_aware)
    return override(override(config, {"augmentation": _augmentation(row)}), changes)


def _augmentation(row: Row) -> dict[str, object]:
    """What the row changes of the recipe's augmentation."""
    if isinstance(row, AugmentationRow):
        # The recipe of nano has half of the pictures as mosaics, that of the others all: kept.
        return {"mosaic_scale": row.mosaic_scale, "mixup": row.mixup, "copy_paste": row.copy_paste}
    return {"mosaic": 0.0, "mixup": 0.0} if row.augmentation == "weak" else {}
