"""COCO average precision of a detector, computed by faster-coco-eval (the same figures as pycocotools)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from yolox_deploy.errors import InputError, UsageError, require
from yolox_deploy.types import Detections

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


class Predictor(Protocol):
    """What is evaluated: a `Detector`, or anything with its `predict`."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def predict(self, image: Path, **thresholds: Any) -> Detections: ...


@dataclass(frozen=True)
class Annotations:
    """A COCO annotation file, checked.

    Attributes:
        content: the JSON as read.
        images: (image id, path) of each picture.
        category_ids: the category of each class id.
    """

    content: dict[str, Any]
    images: tuple[tuple[int, Path], ...]
    category_ids: tuple[int, ...]


def coco_ap(
    detector: Predictor,
    images_dir: str | Path,
    annotations: str | Path,
    *,
    conf: float = 0.01,
    iou: float = 0.65,
    track: Callable[[Sequence[tuple[int, Path]]], Iterable[tuple[int, Path]]] = lambda images: images,
) -> dict[str, float]:
    """Average precision over IoU 0.5 to 0.95 and its parts, with the thresholds of YOLOX's own evaluation.

    Args:
        detector: what is evaluated; its own thresholds are not used.
        images_dir: folder of the pictures that the annotations name.
        annotations: COCO `instances` JSON.
        conf: least score; YOLOX evaluates at 0.01 (its tables at 0.001).
        iou: suppression threshold.
        track: wraps the list of pictures, for a progress bar.

    Returns:
        `AP`, `AP50`, `AP75`, `APs`, `APm`, `APl`, each 0-1, or -1 where no object of that size exists.

    Raises:
        InputError: the annotations or a picture cannot be read.
        UsageError: the classes of the model and of the data set differ.
        MissingExtraError: faster-coco-eval is not installed.
    """
    require("faster_coco_eval", "eval")
    data = read_annotations(images_dir, annotations, detector.class_names)
    results: list[dict[str, Any]] = []
    for image_id, path in track(data.images):
        detections = detector.predict(path, conf=conf, iou=iou, max_detections=None)
        results += detections.to_coco(image_id, data.category_ids)
    return score(data.content, results)


def read_annotations(
    images_dir: str | Path, annotations: str | Path, class_names: Sequence[str]
) -> Annotations:
    """Read and check a COCO annotation file against its pictures and the model's classes.

    Categories are matched to classes by name where the names agree, else by ascending category id.

    Raises:
        InputError: unreadable, not COCO's format, or a picture is missing.
        UsageError: the numbers of classes differ.
    """
    file, folder = Path(annotations), Path(images_dir)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = {int(item["id"]): str(item["name"]) for item in content["categories"]}
        images = tuple((int(item["id"]), folder / item["file_name"]) for item in content["images"])
        content["annotations"]
    except OSError as error:
        raise InputError(f"no annotation file at {file} ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a COCO annotation file ({error!r})") from error
    missing = [path for _, path in images if not path.is_file()]
    if missing or not images:
        found = f"{len(missing)} of its {len(images)} pictures are missing from {folder}"
        raise InputError(f"{file}: {found}" + (f", the first is {missing[0].name}" if missing else ""))
    if len(names) != len(class_names):
        raise UsageError(f"the model has {len(class_names)} classes, {file.name} has {len(names)} categories")
    by_name = {name: category for category, name in names.items()}
    if set(by_name) == set(class_names):
        return Annotations(content, images, tuple(by_name[name] for name in class_names))
    return Annotations(content, images, tuple(sorted(names)))


def score(content: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float]:
    """The metrics of COCO result rows against a COCO annotation dictionary."""
    if not results:
        return dict.fromkeys(METRICS, 0.0)
    library = require("faster_coco_eval", "eval")
    truth = library.COCO(content)
    found = truth.loadRes(results)
    evaluation = library.COCOeval_faster(truth, found, iouType="bbox", print_function=_silent)
    evaluation.run()
    return {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=False)}


def _silent(*_: object) -> None:
    """faster-coco-eval prints a table; the figures are returned instead."""
