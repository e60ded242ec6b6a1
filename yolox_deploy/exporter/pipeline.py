"""From a checkpoint to a model file with proof: load, convert, compare, and only then take the final name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy._version import __version__
from yolox_deploy.artifact import ArtifactInfo, sidecar_path, write_sidecar
from yolox_deploy.converters.base import Converted, ExportOptions, Source, Target, get_target
from yolox_deploy.errors import GateError, UsageError, require
from yolox_deploy.exporter.gate import Evidence, check_comparable, prove
from yolox_deploy.exporter.source_model import RANDOM_WEIGHTS, SourceModel, load_source_model
from yolox_deploy.models.zoo import check_input_size
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import SILENT, Report

EVALUATION_CONF = Thresholds.evaluation().conf
"""The least score of YOLOX's own evaluation; a graph with a higher one of its own loses AP."""


@dataclass(frozen=True)
class Artifact:
    """An exported file: the `path` to open, its description and the proof in it."""

    path: Path
    info: ArtifactInfo

    @property
    def parity(self) -> Mapping[str, Any]:
        """Figures of the comparison with PyTorch; `{"verified": False, ...}` where it was not made."""
        return self.info.parity or {"verified": False}


def export(
    model: str | None,
    to: str = "onnx",
    *,
    weights: str | Path | None = None,
    fp16: bool = False,
    bf16: bool = False,
    int8: bool = False,
    imgsz: int | tuple[int, int] | None = None,
    batch: int | None = 1,
    out: str | Path | None = None,
    class_names: tuple[str, ...] | None = None,
    calib: str | Path | None = None,
    verify: bool = True,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    report: Report = SILENT,
    **options: Any,
) -> Artifact:
    """Export a model and prove the result equal to PyTorch.

    Args:
        model: name in the zoo; None to recognise it from `weights`.
        to: "onnx", "openvino", "ncnn", "trt" or "trt-rtx".
        weights: a checkpoint; None for the official weights of that name (fetched once to the cache);
            "random" for timing only; "scenes" for the YOLOX-Nano that comes with the package.
        fp16, bf16, int8: the precision, float32 without any.
        imgsz: side or (H, W) in pixels, multiples of 32; None for the size that the checkpoint was trained at, where
            it tells, else the model's test size.
        batch: images at a time; None leaves it free at run time.
        out: the file to write; None for `MODEL[_PRECISION].SUFFIX` here (NCNN: `.ncnn.param`).
        class_names: one a class; None for those in the checkpoint, else COCO's.
        calib: folder of pictures for INT8.
        verify: compare with PyTorch. Skipping it is recorded in the file.
        images: folder of pictures to compare on; None for those of `calib`, else the package's photographs.
        annotations: COCO file of `images`; AP is then compared too.
        report: told of each step.
        options: further fields of `ExportOptions` (`decode`, `nms`, `uint8_input`, …).

    Returns:
        The file's path and description.

    Raises:
        UsageError: a combination that the target does not have (before any work).
        CheckpointError: weights that cannot be loaded or do not fit.
        GateError: the file differs too much; nothing is left under the final name.
        MissingExtraError: a package that the target or the comparison needs is missing.
    """
    target = get_target(to)
    wanted = _options(
        options, fp16=fp16, bf16=bf16, int8=int8, batch=batch, calib=calib, imgsz=imgsz, report=report
    )
    target.check(wanted)
    if annotations is not None and images is None:
        raise UsageError("annotations need the pictures they describe: add --images DIR")
    if annotations is not None and wanted.nms and wanted.conf > EVALUATION_CONF:
        raise UsageError(
            f"AP needs scores from {EVALUATION_CONF} on: add --conf {EVALUATION_CONF}, or leave --nms out"
        )
    # INT8 needs many pictures to be judged, and those of the calibration are at hand.
    evidence = Evidence.build(verify, images if images is not None else wanted.calib, annotations)
    require("torch", "export")
    report.step("loading the weights")
    source_model = load_source_model(model, weights, class_names)
    if annotations is not None:
        check_comparable(source_model)
    config = source_model.network.config
    if wanted.nms and config.selector:
        raise UsageError(f"{config.name} answers once an object and needs no suppression; leave --nms out")
    size = wanted.imgsz or source_model.input_size
    suffix = "" if wanted.precision == "fp32" else f"_{wanted.precision}"
    ending = target.default_ending or target.suffix
    path = Path(out) if out is not None else Path(f"{config.name}{suffix}{ending}")
    if path.suffix != target.suffix:
        raise UsageError(f"--to {target.name} writes {target.suffix} files; --out is {path}")
    target.keep_others(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    info = ArtifactInfo(
        model=config.name,
        class_names=source_model.class_names,
        input_size=size,
        weights_sha256=source_model.weights_sha256,
        versions={"yolox-deploy": __version__, "numpy": np.__version__},
        details={} if source_model.weights_sha256 else {"weights": RANDOM_WEIGHTS},
        **config.output_form(),
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".yolox-deploy-") as folder:
        stage, start = Path(folder), Path(folder) / "source"
        start.mkdir()  # of its own: the file to write may have the name of the graph it is made from
        source = _make_source(source_model, info, wanted, start)
        converted = _convert_with_proof(target, source, stage / path.name, wanted, source_model, evidence)
        _publish(converted, path)
    return Artifact(path, converted.info)


def store_info(converted: Converted) -> None:
    """Write the description where the format keeps it: inside an ONNX file, else in a sidecar."""
    if converted.path.suffix == ".onnx":
        from yolox_deploy.converters.onnx_target import write_metadata

        write_metadata(converted.path, converted.info)
    else:
        write_sidecar(converted.path, converted.info, converted.siblings)


def _options(options: dict[str, Any], *, fp16: bool, bf16: bool, int8: bool, **fields: Any) -> ExportOptions:
    asked = [name for name, on in (("fp16", fp16), ("bf16", bf16), ("int8", int8)) if on]
    if len(asked) > 1:
        raise UsageError(f"choose one precision; {' and '.join('--' + name for name in asked)} were given")
    batch = fields["batch"]
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise UsageError(f"the batch is {batch!r}; expected a number from 1, or None to leave it free")
    imgsz = fields.pop("imgsz")
    if isinstance(imgsz, str):
        raise UsageError(f"imgsz is {imgsz!r}; expected numbers, a side or (height, width): imgsz=416")
    size = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    calib = fields.pop("calib")
    try:
        return ExportOptions(
            precision=asked[0] if asked else "fp32",
            imgsz=check_input_size(size) if size is not None else None,
            calib=Path(calib) if calib is not None else None,
            **fields,
            **options,
        )
    except TypeError as error:
        raise UsageError(f"export: {error}") from error


def _make_source(
    source_model: SourceModel, info: ArtifactInfo, options: ExportOptions, stage: Path
) -> Source:
    from yolox_deploy.converters.onnx_target import make_source
    from yolox_deploy.models.fusion import fuse

    options.report.step("writing the ONNX graph")
    return make_source(fuse(source_model.network), info, options, stage)


def _convert_with_proof(
    target: Target,
    source: Source,
    path: Path,
    options: ExportOptions,
    source_model: SourceModel,
    evidence: Evidence,
) -> Converted:
    """Convert, store the description, compare, and store the figures too.

    An INT8 file that fails is made again with more layers left in floating point, until one passes.
    """
    ladder: tuple[tuple[str, ...], ...] = ((), *target.float_layers) if options.precision == "int8" else ((),)
    for attempt, layers in enumerate(ladder, start=1):
        options.report.step(f"converting to {target.name} {options.precision}")
        keep_float = (*options.float_layers, *layers)
        converted = target.load()(source, path, replace(options, float_layers=keep_float))
        store_info(converted)
        if evidence.wanted:
            options.report.step("comparing with PyTorch")
        parity = prove(target.runtime, converted, source_model, evidence)
        converted = replace(converted, info=replace(converted.info, parity=parity))
        if parity.get("passed", True):
            store_info(converted)
            return converted
        if attempt < len(ladder):
            options.report.step(f"not equal enough; leaving {', '.join(ladder[attempt])} in floating point")
    raise GateError(_failure(target, parity))


def _failure(target: Target, parity: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in parity.items() if key not in ("verified", "passed")}
    figures = ", ".join(f"{key} {value}" for key, value in shown.items())
    return f"the {target.name} file differs too much from PyTorch and was not kept: {figures}"


def _publish(converted: Converted, path: Path) -> None:
    """Rename the staged set into place, the file that people open last."""
    for file in (*converted.siblings, sidecar_path(converted.path), converted.path):
        if file.exists():
            os.replace(file, path.parent / file.name)
