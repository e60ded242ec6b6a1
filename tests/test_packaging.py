"""The wheel: everything of ours in it, under one name, and working where nothing else of this repository is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import yolox_deploy

ROOT = Path(__file__).resolve().parents[1]
MAPPED = ("converters", "runtimes", "benchmarks")
COPIED = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "yolox_deploy", *MAPPED)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the declared build system, offline, from a copy, as a build leaves files behind."""
    pytest.importorskip("setuptools", minversion="77", reason="the build system needs setuptools 77")
    folder = tmp_path_factory.mktemp("source")
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    code = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        found = archive.namelist()
    assert len(found) == len(set(found)), "no file is in it twice"
    return set(found)


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: set[str]) -> Message:
    (name,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


def sources() -> set[str]:
    """Every file of ours, code and data, by its name in the wheel."""
    found = set()
    for folder in ("yolox_deploy", *MAPPED):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT)
            linked = folder == "yolox_deploy" and name.parts[1] in MAPPED
            if path.is_file() and not linked and "__pycache__" not in name.parts:
                found.add(str(name) if folder == "yolox_deploy" else f"yolox_deploy/{name}")
    return found


def test_nothing_generic_lands_at_the_top_level(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"yolox_deploy"}


def test_every_file_is_in_it_and_nothing_else(names: set[str]) -> None:
    packed = {name for name in names if ".dist-info/" not in name}
    assert sorted(sources() - packed) == [], "add them to [tool.setuptools] packages or package-data"
    assert sorted(packed - sources()) == []


def test_photographs_and_the_typing_mark_are_in_it(names: set[str]) -> None:
    pictures = {"yolox_deploy/assets/" + name for name in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg")}
    assert pictures | {"yolox_deploy/py.typed"} <= names


def test_licence_and_command_are_in_it(wheel: Path, names: set[str], metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)
    (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        assert "yolox-deploy = yolox_deploy.cli:main" in archive.read(entry_points).decode()


def test_its_version_is_that_of_the_package(metadata: Message) -> None:
    assert metadata["Version"] == yolox_deploy.__version__


def test_base_dependencies_are_light(metadata: Message) -> None:
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {line.replace(">", " ").replace("=", " ").split()[0] for line in required}
    assert names == {"numpy", "opencv-python", "platformdirs", "rich", "typer"}


def test_the_extras_of_the_issue_exist_and_all_has_no_conflict(metadata: Message) -> None:
    extras = set(metadata.get_all("Provides-Extra", []))
    backends = {"onnxruntime", "onnxruntime-gpu", "openvino", "ncnn", "tensorrt", "tensorrt-volta"}
    assert backends | {"export", "train", "all", "dev"} <= extras
    everything = [line for line in metadata.get_all("Requires-Dist", []) if 'extra == "all"' in line]
    assert everything
    assert not any("gpu" in line or "tensorrt" in line for line in everything)


def test_it_works_alone(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere and started there: the mapped folders must not be found through this repository."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = """
import importlib, pkgutil, yolox_deploy
from yolox_deploy.exporter.parity import packaged_photographs
from yolox_deploy.converters.base import TARGETS
from yolox_deploy.runtimes.registry import entries
modules = [yolox_deploy, importlib.import_module("yolox_deploy.benchmarks")]
modules += [importlib.import_module(e.target.partition(":")[0]) for e in entries()]
for module in modules:
    print(module.__file__)
print(*packaged_photographs(), sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) >= 6
    assert all(file.is_relative_to(tmp_path) and file.is_file() for file in files), done.stdout
