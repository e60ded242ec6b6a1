"""`yolox-deploy track`: videos, lines and figures, and what is left of them after Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest

from yolox_deploy import Detections, Detector
from yolox_deploy.benchmarks.studies.loopback import LoopbackCamera
from yolox_deploy.capture import video_frames
from yolox_deploy.synthetic import MovingOptions, MovingScene
from yolox_deploy.tracking import TrackConfig

COMMAND = [sys.executable, "-W", "error", "-c", "from yolox_deploy.cli import main; main()", "track"]
SCENE = MovingOptions(objects=3, classes=("ball", "cup", "star"), pillars=0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    MovingScene(SCENE, seed=8).write(path, seconds=2, frame_rate=10)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_video_becomes_a_video_lines_and_figures(
    run: Any, nano_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    out, lines = tmp_path / "new" / "out.mp4", tmp_path / "new" / "out.jsonl"
    lines.parent.mkdir()
    lines.write_text("from before\n")
    done = run(
        *("track", clip, "--model", nano_onnx, "--out", out, "--save-json", lines, "--conf", 0.5),
        *("--lost", 0.8, "--threads", 1, "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert (figures["frames"], figures["out"], figures["save_json"]) == (20, str(out), str(lines))
    assert figures["identities"] == sum(figures["classes"].values()) >= 3
    assert set(figures["classes"]) >= {"ball", "cup", "star"}
    with Detector(nano_onnx, conf=0.5, threads=1) as detector:
        expected = list(detector.track(clip, config=TrackConfig(lost_seconds=0.8)))
        names = detector.class_names
    written = rows(lines)
    assert [(row["image"], row["frame"]) for row in written] == [(str(clip), i) for i in range(20)]
    assert [row["time"] for row in written] == pytest.approx([i / 10 for i in range(20)])
    for row, result in zip(written, expected, strict=True):
        assert Detections.from_dict(row, names, result.detections.image_size) == result.detections
    assert max(max(found.track_ids, default=0) for _, found in expected) == figures["identities"]
    frames = list(video_frames(out))
    assert len(frames) == 20
    drawn, plain = frames[15].image, expected[15].frame.image
    assert cv2.norm(drawn, expected[15].detections.plot(plain), cv2.NORM_L1) < cv2.norm(
        drawn, plain, cv2.NORM_L1
    )


def test_a_folder_is_tracked_picture_by_picture_and_a_table_tells(
    call: Any, nano_onnx: Path, tmp_path: Path
) -> None:
    scene, folder = MovingScene(SCENE, seed=8), tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        cv2.imwrite(str(folder / f"{index:03d}.png"), scene.at(index / 30)[0])
    lines = tmp_path / "lines.jsonl"
    code, out, err = call(
        *("track", folder, "--model", nano_onnx, "--save-json", lines, "--only", "ball,cup", "--trail", 0),
    )
    assert code == 0
    assert out.split() == ["class", "identities", *out.split()[2:-2], "all", "2"]
    assert "5 frames" in err
    written = rows(lines)
    assert [Path(row["image"]).name for row in written] == [f"{index:03d}.png" for index in range(5)]
    assert all(set(row) == {"image", "detections"} for row in written)
    assert {item["class_name"] for row in written for item in row["detections"]} == {"ball", "cup"}
    assert {item["track_id"] for item in written[0]["detections"]} == {-1}
    assert {item["track_id"] for item in written[4]["detections"]} == {1, 2}


def test_the_videos_of_a_folder_are_shown_one_after_the_other_each_with_its_own_lines(
    call: Any, nano_onnx: Path, tmp_path: Path
) -> None:
    folder, lines, out = tmp_path / "videos", tmp_path / "lines.jsonl", tmp_path / "out.mp4"
    folder.mkdir()
    for name in ("a.avi", "b.avi"):
        MovingScene(SCENE, seed=8).write(folder / name, seconds=1, frame_rate=10)
    code, _, _ = call("track", folder, "--model", nano_onnx, "--save-json", lines, "--out", out)
    assert code == 0
    written = rows(lines)
    assert [(Path(row["image"]).name, row["frame"]) for row in written] == [
        (name, index) for name in ("a.avi", "b.avi") for index in range(10)
    ]
    assert [row["time"] for row in written] == pytest.approx([i / 10 for i in range(10)] * 2)
    # At 30 frames a second each picture is there three times, and one at the end of each video once.
    assert len(list(video_frames(out))) == 2 * (9 * 3 + 1)


def test_ctrl_c_on_a_camera_keeps_what_was_written(nano_onnx: Path, tmp_path: Path) -> None:
    scene = MovingScene(SCENE, seed=8)
    pictures = [cv2.imencode(".jpg", scene.at(index / 20)[0])[1].tobytes() for index in range(40)]
    out, lines = tmp_path / "out.avi", tmp_path / "out.jsonl"
    with LoopbackCamera(lambda number: pictures[number % 40], rate=20) as camera:
        command = [
            *COMMAND,
            camera.address,
            "--model",
            nano_onnx,
            "--out",
            out,
            "--save-json",
            lines,
            "--json",
        ]
        process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while not lines.exists() or lines.read_bytes().count(b"\n") < 8:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    figures, written = json.loads(printed), rows(lines)
    assert figures["frames"] in (len(written), len(written) - 1)
    times = [row["time"] for row in written]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert any(item["track_id"] > 0 for row in written for item in row["detections"])
    assert len(list(video_frames(out))) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.avi", "out.jsonl"]


def test_without_the_library_nothing_is_begun(tmp_path: Path) -> None:
    code = "import sys; sys.modules['trackers'] = None; from yolox_deploy.cli import main; main()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "track",
            "none.mp4",
            "--model",
            "none.onnx",
            "--out",
            tmp_path / "o.mp4",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'yolox-deploy[track]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "o.gif"], "expected a video"),
        (["--save-json", "o.json"], "name it .jsonl"),
        (["--out", "CLIP"], "is the stream to read"),
        (["--save-json", "folder.jsonl"], "is a folder"),
        (["--lost", "0"], "--lost"),
        (["--conf", "0.5", "--only", "bal"], "'ball'"),
    ],
)
def test_what_cannot_work_is_refused(
    call: Any,
    nano_onnx: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.jsonl").mkdir()
    given = [str(clip) if word == "CLIP" else word for word in words]
    code, _, err = call("track", clip, "--model", nano_onnx, *given)
    assert code == 2
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["folder.jsonl"]


def test_no_video_of_the_folder_that_is_read_is_written_over(
    call: Any, nano_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "clip.avi"
    copy.write_bytes(clip.read_bytes())
    code, _, err = call("track", tmp_path, "--model", nano_onnx, "--out", copy)
    assert (code, copy.read_bytes()) == (2, clip.read_bytes())
    assert f"is part of what is read: {tmp_path}" in err


@pytest.mark.skipif(sys.platform == "win32", reason="the limit of a file's size is POSIX's")
def test_a_video_that_a_full_disk_ate_is_not_called_written(
    run: Any, nano_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
        "from yolox_deploy.cli import main; main()"
    )
    out, lines = tmp_path / "out.avi", tmp_path / "lines.jsonl"
    done = run(
        *("track", clip, "--model", nano_onnx, "--out", out, "--save-json", lines, "--json"),
        command=[sys.executable, "-c", limited],
    )
    assert done.returncode == 2, done.stderr
    assert f"{out} was not written" in done.stderr
    figures = json.loads(done.stdout)
    assert (figures["out"], figures["save_json"]) == (None, str(lines))
    assert [path.name for path in tmp_path.iterdir()] == [lines.name]


def test_a_source_that_is_not_there_leaves_what_was_written_before(
    call: Any, nano_onnx: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text("from before\n")
    code, _, err = call("track", tmp_path / "none.mp4", "--model", nano_onnx, "--save-json", lines)
    assert code == 2
    assert "no video at" in err
    assert lines.read_text() == "from before\n"


@pytest.mark.parametrize("command", ["track", "stream"])
def test_a_video_that_breaks_off_is_an_error_once_the_rest_is_written(
    call: Any, nano_onnx: Path, clip: Path, tmp_path: Path, command: str
) -> None:
    cut, out = tmp_path / "cut.avi", tmp_path / "out.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size * 9 // 10])
    rate = ["--rate", 0] if command == "stream" else []
    code, text, err = call(command, cut, "--model", nano_onnx, "--out", out, "--json", *rate)
    assert code == 2
    assert err.count("cut.avi breaks off after 18 frames: ") == 1
    assert "error: " in err
    assert json.loads(text)
    assert len(list(video_frames(out))) >= 18


def test_a_camera_that_is_lost_is_an_error_and_keeps_what_was_written(
    run: Any, nano_onnx: Path, tmp_path: Path
) -> None:
    picture = cv2.imencode(".jpg", MovingScene(SCENE, seed=8).at(0.0)[0])[1].tobytes()
    out, lines = tmp_path / "out.avi", tmp_path / "out.jsonl"

    def broken(number: int) -> bytes:
        if number == 12:
            camera.unplug()
        return picture

    with LoopbackCamera(broken, rate=10) as camera:
        options = ("--out", out, "--save-json", lines, "--reconnect", 0.3, "--threads", 1, "--json")
        done = run("track", camera.address, "--model", nano_onnx, *options)
    assert done.returncode == 2
    assert f"error: {camera.address} was lost after" in done.stderr
    found = json.loads(done.stdout)["frames"]
    assert found > 0
    assert [len(rows(lines)), sum(1 for _ in video_frames(out)) > 0] == [found, True]
