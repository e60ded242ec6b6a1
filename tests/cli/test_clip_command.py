"""`yolox-deploy stream --clip`: what is written of one and of several sources, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo

Call = Callable[..., tuple[int, str, str]]
NAMES = ("person", "car", "dog")
FRAMES = 40


@pytest.fixture
def model(toy_model: Any, tmp_path: Path) -> Path:
    """Sees a car in what is white, and nothing in what is black."""
    info = ArtifactInfo("toy", NAMES, (64, 96))
    rows = [(30, [0.5, 0.5, 2, 2, 0, 0, 1])]
    path: Path = toy_model(tmp_path / "toy.onnx", rows, lit=[30], metadata={METADATA_KEY: info.to_json()})
    return path


def video(path: Path, white: range) -> Path:
    """Forty frames at 20 a second, black apart from some."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (96, 64))
    for index in range(FRAMES):
        writer.write(np.full((64, 96, 3), 255 if index in white else 0, np.uint8))
    writer.release()
    return path


def white_frames(path: Path) -> list[bool]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (frame := capture.read())[0]:
        found.append(bool(frame[1].mean() > 128))
    capture.release()
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "clips.jsonl").read_text().splitlines()]


def test_every_frame_of_a_file_goes_into_its_clip(call: Call, model: Path, tmp_path: Path) -> None:
    source, clips = video(tmp_path / "door.avi", range(20, 25)), tmp_path / "clips"
    code, _, err = call(
        *("stream", source, "--model", model, "--rate", 0, "--clip", clips),
        *("--clip-classes", "car", "--clip-before", 0.5, "--clip-after", 0.25),
    )
    assert code == 0, err
    (line,) = lines(clips)
    assert white_frames(clips / line["file"]) == [False] * 10 + [True] * 5 + [False] * 5
    assert (line["source"], line["classes"]) == (str(source), ["car"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ_.*door-avi_car\.mp4", line["file"])
    assert f"clip: {clips / line['file']}\n" in err


def test_several_sources_have_clips_of_their_own(call: Call, model: Path, tmp_path: Path) -> None:
    one, other = (
        video(tmp_path / name, white) for name, white in (("a.avi", range(5, 8)), ("b.avi", range(30, 33)))
    )
    never = video(tmp_path / "c.avi", range(0))
    code, _, err = call(
        *("stream", one, other, never, "--model", model, "--clip", tmp_path / "clips", "--clip-after", 0.2),
        *("--policy", "queue:40", "--quiet"),
    )
    assert (code, err) == (0, "")
    assert sorted((line["source"], line["classes"]) for line in lines(tmp_path / "clips")) == [
        (str(one), ["car"]),
        (str(other), ["car"]),
    ]


def test_classes_that_are_not_asked_for_make_no_clip(call: Call, model: Path, tmp_path: Path) -> None:
    source = video(tmp_path / "door.avi", range(20, 25))
    options = ("--model", model, "--rate", 0, "--clip", tmp_path / "clips", "--clip-classes", "person,dog")
    assert call("stream", source, *options)[0] == 0
    assert list((tmp_path / "clips").iterdir()) == []


def test_a_class_may_be_named_here_and_numbered_there(call: Call, model: Path, tmp_path: Path) -> None:
    source = video(tmp_path / "door.avi", range(20, 25))
    options = ("--model", model, "--rate", 0, "--clip", tmp_path / "clips")
    assert call("stream", source, *options, "--only", "car", "--clip-classes", NAMES.index("car"))[0] == 0
    assert [line["classes"] for line in lines(tmp_path / "clips")] == [["car"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--clip-classes", "car"), "--clip-classes needs a folder for the clips: --clip DIR"),
        (("--clip", "clips", "--clip-classes", "cat"), "'cat'"),
        (
            ("--clip", "clips", "--clip-classes", "car", "--only", "dog"),
            "--clip-classes car: --only leaves it out",
        ),
        (("--clip-before", "0"), "--clip-before needs a folder for the clips"),
        (("--clip", "clips", "--clip-after", "1000"), "expected less than 120 s together"),
        (("--clip", "toy.onnx"), "toy.onnx is a file; expected a folder"),
        (("--clip", "clips", "--sweep"), "--clip is for a live stream, not for --sweep"),
    ],
)
def test_what_cannot_be_clipped_is_refused_and_nothing_is_left(
    call: Call,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    video(tmp_path / "door.avi", range(0))
    code, out, err = call("stream", "door.avi", "--model", model, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["door.avi", "toy.onnx"]
