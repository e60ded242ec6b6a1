"""Runs an exported file against PyTorch: numbers or detections, and AP where annotations are given."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.converters.base import Converted
from yolox_deploy.detector import Detector
from yolox_deploy.errors import ArtifactError, DeviceError, MissingExtraError, RuntimeFailure, UsageError
from yolox_deploy.evaluation.annotated import picture_paths
from yolox_deploy.evaluation.coco import dataset_ap
from yolox_deploy.exporter.parity import verify
from yolox_deploy.exporter.source_model import SourceModel
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.runtimes.registry import open_runtime
from yolox_deploy.sources import image_paths

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset

MOST_PICTURES = 64
"""Pictures of a given folder that an export is compared on; more only take longer."""

AP_LOSS = {"fp32": 0.0005, "fp16": 0.004, "bf16": 0.004, "int8": 0.015}
"""How much AP an export may lose against PyTorch float32 on the same pictures."""


@dataclass(frozen=True)
class Evidence:
    """What an export is compared on.

    Attributes:
        wanted: False records that the comparison was skipped on request.
        pictures: photographs; those of the package where empty.
        dataset: to compare AP on, or None.
    """

    wanted: bool = True
    pictures: tuple[Path, ...] = ()
    dataset: DetectionDataset | None = None

    @classmethod
    def build(
        cls,
        wanted: bool,
        images: str | Path | Sequence[Path] | None,
        dataset: DetectionDataset | None,
    ) -> Evidence:
        """Check the arguments before any work is done.

        Args:
            images: a folder or glob, or the pictures themselves; those of `dataset` where it is given.

        Raises:
            InputError: there is no picture in `images`.
        """
        if dataset is not None:
            return cls(wanted, picture_paths(dataset, MOST_PICTURES), dataset)
        if images is None:
            return cls(wanted)
        paths = image_paths(images) if isinstance(images, str | Path) else images
        return cls(wanted, tuple(paths[:MOST_PICTURES]))


def prove(
    backend: str, converted: Converted, source_model: SourceModel, evidence: Evidence
) -> dict[str, Any]:
    """Figures for the file's metadata; `passed` tells whether they are within the limits.

    A file built for a device that is not here cannot be run. That is recorded, and the typed ONNX graph that it
    was built from is compared in its place, on ONNX Runtime, where that can run it.

    Raises:
        MissingExtraError: the backend that runs the file is not installed.
    """
    if not evidence.wanted:
        return {"verified": False, "reason": "skipped on request (--no-verify)"}
    try:
        with open_runtime(converted.path, backend) as runtime:
            parity = _verify(runtime, converted, source_model, evidence)
    except DeviceError as error:
        reason = f"not run: {error}"
        return {"verified": False, "reason": reason, **_prove_typed_onnx(converted, source_model, evidence)}
    except MissingExtraError as error:
        raise MissingExtraError(
            f"the exported file is proven by running it: {error} (or skip the proof with --no-verify)"
        ) from error
    if evidence.dataset is not None:
        parity |= compare_accuracy(backend, converted, source_model, evidence)
        parity["passed"] = parity["passed"] and parity["ap"] >= parity["ap_reference"] - parity["ap_limit"]
    return parity


def _verify(
    runtime: Runtime, converted: Converted, source_model: SourceModel, evidence: Evidence
) -> dict[str, Any]:
    return verify(
        runtime, converted.info, source_model.run, evidence.pictures, exact=source_model.run_exactly
    )


def _prove_typed_onnx(converted: Converted, source_model: SourceModel, evidence: Evidence) -> dict[str, Any]:
    """`{"typed_onnx": figures, "passed": ...}`, or nothing where ONNX Runtime cannot run the graph."""
    if converted.typed_onnx is None:
        return {}
    try:
        with open_runtime(converted.typed_onnx, "onnxruntime", device="cpu") as runtime:
            figures = _verify(runtime, converted, source_model, evidence)
    except (ArtifactError, RuntimeFailure, MissingExtraError):
        return {}  # no bfloat16 convolution on the CPU, or ONNX Runtime is not installed
    return {"typed_onnx": figures, "passed": figures["passed"]}


def check_comparable(source_model: SourceModel) -> None:
    """Refuse, before any work, weights that PyTorch cannot be evaluated with.

    Raises:
        UsageError: random weights, which have no accuracy, or a checkpoint that does not tell its network.
    """
    if source_model.weights is None:
        raise UsageError("random weights have no accuracy to compare; leave --annotations or --data out")
    from yolox_deploy.models import read_checkpoint

    if read_checkpoint(source_model.weights).config is None:
        raise UsageError(
            f"{source_model.weights} does not tell its network by its weights, so PyTorch cannot be evaluated with it; "
            "leave --annotations or --data out"
        )


def compare_accuracy(
    backend: str, converted: Converted, source_model: SourceModel, evidence: Evidence
) -> dict[str, float]:
    """AP of the file and of its checkpoint in PyTorch, on the same pictures at the same size."""
    assert source_model.weights is not None
    assert evidence.dataset is not None
    known = {"class_names": source_model.class_names, "input": source_model.input}
    network = {
        "imgsz": converted.info.input_size,
        "activation": source_model.network.config.activation,
    }
    nms = converted.info.graph_nms
    thresholds = {"iou": nms["iou"]} if nms else {}  # a graph's own suppression counts every label of a point
    with Detector(converted.path, backend=backend) as detector:
        found = dataset_ap(detector, evidence.dataset, **thresholds)["AP"]
    checkpoint = source_model.weights
    if checkpoint.suffix not in (".pth", ".pt"):  # as in best.pth.tar: the suffix names the backend
        checkpoint = Path(shutil.copyfile(checkpoint, converted.path.parent / "reference.pth"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the export has told what was recognised in the checkpoint
        reference = Detector(
            checkpoint,
            backend="torch",
            override=known,
            runtime_options=network,
            multi_label=nms is not None,
        )
    with reference as detector:
        expected = dataset_ap(detector, evidence.dataset, **thresholds)["AP"]
    return {"ap": found, "ap_reference": expected, "ap_limit": AP_LOSS[converted.info.precision]}
