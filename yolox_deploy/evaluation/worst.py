"""The pictures with most mistakes, and what the mistakes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.evaluation.boxes import Found, Truth
from yolox_deploy.evaluation.matching import BACKGROUND, BOTH, CLASS, DUPLICATE, PLACE, Verdict

Box = tuple[float, float, float, float]
NOTES = {
    CLASS: "on another class",
    DUPLICATE: "second box",
    PLACE: "badly placed",
    BOTH: "badly placed, on another class",
    BACKGROUND: "nothing there",
}


@dataclass(frozen=True)
class Marked:
    """An object or a detection: `box` x1, y1, x2, y2 in pixels; `score` None for an object; `note` what is wrong."""

    box: Box
    class_name: str
    score: float | None = None
    note: str = ""


@dataclass(frozen=True)
class WorstPicture:
    """A picture with its mistakes: objects that were missed, detections that are wrong; and those that are right.

    Its `name` is that in the data set, without the folders where they begin at the root.
    """

    image_id: int
    name: str
    path: Path
    missed: tuple[Marked, ...]
    wrong: tuple[Marked, ...]
    right: tuple[Marked, ...]


def worst_pictures(
    dataset: DetectionDataset,
    names: Sequence[str],
    truth: Truth,
    found: Found,
    verdict: Verdict,
    most: int,
) -> tuple[WorstPicture, ...]:
    """Up to `most` pictures with mistakes (missed or wrong), most mistakes first; among equals as in the data set."""
    shown = found.pictures[: verdict.count]
    mistakes = np.bincount(truth.pictures[verdict.missed], minlength=len(dataset))
    mistakes += np.bincount(shown[verdict.wrong], minlength=len(dataset))
    worst = [index for index in np.argsort(-mistakes, kind="stable")[:most].tolist() if mistakes[index]]
    return tuple(_picture(dataset, names, truth, found, verdict, index) for index in worst)


def _picture(
    dataset: DetectionDataset,
    names: Sequence[str],
    truth: Truth,
    found: Found,
    verdict: Verdict,
    index: int,
) -> WorstPicture:
    def detection(row: int) -> Marked:
        kind, meant = int(verdict.kinds[row]), int(verdict.meant[row])
        note = f"is a {names[truth.classes[meant]]}" if meant >= 0 else NOTES.get(kind, "")
        return Marked(_corners(found.boxes[row]), names[found.classes[row]], float(found.scores[row]), note)

    def thing(row: int) -> Marked:
        taken = int(verdict.taken_by[row])
        note = f"found as {names[found.classes[taken]]}" if taken >= 0 else ""
        return Marked(_corners(truth.boxes[row]), names[truth.classes[row]], note=note)

    here, path = found.pictures[: verdict.count] == index, dataset.path(index)
    return WorstPicture(
        image_id=int(dataset.image_ids[index]),
        name=path.name if Path(dataset.name(index)).is_absolute() else dataset.name(index),
        path=path,
        missed=tuple(map(thing, np.flatnonzero(verdict.missed & (truth.pictures == index)).tolist())),
        wrong=tuple(map(detection, np.flatnonzero(here & verdict.wrong).tolist())),
        right=tuple(map(detection, np.flatnonzero(here & verdict.right).tolist())),
    )


def _corners(box: NDArray[np.float64]) -> Box:
    x, y, width, height = box.tolist()
    return x, y, x + width, y + height
