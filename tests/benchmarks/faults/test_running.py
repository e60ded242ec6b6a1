"""The campaign's kills, disks, streams, threads and processes in small numbers, and that they see what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.benchmarks.faults import commands, disks, kills, processes, streams, threads
from yolox_deploy.benchmarks.faults.children import Asked, Ended, run_all
from yolox_deploy.benchmarks.faults.outcomes import Outcome
from yolox_deploy.detector import Detector

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by /proc")

SECONDS = 120.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "place"
    assert commands.prepared(folder).result is None
    return folder


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    """Where a kind finds what it reads."""
    (tmp_path / "whole").mkdir()
    os.symlink(place, tmp_path / "whole" / "place")
    return tmp_path


def until() -> float:
    return time.monotonic() + SECONDS


def faults(outcomes: list[Outcome]) -> list[str]:
    return [f"{outcome.result.value}: {outcome.detail}" for outcome in outcomes if outcome.is_fault]


def in_child(asked: Asked) -> Ended:
    return next(iter(run_all((), [(None, asked)], 1)))[1]


def test_predict_loses_nothing_when_it_is_ended(folder: Path) -> None:
    outcomes = list(kills.run(3, 1, folder, until(), works=("predict",)))

    assert len(outcomes) == 1
    assert not faults(outcomes)


def test_full_disks_are_told(folder: Path) -> None:
    outcomes = list(disks.run(0, 3, folder, until(), works=("scenes",)))

    assert len(outcomes) == 3
    assert not faults(outcomes)


def test_streams_end(folder: Path) -> None:
    outcomes = list(streams.run(0, 2, folder, until(), names=("refuses", "cut video")))

    assert len(outcomes) == 2
    assert not faults(outcomes)


@pytest.mark.parametrize("scenario", ["one", "eight", "closing", "streams"])
def test_threads_get_their_own_answers(place: Path, scenario: str) -> None:
    arguments = {
        "scenario": scenario, "model": str(place / "nano.onnx"), "backend": "onnxruntime", "seed": "0", "calls": 20
    }  # fmt: skip

    assert in_child(Asked(f"{threads.HERE}:try_one", arguments)).answer == {"wrong": ""}


@pytest.mark.parametrize("name", ["fork", "closed"])
def test_processes_get_right_answers(place: Path, name: str) -> None:
    arguments = {
        "name": name, "model": str(place / "nano.onnx"), "backend": "onnxruntime", "seed": "0", "opened": 20
    }  # fmt: skip

    assert in_child(Asked(f"{processes.HERE}:try_one", arguments)).answer[0] in ("right", "refused")


def test_another_answer_is_seen(place: Path) -> None:
    """A Detector whose pictures are mixed up does not pass."""
    images = [np.zeros((64, 64, 3), np.uint8), cv2.imread(str(place / "pictures" / "000.jpg"))]
    with Detector(place / "nano.onnx", conf=0.02, threads=1) as detector:
        first, second = (detector.predict(image) for image in images)

    assert threads.difference(first, first) == ""
    assert threads.difference(first, second)


def test_half_files_are_seen(place: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.json").write_text("{}")
    for source in ("nano.onnx", "video.avi", "pictures/000.jpg", "data/annotations/instances_val.json"):
        path = tmp_path / Path(source).name
        shutil.copyfile(place / source, path)
        os.truncate(path, path.stat().st_size // 2)

    looked = commands.look(tmp_path, commands.names_of(tmp_path))

    wrong = {name for name, how in looked.answer.items() if commands.wrong_in({name: how})}
    assert wrong == {"nano.onnx", "video.avi", "000.jpg", "instances_val.json"}


def test_leftovers_and_missing_files_are_seen() -> None:
    assert commands.differences({"a", "b"}, {"a", "b"}) == ""
    assert commands.differences({"a", "b"}, {"a", ".b.1.tmp"}) == "missing b; left .b.1.tmp"


def test_a_command_that_does_not_end_is_seen(place: Path, tmp_path: Path) -> None:
    work = commands.Work("stream {place}/video.avi --model {place}/nano.onnx --rate 0.1")
    begun = time.monotonic()

    ran = commands.finish(commands.Place(place).start(work, tmp_path / "out"), begun, seconds=2)

    assert ran.code is None
