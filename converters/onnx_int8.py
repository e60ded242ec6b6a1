"""Static INT8 quantisation of an ONNX file with Q/DQ nodes (ONNX Runtime's quantiser).

Only dense convolutions are quantised: sigmoid, box decoding, element-wise products and the few layers in
`SENSITIVE` stay in float32, where an 8-bit grid costs accuracy and saves nothing. Weights are quantised per
output channel. The same way makes what ONNX Runtime runs and what a TensorRT INT8 engine is built from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.converters.base import ExportOptions
from yolox_deploy.converters.calibration import CalibrationSet
from yolox_deploy.errors import UsageError, require
from yolox_deploy.files import temporary_folder
from yolox_deploy.host import no_telemetry

if TYPE_CHECKING:
    import onnx

SENSITIVE = ("stem", "dconv", "preds")
"""Parts of layer names that always stay in float32. Measured on YOLOX-Nano, AP 0.312 in float32: everything
quantised 0.07, without depthwise layers and predictors 0.22, without the stems too 0.310."""

MOVING_AVERAGE = 0.02
"""Weight of each new picture in the activation ranges: one outlier does not widen them for good."""


def quantize(
    source: Path, target: Path, info: ArtifactInfo, options: ExportOptions, *, symmetric: bool = False
) -> None:
    """Write the INT8 version of the float32 ONNX file `source` to `target`.

    Args:
        info: description of `source`: the input convention of the calibration pictures.
        options: `calib` is the folder of pictures, `float_layers` parts of the names of layers to leave.
        symmetric: signed activations with zero point 0, the only kind that TensorRT takes.

    Raises:
        UsageError: no calibration folder.
        InputError: it holds no picture.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    if options.calib is None:
        raise UsageError("INT8 needs pictures to calibrate on: add --calib DIR")
    onnx = require("onnx", "export")
    with no_telemetry():
        quantization = require("onnxruntime.quantization", "onnxruntime")
    types = quantization.QuantType
    model = onnx.load(str(source))
    nodes = [node.name for node in model.graph.node if node.op_type == "Conv"]
    left = (*SENSITIVE, *options.float_layers)
    excluded = [name for name in nodes if any(part in name for part in left)]
    reader = _reader(quantization, model, iter(CalibrationSet(options.calib, info)))
    logging.disable(logging.WARNING)  # the quantiser advises a pre-processing step that is a no-op here
    try:
        with temporary_folder() as folder:
            prepared = folder / "prepared.onnx"
            onnx.save(onnx.shape_inference.infer_shapes(model), str(prepared))
            quantization.quantize_static(
                str(prepared),
                str(target),
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=excluded,
                per_channel=True,
                activation_type=types.QInt8 if symmetric else types.QUInt8,
                weight_type=types.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": symmetric,
                    "QuantizeBias": not symmetric,  # TensorRT's parser refuses INT32 biases
                    "CalibMovingAverage": True,
                    "CalibMovingAverageConstant": MOVING_AVERAGE,
                },
            )
    finally:
        logging.disable(logging.NOTSET)


def quantized_convolutions(model: onnx.ModelProto) -> tuple[int, int]:
    """How many convolutions take INT8 weights, and how many there are: the precision achieved."""
    scaled = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return sum(node.input[1] in scaled for node in convolutions), len(convolutions)


def _reader(quantization: Any, model: onnx.ModelProto, tensors: Iterator[Any]) -> Any:
    name = model.graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Hands ONNX Runtime one picture at a time, None at the end."""

        def get_next(self) -> dict[str, Any] | None:
            tensor = next(tensors, None)
            return None if tensor is None else {name: tensor}

    return Reader()
