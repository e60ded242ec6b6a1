"""What an evaluation found, as values: figures, classes, confusions, curves, calibration, worst pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.evaluation.curves import Calibration, Curve, Curves
from yolox_deploy.evaluation.worst import WorstPicture

DIGITS = 6
"""Of curves in the JSON file; figures are written whole."""


@dataclass(frozen=True)
class ClassFigures:
    """One class.

    Attributes:
        objects: that count.
        AP, AP50: as COCO computes them; -1 without objects.
        precision, recall, f1: at `threshold`, at which F1 of this class is highest; None where nothing right was found.
    """

    name: str
    objects: int
    AP: float
    AP50: float
    precision: float | None
    recall: float | None
    f1: float | None
    threshold: float | None


@dataclass(frozen=True)
class SizeFigures:
    """Objects of one of COCO's sizes: small to 32², medium to 96² pixels² of area, large above; `found` of `objects` at
    the threshold of the report; `AP` is -1 without objects."""

    name: str
    objects: int
    found: int
    AP: float

    @property
    def recall(self) -> float | None:
        """The share that was found; None without objects."""
        return self.found / self.objects if self.objects else None


@dataclass(frozen=True, eq=False)
class Confusion:
    """What objects were taken for.

    Each object goes to the best detection of its own class by the rule of COCO; objects left over go, best score
    first, to wrong detections of other classes that overlap them enough. So the diagonal holds what counts as found.

    Attributes:
        names: the C classes.
        matrix: (C + 1, C + 1) counts: row i, column j are objects of class i found as class j. The last column holds
            the objects that no detection took, the last row the detections that took no object: on the background,
            badly placed, or a second one on an object.
        conf, iou: least score of the detections, and IoU with which they take an object.
    """

    names: tuple[str, ...]
    matrix: NDArray[np.int64]
    conf: float
    iou: float

    def pairs(self) -> list[tuple[str, str, int]]:
        """(class, taken for, count) of all confusions of two classes, the most frequent first."""
        between = self.matrix[:-1, :-1] - np.diag(np.diag(self.matrix[:-1, :-1]))
        rows, columns = np.nonzero(between)
        counts = between[rows, columns]
        order = np.argsort(-counts, kind="stable")
        return [(self.names[rows[i]], self.names[columns[i]], int(counts[i])) for i in order.tolist()]


@dataclass(frozen=True)
class Finding:
    """A sentence that the figures bear out, what one could do, and about how many mistakes it is."""

    text: str
    advice: str
    weight: float


@dataclass(frozen=True)
class DataFacts:
    """On what was evaluated; `fingerprint` is that of the pictures' names, the objects and the classes."""

    source: str
    pictures: int
    objects: int
    ignored: int
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What was found, and what went wrong; `EvaluationReport` is this with a way to a page, and says what is what."""

    about: Mapping[str, str]
    data: DataFacts
    conf: float
    iou: float
    match_iou: float
    threshold: float
    figures: dict[str, float]
    per_class: tuple[ClassFigures, ...]
    sizes: tuple[SizeFigures, ...]
    confusion: Confusion
    kinds: dict[str, int]
    curves: Curves
    calibration: Calibration
    worst: tuple[WorstPicture, ...] = field(repr=False)
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON: `figures` and `about` at the top, NaN as None, curves to six digits."""
        return {
            **self.summary(),
            "thresholds": {
                "conf": self.conf,
                "iou": self.iou,
                "match_iou": self.match_iou,
                "score": self.threshold,
            },
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "sizes": [{**dataclasses.asdict(size), "recall": size.recall} for size in self.sizes],
            "confusion": _plain(dataclasses.asdict(self.confusion)),
            "kinds": self.kinds,
            "curves": {
                "thresholds": _plain(self.curves.thresholds),
                "overall": _curve(self.curves.overall),
                "classes": [_curve(curve) for curve in self.curves.classes],
                "recall": _plain(self.curves.recall),
                "precision": _plain(self.curves.precision),
            },
            "calibration": _plain(dataclasses.asdict(self.calibration)),
            "worst": [{**dataclasses.asdict(picture), "path": str(picture.path)} for picture in self.worst],
        }

    def summary(self) -> dict[str, Any]:
        """The figures, `about`, the data and the classes: what `eval --json` prints and a baseline is compared by."""
        return {
            **self.figures,
            **self.about,
            "data": {**dataclasses.asdict(self.data), "conf": self.conf, "iou": self.iou},
            "per_class": [dataclasses.asdict(one) for one in self.per_class],
        }


def _curve(curve: Curve) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(dataclasses.asdict(curve))
    return plain


def _plain(value: Any) -> Any:
    """Arrays as lists of few digits; NaN as None."""
    if isinstance(value, np.ndarray):
        return _plain(value.round(DIGITS).tolist() if value.dtype.kind == "f" else value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
