"""The conventions of a model file; those of one that carries no metadata of ours are read from its graph.

Official YOLOX files are such: input `images`, one output (B, N, 5 + classes). Sizes and class count stand in
the shapes. Whether boxes are decoded does not, so the network is asked: on a flat picture decoded centres lie
at their own anchor points, undecoded ones near zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import default_class_names
from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError, YoloxDeployError, refuse_unknown
from yolox_deploy.postprocess import anchor_grid
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.types import InputConvention, TensorSpec, as_size

DEFAULT_SIZE = 640

SIZE_HINT = (
    f". The file leaves its height and width free and was run at {DEFAULT_SIZE}x{DEFAULT_SIZE} unless told "
    "otherwise; give the size it was made for: --imgsz HxW, in Python "
    'Detector(FILE, override={"input_size": (H, W)})'
)


def describe(runtime: Runtime, override: Mapping[str, Any]) -> ArtifactInfo:
    """The description of a loaded file: its own or the inferred one, with the fields of `override` replaced.

    Raises:
        ArtifactError: the file is no detector, or its description does not fit its tensors.
        UsageError: `override` has an unknown field or an unfit value.
    """
    fields = _check_override(override)
    _check_count(runtime)
    if runtime.options.imgsz is not None:
        fields = {"input_size": runtime.options.imgsz, **fields}
    if "input_size" in fields:
        _check_size(runtime, fields["input_size"])
    found = runtime.artifact or infer_info(runtime, size=fields.get("input_size"), boxes=fields.get("boxes"))
    info = dataclasses.replace(found, **fields)
    _check_fit(info, runtime, UsageError if override else ArtifactError)
    return info


def _check_count(runtime: Runtime) -> None:
    if len(runtime.inputs) != 1 or len(runtime.outputs) != 1:
        raise ArtifactError(
            f"{runtime.path}: expected one input and one output as YOLOX files have, found "
            f"{len(runtime.inputs)} and {len(runtime.outputs)}; export it with `yolox-deploy export`"
        )


def infer_info(
    runtime: Runtime, *, size: tuple[int, int] | None = None, boxes: str | None = None
) -> ArtifactInfo:
    """The description of a foreign file, `origin` "inferred".

    Args:
        size: (H, W) to run a file at that leaves them free; None for 640x640.
        boxes: "raw" or "decoded" where it is known; None to ask the network.

    Raises:
        ArtifactError: its inputs and outputs are not those of a YOLOX detector.
    """
    _check_count(runtime)
    spec = runtime.inputs[0]
    layout, fixed = _layout_and_size(runtime, spec)
    asked = size or (DEFAULT_SIZE, DEFAULT_SIZE)
    size = (fixed[0] or asked[0], fixed[1] or asked[1])
    batch = spec.shape[0]
    try:
        convention = InputConvention(layout=layout, dtype=str(spec.dtype))
    except ArtifactError as error:
        raise ArtifactError(f"{runtime.path}: {error}") from error
    shape = (batch or 1, 3, *size) if layout == "NCHW" else (batch or 1, *size, 3)
    probe = np.full(shape, convention.pad_value, spec.dtype)
    hint = "" if None not in fixed else SIZE_HINT
    try:
        predictions = runtime.infer({spec.name: probe})[runtime.outputs[0].name]
    except RuntimeFailure as error:
        raise ArtifactError(f"{error}{hint}") from error
    points = anchor_grid(size)
    if predictions.ndim != 3 or predictions.shape[1] != len(points.strides) or predictions.shape[2] < 6:
        raise ArtifactError(
            f"{runtime.path}: the output is {predictions.shape}; a YOLOX detector of {size[0]}x{size[1]} "
            f"gives (batch, {len(points.strides)}, 5 + classes). Export it with `yolox-deploy export`{hint}"
        )
    return ArtifactInfo(
        model="unknown",
        class_names=default_class_names(predictions.shape[2] - 5),
        input_size=size,
        batch=batch,
        input=convention,
        boxes=boxes or _box_encoding(predictions[0], size),
        precision=runtime.loaded.precision,
        format=runtime.path.suffix.removeprefix("."),
        origin="inferred",
    )


def _layout_and_size(runtime: Runtime, spec: TensorSpec) -> tuple[str, tuple[int | None, int | None]]:
    """The layout and (H, W), None where the file leaves a side free."""
    if len(spec.shape) == 4:
        if spec.shape[1] == 3:
            return "NCHW", (spec.shape[2], spec.shape[3])
        if spec.shape[3] == 3:
            return "NHWC", (spec.shape[1], spec.shape[2])
    raise ArtifactError(f"{runtime.path}: input {spec.name!r} is {spec.shape}; expected (batch, 3, H, W)")


def _box_encoding(predictions: NDArray[np.float32], size: tuple[int, int]) -> str:
    """ "decoded" where the mean centre is nearer to its anchor point than to zero (both in pixels)."""
    points = anchor_grid(size)
    centers = predictions[:, :2].astype(np.float64)
    to_anchor = np.abs(centers - points.offsets * points.strides[:, None]).mean()
    return "decoded" if to_anchor < np.abs(centers).mean() else "raw"


def _check_size(runtime: Runtime, asked: tuple[int, int]) -> None:
    """Refuse to run a file of a fixed size at another one."""
    _, fixed = _layout_and_size(runtime, runtime.inputs[0])
    if any(side not in (None, wanted) for side, wanted in zip(fixed, asked, strict=True)):
        takes, wanted = (
            "x".join("any" if side is None else str(side) for side in size) for size in (fixed, asked)
        )
        model = runtime.artifact.model if runtime.artifact is not None else "MODEL"
        raise UsageError(
            f"{runtime.path} takes images of {takes} only (height x width), {wanted} was asked for; leave the size "
            f"out, or make a file of that size: yolox-deploy export {model} --weights FILE --imgsz {wanted}"
        )


def _check_fit(info: ArtifactInfo, runtime: Runtime, error: type[YoloxDeployError]) -> None:
    """Raise `error` where the description does not fit the tensors of the file: size, layout, classes."""
    found = runtime.inputs[0]
    size = info.input_size
    shape = (info.batch, 3, *size) if info.input.layout == "NCHW" else (info.batch, *size, 3)
    want = TensorSpec(found.name, shape, np.dtype(info.input.dtype))
    known = [(a, b) for a, b in zip(want.shape, found.shape, strict=False) if a is not None and b is not None]
    if len(found.shape) != 4 or found.dtype != want.dtype or any(a != b for a, b in known):
        described = f"described as {want.dtype} {shape}"
        raise error(f"{runtime.path}: the input is {found.dtype} {found.shape}, but {described}")
    columns = runtime.outputs[0].shape[-1] if info.suppression != "in_graph" else None
    if columns is not None and columns != 5 + len(info.class_names):
        raise error(
            f"{runtime.path}: {len(info.class_names)} class names for the {columns - 5} classes of its output"
        )


def _check_override(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    refuse_unknown("convention of a model file", fields, [f.name for f in dataclasses.fields(ArtifactInfo)])
    convention = fields.get("input", InputConvention())
    if not isinstance(convention, InputConvention):
        raise UsageError(
            f"override['input'] is {convention!r}; expected a yolox_deploy.types.InputConvention, such as "
            "InputConvention(color_order='RGB') or InputConvention.legacy()"
        )
    if "input_size" in fields:
        return {**fields, "input_size": as_size(fields["input_size"])}
    return fields
