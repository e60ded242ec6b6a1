"""Accuracy beside speed: AP of the very file whose latency stands in the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.results import Accuracy, Row
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.data.split_names import Split
from yolox_deploy.evaluation.annotated import annotated
from yolox_deploy.types import Report

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset


@dataclass(frozen=True)
class Truth:
    """Pictures with annotations; `max_drop` is the AP (0-1) that reduced precision may cost."""

    dataset: DetectionDataset
    max_drop: float

    @classmethod
    def of(
        cls,
        images: str | Path | None,
        annotations: str | Path | None,
        max_drop: float,
        *,
        data: str | Path | None = None,
        split: Split = "val",
    ) -> Truth | None:
        """None without annotations, which are taken and refused as by `evaluation.annotated.annotated`."""
        dataset = annotated(images, annotations, data, split)
        return None if dataset is None else cls(dataset, max_drop)


def check_truth(candidates: Sequence[ModelUnderTest], truth: Truth) -> None:
    """Find out before minutes of measuring whether AP can be measured: opens each file once.

    Raises:
        InputError: the annotations or a picture that they name cannot be read.
        UsageError: a file's classes and those of the annotations differ.
    """
    from yolox_deploy.evaluation.coco import annotations_of

    for candidate in {candidate.path: candidate for candidate in candidates}.values():
        with candidate.open(Protocol()) as detector:
            names = detector.class_names
        annotations_of(truth.dataset, names)


def measure_accuracy(
    rows: Sequence[Row], candidates: Sequence[ModelUnderTest], truth: Truth, report: Report
) -> list[Row]:
    """The rows with AP at YOLOX's own thresholds (0.01, 0.65), each held against its model's float32 row.

    Rows that differ in threads only share one evaluation.
    """
    found: dict[tuple[object, ...], Accuracy] = {}
    measured = []
    for row, candidate in zip(rows, candidates, strict=True):
        key = (candidate.path, row.subject.backend, row.subject.device, row.subject.precision)
        if key not in found:
            report.step(f"measuring AP of {row.subject.label}")
            found[key] = _evaluate(candidate, truth)
        measured.append(replace(row, accuracy=found[key]))
    return [hold(row, measured, truth.max_drop) for row in measured]


def hold(row: Row, rows: Sequence[Row], max_drop: float) -> Row:
    """The row with the AP it must reach: that of the first float32 row of its model, weights and size, less
    `max_drop`."""
    reference = next((other for other in rows if is_reference(other, row)), None)
    if row.accuracy is None or reference is None or reference.accuracy is None or reference is row:
        return row
    least = reference.accuracy.figures["AP"] - max_drop
    return replace(row, accuracy=replace(row.accuracy, reference=reference.subject.label, least=least))


def is_reference(other: Row, row: Row) -> bool:
    """Whether `other` is a float32 row of the same network as `row`."""
    ours, theirs = row.subject, other.subject
    same = (ours.model, ours.weights, ours.input_size) == (theirs.model, theirs.weights, theirs.input_size)
    return same and theirs.precision == "fp32"


def _evaluate(candidate: ModelUnderTest, truth: Truth) -> Accuracy:
    from yolox_deploy.evaluation.coco import dataset_ap

    with candidate.open(Protocol()) as detector:
        figures = dataset_ap(detector, truth.dataset)
    return Accuracy(figures, len(truth.dataset))
