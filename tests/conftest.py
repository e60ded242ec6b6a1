"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

from yolox_deploy.types import Report

if TYPE_CHECKING:
    from yolox_deploy import Artifact

SHARED = Path(__file__).resolve().parents[2] / "shared"
COMMAND = [sys.executable, "-W", "error", "-c", "from yolox_deploy.cli import main; main()"]
BRIEF = [sys.executable, "-W", "error", str(Path(__file__).with_name("brief.py"))]
"""`COMMAND` with benchmarks of a moment."""

Anchor = tuple[int, Sequence[float]]
"""Index of an anchor point, and the row (x, y, w, h, objectness, classes ...) that it answers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--alone", action="store_true", help="as in a clone with no ../shared beside it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of training first: its workers fork, and a process full of vendor libraries does not fork safely."""
    items.sort(key=lambda item: "training" not in item.path.parts)


class Told(Report):
    """A report that keeps what it is told, with how far each step came."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.counts: list[tuple[str, int, int]] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def advance(self, done: int, total: int) -> None:
        self.counts.append((self.steps[-1], done, total))


class ToyModel(Protocol):
    """Writes an ONNX file whose answer is known: see the fixture `toy_model`."""

    def __call__(
        self,
        path: Path,
        rows: Sequence[Anchor] = (),
        *,
        size: tuple[int, int] = (64, 96),
        batch: int | None = 1,
        classes: int = 3,
        decoded: bool = False,
        nhwc: bool = False,
        metadata: Mapping[str, str] | None = None,
        lit: Sequence[int] = (),
        channels: int = 3,
        dtype: str | None = None,
    ) -> Path: ...


Run = Callable[..., "subprocess.CompletedProcess[str]"]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """The command line leaves Ctrl-C to the system when it ends; in this process it is pytest's."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """The folder of reference values, real weights and real photographs beside the repository.

    The only way to it: a test works without the folder, or takes this and is skipped without it.
    """
    if pytestconfig.getoption("--alone") or not SHARED.is_dir():
        pytest.skip("needs the ../shared folder of references, weights and photographs (CI has it)")
    return SHARED


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """The three photographs that come with the package."""
    from yolox_deploy.files import packaged_photographs

    return packaged_photographs()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A grey picture of 128x192, alone in its folder."""
    import cv2

    path = tmp_path / "in" / "picture.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((128, 192, 3), 90, np.uint8))
    return path


@pytest.fixture(scope="session")
def scene_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six generated scenes that `nano_weights` has never seen, as `export` takes them: images and annotations."""
    from yolox_deploy.synthetic import write_scenes

    folder = write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=1, val=6, seed=77)
    return {"images": folder / "val", "annotations": folder / "annotations" / "instances_val.json"}


@pytest.fixture(scope="session")
def scene_pictures(scene_data: dict[str, Path]) -> list[Path]:
    """The pictures of `scene_data`; `nano_onnx` finds objects in each."""
    return sorted(scene_data["images"].iterdir())


@pytest.fixture(scope="session")
def nano_weights() -> Path:
    """The trained yolox_nano of the package: it knows the six classes of generated scenes."""
    from yolox_deploy.files import embedded_checkpoint

    return embedded_checkpoint()


@pytest.fixture(scope="session")
def nano_artifact(nano_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What `export` returned for `nano_weights` in ONNX at 480x640, their own size, compared with PyTorch."""
    return _export_nano(nano_weights, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="session")
def nano_onnx(nano_artifact: Artifact) -> Path:
    """The file of `nano_artifact`; tests leave it as it is."""
    return nano_artifact.path


@pytest.fixture(scope="session")
def coco_nano_weights(shared: Path) -> Path:
    """The official yolox_nano, which finds the objects of photographs."""
    return shared / "real" / "yolox_nano.pth"


@pytest.fixture(scope="session")
def coco_nano_artifact(coco_nano_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What `export` returned for `coco_nano_weights` in ONNX, compared with PyTorch."""
    return _export_nano(coco_nano_weights, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="session")
def coco_nano_onnx(coco_nano_artifact: Artifact) -> Path:
    """The file of `coco_nano_artifact`; tests leave it as it is."""
    return coco_nano_artifact.path


@pytest.fixture(scope="session")
def nameless_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint like the official ones, of yolox_nano with random weights: 80 classes, and no names of them."""
    import torch

    from yolox_deploy.exporter.source_model import RANDOM_WEIGHTS, load_source_model

    path = tmp_path_factory.mktemp("weights") / "yolox_nano.pth"
    torch.save({"model": load_source_model("yolox_nano", RANDOM_WEIGHTS, None).network.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs `yolox-deploy ARGUMENTS` in a process of its own, with warnings as errors."""

    def start(
        *arguments: object, cwd: Path | None = None, command: list[str] = COMMAND, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return start


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Runs the command line in this process: (exit code, standard output, standard error)."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def start(*arguments: object) -> tuple[int, str, str]:
        from yolox_deploy import cli

        monkeypatch.setattr(sys, "argv", ["yolox-deploy", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    yield start
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def flexible_onnx(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """yolox_nano with random weights, 3 classes, 64x96, free batch, decoded, uint8: by the command line."""
    folder = tmp_path_factory.mktemp("flexible")
    (folder / "names.txt").write_text("cat\ndog\nbird\n")
    options = [
        "--imgsz",
        "64x96",
        "--batch",
        "dynamic",
        "--decode",
        "--uint8-input",
        "--names",
        "names.txt",
    ]
    out = Path("new folder", "flexible.onnx")
    done = run("export", "yolox-nano", "--weights", "random", *options, "--out", out, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["path"] == str(out)
    assert printed["parity"]["passed"] is True
    assert [path.name for path in (folder / out).parent.iterdir()] == [out.name]
    return folder / out


@pytest.fixture(scope="session")
def toy_model() -> ToyModel:
    """Writes an ONNX detector that answers the given rows, whatever the picture.

    All other anchor points answer an undecoded box of one stride, no object, and each class with 0.1. The objectness of
    the anchor points in `lit` is 0 for a black input and 1 for a white one, so that answers tell inputs apart.
    Its `dtype` is float32, or uint8 where `nhwc`, if it is not said.
    """
    return _write_toy_model


def _export_nano(weights: Path, folder: Path) -> Artifact:
    from yolox_deploy import export

    return export("yolox_nano", weights=weights, out=folder / "yolox_nano.onnx")


def _write_toy_model(
    path: Path,
    rows: Sequence[Anchor] = (),
    *,
    size: tuple[int, int] = (64, 96),
    batch: int | None = 1,
    classes: int = 3,
    decoded: bool = False,
    nhwc: bool = False,
    metadata: Mapping[str, str] | None = None,
    lit: Sequence[int] = (),
    channels: int = 3,
    dtype: str | None = None,
) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    height, width = size
    count = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    answer = np.zeros((1, count, 5 + classes), np.float32)
    answer[0, :, 5:] = 0.1
    if decoded:
        answer[0, :, :2] = _anchor_centers(size)
    for index, row in rows:
        answer[0, index] = 0
        answer[0, index, : len(row)] = row
    gain = np.zeros_like(answer)
    gain[0, list(lit), 4] = 1 / 255
    axes = [1, 2, 3]
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=1),
        helper.make_node("Squeeze", ["means", "last"], ["mean"]),
        helper.make_node("Mul", ["mean", "gain"], ["light"]),
        helper.make_node("Add", ["light", "answer"], ["output"]),
    ]
    picture = (height, width, channels) if nhwc else (channels, height, width)
    shape = [batch or "batch", *picture]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype or ("uint8" if nhwc else "float32")))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [shape[0], *answer.shape[1:]])],
        [
            numpy_helper.from_array(answer, "answer"),
            numpy_helper.from_array(gain, "gain"),
            numpy_helper.from_array(np.array(axes, np.int64), "axes"),
            numpy_helper.from_array(np.array([3], np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


def _anchor_centers(size: tuple[int, int]) -> np.ndarray:
    from yolox_deploy.postprocess import anchor_grid

    grid = anchor_grid(size)
    centers: np.ndarray = grid.offsets * grid.strides[:, None]
    return centers
