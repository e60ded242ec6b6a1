"""Shapes through NCNN's graph: as NCNN makes them, refused where it would read memory that is not its own."""

from __future__ import annotations

import re
from pathlib import Path

import ncnn
import numpy as np
import pytest

from yolox_deploy.errors import ArtifactError
from yolox_deploy.runtimes.ncnn_adapter import NcnnOptions, NcnnRuntime
from yolox_deploy.runtimes.ncnn_files import parse_param
from yolox_deploy.runtimes.ncnn_geometry import read_graph
from yolox_deploy.runtimes.ncnn_shapes import RULES

ONE_THREAD = NcnnOptions(threads=1)
SIZE = (32, 64)
CONVOLUTION = "Convolution conv 1 1 images output "
DEPTHWISE = "ConvolutionDepthWise conv 1 1 images output "

FITS = {
    "convolution": (CONVOLUTION + "0=8 1=5 11=3 2=2 3=3 13=2 4=1 15=2 14=0 16=1 5=1 6=360", 368),
    "convolution that keeps the size": (CONVOLUTION + "0=4 1=3 3=2 4=-233 6=108", 108),
    "the same padded above": (CONVOLUTION + "0=4 1=4 4=-234 5=0 6=192", 192),
    "activation": (CONVOLUTION + "0=4 1=1 6=12 9=6 -23310=2,0.2,0.5", 12),
    "a hint, and one of older versions": (CONVOLUTION + "0=4 1=1 6=12 17=3 31=1 -23330=4,3,9,9,9", 12),
    "depthwise": (DEPTHWISE + "0=6 1=3 4=1 5=1 6=54 7=3", 60),
    "pooling, rounded up": ("Pooling pool 1 1 images output 0=0 1=3 2=2 5=0", 0),
    "pooling, rounded down": ("Pooling pool 1 1 images output 0=1 1=3 2=2 3=1 5=1 6=1", 0),
    "pooling of all": ("Pooling pool 1 1 images output 0=1 4=1", 0),
    "pooling to a size": ("Pooling pool 1 1 images output 0=1 7=1 8=5 18=3", 0),
    "resized by a whole number": ("Interp up 1 1 images output 0=1 1=2 2=2.0", 0),
    "resized to a size": ("Interp up 1 1 images output 0=2 3=50 4=20 6=1", 0),
    "reshaped": ("Reshape flat 1 1 images output 0=-1 1=3", 0),
    "a side kept": ("Reshape flat 1 1 images output 0=0 1=8 2=-1", 0),
    "permuted": ("Permute turn 1 1 images output 0=3", 0),
    "cropped": ("Crop cut 1 1 images output -23309=2,1,-9 -23310=2,2147483647,-1 -23311=2,1,2", 0),
    "reorganised": ("Reorg quarters 1 1 images output 0=4", 0),
    "softmax": ("Softmax soft 1 1 images output 0=-1 1=1", 0),
    "scalar": ("BinaryOp times 1 1 images output 0=2 1=1 2=3", 0),
    "an array as newer versions write it": ("Crop cut 1 1 images output 9=1,0 10=9,8 11=1,2", 0),
}
DOES_NOT_FIT = {
    "unknown key": (CONVOLUTION + "0=4 1=1 6=12 77=1", "parameter 77 is none of a Convolution's"),
    "an array for a number": (CONVOLUTION + "-23300=1,4 1=1 6=12", "parameter -23300 is none"),
    "quantised": (CONVOLUTION + "0=4 1=1 6=12 8=2", "parameter 8 is 2; expected 0 to 0"),
    "fraction": (CONVOLUTION + "0=4.0 1=1 6=12", "parameter 0 is '4.0'; expected an integer"),
    "Arabic digits": (CONVOLUTION + "0=\u0664 1=1 6=12", "expected an integer"),
    "weights": (
        CONVOLUTION + "0=4 1=1 6=16",
        "16 weights; expected 12 from 3 channels to 4 in 1 group by .* 1x1",
    ),
    "groups": (DEPTHWISE + "0=4 1=1 6=12 7=2", "parts 3 channels into 4 in 2 groups"),
    "padding": (CONVOLUTION + "0=4 1=3 4=3 6=108", "padding is 3, 3, 3, 3.*window 3x3"),
    "padding half kept": (CONVOLUTION + "0=4 1=3 4=-233 14=1 6=108", "padding is 1, 1, -233, -233"),
    "window": (CONVOLUTION + "0=4 1=65 11=1 6=780", "window 1x65 .* beyond a map of 32x64"),
    "activation": (
        CONVOLUTION + "0=4 1=1 6=12 9=3 -23310=1,0.5",
        r"activation 3 has the numbers \(0.5,\); expected 2",
    ),
    "array": (
        CONVOLUTION + "0=4 1=1 6=12 9=2 -23310=9,0.5",
        "'9,0.5'; expected a count and that many numbers",
    ),
    "no kernel": ("Pooling pool 1 1 images output 0=0", "window 0x0"),
    "scale": ("Interp up 1 1 images output 0=1 1=1e30 2=2.0", "two scales from 1/64 to 64"),
    "one side": ("Interp up 1 1 images output 0=1 3=10", "expected both sides"),
    "no number": ("Interp up 1 1 images output 0=1 1=nan 2=2.0", "'nan'; expected a number such as 1.5"),
    "total": ("Reshape flat 1 1 images output 0=5 1=-1", "makes 5x1228|makes 1228x5"),
    "order": ("Permute turn 1 1 images output 0=6", "order is 6; expected 0 to 5 for 3 sides"),
    "sizes": ("Slice part 1 2 images output rest -23300=2,2,2 1=0", "parts a side of 3 into 2, 2"),
    "axis": ("Softmax soft 1 1 images output 0=3 1=1", "axis is 3; expected one of 3"),
    "begin": ("Crop cut 1 1 images output -23309=1,9 -23310=1,3 -23311=1,2", "crops 9 to 3 of a side of 64"),
    "step": ("Reorg quarters 1 1 images output 0=5", "every 5th pixel of 32x64"),
    "inputs": ("BinaryOp plus 1 1 images output 0=0", "1 inputs and no number"),
    "outputs": ("Swish act 1 2 images output rest", "1 inputs and 2 outputs"),
    "nothing to read": ("Sigmoid act 0 1 output", "0 inputs and 1 outputs"),
}


def write(folder: Path, layers: str, values: int = 0) -> Path:
    """A pair of an Input of 3x32x64 and `layers`, with weights for `values` numbers."""
    path = folder / "model.param"
    lines = [f"Input in 0 1 images 0={SIZE[1]} 1={SIZE[0]} 2=3", *layers.splitlines()]
    path.write_text("\n".join(["7767517", f"{len(lines)} {len(lines) + 9}", *lines]) + "\n", encoding="utf-8")
    weights = np.random.default_rng(0).normal(size=values).astype(np.float32)
    path.with_suffix(".bin").write_bytes((bytes(4) if values else b"") + weights.tobytes())
    return path


@pytest.mark.parametrize("name", FITS)
def test_layers_that_fit_are_followed_as_ncnn_runs_them(name: str, tmp_path: Path) -> None:
    line, values = FITS[name]
    path = write(tmp_path, line, values)
    graph = read_graph(parse_param(path))
    ours = RULES[graph.layers[1].type][0](graph.values[1] or {}, [(3, *SIZE)], 1)
    net = ncnn.Net()
    net.opt.num_threads = 1
    text = path.read_text().replace(line, line.split(" 17=")[0])  # NCNN would believe the hint on shapes
    assert (net.load_param_mem(text), net.load_model(str(path.with_suffix(".bin")))) == (0, 0)
    extractor = net.create_extractor()
    extractor.input("images", ncnn.Mat(np.ones((3, *SIZE), np.float32)).clone())
    code, result = extractor.extract("output")
    assert (code, [np.array(result).shape]) == (0, list(ours))


@pytest.mark.parametrize("name", DOES_NOT_FIT)
def test_layers_that_do_not_fit_are_refused_with_their_name(name: str, tmp_path: Path) -> None:
    line, says = DOES_NOT_FIT[name]
    kind, layer = line.split()[:2]
    with pytest.raises(ArtifactError, match=rf"layer {layer} \({kind}\): .*(?:{says}).*yolox-deploy export"):
        NcnnRuntime(write(tmp_path, line, sum(map(int, re.findall(r" 6=(\d+)", line)))), ONE_THREAD)


def test_blobs_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    split = "Split two 1 2 images a b\n"
    halves = split + "Pooling pool 1 1 b c 0=0 1=2 2=2\n"
    with pytest.raises(ArtifactError, match=r"layer cat \(Concat\): it joins 3x32x64, 3x16x32 along axis 0"):
        NcnnRuntime(write(tmp_path, halves + "Concat cat 2 1 a c output 0=0"), ONE_THREAD)
    with pytest.raises(ArtifactError, match=r"layer plus \(BinaryOp\): it computes with 3x32x64 and 3x16x32"):
        NcnnRuntime(write(tmp_path, halves + "BinaryOp plus 2 1 a c output 0=0"), ONE_THREAD)
    with pytest.raises(ArtifactError, match="plus uses a blob not made above or used up"):
        NcnnRuntime(write(tmp_path, "BinaryOp plus 2 1 images images output 0=0"), ONE_THREAD)
    with pytest.raises(ArtifactError, match="act makes a blob that was made above"):
        NcnnRuntime(write(tmp_path, "Swish act 1 1 images images"), ONE_THREAD)


def test_names_that_ncnn_cannot_read_are_refused(tmp_path: Path) -> None:
    for name in ("n" * 256, "é" * 128, "a\0b"):
        with pytest.raises(ArtifactError, match="255 bytes or with a zero byte"):
            NcnnRuntime(write(tmp_path, f"Swish {name} 1 1 images output"), ONE_THREAD)
    with NcnnRuntime(write(tmp_path, f"Swish {'é' * 127} 1 1 images output"), ONE_THREAD) as runtime:
        assert runtime.outputs[0].name == "output"
    deep = "\n".join(f"Swish s{i} 1 1 {f'b{i}' if i else 'images'} b{i + 1}" for i in range(5000))
    with pytest.raises(ArtifactError, match="5001 layers; expected 5000 at most"):
        NcnnRuntime(write(tmp_path, deep), ONE_THREAD)
