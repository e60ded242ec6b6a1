"""PyTorch to NCNN by pnnx: a `.param` text and its `.bin`, from the fused network.

pnnx reads the TorchScript trace rather than the ONNX file: of that it leaves part of the SiLUs as a sigmoid
and a product (equal results, 1 % slower on yolox_s, 3 % on yolox_l). Float16 weights are written here, since
pnnx turns those below 6e-5 into zeros (on YOLOX-Nano this makes single outputs eight times less exact).
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from yolox_deploy.artifact import files_of
from yolox_deploy.converters.base import Converted, ExportOptions, Source
from yolox_deploy.errors import RuntimeFailure, UsageError, require

if TYPE_CHECKING:
    from torch import nn

INPUT_NAME, OUTPUT_NAME = "images", "output"  # as in the official files
BLOBS = {"in0": INPUT_NAME, "out0": OUTPUT_NAME}  # pnnx's own names
NOT_WRITTEN = ("pnnxparam", "pnnxbin", "pnnxpy", "pnnxonnx", "ncnnpy")  # as large as the model, each of them
TAIL = 15  # lines of pnnx's talk in an error
FLOAT16_FLAG = (0x01306B47).to_bytes(4, "little")
Records = list[tuple[int, int]]
"""Counts of weights and of biases, one pair a convolution, in the order of the `.bin`."""


def convert(source: Source, path: Path, options: ExportOptions) -> Converted:
    """The NCNN target: write `path` (`.param`) and the `.bin` beside it, weights in float32 or float16.

    The graph takes `images` and gives `output`, (N, 5 + C) without a batch dimension, at one fixed size.

    Raises:
        UsageError: a batch other than 1, which NCNN does not have; weights too large for float16.
        MissingExtraError: torch or pnnx is not installed.
        RuntimeFailure: pnnx failed, or left what NCNN does not have or this version does not know.
    """
    if options.batch != 1:
        raise UsageError(f"NCNN has no batch dimension; batch is {options.batch}: export with --batch 1")
    torch, pnnx = require("torch", "export"), require("pnnx", "export")
    size, (_, weights) = source.info.input_size, files_of(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".pnnx-") as name:
        folder = Path(name)
        channels = source.info.input.channels
        trace(source.module, size, folder / "model.pt", channels)
        text = finish_param(run_pnnx(pnnx.EXEC_PATH, folder, size, channels), size, channels)
        records = weight_records(text)
        stored_precision(records, (folder / "model.ncnn.bin").stat().st_size)
        if options.precision == "fp16":
            to_float16(records, folder / "model.ncnn.bin")
        (folder / "model.ncnn.bin").replace(weights)
        path.write_text(text, encoding="utf-8")
    versions = {k: v for k, v in source.info.versions.items() if k not in ("onnx", "opset")}
    info = replace(
        source.info,
        batch=1,
        boxes="raw",
        precision=stored_precision(records, weights.stat().st_size),
        format="ncnn",
        versions={**versions, "torch": torch.__version__, "pnnx": importlib.metadata.version("pnnx")},
        details={**source.info.details, "input_name": INPUT_NAME, "output_name": OUTPUT_NAME},
    )
    return Converted(path, info)


def trace(module: nn.Module, size: tuple[int, int], path: Path, channels: int = 3) -> None:
    """Write the TorchScript trace of `module` on one image of `size` (H, W)."""
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript, which pnnx still reads
        example = torch.zeros(1, channels, *size)
        scripted = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(scripted, str(path))


def run_pnnx(executable: str, folder: Path, size: tuple[int, int], channels: int = 3) -> str:
    """Convert `model.pt` in `folder` to `model.ncnn.param` and a float32 `.bin`; the text of the `.param`.

    Raises:
        RuntimeFailure: pnnx failed, with the end of what it printed.
    """
    arguments = [f"inputshape=[1,{channels},{size[0]},{size[1]}]f32", "fp16=0"]
    arguments += [f"{name}={os.devnull}" for name in NOT_WRITTEN]
    done = subprocess.run(
        [executable, "model.pt", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    param = folder / "model.ncnn.param"
    if done.returncode != 0 or not param.is_file() or not param.with_suffix(".bin").is_file():
        tail = "\n".join(done.stdout.strip().splitlines()[-TAIL:])
        raise RuntimeFailure(f"pnnx could not convert the network (exit code {done.returncode}):\n{tail}")
    return param.read_text(encoding="utf-8")


def finish_param(text: str, size: tuple[int, int], channels: int = 3) -> str:
    """Give input and output the official names and write the size (H, W) into the Input layer.

    Raises:
        RuntimeFailure: the graph has other inputs or outputs, or a layer that NCNN does not have.
    """
    head, layers = text.splitlines()[:2], [line.split() for line in text.splitlines()[2:]]
    foreign = sorted({fields[0] for fields in layers if not fields[0].isidentifier()})  # "Tensor.slice", …
    inputs = [fields[-1] for fields in layers if fields[0] == "Input"]
    if foreign or inputs != ["in0"] or "out0" not in layers[-1]:
        raise RuntimeFailure(
            f"this network cannot be exported to NCNN: pnnx left the inputs {inputs}, the last layer "
            f"{' '.join(layers[-1])!r} and the operations {foreign}; expected one input, one output and "
            "operations of NCNN only. Export it to ONNX instead: --to onnx"
        )
    lines = []
    for kind, name, *rest in layers:
        fields = [BLOBS.get(field, field) for field in rest]
        if kind == "Input":
            fields += [f"0={size[1]}", f"1={size[0]}", f"2={channels}"]
        lines.append(f"{kind:<24} {name:<24} {' '.join(fields)}")
    return "\n".join([*head, *lines]) + "\n"


def weight_records(text: str) -> Records:
    """What the convolutions of a `.param` store: in the `.bin`, a flag, weights and biases each."""
    found = re.findall(r"^Convolution.* 0=(\d+) .*\b5=([01]) 6=(\d+)", text, re.MULTILINE)
    return [(int(weights), int(outputs) * int(bias)) for outputs, bias, weights in found]


def stored_precision(records: Records, length: int) -> str:
    """The precision of the weights, "fp32" or "fp16", read back from the length of the `.bin` in bytes.

    Flags take four bytes, weights are padded to four bytes, biases are always float32.

    Raises:
        RuntimeFailure: neither precision gives this length.
    """
    for precision, per_word in (("fp32", 1), ("fp16", 2)):
        if length == sum(4 * (1 - (-weights // per_word) + biases) for weights, biases in records):
            return precision
    raise RuntimeFailure(f"pnnx left a .bin of {length} bytes, which is neither float32 nor float16 weights")


def to_float16(records: Records, path: Path) -> None:
    """Rewrite a float32 `.bin` with float16 weights, rounded to nearest, small ones kept as subnormals.

    Raises:
        UsageError: a weight is larger than float16 can hold.
    """
    words = np.fromfile(path, "<f4")
    parts, start = [], 0
    for weights, biases in records:
        values = words[start + 1 : start + 1 + weights]
        if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
            raise UsageError("a weight is larger than float16 can hold (65504); export without --fp16")
        half = values.astype("<f2").tobytes()
        start += 1 + weights + biases
        parts += [FLOAT16_FLAG, half, bytes(-len(half) % 4), words[start - biases : start].tobytes()]
    path.write_bytes(b"".join(parts))
