"""`predict --save-json x.jsonl --resume`: whatever ended a run, the joined files are those of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import COMMAND, Call

FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]  # one object of class 1, whatever the picture
PICTURES = 60


@pytest.fixture
def toy(toy_model: Any, tmp_path: Path) -> Path:
    """A model that finds one object in any picture."""
    path: Path = toy_model(tmp_path / "toy.onnx", FOUND)
    return path


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Pictures in two folders, one that is broken, and a video."""
    root = tmp_path / "in"
    for number in range(PICTURES):
        path = root / ("a" if number % 2 else "b") / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((48 + number, 64, 3), 4 * number, np.uint8))
    (root / "a" / "broken.jpg").write_text("no picture")
    writer = cv2.VideoWriter(str(root / "clip.avi"), cv2.VideoWriter.fourcc(*"FFV1"), 10, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return root


def options(root: Path, name: str) -> list[object]:
    out = root.parent / name
    return ["--out", out / "drawn", "--save-crops", out / "crops", "--save-json", out / "x.jsonl"]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a run, apart from the note on what was run, where nothing that is hidden may be left."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".x.jsonl.run.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name[0] != "."}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_again_and_again_equals_an_undisturbed_one(
    run: Any, toy: Path, mixture: Path, number: signal.Signals
) -> None:
    undisturbed = run("predict", mixture, "--model", toy, *options(mixture, "whole"))
    assert undisturbed.returncode == 2
    chance, lines = random.Random(15), mixture.parent / "parts" / "x.jsonl"
    arguments = ["predict", mixture, "--model", toy, *options(mixture, "parts"), "--resume"]
    for _ in range(3):
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        before = count(lines)
        deadline = time.monotonic() + 60
        while count(lines) < before + chance.randint(1, 15) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == (130 if number == signal.SIGINT else -number), err
        if number == signal.SIGINT:
            assert b"keeps what is done; go on with: yolox-deploy predict" in err
            assert b"Traceback" not in err
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == undisturbed.stderr.splitlines()[-1]
    whole, parts = (content(mixture.parent / name) for name in ("whole", "parts"))
    assert parts.keys() == whole.keys()
    assert parts == whole


def count(lines: Path) -> int:
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def test_what_is_done_is_not_done_again(call: Call, toy: Path, mixture: Path) -> None:
    given = ["predict", mixture, "--model", toy, *options(mixture, "out")]
    assert call(*given)[0] == 2
    before = content(mixture.parent / "out")
    code, out, err = call(*given, "--resume")
    assert (code, out) == (2, "")
    assert "1 of 62 pictures could not be read" in err
    assert content(mixture.parent / "out") == before
    cv2.imwrite(str(mixture / "new.png"), np.zeros((48, 64, 3), np.uint8))
    code, out, _ = call(*given, "--resume")
    assert out == f"{mixture / 'new.png'}: 1 class_1\n"


def test_what_is_missing_of_the_done_ones_is_made(
    call: Call, toy: Path, mixture: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "x.jsonl"
    given = ["predict", mixture / "a", "--model", toy, "--save-json", lines, "--out", tmp_path / "out"]
    assert call(*given, "--no-images")[0] == 2
    before = lines.read_bytes()
    assert (
        call(*given, "--resume", "--save-txt", tmp_path / "labels", "--save-crops", tmp_path / "crops")[0]
        == 2
    )
    assert lines.read_bytes() == before
    names = [path.name for path in sorted((mixture / "a").glob("*.png"))]
    for folder in ("out", "labels/images"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names
    assert len(list((tmp_path / "crops" / "class_1").iterdir())) == len(names)
    (tmp_path / "labels" / "labels" / "001.txt").unlink()
    assert call(*given, "--resume", "--save-txt", tmp_path / "labels")[0] == 2
    assert (tmp_path / "labels" / "labels" / "001.txt").exists()


def test_a_file_of_lines_is_never_written_over(call: Call, toy: Path, picture: Path, tmp_path: Path) -> None:
    lines = tmp_path / "x.jsonl"
    given = ["predict", picture, "--model", toy, "--no-images", "--save-json", lines]
    assert call(*given)[0] == 0
    before = lines.read_bytes()
    code, out, err = call(*given)
    assert (code, out) == (2, "")
    assert f"{lines} holds results already; go on behind them: yolox-deploy predict" in err
    assert f"--resume, or remove it first: rm {lines}" in err
    assert lines.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--conf", "0.5"], "conf 0.25, now 0.5"),
        (["--only", "class_1"], "classes None, now"),
        (["--model", "other.onnx"], "another model file"),
    ],
)
def test_another_model_or_option_is_refused(
    call: Call,
    toy_model: Any,
    toy: Path,
    picture: Path,
    tmp_path: Path,
    more: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    toy_model(tmp_path / "other.onnx", [])
    given = ["predict", picture, "--model", toy, "--no-images", "--save-json", "x.jsonl"]
    assert call(*given)[0] == 0
    before = Path("x.jsonl").read_bytes()
    code, _, err = call(*given, "--resume", *more)
    assert code == 2
    assert f"x.jsonl was begun otherwise ({said}" in err
    assert Path("x.jsonl").read_bytes() == before


def test_sources_in_another_order_are_refused_where_names_depend_on_it(
    call: Call, toy: Path, mixture: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "x.png").write_bytes((mixture / "a" / "001.png").read_bytes())
    given = ["--model", toy, "--out", tmp_path / "out", "--save-json", tmp_path / "x.jsonl"]
    assert call("predict", one, two, *given)[0] == 0
    code, _, err = call("predict", two, one, *given, "--resume")
    assert code == 2
    assert "begun with other sources, or in another order" in err
    assert call("predict", two, *given, "--resume")[0] == 2
    assert call("predict", one, two, mixture / "b", *given, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--save-json", "x.json"], "use --save-json x.jsonl"),
        ([], "use --save-json found.jsonl"),
        (
            ["--save-json", "x.jsonl", "--save-coco", "c.json"],
            "--save-coco is written of all pictures at once",
        ),
        (["--save-json", "x.jsonl", "--json"], "--json is written of all pictures at once"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused_first(
    call: Call,
    toy: Path,
    picture: Path,
    tmp_path: Path,
    more: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call("predict", picture, "--model", toy, "--resume", *more)
    assert (code, out) == (2, "")
    assert said in err
    assert not Path("predictions").exists()


def test_a_file_of_something_else_is_refused_by_its_line(
    call: Call, toy: Path, picture: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"image": "a.jpg", "detections": []}\n{"text": "mine"}\n')
    code, _, err = call("predict", picture, "--model", toy, "--no-images", "--save-json", lines, "--resume")
    assert code == 2
    assert f"line 2 of {lines} is not from predict" in err


def test_an_interrupted_document_says_what_keeps_more(toy: Path, mixture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["predict", *[mixture] * 20, "--model", toy, "--out", out, "--save-json", tmp_path / "x.json"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not out.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"x.json is not written; a name that ends with .jsonl keeps what is done" in err
    assert not [name for name in os.listdir(tmp_path) if "x.json" in name]


def test_a_video_that_breaks_off_is_a_failure_behind_its_frames(
    call: Any, toy: Path, mixture: Path, tmp_path: Path
) -> None:
    video, out, document = mixture / "clip.avi", tmp_path / "drawn", tmp_path / "all.json"
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 7 // 10])
    code, _, err = call("predict", video, "--model", toy, "--out", out, "--save-json", document)
    assert code == 2
    assert err.count("clip.avi breaks off after ") == 1
    written = json.loads(document.read_text())
    assert 1 < len(written["images"]) < 20
    assert [f"after {len(written['images'])} frames" in failure for failure in written["failures"]] == [True]
    assert (out / "clip.avi").is_file()

    lines = tmp_path / "x.jsonl"
    arguments = ["predict", video, "--model", toy, "--save-json", lines]
    assert call(*arguments)[0] == 2
    whole = lines.read_bytes()
    for end in (len(whole), whole[:-1].rindex(b"\n") + 1, len(whole) // 2):
        lines.write_bytes(whole[:end])
        assert call(*arguments, "--resume")[0] == 2
        assert lines.read_bytes() == whole
