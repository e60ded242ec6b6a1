"""Exp files in the styles that people write, as settings: what each run would do there is what it does here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.errors import InputError
from yolox_deploy.migrate.text import commands, to_toml
from yolox_deploy.migrate.translate import Migration, migrate
from yolox_deploy.training.config import DATA_OPTIONS, TrainConfig
from yolox_deploy.training.recipes import load_toml, recipe

Write = Callable[..., Path]

HEAD = """import os

from yolox.exp import Exp as MyExp


class Exp(MyExp):
    def __init__(self):
        super().__init__()
"""
DEFAULT_MODEL = """
    def get_model(self):
        from yolox.models import YOLOX, YOLOPAFPN, YOLOXHead

        def init_yolo(M):
            for m in M.modules():
                m.eps = 1e-3

        if "model" not in self.__dict__:
            channels = [256, 512, 1024]
            backbone = YOLOPAFPN(self.depth, self.width, in_channels=channels, act=self.act, depthwise={0})
            head = YOLOXHead(self.num_classes, self.width, in_channels=channels, act=self.act, depthwise={0})
            self.model = YOLOX(backbone, head)
        self.model.apply(init_yolo)
        return self.model
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an Exp file: a whole one, or the lines of `__init__` after `super().__init__()`."""

    def written(text: str, name: str = "mine.py") -> Path:
        if "class " not in text:
            first, *rest = text.strip().splitlines()
            text = HEAD + "".join(f"        {line}\n" for line in (first, *rest))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


def loaded(migration: Migration, folder: Path) -> TrainConfig:
    """The settings that the written TOML gives to `train --config`."""
    file = folder / "settings.toml"
    file.write_text(to_toml(migration))
    values = {name: value for name, value in load_toml(file).items() if not name.startswith("architecture.")}
    return recipe(str(values.pop("model")), **values)


def lines_told(migration: Migration) -> list[str]:
    return [item.told(migration.exp.path) for item in migration.leftovers]


def both(migration: Migration, folder: Path) -> tuple[TrainConfig, list[str]]:
    return loaded(migration, folder), lines_told(migration)


@pytest.mark.parametrize(
    ("size", "factors", "small"),
    [
        ("nano", "0.33, 0.25", "self.mosaic_prob = 0.5"),
        ("tiny", "0.33, 0.375", ""),
        ("s", "0.33, 0.50", None),
        ("m", "0.67, 0.75", None),
        ("l", "1, 1", None),
        ("x", "1.33, 1.25", None),
    ],
)
def test_the_sizes_of_the_zoo_are_their_recipes(
    write: Write, tmp_path: Path, size: str, factors: str, small: str | None
) -> None:
    text = f"{HEAD}        self.depth, self.width = {factors}\n"
    if small is not None:
        text += "        self.input_size = self.test_size = (416, 416)\n        self.random_size = (10, 20)\n"
        text += (
            f"        self.mosaic_scale = (0.5, 1.5)\n        self.enable_mixup = False\n        {small}\n"
        )
    migration = migrate(write(text + DEFAULT_MODEL.replace("{0}", str(size == "nano"))))
    assert migration.network.model == f"yolox_{size}"
    assert migration.settings.keys() == {
        "model",
        "data",
        "out",
        "recipe",
        "epochs",
        "last_phase",
        "eval_every",
    }
    assert lines_told(migration) == []
    usual = recipe(
        f"yolox_{size}", Path("datasets/COCO"), out=Path("runs/mine"), last_phase="release", eval_every=10
    )
    assert loaded(migration, tmp_path) == usual


def test_every_setting_is_carried_over(write: Write, tmp_path: Path) -> None:
    migration = migrate(
        write(
            """
            self.depth = 0.33
            self.width = 0.50
            self.num_classes = 3
            self.input_size = (480, 640)
            self.test_size = (480, 640)
            self.multiscale_range = 2
            self.data_num_workers = 8
            self.max_epoch = 50
            self.warmup_epochs = 2
            self.no_aug_epochs = 7
            self.basic_lr_per_img = 0.02 / 64.0
            self.momentum = 0.937
            self.weight_decay = 1e-3
            self.ema = False
            self.eval_interval = 1
            self.seed = 42
            self.batch_size = 16
            self.mosaic_prob = 0.25
            self.mosaic_scale = (0.5, 2)
            self.mixup_prob = 0.75
            self.mixup_scale = [0.8, 1.6]
            self.hsv_prob = 0.5
            self.flip_prob = 0
            self.degrees = 5
            self.translate = 0.2
            self.shear = 0.0
            self.print_interval = 20
            self.save_history_ckpt = False
            """.replace("            ", "")
        )
    )
    config, told = both(migration, tmp_path)
    assert told == []
    assert (config.model, config.epochs, config.imgsz, config.multiscale) == (
        "yolox_s",
        50,
        (480, 640),
        (416, 544),
    )
    assert (config.flat, config.warmup, config.eval_every, config.ema_decay) == (7, 2, 1, 0)
    assert (config.learning_rate, config.momentum, config.weight_decay) == (0.02, 0.937, 1e-3)
    assert (config.workers, config.seed, config.batch) == (8, 42, 16)
    augmentation = config.augmentation
    assert (augmentation.mosaic, augmentation.mosaic_scale) == (0.25, (0.5, 2.0))
    assert (augmentation.mixup, augmentation.mixup_scale) == (0.75, (0.8, 1.6))
    assert (augmentation.hsv, augmentation.flip) == (0.25, 0)
    assert (augmentation.degrees, augmentation.translate, augmentation.shear) == (5, 0.2, 0)


def test_what_differs_from_the_recipe_by_default_is_written(write: Write, tmp_path: Path) -> None:
    """An Exp that only sets depth and width has the authors' defaults, which are not those of a Tiny or Nano here."""
    config, told = both(migrate(write("self.depth = 0.33\nself.width = 0.375")), tmp_path)
    assert told == []
    assert (config.model, config.imgsz, config.multiscale) == ("yolox_tiny", (640, 640), (480, 800))
    assert (config.augmentation.mosaic_scale, config.augmentation.mixup) == ((0.1, 2.0), 1.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("self.multiscale_range = 0", None),
        ("self.random_size = (20, 20)", None),
        ("self.random_size = None", None),
        ("self.random_size = (14, 26)", (448, 832)),
        ("self.input_size = (416, 416)\nself.test_size = self.input_size", (256, 576)),
        (
            "self.input_size = (800, 1440)\nself.test_size = (800, 1440)\nself.random_size = (18, 32)",
            (576, 1024),
        ),
    ],
)
def test_sizes_of_training(write: Write, tmp_path: Path, lines: str, expected: Any) -> None:
    config, told = both(migrate(write(lines)), tmp_path)
    assert config.multiscale == expected
    assert told == []


@pytest.mark.parametrize(
    ("lines", "plain", "warmup", "line"),
    [
        ("self.max_epoch = 20", 15, 5, None),
        ("self.max_epoch = 18", 15, 3, "warm-up ends before the plain epochs here: 3 are taken"),
        ("self.max_epoch = 3", 3, 0, "line 9: no_aug_epochs 15 of 3 epochs"),
        ("self.no_aug_epochs = 300", 300, 0, "line 9: no_aug_epochs 300 of 300 epochs"),
        ("self.warmup_epochs = -1", 15, 0, None),
    ],
)
def test_the_schedule_fits_into_the_run(
    write: Write, tmp_path: Path, lines: str, plain: int, warmup: float, line: str | None
) -> None:
    config, told = both(migrate(write(lines)), tmp_path)
    assert (config.flat, config.warmup) == (plain, warmup)
    assert any(line in item for item in told) if line else told == []


def test_a_network_of_another_size_is_an_architecture(write: Write, tmp_path: Path) -> None:
    text = f"{HEAD}        self.depth, self.width, self.act, self.num_classes = 0.67, 0.5, 'relu', 5\n"
    migration = migrate(write(text + DEFAULT_MODEL.replace("{0}", "True")))
    toml = to_toml(migration)
    (tmp_path / "found.toml").write_text(toml)
    values = load_toml(tmp_path / "found.toml")
    architecture = {
        name.partition(".")[2]: value for name, value in values.items() if "architecture." in name
    }
    assert architecture == {"depth": 0.67, "width": 0.5, "depthwise": True, "activation": "relu"}
    assert values["model"] == "yolox_m"
    assert lines_told(migration) == []
    export, theirs = (lines[0] for what, lines in commands(migration, "a.toml").items() if "export" in what)
    assert export.startswith("yolox-deploy export --weights runs/mine/best.pth --imgsz 640x640")
    factors = "--depth 0.67 --width 0.5 --depthwise --activation relu"
    assert theirs.startswith(f"yolox-deploy export {factors} --weights YOLOX_outputs/mine/best_ckpt.pth")


def test_a_call_without_act_builds_silu_whatever_the_setting_says(write: Write) -> None:
    text = (
        f"{HEAD}        self.depth = 0.33\n        self.width = 0.5\n        self.act = 'relu'\n"
        + DEFAULT_MODEL
    )
    migration = migrate(write(text.replace("act=self.act, depthwise={0}", "depthwise=False")))
    assert (migration.network.model, migration.network.architecture) == ("yolox_s", {})


def test_darknet53_is_known(write: Write) -> None:
    model = """
    def get_model(self, sublinear=False):
        if getattr(self, "model", None) is None:
            from yolox.models import YOLOFPN, YOLOX, YOLOXHead
            head = YOLOXHead(self.num_classes, self.width, in_channels=[128, 256, 512], act="lrelu")
            self.model = YOLOX(YOLOFPN(), head)
        return self.model
"""
    migration = migrate(write(HEAD + "        self.depth = 1.0\n" + model))
    assert (migration.network.model, lines_told(migration)) == ("yolox_darknet53", [])


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("YOLOXHead(self", "MyDecoupledHead(self", "line 21: get_model builds MyDecoupledHead"),
        (
            "depthwise={0})\n            self.model",
            "depthwise=True)\n            self.model",
            "the head has depthwise True",
        ),
        (
            "act=self.act, depth",
            "strides=[4, 8, 16], depth",
            "strides [4, 8, 16] of YOLOXHead: it is [8, 16, 32]",
        ),
        (
            "depthwise={0})\n            head",
            "num=1)\n            head",
            "num 1 of YOLOPAFPN: networks have no such",
        ),
        ("[256, 512, 1024]", "[128, 256, 512]", "line 20: in_channels [128, 256, 512] of YOLOPAFPN"),
        ("act=self.act", "act='mish'", "activation is 'mish'; here silu, relu, lrelu"),
        (
            "self.depth, self",
            "self.depth * find(), self",
            "line 20: depth of YOLOPAFPN: `find()` is not read",
        ),
    ],
)
def test_other_networks_are_told(write: Write, old: str, new: str, line: str) -> None:
    text = f"{HEAD}        self.depth = 0.33\n{DEFAULT_MODEL}"
    assert old in text
    told = lines_told(migrate(write(text.replace(old, new).replace("{0}", "False"))))
    assert any(line in item for item in told), told


VOC = f"""{HEAD}        self.num_classes = 20
        self.depth = 0.33
        self.width = 0.50
        self.warmup_epochs = 1

    def get_dataset(self, cache: bool, cache_type: str = "ram"):
        from yolox.data import TrainTransform, VOCDetection

        return VOCDetection(
            data_dir=os.path.join(get_yolox_datadir(), "VOCdevkit"),
            image_sets=[("2007", "trainval"), ("2012", "trainval")],
            img_size=self.input_size,
            preproc=TrainTransform(max_labels=50, flip_prob=self.flip_prob, hsv_prob=self.hsv_prob),
        )

    def get_eval_dataset(self, **kwargs):
        from yolox.data import ValTransform, VOCDetection
        legacy = kwargs.get("legacy", False)

        return VOCDetection(
            data_dir=os.path.join(get_yolox_datadir(), "VOCdevkit"),
            image_sets=[("2007", "test")],
            preproc=ValTransform(legacy=legacy),
        )

    def get_evaluator(self, batch_size, is_distributed, testdev=False, legacy=False):
        from yolox.evaluators import VOCEvaluator

        return VOCEvaluator(dataloader=self.get_eval_loader(batch_size, is_distributed), img_size=self.test_size)
"""


def test_voc(write: Write, tmp_path: Path) -> None:
    migration = migrate(write(VOC))
    config, told = both(migration, tmp_path)
    assert (config.model, config.data, config.warmup) == ("yolox_s", Path("datasets/VOCdevkit"), 1)
    assert config.augmentation.max_objects == 120
    assert [line.partition(":")[2] for line in told] == [
        " VOC's AP of the evaluation: AP is COCO's here, in training too; eval wants COCO's JSON of the pictures"
    ]
    assert not any("measure" in what for what in commands(migration, "a.toml"))
    own = lines_told(migrate(write(VOC.replace('"2012", "trainval"', '"2019", "train"'))))
    assert any("line 17: image_sets [('2007', 'trainval'), ('2019', 'train')]" in item for item in own)


EARLY = f"""import os.path as osp

{HEAD}        self.num_classes = 1
        self.depth = 0.33
        self.width = 0.25
        self.scale = (0.5, 1.5)
        self.random_size = (10, 20)
        self.eps = 1e-8
        self.enable_mixup = False

    def get_data_loader(self, batch_size, is_distributed, no_aug=False):
        from yolox.data import InfiniteSampler, MosaicDetection, MOTDataset, TrainTransform

        dataset = MOTDataset(
            data_dir=osp.join(get_yolox_datadir(), "mix_det"),
            json_file=self.train_ann,
            name="",
            img_size=self.input_size,
            preproc=TrainTransform(rgb_means=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), max_labels=500),
        )
        dataset = MosaicDetection(
            dataset,
            mosaic=not no_aug,
            img_size=self.input_size,
            preproc=TrainTransform(rgb_means=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), max_labels=1000),
            degrees=self.degrees,
            translate=self.translate,
            scale=self.scale,
            shear=self.shear,
            perspective=self.perspective,
        )
        self.dataset = dataset
        if is_distributed:
            batch_size = batch_size // dist.get_world_size()
        return InfiniteSampler(len(self.dataset))

    def get_optimizer(self, batch_size):
        if "optimizer" not in self.__dict__:
            self.optimizer = torch.optim.Adam(groups, lr=self.warmup_lr, eps=self.eps)
        return self.optimizer
"""


def test_an_early_version_with_a_data_loader_of_its_own(write: Write, tmp_path: Path) -> None:
    migration = migrate(write(EARLY))
    config, told = both(migration, tmp_path)
    augmentation = config.augmentation
    assert (augmentation.mosaic_scale, augmentation.max_objects) == ((0.5, 1.5), 1000)
    assert augmentation.mixup == 1.0  # MosaicDetection is not told that there is none
    assert commands(migration, "a.toml").popitem()[1][0].endswith(" --legacy")
    assert [item for item in told if "--legacy" in item] == [
        "line 27: TrainTransform with RGB means: checkpoints of this Exp are from before YOLOX 0.1.1: export, "
        "predict and eval them with --legacy; what `train` makes here takes BGR, 0-255"
    ]
    assert any("line 45: get_optimizer of its own (Adam)" in item for item in told)
    assert any("line 22: MOTDataset is a data set of its own" in item for item in told)
    assert any("attributes of its own (eps)" in item for item in told)


def test_values_that_are_computed(write: Write, tmp_path: Path) -> None:
    text = f"""from pathlib import Path
from os import path as osp

NAMES = ("bolt", "nut")
SIDE: int = 13 * 32
ROOT = Path(__file__).resolve().parents[0] / "data"
RATES = {{"low": 0.001, "high": 0.01}}


{HEAD}        base = str(ROOT)
        self.data_dir = f"{{base}}/parts"
        self.train_ann = "train" + ".json"
        self.val_ann = "%s_{{}}.json".format(2) % "val"
        self.num_classes = len(NAMES)
        self.input_size = (SIDE, SIDE)
        self.test_size = tuple([SIDE] * 2) if False else self.input_size
        self.max_epoch = 10 * 3
        self.max_epoch += 10
        self.no_aug_epochs = max(2, self.max_epoch // 10)
        self.basic_lr_per_img = RATES["low"] / 64.0
        self.flip_prob = -(-0.25)
        self.exp_name = osp.split(osp.realpath(__file__))[1].split(".")[0] + "_run"
        if len(NAMES) == 2 and not self.seed:
            self.degrees = 0.0
        else:
            self.degrees = 90.0
        self.more()

    def more(self, shear=1.5):
        setattr(self, "shear", shear)
"""
    migration = migrate(write(text))
    config, told = both(migration, tmp_path)
    assert migration.exp.values["data_dir"] == f"{tmp_path.resolve()}/data/parts"
    assert (migration.exp.values["num_classes"], migration.exp.name) == (2, "mine_run")
    assert (config.imgsz, config.epochs, config.plain_epochs) == ((416, 416), 40, 4)
    assert (config.learning_rate, config.augmentation.flip) == (0.001, 0.25)
    assert (config.augmentation.degrees, config.augmentation.shear) == (0, 1.5)
    assert (migration.exp.values["train_ann"], migration.exp.values["val_ann"]) == (
        "train.json",
        "val_2.json",
    )
    assert told == []


def test_what_cannot_be_told_is_told_with_its_line(write: Write, tmp_path: Path) -> None:
    migration = migrate(
        write(
            "self.max_epoch = int(os.environ.get('EPOCHS', '60'))\n"
            "self.data_dir = os.environ['DATA']\n"
            "self.mosaic_prob = load()['mosaic']\n"
            "if sys.gettrace():\n    self.degrees = 3.0\n"
            "for name in ('shear', 'flip_prob'):\n    setattr(self, name, 0.5)\n"
            "self.prepare()\n"
            "with open('names') as f:\n    self.num_classes = len(f.readlines())\n"
            "self.momentum = 1.5\n"
            "self.min_lr_ratio = 0.3\n"
            "self.scheduler = 'cos'\n"
            "self.perspective = 0.1\n"
        )
    )
    config, told = both(migration, tmp_path)
    assert (config.epochs, config.augmentation.mosaic, config.augmentation.degrees) == (60, 1.0, 10.0)
    expected = [
        "line 9: max_epoch: the environment variable EPOCHS may say otherwise: 60 is taken",
        "line 10: data_dir: `os.environ` is not read: None is taken",
        "line 11: mosaic_prob: `load()` is not read: 1.0 is taken",
        "line 13: degrees: it depends on `sys.gettrace()`: 10.0 is taken",
        "line 15: `setattr(self, name, 0.5)`: look whether that changes a setting",
        "line 16: `self.prepare()`: look whether that changes a setting",
        "line 19: momentum = 1.5: it does not work here (momentum is 1.5; expected a number between 0 and 1); "
        "momentum 0.9 is taken",
        "line 20: min_lr_ratio = 0.3: the cosine ends at 0.05 of the rate",
        "line 21: scheduler = 'cos': it is always yoloxwarmcos: warm-up, cosine, flat end",
        "line 22: perspective = 0.1: pictures are not changed in perspective",
    ]
    assert told == expected


def test_sizes_that_differ_or_do_not_divide(write: Write, tmp_path: Path) -> None:
    migration = migrate(write("self.input_size = (600, 600)\nself.test_size = (800, 1440)"))
    config, told = both(migration, tmp_path)
    assert (config.imgsz, migration.export_size) == ((608, 608), (800, 1440))
    assert told[0] == "line 9: input_size (600, 600): sides are multiples of 32: (608, 608) is taken"
    assert told[1].startswith("line 10: test_size (800, 1440) with input_size (608, 608)")
    assert "--imgsz 800x1440" in commands(migration, "a.toml")["export what was trained"][0]


def test_a_value_of_another_kind_leaves_the_others(write: Write, tmp_path: Path) -> None:
    """A fork's own meaning of `multiscale_range`."""
    config, told = both(
        migrate(write("self.input_size = self.test_size = (768, 768)\nself.multiscale_range = (-4, 4)")),
        tmp_path,
    )
    assert (config.imgsz, config.multiscale) == ((768, 768), (608, 928))
    assert told == [
        "line 10: input_size = (768, 768), multiscale_range = (-4, 4): it does not work here; "
        "multiscale (608, 928) is taken"
    ]


def test_the_arguments_of_a_method_are_its_defaults(write: Write) -> None:
    """`name="val" if not testdev else "test"` with `testdev` from keywords that nobody gives."""
    text = f"""{HEAD}        self.data_dir = "set"

    def get_dataset(self, cache=False):
        return COCODataset(data_dir=self.data_dir, json_file=self.train_ann, name="train")

    def get_eval_dataset(self, **kwargs):
        testdev = kwargs.get("testdev", False)
        return COCODataset(data_dir=self.data_dir, json_file=self.val_ann, name="test" if testdev else "val")
"""
    migration = migrate(write(text))
    assert (migration.data_set.pictures, lines_told(migration)) == ("set/val", [])


def test_a_class_of_the_same_file_is_followed(write: Write, tmp_path: Path) -> None:
    text = """from yolox.exp import Exp as Exp


class Base(Exp):
    random_size = (10, 20)
    max_epoch = 77

    def __init__(self, epochs=30, **kwargs):
        super(Base, self).__init__()
        self.max_epoch = epochs
        self.width = 0.5


class Exp(Base):
    def __init__(self, debug=False):
        super().__init__(epochs=40)
        self.depth = 0.33
        if debug:
            self.max_epoch = 1
"""
    config, told = both(migrate(write(text)), tmp_path)
    assert (config.model, config.epochs, config.multiscale) == ("yolox_s", 40, (320, 640))
    assert told == []


def test_a_value_in_the_class_that_the_base_overwrites_is_told(write: Write, tmp_path: Path) -> None:
    text = "from yolox.exp import Exp as MyExp\n\n\nclass Exp(MyExp):\n    max_epoch = 12\n"
    config, told = both(migrate(write(text)), tmp_path)
    assert config.epochs == 300
    assert told == [
        "line 5: max_epoch: the base class overwrites what stands in the class; set it in __init__: 300 is taken"
    ]


def test_a_class_of_another_file_is_followed_where_it_is_found(write: Write, tmp_path: Path) -> None:
    write(
        "self.depth = 0.33\nself.width = 0.5\nself.max_epoch = 44\nself.mosaic_prob = find()",
        "exps/mot/base.py",
    )
    text = "from exps.mot.base import Exp as MyExp\n\n\nclass Exp(MyExp):\n    def __init__(self):\n"
    text += "        super().__init__()\n        self.seed = 3\n"
    config, told = both(migrate(write(text, "exps/mot/child.py")), tmp_path)
    assert (config.model, config.epochs, config.seed) == ("yolox_s", 44, 3)
    base = tmp_path.resolve() / "exps" / "mot" / "base.py"
    assert told == [f"{base} line 12: mosaic_prob: `find()` is not read: 1.0 is taken"]
    (near,) = [write(text.replace("exps.mot.base", ".base"), "exps/mot/near.py")]
    assert loaded(migrate(near), tmp_path).epochs == 44
    far = write(text.replace("exps.mot.base", "elsewhere.base"), "far.py")
    assert "elsewhere.base.Exp, which it inherits from, was not found" in lines_told(migrate(far))[0]


def test_the_authors_own_base_is_read_where_it_is_found(write: Write, tmp_path: Path) -> None:
    write("from .yolox_base import Exp\n# class ", "yolox/exp/__init__.py")
    base = "class Exp:\n    def __init__(self):\n        self.max_epoch = 123\n        self.hsv_prob = 1.0\n"
    write(base + "\n    def get_optimizer(self):\n        return SGD()\n", "yolox/exp/yolox_base.py")
    config, told = both(migrate(write("self.width = 0.5\nself.depth = 0.33", "exps/a.py")), tmp_path)
    assert (config.epochs, told) == (123, [])


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("self.data_dir = 'sets/a'", {"data": "sets/a"}),
        (
            "self.data_dir = 'sets/a'\nself.train_ann = 'instances_train.json'\nself.val_ann = 'val.json'",
            {"data": "sets/a"},
        ),
        (
            "self.data_dir = 'my sets'\nself.train_ann = 'a.json'\nself.val_ann = '/b/v.json'",
            {
                "train_annotations": "my sets/annotations/a.json",
                "val_annotations": "/b/v.json",
                "images": "my sets/train2017",
                "val_images": "my sets/val2017",
            },
        ),
    ],
)
def test_the_data_set_is_found_or_named(write: Write, lines: str, named: dict[str, str]) -> None:
    migration = migrate(write(lines))
    assert {name: migration.settings[name] for name in DATA_OPTIONS if name in migration.settings} == named
    config = recipe(**migration.settings)
    assert {name: str(value) for name, value in config.data_options.items() if name in named} == named


def test_annotations_that_others_would_hide_are_named(write: Write, tmp_path: Path) -> None:
    annotations = tmp_path / "set" / "annotations"
    annotations.mkdir(parents=True)
    names = f"self.data_dir = {str(tmp_path / 'set')!r}\nself.train_ann = 'instances_train.json'\n"
    names += "self.val_ann = 'val.json'"
    assert migrate(write(names)).data_set.settings == {"data": str(tmp_path / "set")}
    (annotations / "instances_train2017.json").touch()
    assert "train_annotations" in migrate(write(names)).data_set.settings


def test_pictures_are_measured_on_where_they_are(write: Write, tmp_path: Path) -> None:
    """Theirs are in val2017 by default, whatever the folder of the data set has."""
    lines = f"self.data_dir = {str(tmp_path / 'set')!r}"
    (tmp_path / "set/annotations").mkdir(parents=True)
    assert migrate(write(lines)).data_set.pictures == str(tmp_path / "set/val2017")
    (tmp_path / "set/val").mkdir()
    assert migrate(write(lines)).data_set.pictures == str(tmp_path / "set/val")


def test_a_fork_is_read_by_the_names_that_it_shares(write: Write, tmp_path: Path) -> None:
    text = HEAD.replace("yolox.exp", "somewhere.other").replace("class Exp", "class DetectorConfig")
    config, told = both(
        migrate(write(f"{text}        self.depth = 0.33\n        self.width = 0.5\n")), tmp_path
    )
    assert config.model == "yolox_s"
    assert told[0].startswith("somewhere.other.Exp, which it inherits from, was not found")


def test_nothing_of_the_file_runs(write: Write, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = f"open({str(mark)!r}, 'w').close()\n{HEAD}        self.depth = open({str(mark)!r}, 'w').close() or 0.33\n"
    text += f"        os.system('touch {mark}')\n        self.width = (lambda: 0.5)()\n"
    text += "        self.seed = 9 ** 9 ** 9\n        self.data_dir = 'a' * 10 ** 9\n        self.again()\n"
    text += "\n    def again(self):\n        self.again()\n        self.twice()\n"
    text += "\n    def twice(self):\n        self.again()\n"
    told = lines_told(migrate(write(text)))
    assert not mark.exists()
    assert [line.partition(":")[0] for line in told if " is not read" in line or "computed" in line]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"class Exp(\n", "mine.py, line 1 is not Python 3"),
        (b"print 'python 2'\n", "mine.py, line 1 is not Python 3"),
        (b"\x80\x02}q\x00\xff", "mine.py is not Python|mine.py, line 1 is not Python"),
        (b"\x00\x01", "is not Python"),
        (b"", "holds no Exp"),
        (
            b"class Net:\n    def __init__(self):\n        self.width = 3\n",
            "holds no Exp: no class sets names",
        ),
        (b"(" * 5000 + b")" * 5000, "is not Python"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        migrate(path)


@pytest.mark.parametrize(
    "value",
    [
        "0x" + "f" * 9999,
        "9**9**9",
        "'a' * 10**9",
        "[0] * 10**9",
        "f'{1:>1000000000}'",
        "[" * 90 + "]" * 90,
        "1e999",
    ],
)
def test_a_value_that_is_no_setting_is_left_over(tmp_path: Path, value: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from yolox.exp import Exp as Base\nclass Exp(Base):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.depth = 0.33\n        self.width = 0.5\n        self.mosaic_prob = {value}\n"
    )
    migration = migrate(path)
    assert len(to_toml(migration)) < 10_000
    assert any("mosaic_prob" in item.told(path) for item in migration.leftovers)


def test_a_file_of_no_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(InputError, match="larger than 1 MB"):
        migrate(path)


def test_no_file_a_folder_and_two_classes_are_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.py cannot be read \(No such file"):
        migrate(tmp_path / "none.py")
    with pytest.raises(InputError, match="is a folder; expected an Exp file"):
        migrate(tmp_path)
    one = HEAD + "        self.depth, self.width = 1, 1\n"
    two = one.replace("class Exp", "class A") + "\n" + one.replace("class Exp", "class B")
    with pytest.raises(InputError, match=r"several classes like an Exp \(A, B\); call the one to read Exp"):
        migrate(write(two))
