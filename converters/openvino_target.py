"""ONNX to OpenVINO IR: `.xml` and `.bin`."""

from __future__ import annotations

import io
import logging
import math
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.converters.base import Converted, ExportOptions, Source
from yolox_deploy.converters.calibration import MOST_PICTURES, CalibrationSet, calibration_pictures
from yolox_deploy.converters.onnx_nms import add_nms, describe
from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError, YoloxDeployError, require
from yolox_deploy.files import temporary_folder
from yolox_deploy.host import no_telemetry

COUNTED_TYPES = ("f32", "f16", "i8", "u8")


def convert(source: Source, path: Path, options: ExportOptions) -> Converted:
    """The OpenVINO target.

    FP16 halves the weights and leaves the execution to the device; BF16 keeps float32 weights, and the
    runtime executes them in bfloat16; INT8 is `quantize`.

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
            model, notes = quantize(model, source.info, options)
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
    return Converted(path, describe(info, options))


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
    with temporary_folder() as folder:
        if options.nms:
            onnx = Path(shutil.copy(onnx, folder))
            add_nms(onnx, options)
        try:
            return ov.convert_model(str(onnx))
        except Exception as error:
            reason = next(reversed(str(error).strip().splitlines()), type(error).__name__)
            raise RuntimeFailure(f"OpenVINO could not convert the model: {reason}") from error


def quantize(model: Any, info: ArtifactInfo, options: ExportOptions) -> tuple[Any, dict[str, Any]]:
    """Quantise an `openvino.Model` that came from `openvino.convert_model`, calibrated on photographs.

    `Core.read_model` will not do: it leaves biases as Reshape, NNCF quantises those too, and AP falls from
    0.31 to 0.21. Sigmoids, box decoding and whatever else follows the last convolutions stay in float32.

    Args:
        info: description of the network's input.
        options: `calib` is the folder of pictures, `float_layers` parts of the names of layers to leave.

    Returns:
        The quantised model, and what to record: pictures used, convolutions left in floating point, version.

    Raises:
        UsageError: no calibration folder, or `float_layers` leaves nothing to quantise.
        InputError: the folder holds no picture, or one cannot be read.
        MissingExtraError: nncf is not installed.
        RuntimeFailure: NNCF failed; its own exception is `__cause__`.
    """
    if options.calib is None:
        raise UsageError("INT8 needs pictures to calibrate on: add --calib DIR")
    pictures = len(calibration_pictures(options.calib))
    convolutions = [node.get_friendly_name() for node in model.get_ops() if _is_convolution(node)]
    kept = [name for name in convolutions if any(part in name for part in options.float_layers)]
    if len(kept) == len(convolutions):
        raise UsageError(f"float_layers {options.float_layers} name every layer: nothing is left for INT8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nncf = _import_nncf()
        with _quiet():
            quantized = _quantize(nncf, model, CalibrationSet(options.calib, info), kept)
    return quantized, {"calibration": pictures, "float_layers": sorted(kept), "nncf": nncf.__version__}


def _quantize(nncf: Any, model: Any, pictures: CalibrationSet, kept: list[str]) -> Any:
    excluded = nncf.IgnoredScope(
        names=[*kept, *after_last_convolutions(model)], types=["Sigmoid"], validate=False
    )
    try:
        return nncf.quantize(
            model,
            nncf.Dataset(pictures),
            subset_size=MOST_PICTURES,
            # SiLU is not symmetric about zero: asymmetric activations cost no time and gain 0.01 AP.
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=excluded,
        )
    except YoloxDeployError:
        raise
    except Exception as error:
        reason = next(reversed(str(error).strip().splitlines()), type(error).__name__)
        raise RuntimeFailure(f"NNCF could not quantise the model: {reason}") from error


def after_last_convolutions(model: Any) -> list[str]:
    """Names of the nodes between the prediction convolutions (with their biases) and the results."""
    found: dict[str, None] = {}
    waiting = list(model.get_results())
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() in found or node.get_type_name() == "Constant":
            continue
        parents = [port.get_source_output().get_node() for port in node.inputs()]
        is_bias = node.get_type_name() == "Add" and any(_is_convolution(parent) for parent in parents)
        if is_bias or _is_convolution(node):
            continue
        found[node.get_friendly_name()] = None
        waiting += parents
    return list(found)


def _is_convolution(node: Any) -> bool:
    return node.get_type_name() in ("Convolution", "GroupConvolution")


def _import_nncf() -> Any:
    """Import NNCF, which would make its logger class that of the whole process."""
    logger_class = logging.getLoggerClass()
    try:
        return require("nncf", "openvino-int8")
    finally:
        logging.setLoggerClass(logger_class)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back NNCF's progress bars, which it draws on stdout without a switch, and its notes."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
