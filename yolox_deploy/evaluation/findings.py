"""What stands out in an evaluation, as sentences; each is true of the figures that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from yolox_deploy.evaluation.boxes import Found, Truth
from yolox_deploy.evaluation.curves import Curves
from yolox_deploy.evaluation.matching import KINDS, PLACE, Verdict
from yolox_deploy.evaluation.values import Confusion, Finding, SizeFigures
from yolox_deploy.thresholds import Thresholds

MOST = 5
"""Findings that are told."""
FEW = 5
"""What happened less often is chance."""
ROUGH = 50
"""Of fewer objects no figure is sure: one is more than 2 % of recall."""


def findings(
    truth: Truth,
    found: Found,
    verdict: Verdict,
    *,
    iou: float,
    sizes: Sequence[SizeFigures],
    confusion: Confusion,
    kinds: Mapping[str, int],
    curves: Curves,
) -> tuple[Finding, ...]:
    """Up to five: that there are few objects, then those about most mistakes first.

    Args:
        iou: suppression threshold of the detections.
    """
    empty = _empty(verdict, curves)
    if empty is not None:
        return (empty,)
    told = [
        *_small_objects(sizes),
        *_missed_class(truth, verdict, confusion),
        *_confused(confusion),
        *_wrong_boxes(kinds, iou, confusion.iou),
        *_confidence(found, verdict),
        *_threshold(curves),
    ]
    told.sort(key=lambda finding: -finding.weight)
    return (*_few_objects(curves), *told)[:MOST]


def _empty(verdict: Verdict, curves: Curves) -> Finding | None:
    wrong = int(verdict.wrong.sum())
    if not curves.overall.objects:
        return Finding(
            "The data set has no object of the classes that were evaluated: all detections count as wrong "
            f"({wrong} with a score of {verdict.threshold:g} or more).",
            "Evaluate on annotated pictures of these classes; if there are some, check that the class names agree.",
            wrong,
        )
    if curves.overall.best is None:
        return Finding(
            f"Nothing right was found, at any score (objects in the data set: {curves.overall.objects}).",
            "Check that model and data set mean the same classes, and that the file reads pictures as it was trained "
            "to: yolox-deploy inspect FILE --images DIR --annotations JSON.",
            curves.overall.objects,
        )
    return None


def _few_objects(curves: Curves) -> Iterator[Finding]:
    count = curves.overall.objects
    if count < ROUGH:
        yield Finding(
            f"Evaluated objects are only {count}: one of them is {1 / count:.1%} of recall.",
            "Take all that follows as a rough guess; a larger validation split says more.",
            count,
        )


def _small_objects(sizes: Sequence[SizeFigures]) -> Iterator[Finding]:
    seen = [size for size in sizes if size.objects >= 2 * FEW]
    if len(seen) < 2:
        return
    worst, best = (choose(seen, key=lambda size: size.found / size.objects) for choose in (min, max))
    low, high = worst.found / worst.objects, best.found / best.objects
    if high - low < 0.1:
        return
    advice = {
        "small": "A larger input size (export --imgsz) gives small objects more pixels, as does cutting pictures up.",
        "large": "Look whether large objects are rare, or cut off, in the pictures of training.",
    }
    yield Finding(
        f"{worst.name.capitalize()} objects are missed most: {worst.found} of {worst.objects} are found "
        f"({low:.0%}), of the {best.name} ones {best.found} of {best.objects} ({high:.0%}).",
        advice.get(worst.name, "Look at the pictures in which they are missed."),
        worst.objects * (high - low),
    )


def _missed_class(truth: Truth, verdict: Verdict, confusion: Confusion) -> Iterator[Finding]:
    counts = np.bincount(truth.classes[~truth.ignored], minlength=len(confusion.names))
    missed = np.bincount(truth.classes[verdict.missed], minlength=len(confusion.names))
    index, total = int(missed.argmax()), int(missed.sum())
    if (counts > 0).sum() < 2 or missed[index] < FEW:
        return
    yield Finding(
        f"No class is missed more often than {confusion.names[index]}: {missed[index]} of its {counts[index]} objects, "
        f"{missed[index] / total:.0%} of all {total} misses.",
        "More training pictures of this class pay most here; look first at those below in which it is missed.",
        float(missed[index]) / 2,
    )


def _confused(confusion: Confusion) -> Iterator[Finding]:
    pairs = confusion.pairs()
    if not pairs or pairs[0][2] < 3:
        return
    true, taken, count = pairs[0]
    objects = int(confusion.matrix[confusion.names.index(true)].sum())
    yield Finding(
        f"{true} is taken for {taken} most often: {count} of its {objects} objects ({count / objects:.0%}); all "
        f"confusions of two classes together are {sum(pair[2] for pair in pairs)}.",
        "Check that both are annotated by one rule; if they are, show training more of what tells them apart.",
        2.0 * count,
    )


def _wrong_boxes(kinds: Mapping[str, int], iou: float, match_iou: float) -> Iterator[Finding]:
    total = sum(kinds.values())
    told = {
        "background": (
            "lie on nothing that is annotated",
            "Look at the worst pictures: what is there but not annotated wants annotating, and pictures of what only "
            "looks like an object, without annotations, belong into training.",
        ),
        KINDS[PLACE]: (
            f"are beside an object of their class, with an IoU under {match_iou:g}",
            "The objects are seen, their boxes do not fit: check how tightly they are annotated; longer training and a "
            "larger input size make boxes tighter.",
        ),
        "duplicate": (
            "are a second box on an object that a better one found",
            f"A lower suppression threshold takes those away that overlap the better box by more (--iou; here {iou:g}, "
            f"in Detector {Thresholds().iou:g}).",
        ),
    }
    for kind, (what, advice) in told.items():
        count = kinds[kind]
        if count >= FEW and count >= 0.2 * total:
            yield Finding(
                f"{count} of the {total} wrong boxes ({count / total:.0%}) {what}.", advice, float(count)
            )


def _confidence(found: Found, verdict: Verdict) -> Iterator[Finding]:
    counted = verdict.right | verdict.wrong
    if counted.sum() < 4 * FEW:
        return
    score = float(found.scores[: verdict.count][counted].mean())
    right = float(verdict.right[counted].mean())
    if abs(score - right) < 0.05:
        return
    kind = (
        "too low: the model is under-confident" if right > score else "too high: the model is over-confident"
    )
    yield Finding(
        f"Scores are {kind}. The {counted.sum()} detections from {verdict.threshold:g} on have a mean score of "
        f"{score:.2f}, and {right:.2f} of them are right.",
        "Choose thresholds by the curves below, not as if scores were probabilities.",
        abs(score - right) * float(counted.sum()),
    )


def _threshold(curves: Curves) -> Iterator[Finding]:
    best, usual = curves.overall.best, Thresholds().conf
    if best is None:
        return
    there = curves.overall.f1_at(usual)
    if best.f1 - there < 0.005:
        return
    yield Finding(
        f"F1 is best at a score of {best.threshold:g}: {best.f1:.3f} (precision {best.precision:.2f}, recall "
        f"{best.recall:.2f}); at {usual:g}, where Detector begins, it is {there:.3f}.",
        f"Use --conf {best.threshold:g} where a missed object and a wrong box cost the same.",
        (best.f1 - there) * curves.overall.objects,
    )
