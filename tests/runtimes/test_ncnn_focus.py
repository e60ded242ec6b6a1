"""Focus stems in NCNN's files, as the converters leave them and as people edit them by the authors' README."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pnnx
import pytest
import torch

from yolox_deploy import Detector
from yolox_deploy.converters.ncnn_target import run_pnnx, trace
from yolox_deploy.errors import ArtifactError
from yolox_deploy.foreign.stem import stem_weight
from yolox_deploy.models import build_model, load_checkpoint
from yolox_deploy.models.fusion import fuse
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.runtimes.ncnn_adapter import NcnnOptions, NcnnRuntime
from yolox_deploy.runtimes.ncnn_files import Layer, parse_param
from yolox_deploy.runtimes.ncnn_focus import open_focus

SIZE = (416, 416)
ONE_THREAD = NcnnOptions(threads=1)
CROP = "Crop {} 1 1 {} {} -23309=1,{} -23310=1,2147483647 -23311=1,{}"
STEM = re.compile(r"^Split .*?^Concat .*?\n", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def network(nano_weights: Path) -> YOLOX:
    model = build_model("yolox_nano", 6)
    load_checkpoint(model, nano_weights)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def converted(network: YOLOX, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """What pnnx makes of the network as the authors' tools trace it, Focus and all."""
    folder = tmp_path_factory.mktemp("pnnx")
    trace(network, SIZE, folder / "model.pt")
    text = run_pnnx(pnnx.EXEC_PATH, folder, SIZE)
    return text, (folder / "model.ncnn.bin").read_bytes()


def with_stem(text: str, *lines: str, blobs: int = 0) -> str:
    """The same file with another stem from the input (in0) to the first convolution (9), and the right counts."""
    old = STEM.search(text)
    assert old is not None
    layers, made = map(int, text.splitlines()[1].split())
    text = text.replace(old[0], "".join(f"{line}\n" for line in lines), 1)
    header = f"{layers - old[0].count(chr(10)) + len(lines)} {made + blobs}"
    return text.replace(f"{layers} {made}", header, 1)


def crops_of_onnx2ncnn(text: str) -> str:
    """The README's "before": rows and columns cropped one after the other, with their beginnings."""
    lines = ["Split splitncnn_input0 1 4 in0 s0 s1 s2 s3", "MemoryData unused 0 1 unused 0=1"]
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        lines.append(CROP.format(f"rows{number}", f"s{3 - number}", f"r{number}", row, 1))
        lines.append(CROP.format(f"columns{number}", f"r{number}", f"c{number}", column, 2))
    return with_stem(text, *lines, "Concat Concat_40 4 1 c0 c2 c1 c3 9 0=0", blobs=5)


STEMS: dict[str, Callable[[str], str]] = {
    "YoloV5Focus, blobs as before": lambda text: with_stem(text, "YoloV5Focus focus 1 1 in0 9"),
    "YoloV5Focus": lambda text: with_stem(text, "YoloV5Focus focus 1 1 in0 9", blobs=-8),
    "YoloXFocus": lambda text: with_stem(text, "YoloXFocus focus 1 1 in0 9", blobs=-8),
    "pnnx": lambda text: text,
    "older pnnx": lambda text: re.sub(r"^Tensor\.slice", "Crop", text, flags=re.MULTILINE),
    "onnx2ncnn": crops_of_onnx2ncnn,
}
EDITED = ("YoloV5Focus, blobs as before", "YoloV5Focus", "YoloXFocus")


@pytest.fixture
def write(converted: tuple[str, bytes], tmp_path: Path) -> Callable[[str], Path]:
    """Writes the converted network with one of `STEMS`."""

    def write_pair(stem: str) -> Path:
        path = tmp_path / "nano.param"
        text, weights = STEMS[stem](converted[0]), converted[1]
        if stem == "onnx2ncnn":  # its unused constant comes first in the .bin
            weights = bytes(4) + weights
        path.write_text(text)
        path.with_suffix(".bin").write_bytes(weights)
        return path

    return write_pair


def test_the_built_in_layers_are_a_focus(tmp_path: Path) -> None:
    path = tmp_path / "model.param"
    path.write_text("7767517\n2 2\nInput in 0 1 images\nYoloV5Focus focus 1 1 images output\n")
    path.with_suffix(".bin").write_bytes(b"")
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    with NcnnRuntime(path, ONE_THREAD) as runtime:
        output = runtime.infer({"images": image})["output"]
    quarters = [image[..., row::2, column::2] for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
    np.testing.assert_array_equal(output, np.concatenate(quarters, axis=1))


@pytest.mark.parametrize("stem", STEMS)
def test_each_stem_runs_as_the_network(stem: str, write: Callable[[str], Path], network: YOLOX) -> None:
    image = np.random.default_rng(1).uniform(0, 255, (1, 3, *SIZE)).astype(np.float32)
    expected = network(torch.from_numpy(image)).numpy()
    with NcnnRuntime(write(stem), ONE_THREAD) as runtime:
        (output,) = runtime.infer({"in0": image}).values()
        assert len(runtime.loaded.notes) == (stem not in EDITED)
    assert output.shape == expected.shape
    np.testing.assert_allclose(output, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("stem", STEMS)
def test_the_weights_that_tell_legacy_files_are_found_behind_it(
    stem: str, write: Callable[[str], Path], network: YOLOX
) -> None:
    first = next(module for module in fuse(network).modules() if isinstance(module, torch.nn.Conv2d))
    assert stem_weight(write(stem)) == pytest.approx(float(first.weight.abs().mean()), rel=1e-4)


@pytest.mark.parametrize("stem", ["YoloV5Focus, blobs as before", "pnnx"])
def test_a_detector_finds_what_the_checkpoint_finds(
    stem: str, write: Callable[[str], Path], nano_weights: Path, scene_pictures: list[Path]
) -> None:
    with Detector(nano_weights, runtime_options={"imgsz": SIZE}) as detector:
        expected = detector.predict_batch(scene_pictures)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector = Detector(write(stem))
    with detector:
        found = detector.predict_batch(scene_pictures)
    assert sum(map(len, expected)) > 10
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.class_ids.tolist() == theirs.class_ids.tolist()
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.1)
    told = [str(warning.message) for warning in caught]
    assert any("run as a whole Focus" in text for text in told) == (stem == "pnnx")


def test_other_stems_stay_as_they_are(converted: tuple[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "other.param"
    for text in (
        crops_of_onnx2ncnn(converted[0]).replace("c0 c2 c1 c3", "c0 c1 c2 c3"),  # another order
        crops_of_onnx2ncnn(converted[0]).replace("2147483647", "208", 1),  # half a picture
        converted[0].replace("4 1 5 6 7 8 9", "3 1 5 6 7 9"),
    ):
        path.write_text(text)
        layers = parse_param(path)
        assert open_focus(layers) == (layers, ())
    two_inputs = (Layer("Input", "a", (), ("a",), {}), Layer("YoloV5Focus", "f", ("a", "b"), ("c",), {}))
    assert open_focus(two_inputs) == (two_inputs, ())
    path.with_suffix(".bin").write_bytes(converted[1])
    with pytest.raises(ArtifactError, match=r"needs Tensor\.slice"):
        NcnnRuntime(path)


@pytest.mark.parametrize(("layers", "blobs"), [(1, 0), (-1, 0), (0, -1)])
def test_a_header_may_announce_more_blobs_but_not_other_layers(
    layers: int, blobs: int, converted: tuple[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "model.param"
    there, made = map(int, converted[0].splitlines()[1].split())
    path.write_text(converted[0].replace(f"{there} {made}", f"{there + layers} {made + blobs}", 1))
    with pytest.raises(ArtifactError, match=rf"announces .* truncated, or was edited.*'{there} {made}'"):
        parse_param(path)
    path.write_text(converted[0].replace(f"{there} {made}", f"{there} {made + 100}", 1))
    assert len(parse_param(path)) == there
