"""The NCNN runtime on real files: ours, those of others, and broken ones that NCNN alone would crash on."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import ncnn
import numpy as np
import pytest
import torch
from torch import nn

from yolox_deploy.artifact import ArtifactInfo, write_sidecar
from yolox_deploy.converters import ExportOptions, Source
from yolox_deploy.converters.ncnn_target import convert
from yolox_deploy.errors import ArtifactError, ClosedError, UsageError
from yolox_deploy.foreign.conventions import recognise
from yolox_deploy.models import build_model
from yolox_deploy.models.fusion import fuse
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.runtimes.ncnn_adapter import NcnnOptions, NcnnRuntime
from yolox_deploy.runtimes.ncnn_files import blob_names, input_size, parse_param, read_storage

SIZE = (96, 160)
ONE_THREAD = NcnnOptions(threads=1)  # two wait for each other where the machine is busy
HEAD = "7767517\n{} {}\nInput in 0 1 images\n"
LOAD_EACH = """
import sys
from pathlib import Path
import numpy as np
from yolox_deploy.errors import YoloxDeployError
from yolox_deploy.runtimes.ncnn_adapter import NcnnOptions, NcnnRuntime
for path in sorted(Path(sys.argv[1]).glob("*.param")):
    try:
        NcnnRuntime(path, NcnnOptions(threads=1)).infer({"images": np.zeros((1, 3, 96, 160), np.float32)})
        print(path.stem, "ran")
    except YoloxDeployError as error:
        print(path.stem, type(error).__name__)
"""


@pytest.fixture(scope="module")
def network() -> YOLOX:
    """yolox_nano of three classes with weights that make its answers depend on the image."""
    torch.manual_seed(0)
    model = build_model("yolox_nano", 3).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.normal_(0, module.weight[0].numel() ** -0.5)
    return fuse(model)


@pytest.fixture(scope="module")
def pair(network: YOLOX, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """Text of the `.param` and bytes of the `.bin` of `network` at 96x160."""
    path = tmp_path_factory.mktemp("ncnn") / "nano.param"
    convert(Source(network, path, ArtifactInfo("toy", ("a", "b", "c"), SIZE)), path, ExportOptions())
    return path.read_text(), path.with_suffix(".bin").read_bytes()


@pytest.fixture
def write(pair: tuple[str, bytes], tmp_path: Path) -> Callable[..., Path]:
    """Writes the pair, or another text or other weights in its place, under a name."""

    def write_pair(name: str = "nano", text: str | None = None, weights: bytes | None = None) -> Path:
        path = tmp_path / f"{name}.param"
        path.write_text(pair[0] if text is None else text)
        path.with_suffix(".bin").write_bytes(pair[1] if weights is None else weights)
        return path

    return write_pair


@pytest.fixture
def foreign_text(pair: tuple[str, bytes]) -> str:
    """The official convention: no size in the Input layer, reshaping to as many cells as there are."""
    text = pair[0].replace(" 0=160 1=96 2=3", "")
    return re.sub(r"^(Reshape.*) 0=\d+ ", r"\1 0=-1 ", text, flags=re.MULTILINE)


def draw(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (1, 3, *size)).astype(np.float32)


def test_equals_pytorch_and_says_what_it_runs(write: Callable[..., Path], network: YOLOX) -> None:
    image = draw(0)
    with NcnnRuntime(write(), ONE_THREAD) as runtime:
        assert [(spec.name, spec.shape) for spec in runtime.inputs] == [("images", (1, 3, *SIZE))]
        assert [(spec.name, spec.shape) for spec in runtime.outputs] == [("output", (1, None, None))]
        assert (runtime.loaded.device, runtime.loaded.precision) == ("cpu", "fp32")
        assert runtime.loaded.details == {"ncnn": ncnn.__version__, "threads": 1, "weights": "fp32"}
        output = runtime.infer({"images": image})["output"]
    assert output.dtype == np.float32
    expected = network(torch.from_numpy(image)).numpy()
    assert output.shape == expected.shape == (1, 315, 8)
    np.testing.assert_allclose(output, expected, atol=1e-5 * np.abs(expected).max())


def test_results_are_the_callers(write: Callable[..., Path]) -> None:
    image = draw(0)
    image.flags.writeable = False
    runtime = NcnnRuntime(write(), ONE_THREAD)
    first = runtime.infer({"images": image})["output"]
    kept = first.copy()
    second = runtime.infer({"images": draw(1)})["output"]
    runtime.close()
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)
    first[:] = 0  # and may be written to


def test_recorded_names_bind_the_output(write: Callable[..., Path], pair: tuple[str, bytes]) -> None:
    text = pair[0].replace(" output ", " predictions ").replace(" images ", " picture ")
    path = write(text=text)
    details = {"input_name": "picture", "output_name": "predictions"}
    info = ArtifactInfo("toy", ("a", "b", "c"), SIZE, format="ncnn", details=details)
    write_sidecar(path, info, [path.with_suffix(".bin")])
    with NcnnRuntime(path, ONE_THREAD) as runtime:
        assert runtime.outputs[0].shape == (1, None, 8)
        assert runtime.infer({"picture": draw(0)})["predictions"].shape == (1, 315, 8)
    wrong = {"output_name": "output"}
    write_sidecar(path, ArtifactInfo("toy", ("a",), SIZE, details=wrong), [path.with_suffix(".bin")])
    with pytest.raises(ArtifactError, match="outputs"):
        NcnnRuntime(path)


def test_a_foreign_file_takes_any_size(write: Callable[..., Path], foreign_text: str, network: YOLOX) -> None:
    with NcnnRuntime(write(text=foreign_text), ONE_THREAD) as runtime:
        assert runtime.artifact is None
        assert runtime.inputs[0].shape == (1, 3, None, None)
        for size in ((64, 96), (96, 32)):
            image = draw(0, size)
            expected = network(torch.from_numpy(image)).numpy()
            output = runtime.infer({"images": image})["output"]
            np.testing.assert_allclose(output, expected, atol=1e-5 * np.abs(expected).max())
        with pytest.raises(UsageError, match="divide by 32"):
            runtime.infer({"images": draw(0, (100, 96))})
    with NcnnRuntime(write(text=foreign_text), NcnnOptions(threads=1, imgsz=(64, 96))) as runtime:
        info = recognise(runtime, {}).info
    assert (info.input_size, info.boxes, info.batch, len(info.class_names)) == ((64, 96), "raw", 1, 3)


def test_a_size_for_which_memory_would_not_do_is_refused(
    write: Callable[..., Path], foreign_text: str
) -> None:
    path = write(text=foreign_text)
    for size in ((9600, 9600), (96000, 160000)):
        with pytest.raises(
            ArtifactError, match=rf"bytes.*at an input of 3x{size[0]}x{size[1]} .*smaller size"
        ):
            NcnnRuntime(path, NcnnOptions(threads=1, imgsz=size))


def test_a_fixed_size_that_is_not_written_down(write: Callable[..., Path], pair: tuple[str, bytes]) -> None:
    path = write(text=pair[0].replace(" 0=160 1=96 2=3", ""))
    with pytest.raises(UsageError, match=r"15360 pixels only.*'imgsz': \(H, W\)"):
        NcnnRuntime(path)
    with pytest.raises(UsageError, match="15360 pixels"):  # NCNN would read beyond the maps
        NcnnRuntime(path, NcnnOptions(imgsz=(64, 64)))
    with NcnnRuntime(path, NcnnOptions(threads=1, imgsz=SIZE)) as runtime:
        assert runtime.infer({"images": draw(0)})["output"].shape == (1, 315, 8)
    with pytest.raises(UsageError, match="images of 96x160 only"):
        NcnnRuntime(write(), NcnnOptions(imgsz=(160, 96)))


def test_a_fixed_area_that_is_a_square_is_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "model.param"
    path.write_text(HEAD.format(2, 2) + "Reshape flat 1 1 images output 0=2704 1=85\n")
    assert input_size(parse_param(path), path, None, None) == (416, 416)


BROKEN: dict[str, Callable[[str, bytes], tuple[str, bytes]]] = {
    "bin_half": lambda text, weights: (text, weights[: len(weights) // 2]),
    "bin_short_by_one_value": lambda text, weights: (text, weights[:-4]),
    "bin_long": lambda text, weights: (text, weights + bytes(100)),
    "bin_empty": lambda text, weights: (text, b""),
    "bin_random": lambda text, weights: (text, np.random.default_rng(0).bytes(len(weights))),
    "param_half": lambda text, weights: (text[: len(text) // 2], weights),
    "param_lines": lambda text, weights: ("\n".join(text.splitlines()[:200]), weights),
    "param_head": lambda text, weights: (text[:12], weights),
    "param_magic": lambda text, weights: ("7767518" + text[7:], weights),
    "param_onnx": lambda text, weights: ("\x08\x08\x12\x07pytorch", weights),
    "param_counts": lambda text, weights: (re.sub(r"\n\d+ ", "\n999999999 ", text, count=1), weights),
    "param_dangling": lambda text, weights: (
        re.sub(r"(1 1) \d+ (\d+ 0=64)", r"\1 nowhere \2", text, count=1),
        weights,
    ),
    "param_rewired": lambda text, weights: (
        re.sub(r"(1 1) 2 (3 0=)", r"\1 1 \2", text, count=1),
        weights,
    ),
    "param_other_model": lambda text, weights: (text.replace("6=1728", "6=3456"), weights),
    "param_no_number": lambda text, weights: (text.replace("6=1728", "6=x"), weights),
    "param_focus": lambda text, weights: (text.replace("Swish ", "YoloV5Focus ", 1), weights),
    # The next four end NCNN with a signal, or make it answer from memory that is not its own.
    "param_kernel": lambda text, weights: (text.replace(" 11=3 ", " 11=1 ", 1), weights),
    "param_padding": lambda text, weights: (re.sub(r"( 1=1 .*) 4=0 ", r"\1 4=1 ", text, count=1), weights),
    "param_pooling": lambda text, weights: (
        re.sub(r"^(Pooling.*) 13=2 ", r"\1 13=1000000000 ", text, count=1, flags=re.MULTILINE),
        weights,
    ),
    "param_stride": lambda text, weights: (
        re.sub(r"^(ConvolutionDepthWise.*) 13=1 ", r"\1 13=1000000000 ", text, flags=re.MULTILINE),
        weights,
    ),
    "param_twice": lambda text, weights: (text.replace(" 6=1728", " 6=1728 6=1728"), weights),
}


def test_broken_files_are_errors_and_never_crashes(
    write: Callable[..., Path], pair: tuple[str, bytes]
) -> None:
    for name, change in BROKEN.items():
        path = write(name, *change(*pair))
    write("bin_missing").with_suffix(".bin").unlink()
    write("whole")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD_EACH, path.parent], capture_output=True, text=True
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    expected = dict.fromkeys((*BROKEN, "bin_missing"), "ArtifactError") | {"whole": "ran"}
    assert dict(line.split() for line in done.stdout.splitlines()) == expected
    assert done.stderr == ""  # found before NCNN saw them


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bin_half", r"truncated or of another model.*export the checkpoint again"),
        ("bin_random", "neither float32 nor float16"),
        ("param_half", "is damaged|is truncated"),
        ("param_magic", r"is a text \('7767518 .*'\), not an NCNN \.param text"),
        ("param_onnx", r"is an ONNX file, not an NCNN \.param text: rename it to param_onnx\.onnx"),
        ("param_dangling", "uses a blob not made above or used up"),
        ("param_no_number", "parameter 6 is 'x'"),
        (
            "param_kernel",
            r"layer conv\w+ \(\w+\): it has [\d,]+ weights; expected [\d,]+ from \d+ channels.*1x3",
        ),
        (
            "param_padding",
            r"layer conv\w+ \(Convolution\): its padding is 0, 0, 1, 1.*window 1x1.*less than the window",
        ),
        ("param_pooling", r"layer maxpool\w+ \(Pooling\): parameter 13 is 1000000000; expected 0 to 255"),
        ("param_stride", r"layer convdw\w+ \(ConvolutionDepthWise\): parameter 13 is 1000000000"),
        ("param_twice", "has a parameter twice"),
        ("param_focus", r"needs YoloV5Focus.*Focus.*yolox-deploy export MODEL --to ncnn"),
    ],
)
def test_broken_files_are_explained(
    name: str, says: str, write: Callable[..., Path], pair: tuple[str, bytes]
) -> None:
    with pytest.raises(ArtifactError, match=says):
        NcnnRuntime(write(name, *BROKEN[name](*pair)))


def test_weights_of_another_export_are_noticed(write: Callable[..., Path]) -> None:
    path = write()
    info = ArtifactInfo("toy", ("a", "b", "c"), SIZE, format="ncnn")
    write_sidecar(path, info, [path.with_suffix(".bin")])
    data = bytearray(path.with_suffix(".bin").read_bytes())
    data[1000] ^= 1
    path.with_suffix(".bin").write_bytes(data)
    with pytest.raises(ArtifactError, match="SHA-256"):
        NcnnRuntime(path)


def test_a_layer_of_unknown_storage_leaves_the_check_to_ncnn(tmp_path: Path) -> None:
    path = tmp_path / "model.param"
    path.write_text(HEAD.format(2, 2) + "PReLU slope 1 1 images output 0=3\n")
    path.with_suffix(".bin").write_bytes(bytes(4))
    assert read_storage(parse_param(path), path.with_suffix(".bin"), path) == "unknown"
    with pytest.raises(ArtifactError, match="ncnn refused"):
        NcnnRuntime(path)


def test_an_operation_in_place_leaves_the_input_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.param"
    path.write_text(HEAD.format(2, 2) + "Sigmoid squash 1 1 images output\n")
    path.with_suffix(".bin").write_bytes(b"")
    image = np.zeros((1, 3, 32, 32), np.float32)
    with NcnnRuntime(path, ONE_THREAD) as runtime:
        output = runtime.infer({"images": image})["output"]
    assert output.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(output, 0.5)
    assert not image.any()


def test_a_graph_without_one_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.param"
    path.write_text(HEAD.format(3, 3) + "Input more 0 1 more\nConcat cat 2 1 images more output 0=0\n")
    with pytest.raises(ArtifactError, match="expected one input"):
        blob_names(parse_param(path), path, None)


def test_calls_may_run_at_once(write: Callable[..., Path]) -> None:
    images = [draw(seed) for seed in range(4)]
    with NcnnRuntime(write("a"), ONE_THREAD) as one, NcnnRuntime(write("b"), ONE_THREAD) as other:
        expected = [one.infer({"images": image})["output"] for image in images]
        wrong: list[int] = []

        def work(seed: int) -> None:
            for step in range(5):
                runtime = (one, other)[(seed + step) % 2]
                if not np.array_equal(runtime.infer({"images": images[seed]})["output"], expected[seed]):
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_closing_while_others_run_is_safe(write: Callable[..., Path]) -> None:
    runtime = NcnnRuntime(write(), ONE_THREAD)
    image, ended, started = draw(0), [], threading.Event()

    def work() -> None:
        try:
            while True:
                runtime.infer({"images": image})
                started.set()
        except ClosedError as error:
            ended.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert started.wait(30)
    runtime.close()
    for thread in threads:
        thread.join(30)
    assert len(ended) == 2


def test_half_arithmetic_is_never_silent(write: Callable[..., Path]) -> None:
    refused = None
    try:
        with NcnnRuntime(write(), NcnnOptions(half_arithmetic=True)) as runtime:
            assert runtime.loaded.precision == "fp16"
    except UsageError as error:
        refused = str(error)
    assert refused is None or "none for this CPU" in refused


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"device": "vulkan"}, {"imgsz": (100, 100)}])
def test_options_that_cannot_work(options: dict[str, object], write: Callable[..., Path]) -> None:
    with pytest.raises(UsageError):
        NcnnRuntime(write(), NcnnOptions.build(options))


def test_probe() -> None:
    assert NcnnRuntime.probe()["version"] == ncnn.__version__
