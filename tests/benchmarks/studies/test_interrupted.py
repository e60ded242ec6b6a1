"""The study on interrupted runs: it ends one, resumes it, and sees a file that differs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy.benchmarks.studies.interrupted import Place, content, end_at, peak_of

FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]  # one object of class 1, whatever the picture


@pytest.fixture
def place(toy_model: Any, tmp_path: Path) -> Place:
    """Two hundred pictures and a model that finds one object in each."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(200):
        cv2.imwrite(str(pictures / f"{number:03}.png"), np.full((48, 64, 3), number, np.uint8))
    return Place(tmp_path, toy_model(tmp_path / "toy.onnx", FOUND), pictures)


def test_an_ended_run_is_resumed_and_compared(place: Place) -> None:
    subprocess.run(place.command("whole"), capture_output=True, check=True)
    expected = content(place.folder / "whole")
    assert len(expected) == 1 + 200 * 4 + 2
    ended = end_at(place, "parts", 3, 0, signal.SIGKILL, expected)
    assert 3 <= ended.lines < 200
    assert ended.same
    assert not end_at(place, "other", 0, 0, signal.SIGINT, {**expected, "x.jsonl": b""}).same


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_the_peak_is_that_of_the_process_alone() -> None:
    big = bytearray(300 << 20)
    big[::4096] = b"x" * len(big[::4096])
    assert 0 < peak_of(["sleep", "0.2"])[0] < 50
