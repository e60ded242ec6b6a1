"""Reads the conventions of a model file that carries no metadata of ours from its graph.

Official YOLOX files are such: input `images`, one output (B, N, 5 + classes). Sizes and class count stand in
the shapes. Whether boxes are decoded does not, so the network is asked: on a flat picture decoded centres lie
at their own anchor points, undecoded ones near zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.coco import default_class_names
from yolox_deploy.errors import ArtifactError
from yolox_deploy.postprocess import anchor_points
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.types import InputConvention, TensorSpec

DEFAULT_SIZE = 640


def infer_info(runtime: Runtime) -> ArtifactInfo:
    """The description of a foreign file, `origin` "inferred".

    Raises:
        ArtifactError: its inputs and outputs are not those of a YOLOX detector.
    """
    if len(runtime.inputs) != 1 or len(runtime.outputs) != 1:
        raise ArtifactError(
            f"{runtime.path}: expected one input and one output as YOLOX files have, found "
            f"{len(runtime.inputs)} and {len(runtime.outputs)}; export it with `yolox-deploy export`"
        )
    spec = runtime.inputs[0]
    layout, size = _layout_and_size(runtime, spec)
    batch = spec.shape[0]
    convention = InputConvention(layout=layout, dtype=str(spec.dtype))
    shape = (batch or 1, 3, *size) if layout == "NCHW" else (batch or 1, *size, 3)
    probe = np.full(shape, convention.pad_value, spec.dtype)
    predictions = runtime.infer({spec.name: probe})[runtime.outputs[0].name]
    points = anchor_points(size)
    if predictions.ndim != 3 or predictions.shape[1] != len(points.strides) or predictions.shape[2] < 6:
        raise ArtifactError(
            f"{runtime.path}: the output is {predictions.shape}; a YOLOX detector of {size[0]}x{size[1]} "
            f"gives (batch, {len(points.strides)}, 5 + classes). Export it with `yolox-deploy export`"
        )
    return ArtifactInfo(
        model="unknown",
        class_names=default_class_names(predictions.shape[2] - 5),
        input_size=size,
        batch=batch,
        input=convention,
        boxes=_box_encoding(predictions[0], size),
        precision=runtime.loaded.precision,
        format=runtime.path.suffix.removeprefix("."),
        origin="inferred",
    )


def _layout_and_size(runtime: Runtime, spec: TensorSpec) -> tuple[str, tuple[int, int]]:
    if len(spec.shape) == 4:
        if spec.shape[1] == 3:
            return "NCHW", (spec.shape[2] or DEFAULT_SIZE, spec.shape[3] or DEFAULT_SIZE)
        if spec.shape[3] == 3:
            return "NHWC", (spec.shape[1] or DEFAULT_SIZE, spec.shape[2] or DEFAULT_SIZE)
    raise ArtifactError(f"{runtime.path}: input {spec.name!r} is {spec.shape}; expected (batch, 3, H, W)")


def _box_encoding(predictions: NDArray[np.float32], size: tuple[int, int]) -> str:
    """ "decoded" where the mean centre is nearer to its anchor point than to zero (both in pixels)."""
    points = anchor_points(size)
    centers = predictions[:, :2].astype(np.float64)
    to_anchor = np.abs(centers - points.offsets * points.strides[:, None]).mean()
    return "decoded" if to_anchor < np.abs(centers).mean() else "raw"
