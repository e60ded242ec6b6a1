"""Post-training INT8 quantisation of an OpenVINO model by NNCF."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.converters.base import ExportOptions
from yolox_deploy.converters.calibration import MOST_PICTURES, CalibrationSet
from yolox_deploy.errors import RuntimeFailure, UsageError, YoloxDeployError, require
from yolox_deploy.sources import image_paths


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
    pictures = min(len(image_paths(options.calib)), MOST_PICTURES)
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
