"""Settings of a training run, checked when they are made; `recipes.py` holds those of each model.

Sources: paper, sections 2.1 and 2.2 and Table 5; where the released code differs, the released code.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from yolox_deploy.errors import UsageError
from yolox_deploy.models.model_config import Architecture
from yolox_deploy.models.naming import get_config, vary
from yolox_deploy.models.zoo import SIZE_DIVISOR, check_input_size
from yolox_deploy.records import fits, in_words

Range = tuple[float, float]
Precision = Literal["fp32", "fp16", "bf16"]
BoxLoss = Literal["iou", "giou"]
Optimizer = Literal["sgd", "adamw"]
Recipe = Literal["auto", "paper", "finetune"]
LastPhase = Literal["paper", "release"]

ASSIGNER_NAMES = ("simota", "simota_release", "center", "center3x3", "yolov3", "ota")
"""The names in `assigner_table.ASSIGNERS`, here so that settings are checked without torch."""
PLAIN_EPOCHS, WARMUP_EPOCHS, LONG_RUN = 15, 5, 100
"""Epochs at the end and at the beginning of a run of `LONG_RUN` or more; per cent of a shorter one."""

DATA_OPTIONS = ("data", "train_annotations", "val_annotations", "images", "val_images", "val_share")
"""The settings that say what is trained on."""

LATER_SETTINGS = {
    "box_loss": "iou",
    "iou_aware": False,
    "priors": None,
    "cache": False,
    "report": True,
    "architecture": asdict(Architecture()),
    "recipe": "paper",
    "optimizer": "sgd",
    "scale_rate": True,
    "backbone_rate": 1.0,
    "neck_rate": 1.0,
    "freeze_neck": False,
    "batchnorm": "train",
    "ema_ramp": "release",
    "restore_batchnorm": False,
    "match_classes": False,
    "val_share": 0.2,
    "last_phase": "paper",
}
"""What runs were trained with whose checkpoints are older than these settings."""


@dataclass(frozen=True)
class Augmentation:
    """How pictures are changed before training; probabilities are 0-1, ranges (low, high).

    Attributes:
        mosaic: probability that a picture becomes a mosaic of four.
        mosaic_scale: the mosaic is scaled by a factor drawn from this range.
        mixup: probability that a mosaic is blended with another picture.
        mixup_scale: that other picture is scaled by a factor drawn from this range.
        copy_paste: probability that objects of another picture are pasted in by their masks.
        degrees, shear: rotation and shear of a mosaic, +- degrees.
        translate: shift of a mosaic, +- share of the side.
        hsv: probability of each shift of hue, saturation and value (+-5, +-30, +-30 of 180, 255, 255).
        flip: probability of a horizontal flip.
        max_objects: rows of targets in a picture.

    Raises:
        UsageError: a value that cannot work.
    """

    mosaic: float = 1.0
    mosaic_scale: Range = (0.1, 2.0)
    mixup: float = 1.0
    mixup_scale: Range = (0.5, 1.5)
    copy_paste: float = 0.0
    degrees: float = 10.0
    shear: float = 2.0
    translate: float = 0.1
    hsv: float = 0.5
    flip: float = 0.5
    max_objects: int = 120

    def __post_init__(self) -> None:
        _require_types(self)
        for name in ("mosaic", "mixup", "copy_paste", "hsv", "flip", "translate"):
            _require(0 <= getattr(self, name) <= 1, self, name, "0 to 1")
        for name in ("mosaic_scale", "mixup_scale"):
            low, high = getattr(self, name)
            _require(0 < low <= high < math.inf, self, name, "two factors above 0, the lower first")
        _require(0 <= self.degrees <= 180, self, "degrees", "0 to 180")
        _require(0 <= self.shear < 90, self, "shear", "0 to less than 90 degrees")
        _require_count(self, "max_objects", 1)


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        model: name in the zoo; with an architecture of your own the name that stands for it.
        data: folder of a data set (COCO, VOC or YOLO text); may be None where annotations are named.
        train_annotations, val_annotations: instead of those in `data`: a COCO JSON, a folder of XML or YOLO text
            files, an image set of VOC or a list of pictures.
        images, val_images: folders of their pictures; None for those near the annotations.
        val_share: of the pictures, for evaluation, where the data set is not split; chosen by their names, whatever
            the `seed`.
        out: folder for checkpoints, logs and drawn batches.
        weights: checkpoint to start from; another class count is allowed.
        recipe: where the values come from that nobody stated: "paper" or "finetune", as `recipes.plan` chose; "auto"
            has no meaning of its own and is "paper" once the run begins.
        match_classes: take the rows of the class predictors over from `weights` by class name; else by their order
            where the count is the same, and new ones where it is not.
        restore_batchnorm: measure the statistics of `weights` whose BatchNorm is folded (see `restoring`).
        epochs: passes over the data.
        batch: pictures in one optimiser step, over all processes.
        accumulate: parts into which each process divides its share of the batch, for small memories.
        imgsz: (height, width) of training and evaluation; None for the model's test size.
        multiscale: least and greatest height of the sizes drawn every 10 steps, multiples of 32, the width in
            the proportion of `imgsz`; None for `imgsz` alone.
        plain_epochs: last epochs, without mosaic and MixUp and with the L1 loss; None for 15, or 15 % of fewer
            than 100 epochs.
        last_phase: "paper" for so many plain epochs; "release" for one more before them, at a rate that still falls,
            as the authors' code has it.
        warmup_epochs: epochs in which the rate rises; None for 5, or 5 % of fewer than 100 epochs.
        optimizer: "sgd" with Nesterov momentum, or "adamw".
        learning_rate: for 64 pictures a step and scaled linearly with `batch`; as it is without `scale_rate`.
        scale_rate: see `learning_rate`.
        backbone_rate, neck_rate: factors of the rate for these parts, 0 or more; the head's is 1.
        momentum: of SGD; AdamW's first beta.
        weight_decay: of the weights of convolutions; AdamW's is decoupled.
        ema_decay: of the averaged weights, which are evaluated and exported.
        ema_ramp: how it begins: "release" for runs of thousands of steps, "short" for hundreds (see `ema_decay` in
            `optimization`).
        assigner: decides which anchor points are positive; a name in `ASSIGNER_NAMES`.
        box_loss: "iou" for 1 - IoU^2, "giou" for 1 - GIoU.
        iou_aware: train objectness towards the IoU of a prediction, not towards 1 (see `losses.LossOptions`).
        priors: file with the anchor boxes of an anchor-based model, made by `yolox-deploy priors`; None for
            the classic ones. They travel in the checkpoint.
        precision: of the forward pass; None for fp16 on CUDA, bf16 on a CPU that is faster with it, else fp32.
        freeze_backbone, freeze_neck: keep these parts as `weights` have them, BatchNorm statistics included.
        batchnorm: "train" with the statistics of the batch and average these, or keep and use them, "frozen", in
            all layers.
        eval_every: epochs between evaluations (each epoch in the plain ones); None for a twentieth of the run, at
            least 1 and at most 10, and from 20 epochs on more where evaluating would take longer than training.
        patience: stop after so many evaluations without a better AP of the run's own; None to go on.
        workers: processes that prepare pictures; 0 for none, None for one a core (at most 8).
        cache: keep the decoded pictures in memory, for sets that fit.
        report: draw `labels.png` before the run, and write what `best.pth` finds and gets wrong after it, in `report`.
        device: "auto", "cpu", "cuda".
        seed: of weights, order, augmentation.
        augmentation: how pictures are changed.
        architecture: depth, width, depthwise and activation where they are not the model's.

    Raises:
        UsageError: a value, or a combination of them, that cannot work.
    """

    model: str
    data: Path | None = None
    out: Path = Path("runs/train")
    weights: Path | None = None
    recipe: Recipe = "auto"
    match_classes: bool = True
    restore_batchnorm: bool = True
    epochs: int = 300
    batch: int = 64
    accumulate: int = 1
    imgsz: tuple[int, int] | None = None
    multiscale: tuple[int, int] | None = None
    plain_epochs: int | None = None
    last_phase: LastPhase = "paper"
    warmup_epochs: float | None = None
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.01
    scale_rate: bool = True
    backbone_rate: float = 1.0
    neck_rate: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    ema_decay: float = 0.9998
    ema_ramp: Literal["release", "short"] = "release"
    assigner: str = "simota"
    box_loss: BoxLoss = "iou"
    iou_aware: bool = False
    priors: Path | None = None
    precision: Precision | None = None
    freeze_backbone: bool = False
    freeze_neck: bool = False
    batchnorm: Literal["train", "frozen"] = "train"
    eval_every: int | None = None
    patience: int | None = None
    workers: int | None = None
    cache: bool = False
    report: bool = True
    device: str = "auto"
    seed: int = 0
    train_annotations: Path | None = None
    val_annotations: Path | None = None
    images: Path | None = None
    val_images: Path | None = None
    val_share: float = 0.2
    augmentation: Augmentation = field(default_factory=Augmentation)
    architecture: Architecture = field(default_factory=Architecture)

    def __post_init__(self) -> None:
        _require_types(self)
        _require_types(self.architecture)
        model = vary(get_config(self.model), **self.architecture.stated)
        object.__setattr__(self, "model", model.name)
        if model.channels != 3:
            raise UsageError(f"{model.name} reads {model.channels} channels; pictures to train on have 3")
        for name in ("epochs", "batch", "accumulate", "eval_every", "patience"):
            _require_count(self, name, 1)
        for name in ("workers", "plain_epochs", "seed"):
            _require_count(self, name, 0)
        _require(
            self.batch % self.accumulate == 0, self, "accumulate", f"a divisor of the batch {self.batch}"
        )
        _require(0 < self.val_share < 1, self, "val_share", "a number between 0 and 1")
        if self.data is None and self.train_annotations is None:
            raise UsageError("no data set is named; expected data, its folder, or train_annotations")
        check_input_size(self.size)
        low, high = self.multiscale or (SIZE_DIVISOR, SIZE_DIVISOR)
        fit = 0 < low <= high and low % SIZE_DIVISOR == high % SIZE_DIVISOR == 0
        _require(fit, self, "multiscale", f"two multiples of {SIZE_DIVISOR}, the lower first")
        _require(0 < self.learning_rate < math.inf, self, "learning_rate", "a number above 0")
        _require(0 < self.momentum < 1, self, "momentum", "a number between 0 and 1")
        for name in ("weight_decay", "backbone_rate", "neck_rate"):
            _require(0 <= getattr(self, name) < math.inf, self, name, "0 or more")
        _require(0 <= self.ema_decay < 1, self, "ema_decay", "0 to less than 1")
        self._require_fitting_head()
        for part in ("backbone", "neck"):
            if getattr(self, f"freeze_{part}") and self.weights is None:
                raise UsageError(
                    f"freeze_{part} without weights keeps a random {part}; name the weights to keep"
                )
        _require(self.flat <= self.epochs, self, "plain_epochs", f"0 to the {self.epochs} epochs of the run")
        if not 0 <= self.warmup <= self.epochs - self.flat:
            most = f"{self.epochs} epochs less {self.flat} plain ones"
            raise UsageError(f"warmup_epochs is {self.warmup:g}; expected 0 to {most}")

    def _require_fitting_head(self) -> None:
        """The assigner and the priors have to be for the head of the model."""
        anchor_free = get_config(self.model).priors == 1
        _require(self.assigner in ASSIGNER_NAMES, self, "assigner", f"one of {', '.join(ASSIGNER_NAMES)}")
        if anchor_free and self.assigner == "yolov3":
            raise UsageError(f"the assigner yolov3 needs anchor boxes; {self.model} is anchor-free")
        if not anchor_free and self.assigner in ("center", "center3x3"):
            raise UsageError(f"the assigner {self.assigner} takes no anchor boxes; {self.model} has them")
        if anchor_free and self.priors is not None:
            raise UsageError(f"priors is {self.priors}; {self.model} is anchor-free and takes none")

    @property
    def data_options(self) -> dict[str, Any]:
        """Where the data are, for `data.opening.open_splits`."""
        return {name: getattr(self, name) for name in DATA_OPTIONS}

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of training and evaluation in pixels."""
        return self.imgsz or (get_config(self.model).test_size,) * 2

    @property
    def plain(self) -> int:
        """Epochs at the end without mosaic and MixUp and with the L1 loss: those of `last_phase`."""
        return min(self.flat + (self.last_phase == "release"), self.epochs)

    @property
    def flat(self) -> int:
        """Epochs at the end at the lowest rate: `plain_epochs` or what stands for None."""
        share = round(min(self.epochs / LONG_RUN, 1) * PLAIN_EPOCHS)
        return share if self.plain_epochs is None else self.plain_epochs

    @property
    def warmup(self) -> float:
        """Epochs in which the rate rises: `warmup_epochs` or what stands for None."""
        share = min(self.epochs / LONG_RUN, 1.0) * WARMUP_EPOCHS
        return share if self.warmup_epochs is None else self.warmup_epochs


def settled(config: TrainConfig) -> TrainConfig:
    """`config` with a recipe that is no longer "auto": values that nobody planned are the paper's."""
    return replace(config, recipe="paper") if config.recipe == "auto" else config


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """`config` as numbers, texts, lists and dictionaries, for JSON and checkpoints; `recipes.from_dict` reads it."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def _require(holds: bool, settings: object, name: str, expected: str) -> None:
    if not holds:
        raise UsageError(f"{name} is {getattr(settings, name)}; expected {expected}")


def _require_count(settings: object, name: str, least: int) -> None:
    """A number of at least `least`, or None where that means something."""
    value = getattr(settings, name)
    _require(value is None or value >= least, settings, name, f"a whole number of at least {least}")


def _require_types(settings: object) -> None:
    """From Python anything may come: a wrong type is said here, not by an operator somewhere."""
    for name, hint in get_type_hints(type(settings)).items():
        _require(fits(getattr(settings, name), hint), settings, name, in_words(hint))
