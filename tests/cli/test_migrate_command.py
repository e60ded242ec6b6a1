"""`yolox-deploy migrate`: what it prints and writes, and that what it prints runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training.recipes import load_toml

EXP = """from yolox.exp import Exp as MyExp


class Exp(MyExp):
    def __init__(self):
        super(Exp, self).__init__()
        self.depth = 0.33
        self.width = 0.375
        self.input_size = (64, 64)
        self.test_size = (64, 64)
        self.multiscale_range = 0
        self.data_dir = "sets/my parts"
        self.train_ann = "parts.json"
        self.val_ann = "parts_val.json"
        self.num_classes = 6
        self.max_epoch = 2
        self.no_aug_epochs = 1
        self.warmup_epochs = 1
        self.data_num_workers = 1
        self.batch_size = 4
        self.nmsthre = 0.7
        self.min_lr_ratio = 0.01
"""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def exp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("parts.py")
    path.write_text(EXP)
    return path


def test_it_prints_the_settings_the_commands_and_what_is_left_over(call: Call, exp: Path) -> None:
    code, out, err = call("migrate", exp)
    assert (code, err) == (0, "")
    toml, commands = out.split("# save the above as settings.toml")
    Path("settings.toml").write_text(toml)
    values = load_toml(Path("settings.toml"))
    assert (values["model"], values["imgsz"]) == ("yolox_tiny", [64, 64])
    assert values["train_annotations"] == "sets/my parts/annotations/parts.json"
    assert "\nyolox-deploy train --config settings.toml\n" in commands
    assert (
        "yolox-deploy export yolox_tiny --weights runs/parts/best.pth --imgsz 64x64 --out parts.onnx"
        in commands
    )
    annotations = "--annotations 'sets/my parts/annotations/parts_val.json' --iou 0.7"
    assert f"yolox-deploy eval parts.onnx --images 'sets/my parts/val2017' {annotations}" in commands
    assert "\n# - line 22: min_lr_ratio = 0.01: the cosine ends at 0.05 of the rate\n" in commands


def test_out_writes_the_settings_whole(call: Call, exp: Path) -> None:
    code, out, _ = call("migrate", exp, "--out", "new/my settings.toml")
    assert (code, out.splitlines()[0]) == (0, "# the settings are in new/my settings.toml")
    assert "yolox-deploy train --config 'new/my settings.toml'" in out
    assert load_toml(Path("new/my settings.toml"))["epochs"] == 2
    assert [path.name for path in Path("new").iterdir()] == ["my settings.toml"]


def test_json(call: Call, exp: Path) -> None:
    code, out, _ = call("migrate", exp, "--json")
    found = json.loads(out)
    assert code == 0
    assert found.keys() == {"settings", "commands", "not_carried_over", "file"}
    assert found["settings"]["plain_epochs"] == 1
    assert found["commands"]["train"] == ["yolox-deploy train --config settings.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.py",), "none.py cannot be read (No such file or directory); expected an Exp file of YOLOX"),
        ((".",), ". is a folder; expected an Exp file"),
        (("parts.py", "--out", "parts.py"), "--out parts.py: expected the name of a TOML file"),
        (("parts.py", "--out", "."), "--out: . is a folder; expected the name of a file"),
    ],
)
def test_what_cannot_be_read_or_written_is_refused(
    call: Call, exp: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = call("migrate", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert exp.read_text() == EXP


SMALL = """from yolox.exp import Exp as MyExp


class Exp(MyExp):
    def __init__(self):
        super().__init__()
        self.num_classes = 5
        self.depth = 0.67
        self.width = 0.5
        self.act = "{act}"
        self.input_size = self.test_size = (96, 96)
        self.multiscale_range = 0
        self.data_dir = "sets/parts"
        self.train_ann = "instances_train2017.json"
        self.val_ann = "instances_val2017.json"
        self.max_epoch = 2
        self.no_aug_epochs = 1
        self.warmup_epochs = 1
        self.data_num_workers = 0

    def get_model(self):
        from yolox.models import YOLOX, YOLOPAFPN, YOLOXHead

        if "model" not in self.__dict__:
            channels = [256, 512, 1024]
            backbone = YOLOPAFPN(self.depth, self.width, in_channels=channels, act=self.act, depthwise=True)
            head = YOLOXHead(self.num_classes, self.width, in_channels=channels, act=self.act, depthwise=True)
            self.model = YOLOX(backbone, head)
        self.model.head.initialize_biases(1e-2)
        return self.model
"""


@pytest.mark.parametrize("act", ["silu", "relu"])
def test_a_custom_model_reaches_three_backends(call: Call, exp: Path, act: str) -> None:
    """Two epochs of relu answer numbers like 1e20, which float32 cannot hold to one in a thousand."""
    folder = write_scenes(Path("sets") / "parts", train=16, val=4, size=(96, 96))
    for split in ("train", "val"):
        (folder / split).rename(folder / f"{split}2017")
        file = folder / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text())
        left_out = content["categories"].pop()["id"]
        content["annotations"] = [box for box in content["annotations"] if box["category_id"] != left_out]
        file.unlink()
        file.with_stem(f"{file.stem}2017").write_text(json.dumps(content))
    exp.write_text(SMALL.format(act=act))
    _, out, _ = call("migrate", exp, "--out", "settings.toml", "--json")
    printed = json.loads(out)
    assert printed["not_carried_over"] == []
    commands = {what: shlex.split(lines[0])[1:] for what, lines in printed["commands"].items()}
    assert list(commands)[:3] == ["train", "export what was trained", "measure the file"]
    code, _, err = call(*commands["train"])
    assert code == 0, err
    for to, suffix in (("onnx", ".onnx"), ("openvino", ".xml"), ("ncnn", ".ncnn.param")):
        renamed = [word.replace(".onnx", suffix) for word in commands["export what was trained"]]
        code, out, err = call(*renamed, "--to", to)
        assert (code, err) == (0, ""), err
        assert f"yolox_d0.67_w0.5_dw{'_relu' * (act == 'relu')}, {to} fp32, 96x96" in out
        code, out, err = call(*(word.replace(".onnx", suffix) for word in commands["measure the file"]))
        assert (code, err) == (0, ""), err


def test_what_it_prints_runs(call: Call, exp: Path, run: Any) -> None:
    """The training, the export and the measurement, one after the other."""
    scenes = write_scenes(Path("sets") / "my parts", train=8, val=4, size=(64, 96))
    for split, name in (("train", "parts"), ("val", "parts_val")):
        (scenes / split).rename(scenes / f"{split}2017")
        (scenes / "annotations" / f"instances_{split}.json").rename(scenes / "annotations" / f"{name}.json")
    _, out, _ = call("migrate", exp, "--out", "settings.toml", "--json")
    for what, lines in json.loads(out)["commands"].items():
        for line in lines if "authors" not in what else ():
            done = run(*shlex.split(line)[1:])
            assert done.returncode == 0, done.stderr
    assert Path("parts.onnx").is_file()
