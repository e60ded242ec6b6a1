"""PyTorch to ONNX: the file that people deploy, and where the conversions to the other formats start."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - only imported from inside a conversion
from torch import Tensor, nn  # noqa: TID253

from yolox_deploy import integrity
from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo
from yolox_deploy.converters import onnx_int8, onnx_nms
from yolox_deploy.converters.base import Converted, ExportOptions, Source
from yolox_deploy.converters.float16 import cast_file
from yolox_deploy.errors import ArtifactError, require
from yolox_deploy.postprocess import STRIDES, anchor_grid

if TYPE_CHECKING:
    import onnx


OPSET = 18  # the lowest that torch's current exporter writes without a conversion: the widest audience


class DeployGraph(nn.Module):
    """Wraps a fused network for export.

    Args:
        network: (B, C, H, W) float32 to (B, N, 5 + C), boxes undecoded.
        size: (H, W) in pixels.
        decode: turn tx, ty, tw, th into cx, cy, w, h in input pixels.
        uint8_input: take (B, H, W, C) uint8 and convert it in the graph.
        priors: anchor boxes a location.
    """

    offsets: Tensor
    strides: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        *,
        decode: bool = False,
        uint8_input: bool = False,
        priors: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self.decode = decode
        self.uint8_input = uint8_input
        grid = anchor_grid(size, priors=priors)
        self.register_buffer("offsets", torch.from_numpy(grid.offsets.copy()).float())
        self.register_buffer("strides", torch.from_numpy(grid.strides.copy()).float()[:, None])

    def forward(self, images: Tensor) -> Tensor:
        if self.uint8_input:
            images = images.permute(0, 3, 1, 2).to(torch.float32)
        predictions: Tensor = self.network(images)
        if not self.decode:
            return predictions
        centers, sizes, scores = torch.split(predictions, [2, 2, predictions.shape[2] - 4], dim=2)
        return torch.cat(((centers + self.offsets) * self.strides, sizes.exp() * self.strides, scores), dim=2)


INPUT_NAME, OUTPUT_NAME = "images", "output"


def make_source(module: nn.Module, info: ArtifactInfo, options: ExportOptions, folder: Path) -> Source:
    """Write the float32 ONNX file of `module` (fused, evaluation mode) into `folder`.

    The graph takes `images` and gives `output`, (B, N, 5 + C); options add decoding and a uint8 input.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    onnx = require("onnx", "export")
    require("onnxscript", "export")
    import torch

    height, width = info.input_size
    channels = info.input.channels
    graph = DeployGraph(
        module,
        info.input_size,
        decode=options.decode or options.nms,
        uint8_input=options.uint8_input,
        priors=info.priors,
    )
    batch = options.batch or 2  # torch treats a traced size of 1 as fixed
    shape = (batch, height, width, channels) if options.uint8_input else (batch, channels, height, width)
    example = torch.zeros(shape, dtype=torch.uint8 if options.uint8_input else torch.float32)
    free: dict[int, Any] = {0: torch.export.Dim("batch")} if options.batch is None else {}
    if options.size_range is not None:
        rows, columns = (1, 2) if options.uint8_input else (2, 3)
        step = max(STRIDES)
        free |= {rows: step * torch.export.Dim("rows"), columns: step * torch.export.Dim("columns")}
    with _quiet_exporter():
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(free,) if free else None,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _name_layers(model)
    info = replace(
        info,
        boxes="decoded" if options.decode or options.nms else "raw",
        input=replace(info.input, layout="NHWC", dtype="uint8") if options.uint8_input else info.input,
        batch=options.batch,
        format="onnx",
        versions={**info.versions, "onnx": onnx.__version__, "torch": torch.__version__, "opset": str(OPSET)},
    )
    path = folder / "source.onnx"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return Source(module, path, info)


def convert(source: Source, path: Path, options: ExportOptions) -> Converted:
    """The ONNX target: the source file in the precision asked for, with suppression in the graph on request.

    Raises:
        ArtifactError: the precision was not achieved.
    """
    if options.precision == "fp16":
        cast_file(source.onnx, path)
    elif options.precision == "int8":
        onnx_int8.quantize(source.onnx, path, source.info, options)
    else:
        shutil.copyfile(source.onnx, path)
    info = replace(source.info, precision=options.precision, details=_achieved(path, source.info, options))
    if options.nms:
        onnx_nms.add_nms(path, options)
    return Converted(path, onnx_nms.describe(info, options))


def _achieved(path: Path, info: ArtifactInfo, options: ExportOptions) -> dict[str, Any]:
    """Read back from the file how many convolutions are of the precision asked for."""
    onnx = require("onnx", "export")
    model = onnx.load(str(path))
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    if options.precision == "int8":
        count, _ = onnx_int8.quantized_convolutions(model)
    else:
        wanted = onnx.TensorProto.FLOAT16 if options.precision == "fp16" else onnx.TensorProto.FLOAT
        types = {weight.name: weight.data_type for weight in model.graph.initializer}
        count = sum(types.get(node.input[1]) == wanted for node in convolutions)
    if count == 0:
        raise ArtifactError(f"no convolution of {path.name} became {options.precision}")
    found = f"{count} of {len(convolutions)} convolutions"
    return {**info.details, options.precision: found}


def write_metadata(path: Path, info: ArtifactInfo) -> None:
    """Store `info` in the ONNX file at `path`, replacing what was there, and a checksum of all of it."""
    onnx = require("onnx", "export")
    model = onnx.load(str(path))
    kept = {p.key: p.value for p in model.metadata_props if p.key != integrity.KEY}
    onnx.helper.set_model_props(model, {**kept, METADATA_KEY: info.to_json(**{integrity.SEALED: True})})
    onnx.save(model, str(path))
    integrity.seal_onnx(path)


def _name_layers(model: onnx.ModelProto) -> None:
    """Call each convolution as its weights are called in PyTorch, so that logs of any backend make sense."""
    for node in model.graph.node:
        del node.metadata_props[:]
        if node.op_type == "Conv" and node.input[1].endswith(".weight"):
            node.name = node.input[1].removeprefix("network.").removesuffix(".weight")


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back torch's notes to its own developers (deprecations inside it, absent torchvision)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
