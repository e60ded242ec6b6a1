"""Every command and code block of the README and the docs runs, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXPORT = "yolox-deploy export yolox_nano --out nano.onnx\n"
"""Several pages begin with it: it runs once, and they get the file."""

BRIEF = f'yolox-deploy() {{ python -W error {shlex.quote(str(ROOT / "tests" / "brief.py"))} "$@"; }}\n'
"""Before the commands of a page whose benchmarks would take minutes."""

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of a page, in order."""
    return [(kind, text) for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind in kinds]


@pytest.fixture(scope="module")
def mirror(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of yolox_nano by the names that the authors gave them."""
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "yolox_nano.pth").symlink_to(shared / "real" / "yolox_nano.pth")
    (folder / "yolox_nano.onnx").symlink_to(shared / "real" / "yolox_nano_official.onnx")
    return folder


def run_block(kind: str, text: str, folder: Path, mirror: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "YOLOX_DEPLOY_CACHE": str(folder / "cache"),
        "YOLOX_DEPLOY_WEIGHTS_URL": mirror.as_uri(),
    }
    command = ["bash", "-euc", text] if kind == "bash" else [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def exported(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which `EXPORT` ran."""
    folder = tmp_path_factory.mktemp("exported")
    run_block("bash", EXPORT, folder, mirror)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path, exported: Path, shared: Path, mirror: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "yolox_deploy" / "assets" / "astronaut.jpg", tmp_path / "street.jpg")
    (tmp_path / "val2017").symlink_to(shared / "real" / "coco_mini" / "images")
    (tmp_path / "calibration").symlink_to(shared / "real" / "calibration")
    shutil.copy(shared / "real" / "coco_mini" / "instances.json", tmp_path / "instances.json")
    for kind, text in blocks(page, ("bash", "python")):
        if text.startswith(EXPORT):
            shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
            text = text.removeprefix(EXPORT)
        if kind == "bash" and page.name == "benchmarks.md":
            text = BRIEF + text
        run_block(kind, text, tmp_path, mirror)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_known_kind(page: Path) -> None:
    for kind, _ in BLOCK.findall(page.read_text(encoding="utf-8")):
        assert kind in ("bash", "python", "console", "json", "toml", "text")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_blocks_name_what_exists(page: Path) -> None:
    """`make` targets and extras cannot run inside the tests (CI runs the targets); they must exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for _, text in blocks(page, ("console",)):
        for line in text.splitlines():
            if match := re.match(r"make ([\w-]+)", line):
                assert f"\n{match[1]}:" in makefile, line
            for extras in re.findall(r"yolox-deploy\[([\w,-]+)\]", line):
                assert set(extras.split(",")) <= set(project["optional-dependencies"]), line
