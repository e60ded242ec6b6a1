"""Annotated objects and detections of a whole data set as arrays, and their overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset

LEAST_OVERLAP = 0.1
"""Boxes that overlap less have nothing to do with each other (TIDE's limit for a box on the background)."""
_AT_ONCE = 1_000_000
"""Pairs of boxes looked at together: memory stays flat however many there are."""


@dataclass(frozen=True, eq=False)
class Truth:
    """M annotated objects, picture by picture.

    Attributes:
        pictures: (M,) index of the picture in the data set, ascending.
        classes: (M,) index among the classes that are evaluated.
        boxes: (M, 4) x, y, width, height in pixels, as annotated.
        areas: (M,) in pixels².
        ignored: (M,) crowds and difficult objects: they are not counted, and a detection in one is not either.
    """

    pictures: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    ignored: NDArray[np.bool_]

    @classmethod
    def of(cls, dataset: DetectionDataset, category_ids: Sequence[int]) -> Truth:
        """The objects of these categories."""
        place = np.full(len(dataset.category_ids), -1, np.int64)
        for index, category in enumerate(category_ids):
            place[dataset.category_ids.index(category)] = index
        classes = place[dataset.classes]
        kept = classes >= 0
        pictures = np.repeat(np.arange(len(dataset), dtype=np.int64), np.diff(dataset.offsets))
        ignored = dataset.crowds | dataset.difficult
        return cls(pictures[kept], classes[kept], dataset.boxes[kept], dataset.areas[kept], ignored[kept])


@dataclass(frozen=True, eq=False)
class Found:
    """D detections, best first; among equals the picture with the lowest id comes first, as in COCO's evaluation.

    Attributes:
        pictures, classes: (D,) as in `Truth`.
        boxes: (D, 4) x, y, width, height in pixels.
        scores: (D,) in 0-1, descending.
    """

    pictures: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def of(
        cls, rows: Sequence[Mapping[str, Any]], dataset: DetectionDataset, category_ids: Sequence[int]
    ) -> Found:
        """Those of COCO result rows (`Detections.to_coco`) whose pictures and categories are known."""
        count = len(rows)
        images = np.fromiter((row["image_id"] for row in rows), np.int64, count)
        categories = np.fromiter((row["category_id"] for row in rows), np.int64, count)
        scores = np.fromiter((row["score"] for row in rows), np.float64, count)
        boxes = np.fromiter((side for row in rows for side in row["bbox"]), np.float64, 4 * count)
        order = np.lexsort((images, -scores))
        return cls(
            _index(images[order], dataset.image_ids),
            _index(categories[order], np.array(category_ids, np.int64)),
            boxes.reshape(-1, 4)[order],
            scores[order],
        )


def _index(values: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in `known`, which holds each of the values, they are."""
    order = np.argsort(known, kind="stable")
    places: NDArray[np.int64] = order[np.searchsorted(known, values, sorter=order)]
    return places


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of a detection and an object of its picture that overlap by `LEAST_OVERLAP` or more, any classes.

    Attributes:
        found, truth: (P,) indices into `Found` and `Truth`; the former ascend.
        overlaps: (P,) IoU; for an ignored object the share of the detection that lies inside, as in COCO.
    """

    found: NDArray[np.int64]
    truth: NDArray[np.int64]
    overlaps: NDArray[np.float64]

    @classmethod
    def of(cls, found: Found, truth: Truth) -> Pairs:
        """All of them."""
        none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        parts = [none, *(_overlapping(found, truth, *part) for part in _candidates(found, truth))]
        detections, objects, overlaps = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(detections, objects, overlaps)

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.found[chosen], self.truth[chosen], self.overlaps[chosen])


def _candidates(found: Found, truth: Truth) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Every detection with every object of its picture, as two columns, some at a time."""
    first = np.searchsorted(truth.pictures, found.pictures, side="left")
    counts = np.searchsorted(truth.pictures, found.pictures, side="right") - first
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        some = counts[start:stop]
        detections = np.repeat(np.arange(start, stop), some)
        within = np.arange(len(detections)) - np.repeat(np.cumsum(some) - some, some)
        yield detections, np.repeat(first[start:stop], some) + within
        start = stop


def _overlapping(
    found: Found, truth: Truth, detections: NDArray[np.int64], objects: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The pairs that overlap, and by how much; computed in the order of pycocotools, for equal last bits."""
    ours, theirs = found.boxes[detections], truth.boxes[objects]
    lows = np.maximum(ours[:, :2], theirs[:, :2])
    highs = np.minimum(ours[:, :2] + ours[:, 2:], theirs[:, :2] + theirs[:, 2:])
    sides = np.maximum(highs - lows, 0)
    shared = sides[:, 0] * sides[:, 1]
    area = ours[:, 2] * ours[:, 3]
    union = np.where(truth.ignored[objects], area, area + theirs[:, 2] * theirs[:, 3] - shared)
    overlaps = shared / np.maximum(union, 1e-12)
    kept = overlaps >= LEAST_OVERLAP
    return detections[kept], objects[kept], overlaps[kept]
