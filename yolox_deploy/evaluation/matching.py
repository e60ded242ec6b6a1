"""Which detection found which object, and what is the matter with the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.evaluation.boxes import LEAST_OVERLAP, Found, Pairs, Truth

WRONG, IGNORED = -1, -2
"""In place of the object that a detection found."""

KINDS = ("class", "duplicate", "place", "class and place", "background")
"""Of wrong detections, after TIDE (Bolya et al., ECCV 2020, section 2.2): the box is on an object of another class; on
an object of its class that a better detection found; beside an object of its class (IoU from 0.1 to that of a match);
beside one of another class; on nothing."""
CLASS, DUPLICATE, PLACE, BOTH, BACKGROUND = range(len(KINDS))


def match_objects(found: Found, truth: Truth, pairs: Pairs, least_iou: float) -> NDArray[np.int64]:
    """COCO's rule: best score first, each detection finds the free object of its class that it overlaps most.

    It overlaps by `least_iou` or more; of equal overlaps the later object is found. What finds none, but lies by that
    share in an ignored object of its class, is ignored.

    Returns:
        (D,) for each detection the index of its object, or `WRONG`, or `IGNORED`. Those of a score or more are
        matched alike when the others are left out.
    """
    least = min(least_iou, 1 - 1e-10)
    chosen = pairs.where(
        (pairs.overlaps >= least) & (found.classes[pairs.found] == truth.classes[pairs.truth])
    )
    ignored = truth.ignored[chosen.truth]
    order = np.lexsort((-chosen.truth, -chosen.overlaps, ignored, chosen.found))
    columns = (chosen.found[order], chosen.truth[order], ignored[order])
    matched = [WRONG] * len(found.scores)
    taken = bytearray(len(truth.classes))
    for detection, thing, is_ignored in zip(*(column.tolist() for column in columns), strict=True):
        if matched[detection] != WRONG or taken[thing]:
            continue
        matched[detection] = IGNORED if is_ignored else thing
        taken[thing] = not is_ignored
    return np.array(matched, np.int64)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the detections of at least a score are worth.

    Attributes:
        threshold: the score.
        count: of the detections with it: they are the first ones.
        matched: (count,) as of `match_objects`.
        kinds: (count,) index into `KINDS`; -1 for those that are not wrong.
        meant: (count,) for a wrong detection the object that it took under a wrong name, else -1.
        found_by: (M,) the detection that found an object, else -1.
        taken_by: (M,) the wrong detection that took it, else -1.
        missed: (M,) objects that count and were not found.
    """

    threshold: float
    count: int
    matched: NDArray[np.int64]
    kinds: NDArray[np.int64]
    meant: NDArray[np.int64]
    found_by: NDArray[np.int64]
    taken_by: NDArray[np.int64]
    missed: NDArray[np.bool_]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(count,) which detections are wrong."""
        wrong: NDArray[np.bool_] = self.matched == WRONG
        return wrong

    @property
    def right(self) -> NDArray[np.bool_]:
        """(count,) which detections found an object."""
        right: NDArray[np.bool_] = self.matched >= 0
        return right


def judge(
    found: Found, truth: Truth, pairs: Pairs, matched: NDArray[np.int64], threshold: float, least_iou: float
) -> Verdict:
    """Look at the detections of score `threshold` or more alone.

    Objects that `match_objects` left over are given, best score first, to wrong detections of other classes, by the
    same rule: these are confusions.
    """
    count = int(np.searchsorted(-found.scores, -threshold, side="right"))
    matched = matched[:count]
    found_by = np.full(len(truth.classes), -1, np.int64)
    hits = np.flatnonzero(matched >= 0)
    found_by[matched[hits]] = hits
    missed = (found_by < 0) & ~truth.ignored
    near = pairs.where(pairs.found < count)
    near = near.where((matched[near.found] == WRONG) & ~truth.ignored[near.truth])
    meant, taken_by = _confusions(found, truth, near.where(missed[near.truth]), count, least_iou)
    kinds = _kinds(found, truth, near, meant, least_iou)
    kinds[matched != WRONG] = -1
    return Verdict(threshold, count, matched, kinds, meant, found_by, taken_by, missed)


def _confusions(
    found: Found, truth: Truth, pairs: Pairs, count: int, least_iou: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    other = found.classes[pairs.found] != truth.classes[pairs.truth]
    chosen = pairs.where(other & (pairs.overlaps >= least_iou))
    order = np.lexsort((-chosen.truth, -chosen.overlaps, chosen.found))
    meant, taken = np.full(count, -1, np.int64), np.full(len(truth.classes), -1, np.int64)
    for detection, thing in zip(chosen.found[order].tolist(), chosen.truth[order].tolist(), strict=True):
        if meant[detection] < 0 and taken[thing] < 0:
            meant[detection], taken[thing] = thing, detection
    return meant, taken


def _kinds(
    found: Found, truth: Truth, near: Pairs, meant: NDArray[np.int64], least_iou: float
) -> NDArray[np.int64]:
    own, other = np.zeros(len(meant)), np.zeros(len(meant))
    same = found.classes[near.found] == truth.classes[near.truth]
    np.maximum.at(own, near.found[same], near.overlaps[same])
    np.maximum.at(other, near.found[~same], near.overlaps[~same])
    kinds = np.select(
        [meant >= 0, own >= least_iou, other >= least_iou, own >= LEAST_OVERLAP, other >= LEAST_OVERLAP],
        [CLASS, DUPLICATE, CLASS, PLACE, BOTH],
        BACKGROUND,
    )
    return kinds.astype(np.int64)
