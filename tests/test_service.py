"""The example of a service: its unit is sound, and its very command runs, ends by SIGTERM and leaves whole files."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo
from yolox_deploy.benchmarks.studies.loopback import LoopbackCamera
from yolox_deploy.streaming import read_record

UNIT = Path(__file__).resolve().parents[1] / "docs" / "examples" / "yolox-deploy-stream.service"
PROGRAM = "/opt/yolox-deploy/venv/bin/yolox-deploy"
NAMES = ("person", "car", "dog")


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT, encoding="utf-8")
    return dict(unit["Service"])


@pytest.fixture
def camera() -> Iterator[LoopbackCamera]:
    """Twenty pictures a second: black ones, and for half a second of every three white ones."""

    def picture(number: int) -> bytes:
        level = 255 if number % 60 in range(20, 30) else 0
        return cv2.imencode(".jpg", np.full((64, 96, 3), level, np.uint8))[1].tobytes()

    with LoopbackCamera(picture, rate=20) as camera:
        yield camera


@pytest.fixture
def model(toy_model: Any, tmp_path: Path) -> Path:
    """Sees a person in what is white, and nothing in what is black."""
    info = ArtifactInfo("toy", NAMES, (64, 96))
    rows = [(30, [0.5, 0.5, 2, 2, 0, 1])]
    path: Path = toy_model(tmp_path / "toy.onnx", rows, lit=[30], metadata={METADATA_KEY: info.to_json()})
    return path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="systemd is not on Windows")
def test_the_command_of_the_unit_ends_as_systemd_expects_and_leaves_whole_files(
    service: dict[str, str], camera: LoopbackCamera, model: Path, tmp_path: Path
) -> None:
    program = tmp_path / "yolox-deploy"
    python = shlex.join([sys.executable, "-W", "error", "-c", "from yolox_deploy.cli import main; main()"])
    program.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    program.chmod(0o755)
    command = service["ExecStart"].replace("%%", "%").replace("$$", "$")
    assert PROGRAM in command
    state = tmp_path / "state"
    state.mkdir()
    process = subprocess.Popen(
        shlex.split(command.replace(PROGRAM, str(program))),
        cwd=state,
        env={**os.environ, "CAMERA": camera.address, "MODEL": str(model), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(state.glob("clips/.*.tmp.mp4")):  # in the middle of a clip
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing was seen"
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=int(service["TimeoutStopSec"]))
    assert str(process.returncode) in service["SuccessExitStatus"].split(), err
    assert "frames answered" in out
    assert "Traceback" not in err

    (events,) = (state / "events").iterdir()
    record = read_record(events)
    seen = [name for event in record.events for name in (item.class_name for item in event.detections)]
    assert set(seen) == {"person"}
    assert record.frames >= len(record.events) > 5
    index, clip = sorted((state / "clips").iterdir(), reverse=True)
    assert (index.name, clip.name.endswith("_person.mp4")) == ("clips.jsonl", True)
    assert err == f"clip: clips/{clip.name}\nevents: events/{events.name}\n"
    video = cv2.VideoCapture(str(clip))
    levels = []
    while (frame := video.read())[0]:
        levels.append(int(frame[1].mean()))
    video.release()
    assert min(levels) < 30
    assert max(levels) > 225


def test_a_camera_that_is_away_is_tried_again_and_what_a_person_has_to_mend_is_not(
    service: dict[str, str], run: Any, model: Path, tmp_path: Path
) -> None:
    given_up = service["RestartPreventExitStatus"].split()
    away = run("stream", "http://127.0.0.1:9/none.mjpg", "--model", model)
    broken = run("stream", "http://127.0.0.1:9/none.mjpg", "--model", tmp_path / "none.onnx")
    assert str(away.returncode) not in given_up
    assert str(broken.returncode) in given_up
    assert service["Restart"] == "always"
