"""The commands as people run them: real processes, their output and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
import pytest

import yolox_deploy
from tests.brief import shorten
from tests.conftest import BRIEF
from yolox_deploy import export
from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo
from yolox_deploy.cli.common import parse_size, read_class_names
from yolox_deploy.cli.predict_sources import Names
from yolox_deploy.errors import GateError, InputError, UsageError
from yolox_deploy.models import ZOO
from yolox_deploy.runtimes import registry
from yolox_deploy.types import InputConvention

COMMANDS = (
    *("predict", "track", "stream"),
    *("export", "migrate", "inspect", "models", "doctor", "demo"),
    *("eval", "bench", "tune"),
    *("train", "convert", "scenes"),
    *("ablate", "assign", "priors"),
)
FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]  # one object of class 1, whatever the picture

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def toy(toy_model: Any, tmp_path: Path) -> Path:
    """A model file that finds one object in any picture."""
    path: Path = toy_model(tmp_path / "toy.onnx", FOUND)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_installed_command_prints_its_version() -> None:
    command = Path(sys.executable).with_name("yolox-deploy")
    if not command.is_file():
        pytest.skip("the package is not installed here, only importable")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"yolox-deploy {yolox_deploy.__version__}\n"


def test_the_package_runs_as_a_module(run: Any) -> None:
    done = run("--version", command=[sys.executable, "-m", "yolox_deploy"])
    assert (done.returncode, done.stdout) == (0, f"yolox-deploy {yolox_deploy.__version__}\n")


def test_predict_annotates_pictures_and_writes_json(
    run: Any, nano_onnx: Path, scene_data: dict[str, Path], scene_pictures: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "annotated"
    arguments = ["--model", nano_onnx, "--out", out, "--save-json", tmp_path / "new" / "found.json", "--json"]
    done = run("predict", scene_data["images"], *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "new" / "found.json").read_text())
    assert [Path(record["image"]).name for record in printed["images"]] == [p.name for p in scene_pictures]
    assert printed["failures"] == []
    assert names_in(out) == [path.name for path in scene_pictures]
    name = scene_pictures[0].name
    before, after = (cv2.imread(str(folder / name)) for folder in (scene_data["images"], out))
    assert before is not None
    assert after is not None
    assert after.shape == before.shape
    assert (after != before).any()
    found = [item["class_name"] for record in printed["images"] for item in record["detections"]]
    content = json.loads(scene_data["annotations"].read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert {names[row["category_id"]] for row in content["annotations"]} <= set(found)


def test_predict_gives_a_model_of_four_channels_the_fourth(
    call: Any, toy_model: Any, picture: Path, tmp_path: Path
) -> None:
    """A box of the whole height whose score is the mean of the four channels: 0.15 of the fourth alone."""
    names = ("cat", "dog", "bird")
    info = ArtifactInfo("toy", names, (64, 96), input=InputConvention(color_order="BGRA"))
    form = {"lit": [30], "channels": 4, "metadata": {METADATA_KEY: info.to_json()}}
    model = toy_model(tmp_path / "four.onnx", [(30, [0.5, 0.5, 2, 2, 0, 1])], **form)
    seen = tmp_path / "seen.png"
    cv2.imwrite(str(seen), np.full((64, 96, 4), (0, 0, 0, 153), np.uint8))
    options = ["--model", model, "--out", tmp_path / "out", "--conf", 0.1]
    code, out, err = call("predict", seen, picture, *options)
    assert f"{seen}: 1 cat" in out
    assert (code, err.count(f"{picture} has no fourth channel")) == (2, 1)
    drawn = cv2.imread(str(tmp_path / "out" / "seen.png"), cv2.IMREAD_UNCHANGED)
    assert drawn.shape == (64, 96, 3)
    assert drawn.any()


def test_predict_does_the_others_where_some_cannot_be_read(
    run: Any, toy: Path, picture: Path, tmp_path: Path
) -> None:
    (picture.parent / "broken.jpg").write_bytes(picture.read_bytes()[:100])
    cv2.imwrite(str(picture.parent / "pixel.png"), np.zeros((1, 1, 3), np.uint8))
    done = run("predict", picture.parent, "--model", toy, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "error: 1 of 3 pictures could not be read: " in done.stderr
    assert "broken.jpg" in done.stderr
    assert f"{picture}: 1 class_1" in done.stdout
    assert names_in(tmp_path / "out") == ["picture.png", "pixel.png"]


def test_eval_prints_figures(run: Any, toy: Path, picture: Path, tmp_path: Path) -> None:
    categories = [{"id": i, "name": f"class_{i}"} for i in range(3)]
    found = {
        "id": 1,
        "image_id": 9,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [23.9, 7.9, 32.2, 32.2],
        "area": 1037,
    }
    images = [{"id": 9, "file_name": picture.name, "width": 192, "height": 128}]
    annotations = tmp_path / "instances.json"
    annotations.write_text(json.dumps({"images": images, "categories": categories, "annotations": [found]}))
    arguments = ["--images", picture.parent, "--annotations", annotations]
    done = run("eval", toy, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["AP"] == pytest.approx(1)
    assert (figures["APs"], figures["APl"]) == (-1, -1)
    assert (figures["backend"], figures["precision"], figures["model"]) == ("onnxruntime", "fp32", str(toy))
    (tmp_path / "names.txt").write_text("cat\ndog\nbird\n")
    done = run("eval", toy, *arguments, "--names", tmp_path / "names.txt", "--json")
    assert json.loads(done.stdout)["AP"] == pytest.approx(1)
    assert done.stderr.startswith("warning: the model has no class 'class_0'")


def test_doctor_reports_backends_and_tools(run: Any) -> None:
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    backends = {row["name"]: row for row in report["backends"]}
    assert backends["onnxruntime"]["state"] == "ready"
    assert all(row["state"] in ("ready", "not installed", "cannot run") for row in backends.values())
    assert all(row["here"] for row in backends.values())
    assert "torch" in {row["name"] for row in report["tools"]}


@pytest.mark.slow
def test_demo_does_the_main_job_on_every_backend(run: Any, tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path, command=BRIEF)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout
    assert "knows" in done.stdout, "it says what the embedded model is"
    assert "e2e: decoded image to detections" in done.stdout
    pictures = [f"scene_{number}.jpg" for number in range(1, 7)]
    assert set(pictures) <= set(names_in(tmp_path / "demo"))
    for backend, suffix in (("onnxruntime", ".onnx"), ("openvino", ".xml"), ("ncnn", ".param")):
        row = next(line for line in done.stdout.splitlines() if line.startswith(backend))
        assert f"yolox_nano{suffix}" in row
        assert "< 0.001" in row
        assert f"yolox_nano {backend} fp32" in done.stdout


def test_demo_fails_where_a_file_is_not_equal(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is shown; then the exit code of the gate."""
    exported = export

    def refuse_onnx(model: str, target: str, **options: Any) -> Any:
        if target == "onnx":
            raise GateError("largest error 3.2, limit 0.001")
        return exported(model, target, **options)

    kept = [entry for entry in registry.BUILT_IN if entry.name in ("onnxruntime", "openvino")]
    monkeypatch.setattr("yolox_deploy.benchmarks.ways.entries", lambda: kept)
    monkeypatch.setattr("yolox_deploy.exporter.pipeline.export", refuse_onnx)
    shorten(monkeypatch)
    code, out, err = call("demo", "--out", tmp_path / "demo")
    assert code == 5
    assert "largest error 3.2" in err
    assert "left out" in out
    assert "found by openvino" in out


def test_a_missing_system_library_is_named_with_its_package(
    call: Call, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("yolox_deploy.cli.predict_sources.survey", broken)
    code, _, err = call("predict", picture, "--model", "any.onnx")
    assert code == 3
    assert "libGL.so.1" in err
    assert "apt-get install -y libgl1" in err


def test_demo_takes_weights_and_shows_photographs(
    call: Call,
    coco_nano_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = [entry for entry in registry.BUILT_IN if entry.name == "onnxruntime"]
    monkeypatch.setattr("yolox_deploy.benchmarks.ways.entries", lambda: only)
    shorten(monkeypatch)
    code, out, err = call("demo", "--weights", coco_nano_weights, "--out", tmp_path / "demo")
    assert code == 0, err
    assert names_in(tmp_path / "demo") == ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "onnx"]
    assert "knows" not in out
    assert "1 person" in out
    assert "1 cat" in out


def test_a_mistake_of_ours_is_one_message_and_a_file(
    call: Call, toy: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object, **__: object) -> None:
        raise TypeError("nobody thought of that")

    monkeypatch.setattr("yolox_deploy.detector.to_detections", mistaken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = call("predict", picture, "--model", toy, "--no-images")

    assert code == 1
    assert "error: internal error: TypeError: nobody thought of that" in err
    assert "Traceback" not in err
    (kept,) = tmp_path.glob("yolox-deploy-*.txt")
    assert str(kept) in err
    assert "in mistaken" in kept.read_text()


@pytest.mark.parametrize("option", ["--imgsz", "--batch", "--size-range", "--compute-capability"])
def test_a_number_of_thousands_of_digits_is_refused(call: Call, option: str) -> None:
    code, _, err = call("export", "yolox_nano", "--weights", "random", option, "9" * 5000)
    assert code == 2
    assert "expected" in err


def test_a_lack_of_memory_is_told(
    call: Call, toy: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 9.31 GiB")

    monkeypatch.setattr("yolox_deploy.detector.to_detections", large)
    code, _, err = call("predict", picture, "--model", toy, "--no-images")

    assert code == 1
    assert "there is not enough memory: Unable to allocate 9.31 GiB" in err


def test_an_interrupted_export_exits_130_and_leaves_nothing(tmp_path: Path) -> None:
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        code, err = interrupted_export(folder)
        # Python drops a KeyboardInterrupt that arrives inside a destructor, and torch has many: once more then.
        if "Exception ignored in" not in err:
            break
    assert code == 130, err
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []


def interrupted_export(folder: Path) -> tuple[int, str]:
    """Send Ctrl-C to an export while it works in `folder`; its exit code and standard error."""
    arguments = [
        "export",
        "yolox_nano",
        "--weights",
        "random",
        "--imgsz",
        "64",
        "--out",
        str(folder / "a.onnx"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "from yolox_deploy.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Past torch's own imports, in which Ctrl-C is not safe.
        deadline = time.monotonic() + 60
        while not list(folder.glob(".*.tmp/**/*.onnx")) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, err


def test_a_terminated_command_exits_143_and_leaves_no_half_picture(
    toy: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["predict", *[str(picture)] * 3000, "--model", str(toy), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from yolox_deploy.cli import main; main()", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not out.is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert b"Traceback" not in err
    for written in out.iterdir():
        assert not written.name.endswith(".tmp")
        assert cv2.imread(str(written)) is not None, written


def test_names_are_read_as_any_list(call: Call, toy: Path, picture: Path, tmp_path: Path) -> None:
    """Also as Windows writes them, and a pointer's three lines are no names of three classes."""
    names = tmp_path / "names.txt"
    options = ("predict", picture, "--model", toy, "--no-images", "--names", names)
    names.write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\nbird\r\n")
    assert call(*options)[:2] == (0, f"{picture}: 1 dog\n")
    names.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")
    code, _, err = call(*options)
    assert (code, err) == (
        2,
        f"error: class names: {names} is a Git LFS pointer, not a text: fetch the file itself with: git lfs pull\n",
    )


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "TOY", "--images", "VIDEO"),
        ("inspect", "TOY", "--images", "*.avi"),
        ("eval", "TOY", "--images", "VIDEO", "--annotations", "any.json"),
        ("export", "yolox_nano", "--weights", "random", "--images", "VIDEO"),
        ("export", "yolox_nano", "--weights", "random", "--to", "openvino", "--int8", "--calib", "VIDEO"),
        ("bench", "TOY", "--quick", "--images", "VIDEO"),
        ("tune", "TOY", "--images", "VIDEO"),
        ("assign", "VIDEO", "--weights", "any.pth", "--box", "0,1,1,9,9"),
    ],
    ids=" ".join,
)
def test_a_video_where_pictures_are_expected_says_how_to_get_them(
    call: Call,
    toy: Path,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*({"TOY": toy, "VIDEO": video}.get(word, word) for word in words))
    assert (code, out) == (2, ""), err
    assert "a video; expected pictures" in err
    assert f"ffmpeg -i '{video if 'VIDEO' in words else video.name}' -vf fps=1 pictures/%06d.jpg" in err
    assert names_in(tmp_path) == ["a video.avi", "toy.onnx"]


@pytest.mark.parametrize("words", [("--classes", "person"), ("--classes=person",), ("--names", "person")])
def test_class_names_where_a_file_of_them_is_meant_give_the_command_that_keeps_them(
    call: Call, toy: Path, picture: Path, words: tuple[str, ...]
) -> None:
    option = words[0].split("=")[0]
    code, _, err = call("predict", picture, "--model", toy, "--no-images", *words)
    assert code == 2
    assert f"error: {option} names a text file with one class name a line" in err
    assert f"yolox-deploy predict {picture} --model {toy} --no-images --only person\n" in err
    code, _, err = call("inspect", toy, *words)
    assert (code, "predict, stream, track take --only person" in err) == (2, True)
    code, _, err = call("inspect", toy, option, "people.txt")
    assert (code, err) == (2, "error: class names: cannot read people.txt: No such file or directory\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(call: Call, command: str) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0
    assert "Usage: " in out


@pytest.mark.parametrize(
    "command", sorted({*COMMANDS} - {"migrate", "models", "doctor", "convert", "scenes", "priors"})
)
def test_every_command_that_opens_a_model_can_be_quiet(call: Call, command: str) -> None:
    assert "--quiet" in call(command, "--help")[1]


def test_help_lists_the_commands_and_exit_codes(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    panels = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert panels == ["Options:", "Use:", "Prepare:", "Measure:", "Train:", "The paper:"]
    assert "5 parity or accuracy gate" in " ".join(out.split())
    assert "..." not in out.partition("Use:")[2]


def test_models_counts_the_zoo(call: Call) -> None:
    code, out, _ = call("models", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["name"] for row in rows] == list(ZOO)
    assert all(row["parameters"] > 0 and row["gflops"] > 0 and row["published"] for row in rows)


def test_models_as_a_table_needs_no_torch(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = call("models")
    assert code == 0
    assert all(name in out for name in ZOO)
    assert "not counted: torch cannot be imported" in err


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["nothing"]),
        (2, ["predict"]),
        (2, ["predict", "PICTURE"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--conf", "2"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--conf", "much"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--threads", "0"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--backend", "onnxrt"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--device", "gpu0"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--classes", "PICTURE"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--names", "missing.txt"]),
        (2, ["predict", "missing.jpg", "--model", "TOY"]),
        (2, ["predict", "missing-*.jpg", "--model", "TOY"]),
        (2, ["predict", "PICTURE", "--model", "TOY", "--out", "TOY"]),
        (4, ["predict", "PICTURE", "--model", "missing.onnx"]),
        (4, ["predict", "PICTURE", "--model", "BROKEN"]),
        (4, ["predict", "PICTURE", "--model", "PICTURE"]),
        (4, ["predict", "PICTURE", "--model", "FOLDER"]),
        (2, ["eval", "TOY", "--images", "FOLDER", "--annotations", "missing.json"]),
        (2, ["eval", "TOY", "--images", "FOLDER", "--annotations", "PICTURE"]),
        (4, ["eval", "missing.onnx", "--images", "FOLDER", "--annotations", "missing.json"]),
        (2, ["export", "--to", "tensorflow"]),
        (2, ["export", "yolox_nono", "--weights", "random"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--imgsz", "100"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--imgsz", "big"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--batch", "many"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--batch", "²"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--fp16", "--int8"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--int8"]),
        (2, ["export", "yolox_nano", "--weights", "random", "--out", "TOY/nano.onnx"]),
        (4, ["export", "yolox_nano", "--weights", "missing.pth"]),
        (4, ["export", "--weights", "BROKEN"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_goes_wrong_has_a_code_and_one_message(
    call: Call,
    toy: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    arguments: list[str],
) -> None:
    (tmp_path / "broken.onnx").write_bytes(toy.read_bytes()[:300])
    (tmp_path / "empty folder").mkdir()
    monkeypatch.chdir(tmp_path)
    files = {
        "TOY": toy,
        "PICTURE": picture,
        "BROKEN": tmp_path / "broken.onnx",
        "FOLDER": tmp_path / "empty folder",
    }
    filled = [str(files.get(word, word)).replace("TOY", str(toy)) for word in arguments]
    before = names_in(tmp_path)
    found, out, err = call(*filled)
    assert found == code, err
    assert "rror: " in err
    assert "Traceback" not in err
    assert out == ""
    assert names_in(tmp_path) == before, "nothing may be left behind"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["export", "../my nano.pth", "--to", "ncnn"],
            "For a checkpoint: yolox-deploy export --weights '../my nano.pth' --to ncnn\n",
        ),
        (
            ["export", "a.onnx", "--to", "openvino"],
            "a.onnx is a model file, and files are exported from checkpoints",
        ),
        (["export", "a.pth", "--weights", "random"], "a checkpoint is given by --weights a.pth"),
        (["train", "--model", "a.pth", "--data", "data"], "a checkpoint is given by --weights a.pth"),
        (
            ["predict", "nano.onnx", "--model", "a.JPG", "--conf", "0.5"],
            "exchange them: yolox-deploy predict a.JPG --model nano.onnx --conf 0.5\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_file_in_the_wrong_place_is_told_the_right_one(
    call: Call, arguments: list[str], message: str
) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_missing_extra_exits_3_with_the_command_that_brings_it(
    call: Call, toy: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = call("predict", picture, "--model", toy, "--backend", "onnxruntime")
    assert code == 3
    assert "pip install 'yolox-deploy[onnxruntime]'" in err


def test_eval_without_its_extra_exits_3(
    call: Call, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    code, _, err = call("eval", toy, "--images", tmp_path, "--annotations", tmp_path / "a.json")
    assert code == 3
    assert "pip install 'yolox-deploy[eval]'" in err


def test_doctor_says_how_to_get_what_is_missing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, out, _ = call("doctor", "--json")
    assert code == 0
    (row,) = [row for row in json.loads(out)["backends"] if row["name"] == "onnxruntime"]
    assert (row["state"], row["here"]) == ("not installed", "pip install 'yolox-deploy[onnxruntime]'")


def test_a_picture_without_objects_is_no_error(
    call: Call, toy_model: Any, picture: Path, tmp_path: Path
) -> None:
    empty = toy_model(tmp_path / "empty.onnx")
    code, out, err = call("predict", picture, "--model", empty, "--out", tmp_path / "out")
    assert code == 0, err
    assert out == f"{picture}: nothing found\n"
    assert names_in(tmp_path / "out") == ["picture.png"]


def test_predict_without_pictures_to_write(call: Call, toy: Path, picture: Path, tmp_path: Path) -> None:
    code, out, _ = call(
        "predict", picture, "--model", toy, "--no-images", "--out", tmp_path / "out", "--json"
    )
    assert code == 0
    assert len(json.loads(out)["images"][0]["detections"]) == 1
    assert not (tmp_path / "out").exists()


def test_predict_never_writes_over_its_sources(call: Call, toy: Path, picture: Path) -> None:
    before = picture.read_bytes()
    code, _, err = call("predict", picture, "--model", toy, "--out", picture.parent)
    assert code == 2
    assert "is one of the pictures to read, and results are written to" in err
    assert picture.read_bytes() == before


def test_class_names_come_from_a_file(call: Call, toy: Path, picture: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\n\n  dog \nbird\n", encoding="utf-8")
    for option in ("--names", "--classes"):  # its name before 0.2
        code, out, _ = call("predict", picture, "--model", toy, "--no-images", option, names)
        assert code == 0
        assert out == f"{picture}: 1 dog\n"


@pytest.mark.parametrize("name", ["scan.pgm", "no_suffix", "UPPER.JPG"])
def test_a_picture_is_annotated_in_a_format_that_can_be_written(
    call: Call, toy: Path, picture: Path, tmp_path: Path, name: str
) -> None:
    source = picture.with_name(name)
    source.write_bytes(picture.read_bytes())
    code, _, err = call("predict", source, "--model", toy, "--out", tmp_path / "out")
    assert code == 0, err
    (written,) = (tmp_path / "out").iterdir()
    assert written.stem.startswith(source.stem)
    assert cv2.imread(str(written)) is not None


def test_data_of_12_bits_in_16_is_warned_of_once(call: Call, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "camera"
    folder.mkdir()
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 4096 - number, (64, 96), np.uint16)
        cv2.imwrite(str(folder / f"{number}.png"), values)
    code, _, err = call("predict", folder, "--model", toy, "--no-images")
    assert code == 0, err
    assert err.count("has no value above 4095: it is read as 12-bit data") == 1


def test_pictures_of_the_same_name_do_not_overwrite_each_other() -> None:
    names = Names(several=True)
    given = [
        str(names(PurePath(name))) for name in ("x.png", "x_2.png", "x.png", "X.PNG", "y.gif", "z", "v.webm")
    ]
    assert given == ["x.png", "x_2.png", "x_3.png", "X_4.PNG", "y.gif.png", "z.png", "v.webm.mp4"]


def test_a_folder_that_cannot_be_written_is_one_message(call: Call, toy: Path, picture: Path) -> None:
    code, _, err = call("predict", picture, "--model", toy, "--out", toy / "below a file")
    assert code == 2
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("text", "size"), [(None, None), ("640", (640, 640)), ("480x640", (480, 640)), ("480,640", (480, 640))]
)
def test_sizes_are_height_by_width(text: str | None, size: tuple[int, int] | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "640x", "6.4", "-64", "64x64x3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected N or HxW"):
        parse_size(text)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00\xd8"])
def test_a_file_without_class_names_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(InputError, match="class name"):
        read_class_names(tmp_path / "names.txt")


def test_json_output_survives_a_closed_pipe(toy: Path, picture: Path) -> None:
    """`yolox-deploy predict ... --json | head -1` ends quietly."""
    arguments = ["predict", *[str(picture)] * 400, "--model", str(toy), "--no-images", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from yolox_deploy.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    process.wait(30)
    assert "Traceback" not in err
