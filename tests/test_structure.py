"""The counter of the house's structure, on small trees: what it must find, and what it must not take for a fault."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COUNTER = Path(__file__).with_name("structure.py")
SOUND = {
    "yolox_deploy/__init__.py": "",
    "yolox_deploy/errors.py": "class Wrong(Exception):\n    pass\n",
    "yolox_deploy/types.py": "from yolox_deploy.errors import Wrong\n",
}
LAZY_FACE = """\
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from yolox_deploy.data.dataset import Dataset, LIMIT
__all__ = ["Dataset"]
def __getattr__(name: str) -> object: ...
"""


def run(root: Path, files: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    for name, text in {**SOUND, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    command = [sys.executable, str(COUNTER), str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def counted(root: Path, files: dict[str, str]) -> dict[str, Any]:
    done = run(root, files, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    faults = ("circles_of_modules", "circles_of_rooms", "mutual_rooms", "unplaced")
    assert done.returncode == any(found[fault] for fault in faults), done.stderr
    return found


def test_a_sound_tree_is_counted_and_passes(tmp_path: Path) -> None:
    made = {
        "yolox_deploy/data/__init__.py": '__all__ = ["SIZE"]\nfrom yolox_deploy.data.a import SIZE\n',
        "yolox_deploy/data/a.py": "SIZE, _rest = 1, 2\nside: int = 3\ndef area() -> int: ...\nclass _Own: ...\n",
        "yolox_deploy/data/_own.py": "def hidden() -> None: ...\n",
        "benchmarks/bench.py": "from yolox_deploy import data\n",
        "benchmarks/__init__.py": "",
    }
    (tmp_path / "yolox_deploy").mkdir()
    os.symlink("../benchmarks", tmp_path / "yolox_deploy" / "benchmarks")
    found = counted(tmp_path, made)
    assert found["rooms"] == {
        "benchmarks": {"modules": 2, "lines": 1, "definitions": 0, "constants": 0, "declared": 0},
        "data": {"modules": 3, "lines": 7, "definitions": 1, "constants": 2, "declared": 1},
        "yolox_deploy (root)": {"modules": 3, "lines": 3, "definitions": 1, "constants": 0, "declared": 0},
    }
    assert found["climbs"] == []


@pytest.mark.parametrize(
    "back",
    [
        "from yolox_deploy.types import Box\n",
        "from yolox_deploy import types\n",
        "import yolox_deploy.types as values\n",
        "def draw() -> None:\n    from yolox_deploy.types import Box\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from yolox_deploy.types import Box\n",
    ],
    ids=["name", "module", "plain", "in a function", "for types"],
)
def test_every_import_makes_a_circle_and_climbs(tmp_path: Path, back: str) -> None:
    made = {"yolox_deploy/types.py": "import yolox_deploy.drawing\n", "yolox_deploy/drawing.py": back}
    found = counted(tmp_path, made)
    assert (
        found["circles_of_modules"]
        == found["circles_of_rooms"]
        == found["mutual_rooms"]
        == [["drawing", "types"]]
    )
    assert found["climbs"] == [["drawing", "types"]]


def test_rooms_know_each_other_without_a_circle_of_modules(tmp_path: Path) -> None:
    made = {f"yolox_deploy/{room}/__init__.py": "" for room in ("evaluation", "streaming")}
    made |= {f"yolox_deploy/{room}/a.py": "" for room in ("evaluation", "streaming")}
    made["yolox_deploy/evaluation/b.py"] = "from yolox_deploy.streaming.a import x\n"
    made["yolox_deploy/streaming/b.py"] = "from yolox_deploy.evaluation.a import x\n"
    found = counted(tmp_path, made)
    assert found["circles_of_modules"] == []
    assert found["mutual_rooms"] == [["evaluation", "streaming"]]
    assert found["climbs"] == [["streaming.b", "evaluation.a"]]


def test_the_packages_of_one_room_are_looked_at_too(tmp_path: Path) -> None:
    made = {f"benchmarks/{name}/__init__.py": "" for name in (".", "report", "machine")}
    made |= {f"benchmarks/{name}/a.py": "" for name in ("report", "machine")}
    made["benchmarks/report/b.py"] = "from yolox_deploy.benchmarks.machine.a import x\n"
    made["benchmarks/machine/b.py"] = "from yolox_deploy.benchmarks.report.a import x\n"
    assert counted(tmp_path, made)["mutual_rooms"] == [["benchmarks.machine", "benchmarks.report"]]


def test_a_lazy_face_and_its_own_modules_make_no_circle(tmp_path: Path) -> None:
    made = {
        "yolox_deploy/data/__init__.py": LAZY_FACE,
        "yolox_deploy/data/dataset.py": "from yolox_deploy.data import Box\nLIMIT = 3\n",
        "yolox_deploy/data/other.py": "from yolox_deploy.models.zoo import get\n",
        "yolox_deploy/models/__init__.py": "",
        "yolox_deploy/models/zoo.py": "",
    }
    assert counted(tmp_path, made)["circles_of_modules"] == []


def test_a_name_of_a_lazy_face_is_an_import_of_its_module(tmp_path: Path) -> None:
    made = {
        "yolox_deploy/data/__init__.py": LAZY_FACE,
        "yolox_deploy/data/dataset.py": "from yolox_deploy.models import zoo\n",
        "yolox_deploy/models/__init__.py": "",
        "yolox_deploy/models/zoo.py": "from yolox_deploy.data import Dataset\n",
    }
    assert counted(tmp_path, made)["circles_of_modules"] == [["data.dataset", "models.zoo"]]


def test_the_face_of_everything_is_no_exception(tmp_path: Path) -> None:
    lazy = LAZY_FACE.replace("data.dataset", "detector")
    made = {
        "yolox_deploy/__init__.py": lazy,
        "yolox_deploy/detector.py": "from yolox_deploy import __version__\n",
    }
    assert counted(tmp_path, made)["mutual_rooms"] == [["detector", "yolox_deploy"]]


def test_a_room_that_no_layer_names_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, {"yolox_deploy/cellar.py": ""})
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[-2:] == ["rooms without a layer (give them one in pyproject.toml): 1", "  cellar"]


def test_the_house_has_no_circle_and_nothing_climbs() -> None:
    done = subprocess.run(
        [sys.executable, str(COUNTER), "--json"], capture_output=True, text=True, timeout=60
    )
    found = json.loads(done.stdout)
    faults = ("circles_of_modules", "circles_of_rooms", "mutual_rooms", "climbs", "unplaced")
    assert {fault: found[fault] for fault in faults} == {fault: [] for fault in faults}
    assert done.returncode == 0


def test_a_folder_without_the_house_is_a_usage_error(tmp_path: Path) -> None:
    command = [sys.executable, str(COUNTER), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "has no folder yolox_deploy" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    run(tmp_path, {})
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(COUNTER))} {shlex.quote(str(tmp_path))} | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
