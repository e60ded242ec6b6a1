"""From a checkpoint to a model file with proof: load, convert, compare, and only then take the final name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from yolox_deploy._version import __version__
from yolox_deploy.artifact import ArtifactInfo, sidecar_path, write_sidecar
from yolox_deploy.converters.base import Converted, ExportOptions, Source, Target, get_target
from yolox_deploy.data.split_names import Split
from yolox_deploy.errors import GateError, UsageError, refuse_unknown, require
from yolox_deploy.evaluation.annotated import annotated, picture_paths
from yolox_deploy.exporter.gate import Evidence, check_comparable, prove
from yolox_deploy.exporter.source_model import SourceModel, load_source_model
from yolox_deploy.files import check_place, move, temporary_folder
from yolox_deploy.models.model_config import Activation, Architecture, ModelConfig
from yolox_deploy.models.zoo import check_input_size
from yolox_deploy.runtimes.registry import present_files
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import SILENT, Report, is_whole

MOST_BATCH = 4096
"""Images at a time that a graph is written for."""
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
    model: str | ModelConfig | None,
    to: str = "onnx",
    *,
    weights: str | Path | None = None,
    depth: float | None = None,
    width: float | None = None,
    depthwise: bool | None = None,
    activation: Activation | None = None,
    legacy: bool | None = None,
    fp16: bool = False,
    bf16: bool = False,
    int8: bool = False,
    imgsz: int | tuple[int, int] | None = None,
    batch: int | None = 1,
    decode: bool = False,
    nms: bool = False,
    conf: float = 0.25,
    iou: float = 0.45,
    max_detections: int = 300,
    uint8_input: bool = False,
    out: str | Path | None = None,
    class_names: tuple[str, ...] | None = None,
    calib: str | Path | None = None,
    float_layers: tuple[str, ...] = (),
    compute_capability: tuple[int, int] | None = None,
    max_batch: int = 8,
    workspace_mib: int | None = None,
    size_range: tuple[tuple[int, int], tuple[int, int]] | None = None,
    verify: bool = True,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    data: str | Path | None = None,
    split: Split = "val",
    report: Report = SILENT,
    **unknown: NoReturn,
) -> Artifact:
    """Export a model and prove the result equal to PyTorch.

    Args:
        model: name in the zoo or a `ModelConfig`; None to recognise it from `weights`.
        to: "onnx", "openvino", "ncnn", "trt" or "trt-rtx".
        weights: a checkpoint; None for the official weights of that name (fetched once to the cache);
            "random" for timing only; "scenes" for the YOLOX-Nano that comes with the package.
        depth, width, depthwise: of a network that the zoo does not have; `weights` tell them too.
        activation: "silu", "lrelu" or "relu", where it is not the model's and the checkpoint does not tell it.
        legacy: `weights` are from before YOLOX 0.1.1 (RGB, normalised); None to tell by them.
        fp16, bf16, int8: the precision, float32 without any.
        imgsz: side or (H, W) in pixels, multiples of 32; None for the size that the checkpoint was trained at, where
            it tells, else the model's test size.
        batch: images at a time; None leaves it free at run time.
        decode: put box decoding into the graph.
        nms: put suppression into the graph, at `conf`, `iou` and `max_detections` a class (implies `decode`).
        uint8_input: take (B, H, W, 3) uint8 and convert it in the graph.
        out: the file to write; None for `MODEL[_PRECISION].SUFFIX` here (NCNN: `.ncnn.param`).
        class_names: one a class; None for those in the checkpoint, else COCO's.
        calib: folder of pictures for INT8.
        float_layers: parts of layer names that INT8 leaves in floating point.
        compute_capability: of the GPU to build a TensorRT engine for, (8, 6); None for the one present.
        max_batch: most images of a TensorRT engine whose batch is free.
        workspace_mib: limit of TensorRT's scratch memory.
        size_range: smallest and largest (H, W) of a TensorRT engine whose size is free.
        verify: compare with PyTorch. Skipping it is recorded in the file.
        images: folder of pictures to compare on; None for those of `calib`, else the package's photographs.
        annotations: COCO file of `images`; AP is then compared too.
        data: folder of a COCO, VOC or YOLO data set, or its `data.yaml`, in place of `images` and `annotations`; INT8
            is calibrated on its training split where `calib` is None.
        split: of `data`, to compare on: "train" or "val".
        report: told of each step.

    Returns:
        The file's path and description.

    Raises:
        UsageError: an unknown keyword, or a combination that the target does not have (before any work).
        CheckpointError: weights that cannot be loaded or do not fit.
        GateError: the file differs too much; nothing is left under the final name.
        MissingExtraError: a package that the target or the comparison needs is missing.
    """
    refuse_unknown("option of an export", unknown, list(export.__kwdefaults__ or ()))
    target = get_target(to)
    if out is not None:
        check_place(Path(out), "--out")
    wanted = ExportOptions(
        precision=_precision(fp16=fp16, bf16=bf16, int8=int8),
        imgsz=_input_size(imgsz),
        batch=_batch(batch),
        decode=decode,
        nms=nms,
        conf=conf,
        iou=iou,
        max_detections=max_detections,
        uint8_input=uint8_input,
        calib=_calibration(calib, data if int8 else None),
        float_layers=float_layers,
        compute_capability=compute_capability,
        max_batch=max_batch,
        workspace_mib=workspace_mib,
        size_range=size_range,
        report=report,
    )
    target.check(wanted)
    dataset = annotated(images, annotations, data, split)
    if dataset is not None and wanted.nms and wanted.conf > EVALUATION_CONF:
        raise UsageError(
            f"AP needs scores from {EVALUATION_CONF} on: add --conf {EVALUATION_CONF}, or leave --nms out"
        )
    # INT8 needs many pictures to be judged, and those of the calibration are at hand.
    evidence = Evidence.build(verify, images if images is not None else wanted.calib, dataset)
    require("torch", "export")
    report.step("loading the weights")
    architecture = Architecture(depth, width, depthwise, activation)
    source_model = load_source_model(model, weights, class_names, architecture, legacy)
    for note in source_model.notes:
        warnings.warn(f"{source_model.weights}: {note}", stacklevel=2)
    if uint8_input and not source_model.input.is_identity:
        raise UsageError(
            f"--uint8-input takes pixels as they are, and {source_model.weights} is legacy: its pixels are normalised "
            "outside the graph; leave --uint8-input out (or add --no-legacy, where it is none)"
        )
    if dataset is not None:
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
        input=source_model.input,
        weights_sha256=source_model.weights_sha256,
        versions={"yolox-deploy": __version__, "numpy": np.__version__},
        details=dict(source_model.facts),
        **config.output_form(),
    )
    with temporary_folder(path) as stage:
        start = stage / "source"
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
        write_sidecar(converted.path, converted.info, present_files(converted.path)[1:])


def _calibration(calib: str | Path | None, data: str | Path | None) -> Path | tuple[Path, ...] | None:
    """The pictures for INT8: the folder `calib`, else some of the training split of `data`."""
    if calib is not None or data is None:
        return None if calib is None else Path(calib)
    from yolox_deploy.converters.calibration import MOST_PICTURES
    from yolox_deploy.data.layouts import open_dataset

    return picture_paths(open_dataset(data, "train"), MOST_PICTURES)


def _precision(**flags: bool) -> str:
    asked = [name for name, on in flags.items() if on]
    if len(asked) > 1:
        raise UsageError(f"choose one precision; {' and '.join('--' + name for name in asked)} were given")
    return asked[0] if asked else "fp32"


def _input_size(imgsz: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if isinstance(imgsz, str):
        raise UsageError(f"imgsz is {imgsz!r}; expected numbers, a side or (height, width): imgsz=416")
    size = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    return check_input_size(size) if size is not None else None


def _batch(batch: int | None) -> int | None:
    if batch is not None and (not is_whole(batch) or not 1 <= batch <= MOST_BATCH):
        raise UsageError(
            f"the batch is {batch!r}; expected a number from 1 to {MOST_BATCH}, or None to leave it free"
        )
    return batch


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
    judged = parity.get("typed_onnx", parity)
    found, limits = _figures(judged), _figures(judged.get("limits", {}))
    return (
        f"the {target.name} file differs too much from PyTorch and was not kept: {found} (limits: {limits})"
    )


def _figures(values: Mapping[str, Any]) -> str:
    """The numbers among `values`, by name."""
    return ", ".join(f"{key} {value:.4g}" for key, value in values.items() if type(value) in (int, float))


def _publish(converted: Converted, path: Path) -> None:
    """Rename the staged set into place, the file that people open last."""
    for file in (*present_files(converted.path)[1:], sidecar_path(converted.path), converted.path):
        if file.exists():
            move(file, path.parent / file.name)
