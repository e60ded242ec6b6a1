"""A detector evaluated on a data set, as a report."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.errors import UsageError, require
from yolox_deploy.evaluation.analysis import analyse
from yolox_deploy.evaluation.annotated import annotated
from yolox_deploy.evaluation.coco import Predictor, annotations_of, answers
from yolox_deploy.evaluation.report import EvaluationReport
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import SILENT, Report

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset
    from yolox_deploy.data.split_names import Split


def evaluate(
    model: Predictor | str | Path,
    data: DetectionDataset | str | Path,
    *,
    split: Split = "val",
    images: str | Path | None = None,
    conf: float = 0.01,
    iou: float = 0.65,
    match_iou: float = 0.5,
    threshold: float | None = None,
    worst: int = 12,
    report: Report = SILENT,
) -> EvaluationReport:
    """Find out what a detector finds and what it gets wrong; `save` of the report writes it as a page.

    Evaluated are the classes that model and data set have in common; a warning says which are left out.

    Args:
        model: a `Detector`, anything with its `predict` and `class_names`, or what a `Detector` opens.
        data: a folder or `data.yaml` (`data.open_dataset`), a data set that was opened, or a COCO JSON with `images`.
        split: of a folder.
        images: of a COCO JSON the folder of its pictures.
        conf: least score; what AP is computed from has to reach far down.
        iou: suppression threshold.
        match_iou: least IoU with which a detection finds an object, 0.1-1. Crowds and difficult objects are not
            counted, nor are detections in them.
        threshold: score from which on a detection counts for confusions, sizes and the worst pictures; None for that
            of the best F1.
        worst: how many of the worst pictures are kept.
        report: told of each picture.

    Raises:
        InputError: the data set or a picture cannot be read.
        UsageError: model and data set have no class in common, or an argument is out of range.
        MissingExtraError: faster-coco-eval is not installed.
    """
    require("faster_coco_eval", "eval")
    dataset = _open_data(data, split, images)
    with _opened(model) as detector:
        known = annotations_of(dataset, detector.class_names)
        rows = answers(detector, known, conf=conf, iou=iou, report=report)
        about = _describe(detector)
    return analyse(
        dataset,
        rows,
        category_ids=[key for key in known.category_ids if key is not None],
        about=about,
        conf=conf,
        iou=iou,
        match_iou=match_iou,
        threshold=threshold,
        worst=worst,
    )


def _open_data(
    data: DetectionDataset | str | Path, split: Split, images: str | Path | None
) -> DetectionDataset:
    """What `evaluate` takes as data, opened.

    Raises:
        InputError: it cannot be read.
        UsageError: a COCO JSON without the folder of its pictures, or that folder with anything else.
    """
    if not isinstance(data, str | Path) and images is None:
        return data
    if not isinstance(data, str | Path) or (images is not None and Path(data).is_dir()):
        raise UsageError("images= names the pictures of a COCO JSON; a data set knows its own: leave it out")
    if images is None and Path(data).suffix.lower() == ".json":
        raise UsageError(
            f"{data} is an annotation file, which does not hold its pictures: name their folder with images="
        )
    found = annotated(None, None, data, split) if images is None else annotated(images, data)
    assert found is not None
    return found


def _describe(detector: Predictor) -> dict[str, str]:
    """What a `Detector` tells of itself; nothing of anything else."""
    info = getattr(detector, "info", None)
    if info is None:
        return {}
    about = {"model": info.path, "backend": info.backend, "precision": info.precision}
    asked = getattr(detector, "thresholds", None)
    if isinstance(asked, Thresholds) and asked.tiles is not None:
        about["tiles"] = "{}x{}, overlap {:g}".format(*asked.tile_size(), asked.overlap)
    return about


def _opened(model: Predictor | str | Path) -> AbstractContextManager[Predictor]:
    if isinstance(model, str | Path):
        from yolox_deploy.detector import Detector

        return Detector(model)
    return nullcontext(model)
