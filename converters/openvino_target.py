"""ONNX to OpenVINO IR: `.xml` and `.bin`."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolox_deploy.converters import openvino_int8
from yolox_deploy.converters.base import Converted, ExportOptions, Source
from yolox_deploy.converters.onnx_nms import add_nms, describe
from yolox_deploy.errors import ArtifactError, RuntimeFailure, require
from yolox_deploy.host import no_telemetry

COUNTED_TYPES = ("f32", "f16", "i8", "u8")


def convert(source: Source, path: Path, options: ExportOptions) -> Converted:
    """The OpenVINO target.

    FP16 halves the weights and leaves the execution to the device; BF16 keeps float32 weights, and the
    runtime executes them in bfloat16; INT8 is `openvino_int8.quantize`.

    Returns:
        The `.xml`, with the `.bin` as its sibling. `info.precision` is read back from these files, except
        for "bf16", which no file shows; `info.details["openvino"]` has the counts it was read from.

    Raises:
        ArtifactError: the precision was not achieved.
        MissingExtraError: openvino, or nncf for INT8, is not installed.
        UsageError, InputError: the calibration pictures (INT8).
        RuntimeFailure: OpenVINO or NNCF failed.
    """
    with no_telemetry():
        ov = require("openvino", "openvino")
        model = _from_onnx(ov, source.onnx, options)
        notes: dict[str, Any] = {}
        versions = {**source.info.versions, "openvino": ov.__version__}
        if options.precision == "int8":
            model, notes = openvino_int8.quantize(model, source.info, options)
            versions["nncf"] = notes.pop("nncf")
        ov.save_model(model, str(path), compress_to_fp16=options.precision == "fp16")
        counts = count_types(ov.Core().read_model(str(path)))
    found = precision_of(counts)
    if found != ("fp32" if options.precision == "bf16" else options.precision):
        raise ArtifactError(
            f"{path.name} was to be {options.precision}, but its weights are {found}: {counts}"
        )
    info = replace(
        source.info,
        format="openvino",
        precision=options.precision,
        versions=versions,
        details={**source.info.details, "openvino": {**counts, **notes}},
    )
    return Converted(path, describe(info, options), (path.with_suffix(".bin"),))


def count_types(model: Any) -> dict[str, Any]:
    """What tells the precision of an `openvino.Model`.

    Returns:
        `quantizers` and `convolutions`, and `elements` of constants by type.
    """
    kinds: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for node in model.get_ops():
        kind = node.get_type_name()
        kinds[kind] += 1
        if kind == "Constant" and node.get_element_type().to_string() in COUNTED_TYPES:
            elements[node.get_element_type().to_string()] += math.prod(node.get_output_shape(0))
    return {
        "quantizers": kinds["FakeQuantize"],
        "convolutions": kinds["Convolution"] + kinds["GroupConvolution"],
        "elements": dict(sorted(elements.items())),
    }


def precision_of(counts: dict[str, Any]) -> str:
    """ "int8", "fp16" or "fp32", by what `count_types` found."""
    elements = counts["elements"]
    if counts["quantizers"] and elements.get("i8", 0) + elements.get("u8", 0):
        return "int8"
    return "fp16" if elements.get("f16", 0) > elements.get("f32", 0) else "fp32"


def _from_onnx(ov: Any, onnx: Path, options: ExportOptions) -> Any:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if options.nms:
            onnx = Path(shutil.copy(onnx, folder))
            add_nms(onnx, options)
        try:
            return ov.convert_model(str(onnx))
        except Exception as error:
            reason = next(reversed(str(error).strip().splitlines()), type(error).__name__)
            raise RuntimeFailure(f"OpenVINO could not convert the model: {reason}") from error
