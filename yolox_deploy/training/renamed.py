"""The settings of the authors' Exp files by their names there, and where each is here.

`--set max_epoch=50` is answered from this table, and docs/migrating.md shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from yolox_deploy.errors import UsageError
from yolox_deploy.settings import field_types
from yolox_deploy.training.config import TrainConfig


class Renamed(NamedTuple):
    """Where a setting of an Exp is here: `new`, its name (None: there is none), and a word on it."""

    new: str | None
    word: str = ""


MEGVII_SETTINGS = {
    "depth": Renamed("architecture.depth", "a model of the zoo has its own"),
    "width": Renamed("architecture.width", "a model of the zoo has its own"),
    "act": Renamed("architecture.activation", "silu, relu or lrelu"),
    "num_classes": Renamed(None, "classes are counted in the data set"),
    "data_num_workers": Renamed("workers"),
    "input_size": Renamed("imgsz", "height, width"),
    "test_size": Renamed("imgsz", "one size for both; export takes another by --imgsz"),
    "multiscale_range": Renamed(
        "multiscale", "least and greatest height in pixels: (side // 32 ± range) × 32"
    ),
    "random_size": Renamed("multiscale", "least and greatest height in pixels: × 32"),
    "data_dir": Renamed("data", "folder of the data set"),
    "train_ann": Renamed(None, "it is found in the folder `data`: annotations/instances_train.json"),
    "val_ann": Renamed(None, "it is found in the folder `data`: annotations/instances_val.json"),
    "test_ann": Renamed(None, "eval takes any by --annotations"),
    "mosaic_prob": Renamed("augmentation.mosaic"),
    "mosaic_scale": Renamed("augmentation.mosaic_scale"),
    "scale": Renamed("augmentation.mosaic_scale", "its name in early versions"),
    "enable_mixup": Renamed("augmentation.mixup", "0 for False"),
    "mixup_prob": Renamed("augmentation.mixup"),
    "mixup_scale": Renamed("augmentation.mixup_scale"),
    "hsv_prob": Renamed("augmentation.hsv", "half of it: the probability of each of the three shifts"),
    "flip_prob": Renamed("augmentation.flip"),
    "degrees": Renamed("augmentation.degrees"),
    "translate": Renamed("augmentation.translate"),
    "shear": Renamed("augmentation.shear"),
    "perspective": Renamed(None, "pictures are not changed in perspective"),
    "max_labels": Renamed("augmentation.max_objects"),
    "max_epoch": Renamed("epochs"),
    "warmup_epochs": Renamed("warmup_epochs"),
    "no_aug_epochs": Renamed(
        "plain_epochs", 'last_phase = "release" adds the epoch that theirs adds to them'
    ),
    "basic_lr_per_img": Renamed("learning_rate", "× 64: the rate for 64 pictures a step"),
    "warmup_lr": Renamed(None, "warm-up begins at 0"),
    "min_lr_ratio": Renamed(None, "the cosine ends at 0.05 of the rate"),
    "scheduler": Renamed(None, "it is always yoloxwarmcos: warm-up, cosine, flat end"),
    "momentum": Renamed("momentum"),
    "weight_decay": Renamed("weight_decay"),
    "ema": Renamed("ema_decay", "0.9998 for True, 0 for False"),
    "eval_interval": Renamed("eval_every"),
    "batch_size": Renamed("batch"),
    "fp16": Renamed("precision", "fp16 for True"),
    "seed": Renamed("seed"),
    "output_dir": Renamed("out", "the folder of the run: output_dir/exp_name"),
    "exp_name": Renamed("out", "the folder of the run: output_dir/exp_name"),
    "print_interval": Renamed(None, "every step is in steps.csv"),
    "save_history_ckpt": Renamed(None, "best.pth and last.pth are kept"),
    "test_conf": Renamed(None, "eval and predict take it by --conf"),
    "nmsthre": Renamed(None, "eval and predict take it by --iou"),
}
"""By the name in an Exp, in the order of the authors' own base class."""


def refuse_old_names(names: Iterable[str]) -> None:
    """Answer the authors' name of a setting, given for one of `TrainConfig`, with ours.

    Raises:
        UsageError: there is one.
    """
    known = field_types(TrainConfig)
    for name in names:
        old = name.rpartition(".")[2]
        if name not in known and old in MEGVII_SETTINGS:
            new, word = MEGVII_SETTINGS[old]
            said = f"the authors' {old} {f'is {new}' if new else 'has no setting'} here"
            raise UsageError(f"there is no setting called {name!r}; {said}{f' ({word})' if word else ''}")
