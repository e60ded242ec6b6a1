"""Non-maximum suppression as part of an ONNX graph.

The operator is ONNX's own `NonMaxSuppression`, which ONNX Runtime, OpenVINO and TensorRT's parser take. The
output becomes (K, 7) float32 rows: image of the batch, x1, y1, x2, y2 in input pixels, score, class; best
first within an image and class as the operator gives them. Each class that reaches the score threshold counts,
so an anchor point may appear under two labels, unlike the one-label default outside the graph.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.converters.base import ExportOptions
from yolox_deploy.errors import require

if TYPE_CHECKING:
    import onnx

DETECTIONS = "detections"
ROW = 7
"""Columns of a row of the output."""


def add_nms(path: Path, options: ExportOptions) -> None:
    """Append suppression to the decoded ONNX file at `path`, in place.

    Args:
        options: `conf` and `iou` become constants of the graph; `max_detections` limits each class.
    """
    onnx = require("onnx", "export")
    model = onnx.load(str(path))
    output = model.graph.output[0].name
    builder = _Builder(model)
    detections = _suppress(builder, output, options)
    del model.graph.output[:]
    rows = onnx.helper.make_tensor_value_info(detections, onnx.TensorProto.FLOAT, ["detections", ROW])
    model.graph.output.append(rows)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def describe(info: ArtifactInfo, options: ExportOptions) -> ArtifactInfo:
    """`info`, with the suppression that the options put into the graph and its thresholds."""
    if not options.nms:
        return info
    thresholds = {"conf": options.conf, "iou": options.iou, "max_detections": options.max_detections}
    return replace(info, suppression="in_graph", details={**info.details, "nms": thresholds})


class _Builder:
    """Appends nodes and constants to a graph; each call returns the new tensor's name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.count = 0

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        import onnx

        self.count += 1
        output = name or f"nms_{kind.lower()}_{self.count}"
        self.graph.node.append(
            onnx.helper.make_node(kind, list(inputs), [output], name=f"nms/{output}", **attributes)
        )
        return output

    def constant(self, value: Any, dtype: str) -> str:
        import onnx

        self.count += 1
        name = f"nms_constant_{self.count}"
        self.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def columns(self, tensor: str, start: int, stop: int) -> str:
        """The columns [start, stop) of the last axis."""
        bounds = (self.constant([value], "int64") for value in (start, stop, -1))
        return self.node("Slice", tensor, *bounds)


def _suppress(b: _Builder, predictions: str, options: ExportOptions) -> str:
    """(B, N, 5 + C) decoded to (K, 7)."""
    everything = np.iinfo(np.int64).max
    boxes = b.columns(predictions, 0, 4)
    objectness = b.columns(predictions, 4, 5)
    scores = b.node("Mul", objectness, b.columns(predictions, 5, everything))
    picked = b.node(
        "NonMaxSuppression",
        boxes,
        b.node("Transpose", scores, perm=[0, 2, 1]),
        b.constant([options.max_detections], "int64"),
        b.constant([options.iou], "float32"),
        b.constant([options.conf], "float32"),
        center_point_box=1,
    )  # (K, 3) int64: image, class, anchor point
    image, class_id, point = (b.columns(picked, i, i + 1) for i in range(3))
    centred = b.node("GatherND", boxes, b.node("Concat", image, point, axis=1))
    score = b.node("GatherND", scores, b.node("Concat", image, point, class_id, axis=1))
    half = b.node("Mul", b.columns(centred, 2, 4), b.constant(0.5, "float32"))
    center = b.columns(centred, 0, 2)
    return b.node(
        "Concat",
        b.node("Cast", image, to=1),
        b.node("Sub", center, half),
        b.node("Add", center, half),
        b.node("Unsqueeze", score, b.constant([1], "int64")),
        b.node("Cast", class_id, to=1),
        axis=1,
        name=DETECTIONS,
    )
