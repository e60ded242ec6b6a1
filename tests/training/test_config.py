"""Settings: what they refuse, the recipes of the models, and every way to change them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.models import ZOO
from yolox_deploy.training import TrainConfig, recipe
from yolox_deploy.training.config import Augmentation, to_dict
from yolox_deploy.training.recipes import from_dict, load_toml, override

DATA = Path("data")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number of at least 1"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"batch": -1}, "batch is -1"),
        ({"batch": 10, "accumulate": 4}, "accumulate is 4; expected a divisor of the batch 10"),
        ({"imgsz": (640, 600)}, "640x600"),
        ({"imgsz": 640}, "imgsz is 640; expected two whole numbers, such as 480,640 or none"),
        ({"multiscale": (320, 650)}, r"multiscale is \(320, 650\); expected two multiples of 32, the lower"),
        ({"multiscale": (640, 320)}, r"multiscale is \(640, 320\)"),
        ({"multiscale": (0, 320)}, r"multiscale is \(0, 320\)"),
        ({"multiscale": (320,)}, r"multiscale is \(320,\); expected two whole numbers"),
        ({"epochs": None}, "epochs is None; expected a whole number"),
        ({"learning_rate": None}, "learning_rate is None; expected a number"),
        ({"batch": True}, "batch is True; expected a whole number"),
        ({"data": "data"}, "data is data; expected a pathlib.Path"),
        ({"augmentation": None}, "augmentation is None"),
        ({"plain_epochs": -1}, "plain_epochs"),
        ({"epochs": 10, "plain_epochs": 15}, "plain_epochs is 15; expected 0 to the 10 epochs"),
        ({"epochs": 10, "plain_epochs": 9, "warmup_epochs": 2.0}, "warmup_epochs is 2; expected 0 to 10"),
        ({"epochs": 10, "plain_epochs": 10}, "warmup_epochs is 0.5; expected 0 to 10 epochs less 10 plain"),
        ({"assigner": "yolov3"}, "assigner yolov3 needs anchor boxes; yolox_s is anchor-free"),
        ({"model": "yolov3_baseline", "assigner": "center"}, "center takes no anchor boxes; .* has them"),
        ({"model": "yolov3_baseline", "assigner": "center3x3"}, "center3x3 takes no anchor boxes"),
        ({"freeze_backbone": True}, "freeze_backbone without weights keeps a random backbone"),
        ({"freeze_neck": True}, "freeze_neck without weights keeps a random neck"),
        ({"backbone_rate": -0.1}, "backbone_rate is -0.1; expected 0 or more"),
        ({"neck_rate": float("inf")}, "neck_rate is inf"),
        ({"optimizer": "adam"}, "optimizer is adam; expected sgd or adamw"),
        ({"batchnorm": "eval"}, "batchnorm is eval; expected train or frozen"),
        ({"ema_ramp": "long"}, "ema_ramp is long; expected release or short"),
        ({"recipe": "best"}, "recipe is best; expected auto, paper or finetune"),
        ({"warmup_epochs": -1.0}, "warmup_epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"momentum": 1.0}, "momentum"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"precision": "fp8"}, "precision is fp8; expected fp32, fp16, bf16 or none"),
        ({"box_loss": "diou"}, "box_loss is diou; expected iou or giou"),
        ({"priors": Path("p.json")}, "priors is p.json; yolox_s is anchor-free"),
        ({"patience": 0}, "patience"),
        ({"workers": -1}, "workers"),
        ({"seed": -1}, "seed"),
        ({"model": "yolox_nanno"}, "did you mean yolox_nano"),
    ],
)
def test_a_run_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainConfig(**{"model": "yolox_s", "data": DATA, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mosaic": 1.5}, "mosaic is 1.5; expected 0 to 1"),
        ({"mosaic": None}, "mosaic is None; expected a number"),
        ({"mosaic_scale": 0.5}, "mosaic_scale is 0.5; expected two numbers, such as 0.5,1.5"),
        ({"flip": -0.1}, "flip"),
        ({"translate": float("nan")}, "translate is nan"),
        ({"mosaic_scale": (2.0, 0.1)}, "mosaic_scale"),
        ({"mixup_scale": (0.0, 1.0)}, "mixup_scale"),
        ({"degrees": -1.0}, "degrees"),
        ({"shear": 90.0}, "shear"),
        ({"max_objects": 0}, "max_objects"),
    ],
)
def test_an_augmentation_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation(**values)


def test_the_recipes_are_those_of_the_paper_and_the_released_code() -> None:
    found = {}
    for model in ZOO:
        config = recipe(model, DATA)
        aug = config.augmentation
        found[model] = (aug.mosaic, aug.mosaic_scale, aug.mixup, config.multiscale, config.size)
    base = (1.0, (0.1, 2.0), 1.0, (480, 800), (640, 640))
    assert found.pop("yolox_nano") == (0.5, (0.5, 1.5), 0.0, (320, 640), (416, 416))
    assert found.pop("yolox_tiny") == (1.0, (0.5, 1.5), 0.0, (320, 640), (416, 416))
    assert set(found.values()) == {base}
    assert recipe("YOLOX-Nano", DATA).model == "yolox_nano"
    assert recipe("yolox_s", DATA, augmentation=Augmentation(flip=0.25)).augmentation == Augmentation(
        flip=0.25
    )
    config = recipe("yolox_l", DATA)
    assert (config.epochs, config.batch, config.learning_rate, config.weight_decay) == (300, 64, 0.01, 5e-4)
    assert (config.momentum, config.ema_decay) == (0.9, 0.9998)


@pytest.mark.parametrize(
    ("epochs", "plain", "warmup"), [(300, 15, 5), (100, 15, 5), (40, 6, 2.0), (2, 0, 0.1), (1, 0, 0.05)]
)
def test_short_runs_have_short_ends(epochs: int, plain: int, warmup: float) -> None:
    config = recipe("yolox_s", DATA, epochs=epochs)
    assert (config.plain, config.warmup) == (plain, pytest.approx(warmup))
    given = replace(config, plain_epochs=0, warmup_epochs=1.0)
    assert (given.plain, given.warmup) == (0, 1.0)


@pytest.mark.parametrize(
    ("epochs", "given", "plain", "flat"),
    [(300, None, 16, 15), (300, 0, 1, 0), (4, 3, 4, 3), (4, 4, 4, 4), (2, None, 1, 0)],
)
def test_the_last_phase_of_the_release(epochs: int, given: int | None, plain: int, flat: int) -> None:
    """Mosaic is closed where `epoch + 1 == max_epoch - no_aug_epochs` there: for 16 epochs of 300, and 1 for 0."""
    config = recipe("yolox_s", DATA, epochs=epochs, plain_epochs=given, warmup_epochs=0, last_phase="release")
    assert (config.plain, config.flat) == (plain, flat)
    paper = replace(config, last_phase="paper")
    assert (paper.plain, paper.flat) == (flat, flat)


def test_texts_become_the_type_of_their_setting() -> None:
    texts = {
        "epochs": "50",
        "data": "other",
        "weights": "w.pth",
        "learning_rate": "2e-3",
        "imgsz": "480x640",
        "multiscale": "320,640",
        "plain_epochs": "none",
        "last_phase": "release",
        "precision": "bf16",
        "freeze_backbone": "true",
        "box_loss": "giou",
        "iou_aware": "true",
        "augmentation.mosaic": "0.5",
        "augmentation.mosaic_scale": "0.5,1.5",
        "augmentation.max_objects": "50",
    }
    config = override(recipe("yolox_l", DATA), texts)
    augmentation = Augmentation(mosaic=0.5, mosaic_scale=(0.5, 1.5), max_objects=50)
    assert config == TrainConfig(
        "yolox_l",
        Path("other"),
        weights=Path("w.pth"),
        recipe="paper",
        epochs=50,
        learning_rate=0.002,
        last_phase="release",
        imgsz=(480, 640),
        multiscale=(320, 640),
        precision="bf16",
        freeze_backbone=True,
        box_loss="giou",
        iou_aware=True,
        augmentation=augmentation,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": "3"}, "no setting called 'epoch'; settings: model, data.*; did you mean epochs\\?"),
        ({"mosiac": 0.5}, "did you mean augmentation.mosaic\\?"),
        ({"augment.mosaic": 0.5}, "did you mean augmentation.mosaic\\?"),
        ({"augmentation": 0.5}, "no setting called 'augmentation'"),
        ({"zzz": 1}, "called 'zzz'; settings"),
        ({"max_epoch": "50"}, "no setting called 'max_epoch'; the authors' max_epoch is epochs here"),
        ({"no_aug_epochs": 5}, "the authors' no_aug_epochs is plain_epochs here"),
        ({"augmentation.mosaic_prob": 1}, "the authors' mosaic_prob is augmentation.mosaic here"),
        (
            {"basic_lr_per_img": 0.1},
            "basic_lr_per_img is learning_rate here \\(× 64: the rate for 64 pictures a step",
        ),
        ({"min_lr_ratio": 0.1}, "the authors' min_lr_ratio has no setting here \\(the cosine ends at 0.05"),
        ({"epochs": "many"}, "epochs is 'many'; expected a whole number"),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number"),
        ({"epochs": True}, "epochs is True"),
        ({"epochs": "none"}, "epochs is 'none'; expected a whole number"),
        ({"epochs": None}, "epochs is None"),
        ({"freeze_backbone": "1"}, "freeze_backbone is '1'; expected true or false"),
        ({"imgsz": "wide"}, "imgsz is 'wide'; expected two whole numbers, such as 480,640 or none"),
        ({"augmentation.mosaic_scale": [1, 2, 3]}, "expected two numbers, such as 0.5,1.5"),
        ({"precision": "fp64"}, "precision is fp64"),
    ],
)
def test_what_is_no_setting_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(recipe("yolox_s", DATA), values)


def test_another_size_takes_the_other_sizes_along() -> None:
    assert recipe("yolox_s", DATA, imgsz=320).multiscale == (256, 384)
    assert recipe("yolox_nano", DATA, imgsz="160").multiscale == (128, 256)
    assert recipe("yolox_s", DATA, imgsz=(320, 640)).multiscale == (256, 384)
    assert recipe("yolox_s", DATA, imgsz=64, multiscale="none").multiscale is None
    assert override(recipe("yolox_s", DATA, imgsz=64, multiscale=None), {"imgsz": 96}).multiscale is None
    assert override(recipe("yolox_s", DATA, imgsz=320), {"imgsz": "none"}).multiscale == (512, 768)


def test_a_file_changes_the_recipe_and_a_text_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'epochs = 50\nlearning_rate = 1\nimgsz = [480, 640]\nprecision = "none"\nfreeze_backbone = true\n'
        "[augmentation]\nmosaic = 0.25\nmosaic_scale = [0.5, 1.5]\n"
    )
    values = load_toml(file)
    assert values["augmentation.mosaic"] == 0.25
    config = override(recipe("yolox_s", DATA), {**values, "epochs": "7", "weights": "w.pth"})
    assert (config.epochs, config.learning_rate, config.size, config.freeze_backbone) == (
        7,
        1,
        (480, 640),
        True,
    )
    assert config.augmentation == Augmentation(mosaic=0.25, mosaic_scale=(0.5, 1.5))


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", None])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "run.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"run\.toml cannot be read"):
        load_toml(file)


def test_settings_survive_a_checkpoint() -> None:
    config = recipe("yolox_nano", DATA, imgsz=160, weights="w.pth", patience=3, **{"augmentation.mixup": 0.5})
    plain = to_dict(config)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["data"] == "data"
    assert from_dict(plain) == config
    assert to_dict(from_dict(plain)) == plain
    with pytest.raises(UsageError, match="do not name data and model"):
        from_dict({"epochs": 3})
