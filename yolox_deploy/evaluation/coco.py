"""COCO average precision of a detector, computed by faster-coco-eval (the same figures as pycocotools)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import match_classes
from yolox_deploy.data.report import require_whole
from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, require
from yolox_deploy.types import SILENT, Report

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


class Predictor(Protocol):
    """What is evaluated: a `Detector`, or anything with its `predict`."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def predict(self, image: Path, *, conf: float, iou: float, max_detections: int | None) -> Detections: ...


@dataclass(frozen=True)
class Annotations:
    """A COCO annotation file, checked.

    Attributes:
        content: what `score` compares with: every annotation has an area and an id of its own.
        images: (image id, path) of each picture.
        category_ids: the category of each class id, None for a class that is not evaluated.
    """

    content: dict[str, Any]
    images: tuple[tuple[int, Path], ...]
    category_ids: tuple[int | None, ...]


def coco_ap(
    detector: Predictor,
    images_dir: str | Path,
    annotations: str | Path,
    *,
    conf: float = 0.01,
    iou: float = 0.65,
    report: Report = SILENT,
) -> dict[str, float]:
    """Average precision over IoU 0.5 to 0.95 and its parts, with the thresholds of YOLOX's own evaluation.

    Evaluated are the classes that model and data set have in common; a warning says which are left out.

    Args:
        detector: what is evaluated; its own thresholds are not used.
        images_dir: folder of the pictures that the annotations name.
        annotations: COCO `instances` JSON.
        conf: least score; YOLOX evaluates at 0.01 (its tables at 0.001).
        iou: suppression threshold.
        report: told of each picture.

    Returns:
        `AP`, `AP50`, `AP75`, `APs`, `APm`, `APl`, each 0-1, or -1 where no object of that size exists.

    Raises:
        InputError: the annotations or a picture cannot be read.
        UsageError: the model and the data set have no class in common.
        MissingExtraError: faster-coco-eval is not installed.
    """
    require("faster_coco_eval", "eval")
    from yolox_deploy.data.coco_format import read_coco

    return dataset_ap(detector, read_coco(annotations, images_dir), conf=conf, iou=iou, report=report)


def dataset_ap(
    detector: Predictor,
    dataset: DetectionDataset,
    *,
    conf: float = 0.01,
    iou: float = 0.65,
    report: Report = SILENT,
) -> dict[str, float]:
    """The same on a data set that was opened, of whatever format."""
    data = annotations_of(dataset, detector.class_names)
    return score(data.content, answers(detector, data, conf=conf, iou=iou, report=report))


def answers(
    detector: Predictor, data: Annotations, *, conf: float, iou: float, report: Report = SILENT
) -> list[dict[str, Any]]:
    """COCO result rows of everything that the detector finds in the pictures, picture by picture."""
    rows: list[dict[str, Any]] = []
    report.step("evaluating")
    for done, (image_id, path) in enumerate(data.images, start=1):
        detections = detector.predict(path, conf=conf, iou=iou, max_detections=None)
        rows += detections.to_coco(image_id, data.category_ids)
        report.advance(done, len(data.images))
    return rows


def annotations_of(data: DetectionDataset, class_names: Sequence[str]) -> Annotations:
    """Check a data set of whatever format against its pictures and the model's classes.

    Categories are matched to classes by name, else by ascending category id (`class_names.match_classes`). Those
    that one side alone has are left out, with a warning; another says what the reader mended or left out.

    Raises:
        InputError: the annotations have faults, or a picture is missing.
        UsageError: model and data set have no class in common.
    """
    require_whole(data.source, data.problems)
    paths = [data.path(index) for index in range(len(data))]
    missing = [data.name(index) for index, path in enumerate(paths) if not path.is_file()]
    if missing:
        raise InputError(
            f"{data.source}: {len(missing)} of its {len(paths)} pictures are missing from {data.folder}, the first "
            f"is {missing[0]}; expected the folder that these names are relative to"
        )
    matched = match_classes(class_names, data.class_names)
    category_ids = tuple(None if index is None else data.category_ids[index] for index in matched)
    if unused := category_ids.count(None):
        warnings.warn(
            f"{data.source.name} has {len(class_names) - unused} of the model's {len(class_names)} classes: these "
            "alone are evaluated",
            stacklevel=2,
        )
    images = tuple(zip(data.image_ids.tolist(), paths, strict=True))
    return Annotations(restricted(data.to_coco(), category_ids), images, category_ids)


def restricted(content: dict[str, Any], category_ids: Iterable[int | None]) -> dict[str, Any]:
    """A COCO dictionary with these categories and their annotations alone; all pictures stay."""
    kept = set(category_ids)
    return {
        **content,
        "categories": [row for row in content["categories"] if row["id"] in kept],
        "annotations": [row for row in content["annotations"] if row["category_id"] in kept],
    }


@dataclass(frozen=True, eq=False)
class Measured:
    """What the COCO evaluation says of result rows.

    Attributes:
        figures: `AP` and its parts.
        category_ids: the C categories of the annotations, ascending.
        precision: (10, 101, C) highest precision at IoU 0.5 to 0.95 and recall 0 to 1 or more, of objects of all sizes
            and at most 100 detections a picture and category; -1 for a category without objects.
    """

    figures: dict[str, float]
    category_ids: tuple[int, ...]
    precision: NDArray[np.float64]


def score(content: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float]:
    """The metrics of COCO result rows against what `DetectionDataset.to_coco` makes of annotations."""
    return measure(content, results).figures


def measure(content: dict[str, Any], results: list[dict[str, Any]]) -> Measured:
    """The same, with the precision by category from which the metrics are averaged."""
    library = require("faster_coco_eval", "eval")
    truth = library.COCO(content)
    found = truth.loadRes(results) if results else library.COCO({**content, "annotations": []})
    evaluation = library.COCOeval_faster(truth, found, iouType="bbox", print_function=_silent)
    evaluation.run()
    figures = {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=False)}
    precision = np.asarray(evaluation.eval["precision"], np.float64)[:, :, :, 0, -1]
    return Measured(figures, tuple(int(key) for key in evaluation.params.catIds), precision)


def _silent(*_: object) -> None:
    """faster-coco-eval prints a table; the figures are returned instead."""
