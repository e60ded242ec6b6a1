"""`yolox-deploy stream`: what it writes and tells, how it ends, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import COMMAND
from yolox_deploy import Detector, cli, export
from yolox_deploy.benchmarks.studies.loopback import LoopbackCamera
from yolox_deploy.evaluation import streaming_ap
from yolox_deploy.streaming import read_record, read_records
from yolox_deploy.synthetic import MovingOptions, MovingScene, write_scenes
from yolox_deploy.synthetic.objects import CLASS_NAMES

SCENES = 12
SIZE = (96, 128)

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the package for generated scenes, exported small."""
    out = tmp_path_factory.mktemp("model") / "scenes.onnx"
    return export("yolox_nano", weights="scenes", imgsz=SIZE, out=out, verify=False).path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=1, val=SCENES, size=SIZE)


@pytest.fixture(scope="module")
def video(scenes: Path) -> Path:
    """The scenes at 20 frames a second."""
    path = scenes.parent / "scenes.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, SIZE[::-1])
    for picture in sorted((scenes / "val").iterdir()):
        writer.write(cv2.imread(str(picture)))
    writer.release()
    return path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `yolox-deploy stream ARGUMENTS` in this process: (exit code, standard output, standard error)."""

    def start(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["yolox-deploy", "stream", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return start


@pytest.fixture
def camera(scenes: Path) -> Iterator[LoopbackCamera]:
    """The scenes over and over, 20 a second."""
    jpegs = [picture.read_bytes() for picture in sorted((scenes / "val").iterdir())]
    with LoopbackCamera(lambda number: jpegs[number % SCENES], rate=20) as camera:
        yield camera


def count(path: Path) -> int:
    """Frames of a video that can be decoded."""
    capture = cv2.VideoCapture(str(path))
    found = 0
    while capture.read()[0]:
        found += 1
    capture.release()
    return found


def test_a_folder_becomes_a_video_a_record_and_figures(
    run: Any, model: Path, scenes: Path, tmp_path: Path
) -> None:
    out, events = tmp_path / "new" / "out.mp4", tmp_path / "events.jsonl"
    done = run(
        *("stream", scenes / "val", "--model", model, "--rate", 0, "--out", out, "--save-events", events),
        *("--threads", 1, "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["frames"] == {"appeared": SCENES, "answered": SCENES, "dropped": 0}
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert figures["age_ms"]["p95"] >= figures["latency_ms"]["p50"]
    assert count(out) == SCENES
    record = read_record(events)
    assert (record.source, record.frames, record.dropped) == (str(scenes / "val"), SCENES, 0)
    assert record.class_names == CLASS_NAMES
    assert record.model["backend"] == "onnxruntime"
    assert any(len(event.detections) for event in record.events)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "new"]


def test_a_video_is_played_at_its_own_rate_and_a_table_says_how_it_went(
    call: Call, model: Path, video: Path
) -> None:
    code, out, err = call(video, "--model", model, "--policy", "queue:20", "--threads", 1)
    assert (code, err) == (0, "")
    assert "queue:20" in out
    rows = dict(line.rsplit("  ", 1) for line in out.splitlines()[1:])
    values = {name.strip(): value.strip() for name, value in rows.items()}
    assert (values["frames appeared"], values["frames answered"]) == (str(SCENES), str(SCENES))
    assert len(values["latency p50 / p90 / p95 / p99, ms"].split(" / ")) == 4


KEYS = ["source", "frame_rate", "policy", "model", "out", "events", "seconds", "frames", "reconnects", "fps"]
KEYS += ["latency_ms", "age_ms"]


def test_the_figures_of_one_stream_have_the_keys_that_programs_read(
    call: Call, model: Path, scenes: Path
) -> None:
    code, out, _ = call(scenes / "val", "--model", model, "--rate", 0, "--json")
    found = json.loads(out)
    assert (code, list(found)) == (0, KEYS)
    assert list(found["model"]) == ["path", "backend", "precision", "device", "input_size", "conf", "iou"]


def test_several_streams_share_one_model_and_are_told_apart(
    run: Any, model: Path, scenes: Path, video: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for picture in sorted((scenes / "val").iterdir())[:3]:
        shutil.copy(picture, few)
    out, events = tmp_path / "out.mp4", tmp_path / "events.jsonl"
    done = run(
        *("stream", scenes / "val", few, few, video, "--model", model, "--rate", 0, "--threads", 1),
        *("--out", out, "--save-events", events, "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    names = [str(scenes / "val"), str(few), f"{few} (2)", str(video)]
    counts = [SCENES, 3, 3, SCENES]
    assert [each["source"] for each in found["sources"]] == names
    assert [each["frames"]["answered"] for each in found["sources"]] == counts
    assert [Path(each["out"]).name for each in found["sources"]] == [f"out_{i}.mp4" for i in (1, 2, 3, 4)]
    assert found["frames"] == {"appeared": sum(counts), "answered": sum(counts), "dropped": 0}
    assert list(found["sources"][0]) == [*KEYS[:3], "out", "error", *KEYS[6:]]
    assert [count(Path(each["out"])) for each in found["sources"]] == counts
    first, second, third, _ = read_records(events)
    assert [len(record.events) for record in (first, second, third)] == counts[:3]
    alone = json.loads(run("stream", few, "--model", model, "--rate", 0, "--json").stdout)
    assert alone["frames"]["answered"] == 3
    for ours, theirs in zip(second.events, first.events[:3], strict=True):
        assert np.array_equal(ours.detections.boxes, theirs.detections.boxes), "the same pictures"


def test_a_table_has_a_row_for_each_stream_and_one_for_all(
    call: Call, model: Path, scenes: Path, video: Path
) -> None:
    code, out, err = call(scenes / "val", video, "--model", model, "--rate", 0)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"1: {scenes / 'val'}, ")
    assert lines[1].startswith(f"2: {video}, ")
    rows = [line.split()[:4] for line in lines[-3:]]
    answered, everything = str(SCENES), str(2 * SCENES)
    assert rows[0] == ["1", answered, answered, "0"]
    assert rows[2] == ["all", everything, everything, "0"]


def test_a_camera_that_is_lost_does_not_end_the_others(
    model: Path, camera: LoopbackCamera, scenes: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    jpegs = [picture.read_bytes() for picture in sorted((scenes / "val").iterdir())]
    with LoopbackCamera(lambda number: jpegs[number % SCENES], rate=20, count=200) as second:
        process = start(
            *(camera.address, second.address, "--model", model, "--save-events", events, "--json"),
            *("--reconnect", 0.3, "--frames", 60),
        )
        wait_for(events.with_name("events.jsonl.part"), process)
        camera.unplug()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    warning, error = err.splitlines()
    assert warning.startswith(f"warning: {camera.address} was lost after")
    assert warning.endswith("; the other sources go on")
    assert error.startswith(f"error: {camera.address} was lost after")
    lost, kept = json.loads(out)["sources"]
    assert lost["error"].startswith(f"{camera.address} was lost")
    assert (kept["error"], kept["frames"]["appeared"]) == (None, 60)
    assert [record.frames for record in read_records(events)] == [lost["frames"]["appeared"], 60]


def test_only_some_classes_and_in_tiles(call: Call, model: Path, scenes: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    stream = (scenes / "val", "--model", model, "--rate", 0, "--save-events", events, "--json")
    assert call(*stream)[0] == 0
    everything = [item.class_id for event in read_record(events).events for item in event.detections]
    chosen = max(set(everything), key=everything.count)
    assert len(set(everything)) > 1
    code, out, err = call(*stream, "--only", CLASS_NAMES[chosen], "--max-detections", 50)
    assert code == 0, err
    kept = [item.class_id for event in read_record(events).events for item in event.detections]
    assert kept == [class_id for class_id in everything if class_id == chosen]
    assert json.loads(out)["model"]["classes"] == [chosen]
    code, out, err = call(*stream, "--tiles", "64", "--overlap", 0.3)
    assert code == 0, err
    assert json.loads(out)["model"]["tiles"] == [64, 64]
    code, _, err = call(*stream, "--only", "elefant")
    assert code == 2
    assert "elefant" in err


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two videos of things that move."""
    folder = tmp_path_factory.mktemp("walks")
    for seed in (1, 2):
        options = MovingOptions(objects=4, pillars=0, speed=0.1, size=(240, 320))
        MovingScene(options, seed=seed).write(folder / f"{seed}.avi", seconds=2, frame_rate=15)
    return [folder / "1.avi", folder / "2.avi"]


def test_objects_of_each_stream_get_identities_of_their_own(
    run: Any, model: Path, walks: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("trackers")
    events, out = tmp_path / "events.jsonl", tmp_path / "out.avi"
    done = run(
        *("stream", *walks, "--model", model, "--rate", 0, "--track", "--save-events", events),
        *("--threads", 1, "--out", out),
    )
    assert (done.returncode, done.stderr) == (
        0,
        f"out: {out.with_name('out_1.avi')}\nout: {out.with_name('out_2.avi')}\nevents: {events}\n",
    )
    with Detector(model, threads=1) as detector:
        for walk, record in zip(walks, read_records(events), strict=True):
            alone = [result.detections for result in detector.track(walk)]
            assert len(alone) == len(record.events) == 30
            for expected, event in zip(alone, record.events, strict=True):
                found = event.detections
                assert found.track_ids is not None
                assert expected.track_ids is not None
                assert found.track_ids.tolist() == expected.track_ids.tolist()
                assert np.allclose(found.boxes, expected.boxes, atol=1e-4)
            last = record.events[-1].detections.track_ids
            assert last is not None
            assert last.max() >= 1
    assert count(out.with_name("out_1.avi")) == 30


def test_trails_are_drawn_unless_they_have_no_length(
    call: Call, model: Path, walks: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("trackers")
    pictures = {}
    for trail in (0, 5):
        out = tmp_path / f"{trail}.avi"
        stream = (walks[1], "--model", model, "--rate", 0, "--out", out, "--track", "--trail", trail)
        assert call(*stream)[0] == 0
        pictures[trail] = last_picture(out)[:-27]  # without the line of figures
    different = np.abs(pictures[0].astype(int) - pictures[5]).max(axis=2) > 60
    assert 20 < different.sum() < different.size / 10


def last_picture(path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    found = None
    while (read := capture.read())[0]:
        found = read[1]
    capture.release()
    assert found is not None
    return found


def test_an_annotated_sequence_is_scored_as_its_record_is(
    call: Call, model: Path, scenes: Path, tmp_path: Path
) -> None:
    annotations, events = scenes / "annotations" / "instances_val.json", tmp_path / "events.jsonl"
    code, out, err = call(
        *(scenes / "val", "--annotations", annotations, "--model", model, "--rate", 10, "--conf", 0.01),
        *("--save-events", events, "--threads", 1, "--json"),
    )
    assert code == 0, err
    found = json.loads(out)["streaming_ap"]
    assert found["frames"] == SCENES
    assert found == streaming_ap(annotations, events, frame_rate=10)


def test_one_of_several_sequences_is_named(call: Call, model: Path, scenes: Path, tmp_path: Path) -> None:
    content = json.loads((scenes / "annotations" / "instances_val.json").read_text())
    for index, image in enumerate(content["images"]):
        image |= {"sid": index // 8, "fid": index % 8}
    both = {**content, "sequences": ["day", "night"], "seq_dirs": [".", "."]}
    file = tmp_path / "both.json"
    file.write_text(json.dumps(both))
    arguments = (scenes / "val", "--annotations", file, "--model", model, "--rate", 30, "--json")
    code, _, err = call(*arguments)
    assert code == 2
    assert "name one by --sequence: day, night" in err
    code, out, err = call(*arguments, "--sequence", "night")
    assert code == 0, err
    found = json.loads(out)
    assert (found["source"], found["frames"]["appeared"], found["streaming_ap"]["frames"]) == ("night", 4, 4)


def test_a_lost_camera_comes_back_and_is_counted(model: Path, camera: LoopbackCamera, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    process = start(camera.address, "--model", model, "--save-events", events, "--frames", 60, "--json")
    wait_for(events.with_name("events.jsonl.part"), process)
    camera.unplug()
    time.sleep(0.5)
    camera.plug()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    found = json.loads(out)
    assert found["reconnects"] == 1
    assert found["frames"]["appeared"] == 60
    assert read_record(events).frames == 60


def test_a_camera_that_stays_away_is_an_error_and_keeps_what_was_written(
    model: Path, camera: LoopbackCamera, tmp_path: Path
) -> None:
    events, out = tmp_path / "events.jsonl", tmp_path / "out.avi"
    options = ("--model", model, "--save-events", events, "--out", out, "--reconnect", 0.3)
    process = start(camera.address, *options)
    wait_for(events.with_name("events.jsonl.part"), process)
    camera.unplug()
    printed, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"error: {camera.address} was lost after" in err
    assert "did not come back within 0.3 s" in err
    assert "frames answered" in printed
    assert count(out) > 0
    assert read_record(events).frames > 0


def test_without_patience_the_end_of_a_camera_is_the_end_of_the_stream(call: Call, model: Path) -> None:
    with LoopbackCamera(lambda number: jpeg(), rate=50, count=10) as camera:
        code, printed, err = call(camera.address, "--model", model, "--reconnect", 0, "--json")
    assert (code, err) == (0, "")
    assert json.loads(printed)["frames"]["appeared"] == 10


def jpeg() -> bytes:
    success, data = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))
    assert success
    return data.tobytes()


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "stream", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the record holds a few answers."""
    deadline = time.monotonic() + 60
    while not path.is_file() or path.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_stream_leaves_whole_files_and_says_how_it_went(
    model: Path, camera: LoopbackCamera, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    events, out = tmp_path / "events.jsonl", tmp_path / "out.mp4"
    process = start(
        *(camera.address, "--model", model, "--save-events", events, "--out", out, "--threads", 1)
    )
    wait_for(tmp_path / "events.jsonl.part", process)
    process.send_signal(number)
    printed, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "frames answered" in printed
    record = read_record(events)
    assert 0 < len(record.events) <= record.frames
    assert count(out) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "out.mp4"]


def test_several_that_are_interrupted_leave_whole_files(
    model: Path, camera: LoopbackCamera, scenes: Path, tmp_path: Path
) -> None:
    events, out = tmp_path / "events.jsonl", tmp_path / "out.avi"
    process = start(
        *(camera.address, camera.address, scenes / "val", "--model", model, "--rate", 2, "--threads", 1),
        *("--save-events", events, "--out", out, "--json"),
    )
    wait_for(tmp_path / "events.jsonl.part", process)
    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    found = json.loads(printed)["sources"]
    assert [each["source"] for each in found] == [
        *(camera.address, f"{camera.address} (2)", str(scenes / "val"))
    ]
    for each, record in zip(found, read_records(events), strict=True):
        assert each["frames"]["answered"] == len(record.events)
        assert (each["out"] is not None) == bool(record.events)
    assert not list(tmp_path.glob("*.part*"))


def test_a_video_that_cannot_be_made_is_not_announced(call: Call, model: Path, tmp_path: Path) -> None:
    picture, out, events = tmp_path / "one.png", tmp_path / "one.mp4", tmp_path / "one.jsonl"
    assert cv2.imwrite(str(picture), np.zeros((1, 1, 3), np.uint8))
    code, printed, err = call(picture, "--model", model, "--rate", 0, "--out", out, "--save-events", events)
    assert (code, out.exists()) == (2, False)
    assert "2x2 pixels" in err
    assert str(out) not in printed


def test_rates_whose_footage_would_be_endless_are_refused(call: Call, model: Path) -> None:
    code, _, err = call("scenes", "--model", model, "--sweep", "--rate", "23,24,25,30")
    assert code == 2
    assert "13800 frames a second" in err


def test_a_picture_of_another_size_in_the_middle(call: Call, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, size in enumerate([(48, 64), (96, 64), (48, 64), (1, 500)]):
        assert cv2.imwrite(str(folder / f"{index}.png"), np.full((*size, 3), 128, np.uint8))
    out = tmp_path / "out.mp4"
    code, _, err = call(folder, "--model", model, "--rate", 0, "--out", out)
    assert code == 0, err
    assert count(out) == 4


def test_a_broken_picture_ends_the_stream_by_name(call: Call, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        assert cv2.imwrite(str(folder / f"{index}.png"), np.zeros((48, 64, 3), np.uint8))
    (folder / "2.png").write_bytes(b"broken")
    out = tmp_path / "out.mp4"
    code, printed, err = call(folder, "--model", model, "--rate", 0, "--out", out)
    assert code == 2
    assert "2.png" in err
    assert "frames answered" in printed
    assert count(out) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.mp4",), "no video at missing.mp4"),
        (("missing",), "no picture or video at missing"),
        (("empty",), "no picture or video at empty"),
        (("broken.mp4",), "broken.mp4 is a text"),
        (("http://127.0.0.1:9/none.mjpg",), "http://127.0.0.1:9/none.mjpg cannot be opened"),
        (("photo.png", "--policy", "oldest"), "no policy 'oldest'"),
        (("photo.png", "--out", "out.gif"), "out.gif ends with '.gif'; expected a video: .mp4"),
        (("photo.png", "--out", "broken.mp4/out.mp4"), "broken.mp4/out.mp4 cannot be written"),
        (("photo.png", "--save-events", "broken.mp4/e.jsonl"), "cannot be written"),
        (("photo.png", "--save-events", "empty"), "empty is a folder"),
        (("broken.mp4", "--out", "broken.mp4"), "broken.mp4 is the stream to read"),
        ((".", "--out", "broken.mp4"), "--out broken.mp4 is part of what is read: ."),
        (("photo.png", "*.mp4", "--save-events", "broken.mp4"), "broken.mp4 is part of what is read: *.mp4"),
        (("photo.png", "--out", "o.mp4", "--save-events", "o.mp4"), "o.mp4 is where --out o.mp4 is written"),
        (("photo.png", "--annotations", "missing.json"), "no annotation file at missing.json"),
        (("photo.png", "--annotations", "photo.png"), "photo.png is not JSON"),
        (("empty", "--annotations", "none.json", "--rate", 0), "--annotations needs a rate"),
        (("empty", "--annotations", "none.json", "--frames", 9), "leave --frames and --seconds out"),
        (("empty", "photo.png", "--annotations", "none.json"), "--annotations scores one stream, found 2"),
        (("photo.png", "--trail", 0), "--trail needs --track"),
        (("photo.png", "--lost", 3), "--lost needs --track"),
        (("photo.png", "missing"), "no picture or video at missing"),
        (("photo.png", "http://127.0.0.1:9/none.mjpg"), "none.mjpg cannot be opened"),
        (("photo.png", "--rate", -1), "--rate"),
        (("photo.png", "--frames", 0), "--frames"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_left(
    call: Call,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    assert cv2.imwrite("photo.png", np.zeros((48, 64, 3), np.uint8))
    code, out, err = call(*arguments, "--model", model)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "empty", "photo.png"]


def test_a_model_that_is_none_is_refused_before_files_are_begun(
    call: Call, scenes: Path, tmp_path: Path
) -> None:
    code, _, err = call(scenes / "val", "--model", tmp_path / "none.onnx", "--out", tmp_path / "out.mp4")
    assert code == 4
    assert "none.onnx" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a screen is taken away by DISPLAY")
def test_a_window_without_a_screen_is_refused_in_words(
    run: Any, model: Path, scenes: Path, tmp_path: Path
) -> None:
    done = run(
        *("stream", scenes / "val", "--model", model, "--show", "--out", tmp_path / "out.mp4"),
        DISPLAY="",
        WAYLAND_DISPLAY="",
        QT_QPA_PLATFORM="",
    )
    assert done.returncode == 2
    assert "error: --show: there is no screen" in done.stderr
    assert list(tmp_path.iterdir()) == []


SWEEP = ("scenes", "--sweep", "--rate", "5,10", "--pictures", 2, "--seconds", 1, "--threads", 1)


def test_a_sweep_prints_tables_and_writes_a_picture_with_json(
    call: Call, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "sweep.png"
    code, printed, err = call(*SWEEP, "--model", model, "--out", out)
    assert code == 0, err
    assert "5 frames a second (200 ms a frame)" in printed
    assert "\n10 FPS: yolox_nano onnxruntime fp32 96x128, streaming AP " in printed
    assert cv2.imread(str(out)) is not None
    saved = json.loads(out.with_suffix(".json").read_text())
    assert [row["frame_rate"] for row in saved["rows"]] == [5, 10]
    assert [row["frames"] for row in saved["rows"]] == [10, 20]


def test_a_sweep_as_json_names_the_best(call: Call, model: Path) -> None:
    code, printed, err = call(*SWEEP, "--model", model, "--json")
    assert code == 0, err
    found = json.loads(printed)
    assert set(found["best"]) == {"5", "10"}
    assert len(found["verdicts"]) == 2
    assert "milliseconds" not in found["detectors"][0]


def test_a_sweep_takes_still_pictures_with_annotations(call: Call, model: Path, scenes: Path) -> None:
    annotations = scenes / "annotations" / "instances_val.json"
    options = ("--model", model, "--pictures", 1, "--seconds", 0.5, "--rate", 10, "--json")
    code, printed, err = call(scenes / "val", "--sweep", "--annotations", annotations, *options)
    assert code == 0, err
    assert json.loads(printed)["rows"][0]["frames"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("folder", "--sweep"), "name those of folder by --annotations, or give 'scenes'"),
        (("scenes", "--sweep", "--show"), "--show is for a live stream"),
        (("scenes", "--sweep", "--only", "car"), "--only is for a live stream"),
        (("scenes", "--sweep", "--track"), "--track is for a live stream"),
        (("scenes", "more", "--sweep"), "--sweep replays the pictures of one source, found 2"),
        (("scenes", "--sweep", "--out", "out.mp4"), "expected the name of a picture, .png"),
        (("scenes", "--sweep", "--backend", "onnxruntime"), "are for names of the zoo"),
        (("scenes", "--sweep", "--rate", "0,10"), "above 0"),
        (("scenes", "--sweep", "--annotations", "none.json"), "no annotation file at none.json"),
        (("folder", "--rate", "10,30"), "one stream has one model and one rate"),
        (("folder", "--rate", "fast"), "--rate fast: expected frames a second"),
        (("folder", "--rate", "1e9"), "--rate 1e9: expected frames a second up to 1000"),
        (("folder", "--rate", "nan"), "--rate nan: expected frames a second"),
        (("folder", "--imgsz", "320"), "takes images of 96x128 only"),
        (("folder", "--weights", "a.pth"), "--weights is for --sweep"),
        (("folder", "--forecast"), "--forecast and --sequence need --annotations"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    call: Call, model: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = call(*arguments, "--model", model)
    assert (code, out) == (2, "")
    assert message in err
