"""From result rows to a report on what was found and what went wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.errors import UsageError
from yolox_deploy.evaluation.boxes import LEAST_OVERLAP, Found, Pairs, Truth
from yolox_deploy.evaluation.coco import Measured, measure, restricted
from yolox_deploy.evaluation.curves import THRESHOLDS, Calibration, Curve, Curves
from yolox_deploy.evaluation.findings import findings
from yolox_deploy.evaluation.matching import IGNORED, KINDS, Verdict, judge, match_objects
from yolox_deploy.evaluation.report import EvaluationReport
from yolox_deploy.evaluation.values import ClassFigures, Confusion, DataFacts, SizeFigures
from yolox_deploy.evaluation.worst import worst_pictures
from yolox_deploy.thresholds import Thresholds

SIZES = (("small", 0.0, "APs"), ("medium", 32.0**2, "APm"), ("large", 96.0**2, "APl"))
"""Name, least area in pixels² and figure of COCO's sizes."""
AT_BEST = ("threshold", "precision", "recall", "f1")


def analyse(
    dataset: DetectionDataset,
    rows: list[dict[str, Any]],
    *,
    category_ids: Sequence[int] | None = None,
    about: Mapping[str, str] | None = None,
    conf: float = 0.01,
    iou: float = 0.65,
    match_iou: float = 0.5,
    threshold: float | None = None,
    worst: int = 12,
) -> EvaluationReport:
    """The report on COCO result rows (`Detections.to_coco`) that were made with `conf` and `iou`.

    Args:
        category_ids: of the classes to evaluate; None for all of the data set.
        about: what made the rows; see `EvaluationReport`.
        match_iou, threshold, worst: see `evaluate`.

    Raises:
        UsageError: an argument is out of range.
        MissingExtraError: faster-coco-eval is not installed.
    """
    _check(match_iou, threshold, worst)
    chosen = sorted(dataset.category_ids if category_ids is None else set(category_ids))
    names = tuple(dataset.class_names[dataset.category_ids.index(key)] for key in chosen)
    measured = measure(restricted(dataset.to_coco(), chosen), rows)
    truth, found = Truth.of(dataset, chosen), Found.of(rows, dataset, chosen)
    pairs = Pairs.of(found, truth)
    matched = match_objects(found, truth, pairs, match_iou)
    curves = _curves(names, measured, truth, found, matched)
    if threshold is None:
        threshold = curves.overall.best.threshold if curves.overall.best else Thresholds().conf
    verdict = judge(found, truth, pairs, matched, threshold, match_iou)
    counts = np.bincount(verdict.kinds[verdict.wrong], minlength=len(KINDS)).tolist()
    counted = matched != IGNORED
    parts: dict[str, Any] = {
        "sizes": _sizes(truth, verdict, measured.figures),
        "confusion": _confusion(names, truth, found, verdict, match_iou),
        "kinds": dict(zip(KINDS, counts, strict=True)),
        "curves": curves,
    }
    return EvaluationReport(
        about=dict(about or {}),
        data=_facts(dataset, names, truth),
        conf=conf,
        iou=iou,
        match_iou=match_iou,
        threshold=threshold,
        figures=measured.figures,
        per_class=_per_class(curves, measured),
        calibration=Calibration.of(found.scores[counted], matched[counted] >= 0),
        worst=worst_pictures(dataset, names, truth, found, verdict, worst),
        findings=findings(truth, found, verdict, iou=iou, **parts),
        **parts,
    )


def _check(match_iou: float, threshold: float | None, worst: int) -> None:
    if not LEAST_OVERLAP <= match_iou <= 1:
        raise UsageError(f"match_iou is {match_iou}; expected {LEAST_OVERLAP} to 1")
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"threshold is {threshold}; expected 0 to 1, or None for that of the best F1")
    if worst < 0:
        raise UsageError(f"worst is {worst}; expected how many of the worst pictures to keep, 0 or more")


def _curves(
    names: Sequence[str], measured: Measured, truth: Truth, found: Found, matched: NDArray[np.int64]
) -> Curves:
    counted = matched != IGNORED
    scores, classes, right = found.scores[counted], found.classes[counted], matched[counted] >= 0
    objects = np.bincount(truth.classes[~truth.ignored], minlength=len(names)).tolist()
    chosen = [classes == index for index in range(len(names))]
    return Curves(
        thresholds=THRESHOLDS,
        overall=Curve.of("all classes", sum(objects), scores, right),
        classes=tuple(
            Curve.of(name, count, scores[own], right[own])
            for name, count, own in zip(names, objects, chosen, strict=True)
        ),
        recall=np.linspace(0, 1, measured.precision.shape[1]),
        precision=np.ascontiguousarray(measured.precision[0].T),
    )


def _per_class(curves: Curves, measured: Measured) -> tuple[ClassFigures, ...]:
    rows = []
    for index, curve in enumerate(curves.classes):
        precision = measured.precision[:, :, index]
        AP, AP50 = float(precision.ravel().mean()), float(precision[0].mean())
        best = dict.fromkeys(AT_BEST) if curve.best is None else asdict(curve.best)
        rows.append(ClassFigures(curve.name, curve.objects, AP, AP50, **best))
    return tuple(rows)


def _sizes(truth: Truth, verdict: Verdict, figures: Mapping[str, float]) -> tuple[SizeFigures, ...]:
    size = np.digitize(truth.areas, [least for _, least, _ in SIZES[1:]])
    counted = np.bincount(size[~truth.ignored], minlength=len(SIZES)).tolist()
    found = np.bincount(size[verdict.found_by >= 0], minlength=len(SIZES)).tolist()
    return tuple(
        SizeFigures(name, counted[index], found[index], figures[figure])
        for index, (name, _, figure) in enumerate(SIZES)
    )


def _confusion(
    names: tuple[str, ...], truth: Truth, found: Found, verdict: Verdict, match_iou: float
) -> Confusion:
    nothing = len(names)
    matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
    counted = np.flatnonzero(~truth.ignored)
    by = np.maximum(verdict.found_by, verdict.taken_by)[counted]
    columns = np.where(by >= 0, np.append(found.classes, nothing)[by], nothing)
    np.add.at(matrix, (truth.classes[counted], columns), 1)
    loose = found.classes[: verdict.count][verdict.wrong & (verdict.meant < 0)]
    matrix[nothing] = np.bincount(loose, minlength=nothing + 1)
    return Confusion(names, matrix, verdict.threshold, match_iou)


def _facts(dataset: DetectionDataset, names: Sequence[str], truth: Truth) -> DataFacts:
    pictures = [dataset.path(index).name for index in range(len(dataset))]
    digest = hashlib.sha256(repr((names, pictures)).encode())
    for part in (truth.pictures, truth.classes, truth.boxes.round(3), truth.ignored):
        digest.update(part.tobytes())
    ignored = int(truth.ignored.sum())
    return DataFacts(
        source=str(dataset.source),
        pictures=len(dataset),
        objects=len(truth.classes) - ignored,
        ignored=ignored,
        fingerprint=digest.hexdigest(),
    )
