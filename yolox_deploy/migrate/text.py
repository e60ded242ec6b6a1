"""A migration as text: the TOML, and the commands to go on with."""

from __future__ import annotations

import json
import os.path
import shlex
from collections.abc import Mapping
from typing import Any

from yolox_deploy.migrate.exp_file import DEFAULTS
from yolox_deploy.migrate.translate import COMMENTS, Migration
from yolox_deploy.thresholds import Thresholds


def to_toml(migration: Migration) -> str:
    """The settings as a file for `train --config`."""
    exp = migration.exp
    lines = [f"# {exp.path.name} of YOLOX; `train` adds the recipe of {migration.network.model} to it"]
    if migration.network.architecture:
        lines.append("# no model of the zoo is like it: [architecture] makes it another")
    lines.append(f"# num_classes {exp.values['num_classes']!r}: classes are counted in the data set")
    own = {name: value for name, value in migration.settings.items() if "." not in name}
    lines += _lines(own)
    for group in dict.fromkeys(name.partition(".")[0] for name in migration.settings if "." in name):
        prefix = f"{group}."
        table = {name: value for name, value in migration.settings.items() if name.startswith(prefix)}
        lines += ["", f"[{group}]", *_lines(table)]
    return "\n".join(lines) + "\n"


def _lines(settings: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in settings.items():
        comment = f"  # {COMMENTS[name]}" if name in COMMENTS and value != "none" else ""
        lines.append(f"{name.rpartition('.')[2]} = {_value(value)}{comment}")
    return lines


def _value(value: Any) -> str:
    """A number, truth, text or list in TOML, whose texts are written as in JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def commands(migration: Migration, toml: str) -> dict[str, list[str]]:
    """What to run, by what it is for, as lines of a shell; `toml` is the file of the settings."""
    exp, data = migration.exp, migration.data_set
    best, file = f"{migration.settings['out']}/best.pth", f"{exp.name}.onnx"
    size = "{}x{}".format(*migration.export_size)
    model = [] if migration.network.architecture else [migration.network.model]
    found = {"train": [_command("train", "--config", toml)]}
    found["export what was trained"] = [
        _command("export", *model, "--weights", best, "--imgsz", size, "--out", file)
    ]
    if data.pictures and data.annotations:
        pictures = ["--images", data.pictures, "--annotations", data.annotations]
        found["measure the file"] = [_command("eval", file, *pictures, *_thresholds(migration))]
    theirs = os.path.join(os.path.normpath(str(exp.values["output_dir"])), exp.name, "best_ckpt.pth")
    names = [] if exp.values["num_classes"] == DEFAULTS["num_classes"] else ["--names", "names.txt"]
    options = ["--weights", theirs, *names, "--imgsz", size, "--out", f"{exp.name}_before.onnx"]
    what = "or export the checkpoint of the authors' code" + (
        "; names.txt has one class a line" if names else ""
    )
    found[what] = [
        _command("export", *model, *_architecture(migration), *options, *["--legacy"] * migration.legacy)
    ]
    return found


def _command(*words: str) -> str:
    return shlex.join(["yolox-deploy", *words])


def _architecture(migration: Migration) -> list[str]:
    """The options of `export` for a network that the zoo does not have."""
    factors = migration.network.architecture
    if not factors:
        return []
    depthwise = ["--depthwise"] if factors["depthwise"] else []
    numbers = ["--depth", f"{factors['depth']:g}", "--width", f"{factors['width']:g}"]
    return [*numbers, *depthwise, "--activation", factors["activation"]]


def _thresholds(migration: Migration) -> list[str]:
    """`test_conf` and `nmsthre`, where `eval` has others."""
    usual, values = Thresholds.evaluation(), migration.exp.values
    pairs = (("--conf", values["test_conf"], usual.conf), ("--iou", values["nmsthre"], usual.iou))
    return [
        word
        for option, value, default in pairs
        if isinstance(value, int | float) and value != default
        for word in (option, f"{value:g}")
    ]
