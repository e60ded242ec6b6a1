"""What a Detector opens beside a path: bytes with their format, and names of the zoo from a server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.brief import shorten
from tests.conftest import Call, Run
from yolox_deploy import Detector
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.runtimes import open_runtime

FOUND = [(14, [0.5, 0.5, 0.7, 0.7, 0.9, 0, 1, 0])]
GREY = np.full((64, 96, 3), 90, np.uint8)


@pytest.fixture
def toy(toy_model: Any, tmp_path: Path) -> Path:
    """A model file that finds one object in any picture."""
    path: Path = toy_model(tmp_path / "toy.onnx", FOUND)
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def mirror(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server that has the toy as the authors' yolox_nano.onnx, and a cache of its own."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    shutil.copy(toy, folder / "yolox_nano.onnx")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        monkeypatch.setenv("YOLOX_DEPLOY_WEIGHTS_URL", f"http://127.0.0.1:{running.server_port}")
        monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("YOLOX_DEPLOY_OFFLINE", raising=False)
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("format", [".onnx", "onnx", ".ONNX"])
def test_a_model_in_memory_gives_what_its_file_gives(toy: Path, kind: Any, format: str) -> None:
    with Detector(toy, threads=1) as detector:
        expected = detector.predict(GREY)
    with Detector(kind(toy.read_bytes()), format=format, threads=1) as detector:
        assert detector.predict(GREY).to_dict() == expected.to_dict()
        assert detector.info.path == f"<bytes>.{format.removeprefix('.').lower()}"
        assert detector.info.backend == "onnxruntime"


def test_the_description_in_the_bytes_is_obeyed(nano_onnx: Path) -> None:
    with Detector(nano_onnx.read_bytes(), format=".onnx", backend="openvino", threads=1) as detector:
        assert detector.info.artifact.model == "yolox_nano"
        assert detector.info.details["cache_dir"] is None


def test_a_checkpoint_in_memory(nano_weights: Path) -> None:
    content = nano_weights.read_bytes()
    size = {"input_size": (64, 96)}
    with Detector(nano_weights, override=size, threads=1) as detector:
        described = detector.info.artifact
    with Detector(content, format=".pth", override=size, threads=1) as detector:
        assert detector.info.artifact == described
    with pytest.raises(ArtifactError, match=r"<bytes>\.pth is truncated or damaged \(1,000 bytes"):
        Detector(content[:1000], format=".pth")


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (b"model", {}, UsageError, r"given as bytes is None; expected one of .*format='\.onnx'"),
        (b"model", {"format": ".tflite"}, UsageError, r"bytes is '\.tflite'; expected one of .*\.onnx"),
        (b"model", {"format": 5}, UsageError, "given as bytes is 5; expected"),
        (b"model", {"format": ""}, UsageError, "given as bytes is ''; expected"),
        (b"", {"format": ".onnx"}, ArtifactError, r"<bytes>\.onnx is empty"),
        (b"\1\2\3" * 99, {"format": ".onnx"}, ArtifactError, r"could not load <bytes>\.onnx"),
        (b"<html>", {"format": ".onnx"}, ArtifactError, r"<bytes>\.onnx is a web page .*not an ONNX file"),
        (b"model", {"format": ".xml"}, UsageError, r"openvino opens \.xml and \.bin from files alone"),
        (b"model", {"format": ".param"}, UsageError, r"ncnn opens \.param and \.bin from files alone"),
        (b"model", {"format": ".onnx", "backend": "ncnn"}, ArtifactError, r"ncnn opens \.param"),
        (b"model", {"format": ".onnx", "backend": "auto"}, UsageError, "for a file that was tuned"),
        ("toy.onnx", {"format": ".onnx"}, UsageError, r"the suffix of toy\.onnx tells it"),
    ],
)
def test_bytes_and_formats_that_do_not_go_together_are_refused(
    model: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Detector(model, **options)


@pytest.mark.parametrize("name", ["yolox_nano", "yolox-nano", "YOLOX-Nano", Path("yolox_nano")])
def test_a_name_of_the_zoo_opens_the_authors_file(
    mirror: Path, tmp_path: Path, name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cached = tmp_path / "cache" / "weights" / "yolox_nano.onnx"
    with Detector(name) as detector:
        assert len(detector.predict(GREY)) == 1
        assert detector.info.path == str(cached)
    (mirror / "yolox_nano.onnx").unlink()
    monkeypatch.setenv("YOLOX_DEPLOY_OFFLINE", "1")
    Detector(name).close()
    cached.write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=r"is damaged.*delete it and try again"):
        Detector(name)


def test_what_exists_is_no_name(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yolox_nano").write_bytes(b"something")
    with pytest.raises(ArtifactError, match="yolox_nano: no backend opens ''"):
        Detector("yolox_nano")
    with pytest.raises(ArtifactError, match="no backend opens ''"):
        Detector("models/yolox_nano")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (
            "yolox_nono",
            UsageError,
            r"no model file at yolox_nono, and there is no model called .*did you mean yolox_n",
        ),
        ("nms_free", ArtifactError, "no published model file; make one .* export nms_free --weights FILE"),
        (
            "yolox_s",
            ArtifactError,
            r"could not fetch .*yolox_s\.onnx.*404.*YOLOX_DEPLOY_WEIGHTS_URL.*give its path in place of the name",
        ),
    ],
)
def test_names_that_open_nothing_say_why(
    mirror: Path, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Detector(name)


def test_offline_a_name_says_where_its_file_may_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_OFFLINE", "1")
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    with pytest.raises(
        ArtifactError, match=r"yolox_darknet\.onnx is not in .*OFFLINE is set; fetch https://.*give its path"
    ):
        Detector("yolox_darknet53")


def test_commands_take_names(mirror: Path, call: Call, tmp_path: Path, photographs: list[Path]) -> None:
    arguments = ["--model", "yolox-nano", "--no-images", "--json"]
    code, out, err = call("predict", photographs[0], *arguments)
    assert code == 0, err
    assert len(json.loads(out)["images"][0]["detections"]) == 1
    code, out, err = call("stream", photographs[0].parent, "--model", "yolox_nano", "--frames", 1, "--json")
    assert code == 0, err
    assert json.loads(out)["model"]["path"] == str(tmp_path / "cache" / "weights" / "yolox_nano.onnx")
    code, _, err = call("predict", photographs[0], "--model", "yolox_nana")
    assert code == 2
    assert "did you mean yolox_nano?" in err


def test_what_was_tuned_by_name_is_opened_by_name(
    mirror: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    code, out, err = call("tune", "yolox_nano", "--threads", 1)
    assert code == 0, err
    assert "for Detector('yolox_nano', backend='auto')" in out
    with Detector("yolox_nano", backend="auto") as detector:
        assert detector.info.path.endswith("yolox_nano.onnx")


def test_a_name_needs_no_torch(mirror: Path, run: Run, photographs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch here')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    arguments = ["--model", "yolox_nano", "--no-images"]
    done = run("predict", photographs[0], *arguments, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr


def test_the_official_file_in_memory(shared: Path, photographs: list[Path]) -> None:
    content = (shared / "real" / "yolox_nano_official.onnx").read_bytes()
    with Detector(content, format=".onnx") as detector:
        found = {item.class_name for path in photographs for item in detector.predict(path)}
    assert {"person", "cat", "cup"} <= found


def test_runtimes_are_opened_by_bytes_too(toy: Path) -> None:
    with open_runtime(toy.read_bytes(), "onnxruntime", format=".onnx", threads=1) as runtime:
        assert runtime.inputs[0].shape == (1, 3, 64, 96)
