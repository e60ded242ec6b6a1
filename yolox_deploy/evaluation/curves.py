"""Precision, recall and F1 over the score threshold, and how far scores can be taken for probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.linspace(0, 1, 101)
"""At which curves are given."""
BINS = 10
"""Of scores, each as wide."""


@dataclass(frozen=True)
class Best:
    """The threshold at which F1 is highest (a score of at least `threshold` counts), and the figures there."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class Curve:
    """Of one class, or of all together, where every object and detection counts alike.

    Attributes:
        name: of the class; "all classes".
        objects: how many there are.
        precision: (101,) at `THRESHOLDS`; NaN where no detection is left.
        recall, f1: (101,); NaN where there is no object.
        best: None where nothing right was found.
    """

    name: str
    objects: int
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    best: Best | None

    @classmethod
    def of(cls, name: str, objects: int, scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Curve:
        """Of detections, best first, that are right or wrong."""
        hits = np.concatenate([[0], np.cumsum(right)])
        left = np.searchsorted(-scores, -THRESHOLDS, side="right")
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = hits[left] / left, hits[left] / np.float64(objects)
            f1 = 2 * hits[left] / (left + np.float64(objects)) if objects else np.full(len(left), np.nan)
        return cls(name, objects, precision, recall, f1, _best(objects, scores, hits))

    def f1_at(self, threshold: float) -> float:
        """At the nearest of `THRESHOLDS`."""
        return float(self.f1[round(threshold * (len(THRESHOLDS) - 1))])


def _best(objects: int, scores: NDArray[np.float64], hits: NDArray[np.int64]) -> Best | None:
    """Of thresholds that are as good, the highest: it leaves the fewest boxes."""
    if not objects or not hits[-1]:
        return None
    cuts = np.flatnonzero(np.append(scores[1:] < scores[:-1], True)) + 1  # equal scores stay together
    f1 = 2 * hits[cuts] / (cuts + objects)
    cut = int(cuts[np.argmax(f1)])
    below = float(scores[cut]) if cut < len(scores) else 0.0
    right = int(hits[cut])
    threshold = _short(below, float(scores[cut - 1]))
    return Best(threshold, right / cut, right / objects, 2 * right / (cut + objects))


def _short(below: float, score: float) -> float:
    """A number of few digits that `score` reaches and `below` does not."""
    for digits in range(2, 6):
        short = np.floor(score * 10**digits) / 10**digits
        if short > below + 1e-6:
            return float(short)
    return score


@dataclass(frozen=True, eq=False)
class Curves:
    """Attributes:
    thresholds: (101,) of the curves.
    overall: of all classes together.
    classes: of each class.
    recall: (101,) of the precision-recall curves.
    precision: (C, 101) at IoU 0.5, as COCO interpolates it; -1 for a class without objects.
    """

    thresholds: NDArray[np.float64]
    overall: Curve
    classes: tuple[Curve, ...]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]

    @property
    def mean_precision(self) -> NDArray[np.float64]:
        """(101,) over the classes with objects, whose mean is AP50; NaN where there are none."""
        known = self.precision[self.precision[:, 0] > -1]
        return known.mean(axis=0) if len(known) else np.full(len(self.recall), np.nan)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores against the share of right detections, in `BINS` bins of scores.

    Attributes:
        edges: (BINS + 1,) scores.
        counts: (BINS,) detections.
        scores, precision: (BINS,) mean score, and share of right ones; NaN where there is no detection.
        error: expected calibration error, the mean distance of both weighed by the counts (Guo et al., ICML 2017,
            equation 3; for detections Küppers et al., CVPRW 2020); NaN without detections.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    scores: NDArray[np.float64]
    precision: NDArray[np.float64]
    error: float

    @classmethod
    def of(cls, scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
        """Of detections that are right or wrong."""
        bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        with np.errstate(invalid="ignore"):
            means = np.bincount(bins, scores, BINS) / counts
            shares = np.bincount(bins, right, BINS) / counts
        distances = np.nan_to_num(np.abs(means - shares)) * counts
        error = float(distances.sum() / len(scores)) if len(scores) else float("nan")
        return cls(np.linspace(0, 1, BINS + 1), counts, means, shares, error)
