"""What every converter takes and gives, and the table of targets."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.artifact import PRECISIONS, ArtifactInfo, files_of
from yolox_deploy.errors import UsageError
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import SILENT, Report

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ExportOptions:
    """What the user asked for.

    Attributes:
        precision: "fp32", "fp16", "bf16" or "int8".
        imgsz: (H, W), each a multiple of 32; None for the model's own test size.
        batch: images at a time, None to leave it free at run time.
        decode: put box decoding into the graph.
        nms: put non-maximum suppression into the graph (implies `decode`); its thresholds are `conf`, `iou`
            and `max_detections` a class.
        uint8_input: take (B, H, W, 3) uint8 and convert in the graph.
        calib: pictures for INT8 calibration: a folder, or the files themselves.
        float_layers: parts of layer names that INT8 leaves in floating point.
        compute_capability: of the GPU to build a TensorRT engine for, (8, 6); None for the one present.
        max_batch: upper end of the TensorRT profile where `batch` is None.
        workspace_mib: limit of TensorRT's scratch memory.
        size_range: smallest and largest (H, W) of a TensorRT engine whose input size is free.
        report: told of each step of a long build.
    """

    precision: str = "fp32"
    imgsz: tuple[int, int] | None = None
    batch: int | None = 1
    decode: bool = False
    nms: bool = False
    conf: float = Thresholds.conf
    iou: float = Thresholds.iou
    max_detections: int = 300
    uint8_input: bool = False
    calib: Path | tuple[Path, ...] | None = None
    float_layers: tuple[str, ...] = ()
    compute_capability: tuple[int, int] | None = None
    max_batch: int = 8
    workspace_mib: int | None = None
    size_range: tuple[tuple[int, int], tuple[int, int]] | None = None
    report: Report = SILENT


@dataclass(frozen=True)
class Source:
    """Where a conversion starts: the same network three times.

    Attributes:
        module: evaluation-mode network with BatchNorm fused and Focus folded (float32).
        onnx: the float32 ONNX file made from it, in a temporary folder.
        info: the description of that file.
    """

    module: nn.Module
    onnx: Path
    info: ArtifactInfo


@dataclass(frozen=True)
class Converted:
    """What a conversion left: the file to open (with its set, see `files_of`) and its description.

    `typed_onnx` is the ONNX file, types included, that an engine was built from: what can still be compared where
    the engine itself cannot run. It stays in the temporary folder.
    """

    path: Path
    info: ArtifactInfo
    typed_onnx: Path | None = None


Converter = Callable[[Source, Path, ExportOptions], Converted]


@dataclass(frozen=True)
class Target:
    """A format to export to.

    Attributes:
        name: value of `--to`.
        suffix: of the file to open.
        converter: "module:function", called with (source, path of the file to write, options).
        runtime: the backend that runs the file.
        precisions: that it can be exported in.
        flags: which of "dynamic_batch", "decode", "nms", "uint8_input" it takes.
        float_layers: what to leave in floating point, step by step, where INT8 fails its gate.
        default_ending: of the name of a file that was given none; "" for the suffix.
    """

    name: str
    suffix: str
    converter: str
    runtime: str
    precisions: tuple[str, ...]
    flags: tuple[str, ...]
    float_layers: tuple[tuple[str, ...], ...] = ()
    default_ending: str = ""

    def load(self) -> Converter:
        """Import the converter's function."""
        module, _, name = self.converter.partition(":")
        converter: Converter = getattr(importlib.import_module(module), name)
        return converter

    def keep_others(self, path: Path) -> None:
        """Refuse to write `path` where a further file of its set would replace that of another target's export.

        Raises:
            UsageError: there is one.
        """
        for other in TARGETS:
            owner = path.with_suffix(other.suffix)
            shared = [file for file in files_of(path)[1:] if file in files_of(owner)]
            if shared and other.suffix != self.suffix and owner.is_file():
                raise UsageError(
                    f"{shared[0]} belongs to {owner}, and --to {self.name} would replace it; name another file: "
                    f"--out {path.with_name(f'{path.stem}.{self.name}{self.suffix}')}"
                )

    def check(self, options: ExportOptions) -> None:
        """Refuse what this target cannot do, before any work, naming the targets that can.

        Raises:
            UsageError: the precision or a flag is not among this target's.
        """
        if options.precision not in self.precisions:
            others = [t.name for t in TARGETS if options.precision in t.precisions]
            raise UsageError(
                f"--to {self.name} has no {options.precision}; it takes {', '.join(self.precisions)}. "
                f"Targets with {options.precision}: {', '.join(others) or 'none'}"
            )
        asked = {
            "dynamic_batch": options.batch is None,
            "decode": options.decode,
            "nms": options.nms,
            "uint8_input": options.uint8_input,
        }
        for flag, wanted in asked.items():
            if wanted and flag not in self.flags:
                others = [t.name for t in TARGETS if flag in t.flags]
                raise UsageError(
                    f"--to {self.name} does not take {flag.replace('_', ' ')}. "
                    f"Targets that do: {', '.join(others) or 'none'}"
                )
        self._check_silent(options)
        if options.size_range is not None and (options.decode or options.nms):
            raise UsageError(
                "boxes are decoded in the graph for one size; leave --size-range or --decode out"
            )
        if options.precision != "int8" and options.calib is not None:
            raise UsageError("pictures for calibration are for INT8 only: add --int8, or leave --calib out")
        if options.precision == "int8" and options.calib is None:
            raise UsageError(
                "--int8 needs pictures to calibrate on: add --calib DIR (64 or more are good), or --data DIR"
            )

    def _check_silent(self, options: ExportOptions) -> None:
        """Refuse what would be taken and have no effect."""
        default = ExportOptions()
        thresholds = [
            n for n in ("conf", "iou", "max_detections") if getattr(options, n) != getattr(default, n)
        ]
        if thresholds and not options.nms:
            raise UsageError(
                f"{_flags(thresholds)} would have no effect: thresholds are a part of the file only with --nms; "
                "without it they are given where the file is used"
            )
        engines = ("size_range", "max_batch", "workspace_mib", "compute_capability")
        asked = [name for name in engines if getattr(options, name) != getattr(default, name)]
        if asked and self.runtime != "tensorrt":
            raise UsageError(
                f"{_flags(asked)} would have no effect with --to {self.name}: for TensorRT engines only (trt, "
                "trt-rtx); other targets take one --imgsz a file and any --batch dynamic"
            )


def _flags(names: Sequence[str]) -> str:
    return " and ".join("--" + name.replace("_", "-") for name in names)


_FLAGS = ("dynamic_batch", "decode", "nms", "uint8_input")
_ONNX_FLOAT_LAYERS = (("head.",), ("head.", "dark2"), ("head.", "dark2", "dark3"))

# name, suffix, converter, runtime; precisions, further options, and what INT8 leaves in float, step by step
TARGETS = (
    Target(
        *("onnx", ".onnx", "yolox_deploy.converters.onnx_target:convert", "onnxruntime"),
        *(("fp32", "fp16", "int8"), _FLAGS, _ONNX_FLOAT_LAYERS),
    ),
    Target(
        *("openvino", ".xml", "yolox_deploy.converters.openvino_target:convert", "openvino"),
        *(PRECISIONS, _FLAGS),
        (
            ("_preds.", "backbone.stem."),
            ("_preds.", "backbone.stem.", ".dconv"),
            ("head.", "backbone.stem.", ".dconv"),
        ),
    ),
    Target(
        "ncnn",
        ".param",
        "yolox_deploy.converters.ncnn_target:convert",
        "ncnn",
        ("fp32", "fp16"),
        (),
        default_ending=".ncnn.param",  # pnnx's; an OpenVINO export beside it keeps its .bin
    ),
    Target(
        *("trt", ".engine", "yolox_deploy.converters.tensorrt_target:convert_tensorrt", "tensorrt"),
        *(PRECISIONS, _FLAGS, _ONNX_FLOAT_LAYERS),
    ),
    Target(
        *("trt-rtx", ".engine", "yolox_deploy.converters.tensorrt_target:convert_tensorrt_rtx", "tensorrt"),
        *(PRECISIONS, ("dynamic_batch", "decode", "uint8_input"), _ONNX_FLOAT_LAYERS),
    ),
)


def get_target(name: str) -> Target:
    """The target called `name`.

    Raises:
        UsageError: there is none.
    """
    for target in TARGETS:
        if target.name == name:
            return target
    raise UsageError(f"no target {name!r}; expected --to {'|'.join(target.name for target in TARGETS)}")
