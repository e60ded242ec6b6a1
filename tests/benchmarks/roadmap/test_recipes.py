"""The rows of Tables 1, 2 and 5 as settings."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from yolox_deploy.benchmarks import row_config
from yolox_deploy.benchmarks.roadmap.rows import SAME_TRAINING, TABLE_1, TABLE_2, TABLE_5, find_row
from yolox_deploy.errors import UsageError
from yolox_deploy.models.zoo import ROADMAP
from yolox_deploy.training import recipe
from yolox_deploy.training.config import to_dict
from yolox_deploy.training.recipes import from_dict

DATA = Path("data")

WEAK, STRONG = (0.0, 0.0), (1.0, 1.0)
EXPECTED = {
    "yolov3_baseline": ("yolov3_baseline", "yolov3", WEAK, True),
    "decoupled_head": ("decoupled_head", "yolov3", WEAK, True),
    "strong_augmentation": ("decoupled_head", "yolov3", STRONG, True),
    "anchor_free": ("yolox_darknet53", "center", STRONG, False),
    "multi_positives": ("yolox_darknet53", "center3x3", STRONG, False),
    "simota": ("yolox_darknet53", "simota", STRONG, False),
    "nms_free": ("nms_free", "simota", STRONG, False),
    "vanilla_coupled": ("yolov3_baseline", "yolov3", WEAK, True),
    "vanilla_decoupled": ("decoupled_head", "yolov3", WEAK, True),
    "end_to_end_coupled": ("end_to_end_coupled", "yolov3", WEAK, True),
    "end_to_end_decoupled": ("end_to_end_decoupled", "yolov3", WEAK, True),
}


def test_every_row_of_tables_1_and_2_trains_as_the_paper_says() -> None:
    found = {}
    for name in ROADMAP:
        config = row_config(name, DATA)
        mixing = (config.augmentation.mosaic, config.augmentation.mixup)
        found[name] = (config.model, config.assigner, mixing, config.iou_aware)
        assert config.box_loss == "iou"
        assert (config.augmentation.flip, config.augmentation.hsv) == (0.5, 0.5)
        assert config.multiscale is not None
    assert found == EXPECTED


def test_neighbours_in_table_2_differ_in_what_their_row_is_called() -> None:
    """Apart from the objectness target, which the released code has from the anchor-free row on."""
    changed = []
    rows = [to_dict(row_config(name, DATA)) for name in TABLE_2]
    for before, after in itertools.pairwise(rows):
        changed.append({name for name in before if before[name] != after[name]})
    assert changed == [
        {"model"},
        {"augmentation"},
        {"model", "assigner", "iou_aware"},
        {"assigner"},
        {"assigner"},
        {"model"},
    ]


def test_rows_of_one_training_are_known_as_such() -> None:
    for alias, name in SAME_TRAINING.items():
        assert alias in TABLE_1
        assert row_config(alias, DATA) == row_config(name, DATA)


def test_the_simota_row_is_the_recipe_of_its_model() -> None:
    assert row_config("simota", DATA) == recipe("yolox_darknet53", DATA)


def test_every_row_of_table_5_has_its_augmentation() -> None:
    found = {}
    for name, row in TABLE_5.items():
        config = row_config(name, DATA)
        aug = config.augmentation
        assert (config.assigner, config.iou_aware) == ("simota", False)
        found[name] = (config.model, aug.mosaic_scale, aug.mixup, aug.copy_paste, row.published.ap_val)
    assert found == {
        "nano_weak_scale": ("yolox_nano", (0.5, 1.5), 0.0, 0.0, 25.3),
        "nano_mixup": ("yolox_nano", (0.1, 2.0), 1.0, 0.0, 24.0),
        "large_scale": ("yolox_l", (0.1, 2.0), 0.0, 0.0, 48.6),
        "large_mixup": ("yolox_l", (0.1, 2.0), 1.0, 0.0, 49.5),
        "large_copy_paste": ("yolox_l", (0.1, 2.0), 0.0, 1.0, 49.4),
    }
    assert row_config("nano_weak_scale", DATA) == recipe("yolox_nano", DATA)
    assert row_config("large_mixup", DATA) == recipe("yolox_l", DATA)


def test_a_narrow_row_keeps_the_recipe_of_its_model() -> None:
    config = row_config("Nano-Weak-Scale", DATA, width=0.125)
    assert (config.model, config.size, config.augmentation.mosaic) == ("yolox_nano@0.125", (416, 416), 0.5)
    config = row_config(
        "multi_positives", DATA, width=0.25, epochs=3, imgsz="128", **{"augmentation.flip": 0}
    )
    assert (config.model, config.epochs, config.size) == ("yolox_darknet53@0.25", 3, (128, 128))
    assert (config.augmentation.flip, config.augmentation.mosaic) == (0.0, 1.0)


def test_changes_win_over_the_row() -> None:
    config = row_config("yolov3_baseline", DATA, box_loss="giou", iou_aware=False, assigner="ota")
    assert (config.box_loss, config.iou_aware, config.assigner) == ("giou", False, "ota")
    assert from_dict(to_dict(config)) == config


def test_an_unknown_row_is_met_with_the_closest() -> None:
    with pytest.raises(UsageError, match=r"unknown row 'multi_positive'; .*did you mean 'multi_positives'"):
        find_row("multi_positive")
    with pytest.raises(UsageError, match="unknown row 'x'; known here: yolov3_baseline"):
        row_config("x", DATA)
