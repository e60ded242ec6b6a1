"""`predict` on all that people have: folders below folders, videos, lists on standard input, and mixtures of these."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import COMMAND, Call
from yolox_deploy import Detections, Detector
from yolox_deploy.cli.predict_outputs import folder_names
from yolox_deploy.cli.predict_sources import split_paths
from yolox_deploy.data import open_dataset
from yolox_deploy.json_lines import read_rows

FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]  # one object of class 1, whatever the picture


@pytest.fixture
def toy(toy_model: Any, tmp_path: Path) -> Path:
    """A model that finds one object in any picture."""
    path: Path = toy_model(tmp_path / "toy.onnx", FOUND)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Pictures in a folder and below it, some of one name."""
    root = tmp_path / "pictures"
    for number, name in enumerate(["b.png", "a.JPG", "cam1/a.png", "cam2/a.png", "cam2/deep/c.png"]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((48, 64, 3), 40 * number, np.uint8))
    (root / "notes.txt").write_text("no picture")
    return root


TREE = ["a.JPG", "b.png", "cam1/a.png", "cam2/a.png", "cam2/deep/c.png"]


def write_video(path: Path, frames: list[np.ndarray], codec: str = "FFV1") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Four frames, each brighter than the one before, without loss."""
    return write_video(tmp_path / "clip.avi", [np.full((48, 64, 3), 50 * n, np.uint8) for n in range(4)])


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def images(path: Path, root: Path | None = None) -> list[str]:
    return [os.path.relpath(row["image"], root or ".") for row in read_rows(path)]


def test_a_tree_is_mirrored_by_all_outputs(call: Call, toy: Path, tree: Path, tmp_path: Path) -> None:
    out, labels, crops = tmp_path / "out", tmp_path / "labels", tmp_path / "crops"
    lines = tmp_path / "new" / "x.jsonl"
    options = ["--out", out, "--save-txt", labels, "--save-crops", crops, "--save-json", lines]
    code, _, err = call("predict", tree, "--model", toy, *options)
    assert code == 0, err
    assert files_of(out) == TREE
    assert images(lines, tree) == TREE
    assert files_of(labels / "images") == TREE
    stems = ["a", "b", "cam1/a", "cam2/a", "cam2/deep/c"]
    assert files_of(labels / "labels") == [f"{stem}.txt" for stem in stems]
    assert files_of(crops / "class_1") == [
        f"{name.partition('.')[0]}_1.{name.partition('.')[2]}" for name in TREE
    ]
    data = open_dataset(labels, "all")
    assert len(data) == 5
    assert not data.problems
    box = next(iter(Detections.from_dict(next(iter(read_rows(lines)))))).box
    crop = cv2.imread(str(crops / "class_1" / "cam1" / "a_1.png"))
    assert crop.shape[:2] == (np.ceil(box[3]) - np.floor(box[1]), np.ceil(box[2]) - np.floor(box[0]))


def test_results_below_the_pictures_are_not_read_the_next_time(
    call: Call, toy: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    for name in ("1.json", "2.json"):
        assert (
            call("predict", ".", "--model", toy, "--save-json", tmp_path / name, "--save-crops", "crops")[0]
            == 0
        )
    first, second = ((tmp_path / name).read_text() for name in ("1.json", "2.json"))
    assert first == second
    assert len(json.loads(first)["images"]) == 5


def test_two_folders_with_the_same_names_keep_both(call: Call, toy: Path, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = call("predict", tree / "cam1", tree / "cam2", "--model", toy, "--out", out)
    assert code == 0, err
    assert files_of(out) == ["a.png", "a_2.png", "deep/c.png"]


def test_a_video_is_drawn_and_has_a_line_each_frame(
    call: Call, toy: Path, tree: Path, video: Path, tmp_path: Path
) -> None:
    out, lines = tmp_path / "out", tmp_path / "x.jsonl"
    options = ["--out", out, "--save-json", lines, "--save-crops", tmp_path / "crops"]
    code, printed, err = call("predict", tree / "b.png", video, "--model", toy, *options)
    assert code == 0, err
    assert "1 annotated pictures and 1 annotated videos in" in err
    assert f"{video} frame 3: 1 class_1\n" in printed
    assert files_of(out) == ["b.png", "clip.avi"]
    rows = list(read_rows(lines))
    assert [row.get("frame") for row in rows] == [None, 0, 1, 2, 3]
    assert "time" in rows[1]
    assert "time" not in rows[0]
    capture = cv2.VideoCapture(str(out / "clip.avi"))
    frames = [capture.read()[1] for _ in range(4)]
    assert not capture.read()[0]
    assert [round(float(frame[0, 0].mean()) / 50) for frame in frames] == [0, 1, 2, 3]
    assert files_of(tmp_path / "crops") == [
        "class_1/b_1.png",
        *(f"class_1/clip.avi/00000{n}_1.jpg" for n in range(4)),
    ]


@pytest.mark.parametrize("option", ["--save-txt", "--save-coco"])
def test_a_video_where_pictures_are_needed_is_refused_first(
    call: Call, toy: Path, video: Path, tmp_path: Path, option: str
) -> None:
    code, out, err = call("predict", video, "--model", toy, option, tmp_path / "labels")
    assert (code, out) == (2, "")
    assert f"ffmpeg -i {video}" in err
    assert not (tmp_path / "labels").exists()


def test_all_ways_find_the_same(
    call: Call, nano_onnx: Path, scene_pictures: list[Path], tmp_path: Path
) -> None:
    """A file, a folder, a list in Python, standard input, a video of the same pictures, and lines read back."""
    pictures = [cv2.imread(str(path)) for path in scene_pictures]
    video = write_video(tmp_path / "scenes.avi", pictures)
    folder = scene_pictures[0].parent
    found = {}
    for name, sources in (("files", scene_pictures), ("folder", [folder]), ("video", [video])):
        lines = tmp_path / f"{name}.jsonl"
        code, _, err = call("predict", *sources, "--model", nano_onnx, "--no-images", "--save-json", lines)
        assert code == 0, err
        found[name] = [row["detections"] for row in read_rows(lines)]
    with Detector(nano_onnx) as detector:
        size = pictures[0].shape[:2]
        names = detector.class_names
        expected = [detector.predict(path) for path in scene_pictures]
        assert any(map(len, expected))
        assert [result.detections for result in detector.stream(scene_pictures)] == expected
        assert [result.detections for result in detector.stream(folder)] == expected
        assert [result.detections for result in detector.stream([video])] == expected
        assert detector.predict_batch(scene_pictures) == expected
    for rows in found.values():
        assert [Detections.from_dict({"detections": row}, names, size) for row in rows] == expected


def start(*arguments: object, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **more)


def test_standard_input_is_read_as_it_comes(toy: Path, tree: Path, tmp_path: Path) -> None:
    lines = tmp_path / "x.jsonl"
    process = start(
        *("predict", "-", "--model", toy, "--save-json", lines),
        cwd=tree,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        for count, name in enumerate(["cam1/a.png", "gone.png", "cam2", str(tree / "b.png")], start=1):
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            deadline = time.monotonic() + 60
            while len(images(lines) if lines.exists() else ()) < count and time.monotonic() < deadline:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.01)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2
    assert b"1 of 5 pictures could not be read: no such image file: gone.png" in err
    assert images(lines)[:4] == ["cam1/a.png", "gone.png", "cam2/a.png", "cam2/deep/c.png"]
    assert files_of(tree / "predictions") == ["b.png", "cam1/a.png", "cam2/a.png", "cam2/deep/c.png"]


@pytest.mark.parametrize(
    ("blocks", "paths"),
    [
        ([b"a.jpg\nb c.j", b"pg\r\n\nd.jpg"], ["a.jpg", "b c.jpg", "d.jpg"]),
        ([b"a\nb.jpg\0c.jp", b"g\0"], ["a\nb.jpg", "c.jpg"]),
        ([b"caf\xe9.jpg\n"], [os.fsdecode(b"caf\xe9.jpg")]),
        ([], []),
    ],
)
def test_paths_are_split_at_lines_or_zero_bytes(blocks: list[bytes], paths: list[str]) -> None:
    assert list(split_paths(blocks)) == paths


def test_nothing_on_standard_input_is_told(run: Any, toy: Path) -> None:
    done = run("predict", "-", "--model", toy, command=["env", *COMMAND])
    assert done.returncode == 2
    assert "no path on standard input; expected one a line" in done.stderr


def test_many_failures_are_counted_and_the_first_named(call: Call, toy: Path, tmp_path: Path) -> None:
    folder, lines = tmp_path / "broken", tmp_path / "x.jsonl"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number:02}.jpg").write_text("no picture")
    code, _, err = call("predict", folder, "--model", toy, "--save-json", lines)
    assert code == 2
    assert "25 of 25 pictures could not be read" in err
    assert "09.jpg" in err
    assert "10.jpg" not in err
    assert "and 15 more" in err
    assert all("error" in row for row in read_rows(lines))


@pytest.mark.parametrize("option", ["--out", "--save-crops"])
def test_a_file_in_the_place_of_a_folder_is_told(
    call: Call, toy: Path, picture: Path, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("mine")
    code, out, err = call("predict", picture, "--model", toy, option, tmp_path / "file")
    assert (code, out) == (2, "")
    assert f"{option} {tmp_path / 'file'} is a file; expected the name of a folder" in err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_stream_is_told_the_command_that_takes_it(call: Call, toy: Path) -> None:
    code, _, err = call("predict", "rtsp://camera/1", "--model", toy)
    assert code == 2
    assert "use: yolox-deploy stream rtsp://camera/1" in err


def test_a_full_disk_is_told_with_the_path_and_the_way_on(toy: Path, tree: Path, tmp_path: Path) -> None:
    """`ulimit -f` in the place of a disk that is full: 4 KB for each file."""
    lines, out = tmp_path / "x.jsonl", tmp_path / "out"
    arguments = ["predict", *[tree] * 10, "--model", toy, "--no-images", "--save-json", lines]
    command = 'ulimit -f 4; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", command, "bash", *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"error: {lines} cannot be written further (File too large)" in done.stderr
    assert "go on with: yolox-deploy predict" in done.stderr
    assert "--resume" in done.stderr
    assert lines.read_bytes().endswith(b"\n")
    assert not out.exists()
    whole = tmp_path / "whole.jsonl"
    for more in (["--save-json", whole], ["--save-json", lines, "--resume"]):
        assert (
            subprocess.run([*COMMAND, *map(str, [*arguments[:-2], *more])], capture_output=True).returncode
            == 0
        )
    assert lines.read_bytes() == whole.read_bytes()


def test_names_of_folders_suit_any_disk() -> None:
    names = ["person", "a/b", "a\\b", "..", "", "Person", "con: x.", "a" * 300, "../../x", "犬" * 300]
    given = folder_names(names)
    assert given[:7] == ("person", "a_b", "a_b_2", "class_3", "class_4", "Person_5", "con_ x")
    assert len(given[7]) == 100
    assert given[8:] == ("_.._x", "犬" * 33)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def test_lines_stand_above_the_row_on_a_terminal(
    toy: Path, tree: Path, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    process = start(
        *("predict", tree, "--model", toy, "--out", tmp_path / "out"),
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "300"},
    )
    os.close(theirs)
    content = b""
    with suppress(OSError):  # the other end was closed
        while block := os.read(ours, 1 << 16):
            content += block
    assert process.wait(60) == 0, content
    shown = screen(content.decode())
    assert shown[:5] == [f"{tree / name}: 1 class_1" for name in TREE]
    assert re.search(r"\d/5, [\d.]+/s, \d+:\d\d left", content.decode())


def screen(text: str) -> list[str]:
    """What a terminal shows in the end, of the few movements that are used here."""
    rows, at = [""], 0
    column = 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
        if token == "\n":
            at += 1
            rows += [""] * (at + 1 - len(rows))
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b"):
            if token.endswith("A"):
                at = max(0, at - int(token[2:-1] or 1))
            elif token.endswith("K"):
                rows[at] = ""
        else:
            rows[at] = rows[at][:column].ljust(column) + token + rows[at][column + len(token) :]
            column += len(token)
    return rows
