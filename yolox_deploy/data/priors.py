"""Priors (anchor boxes) fitted to a data set, and the files that carry them to a training run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_deploy import records
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.report import require_whole
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.files import write_text
from yolox_deploy.preprocess import fit

SHAPE = (3, 3, 2)
"""Levels, priors a level, and w, h: those of every anchor-based head here."""

ROUNDS = 300
"""Most rounds of k-means; it usually settles within 50."""

PRIORS = records.FileKind("make them with: yolox-deploy priors DATA", foreign="holds no priors")
_Level = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class _PriorFile:
    """What `load_priors` needs of a file; the fields as of `FittedPriors`."""

    priors: tuple[_Level, _Level, _Level]
    imgsz: tuple[int, int]


@dataclass(frozen=True, eq=False)
class FittedPriors:
    """Priors of a data set and how well they fit it.

    Attributes:
        priors: (3, 3, 2) float32 w, h in pixels of the network's input; the smallest belong to stride 8.
        imgsz: (height, width) of that input.
        boxes: how many they were fitted to.
        mean_iou: mean over the boxes of the best IoU with a prior, both about one centre (YOLO9000, Table 1).
        classic_iou: the same with YOLOv3's own priors.
    """

    priors: NDArray[np.float32]
    imgsz: tuple[int, int]
    boxes: int
    mean_iou: float
    classic_iou: float

    def save(self, path: Path) -> None:
        """Write a JSON file that the setting `priors` takes."""
        rounded = np.round(self.priors.astype(np.float64), 2).tolist()
        figures = {"boxes": self.boxes, "mean_iou": self.mean_iou, "classic_iou": self.classic_iou}
        write_text(path, json.dumps({"priors": rounded, "imgsz": self.imgsz, **figures}, indent=1))


def fit_to_dataset(
    dataset: DetectionDataset, imgsz: tuple[int, int], classic: object, *, seed: int = 0
) -> FittedPriors:
    """Nine priors by k-means over the objects of `dataset`, letterboxed to `imgsz` (height, width).

    `classic` are those to compare with, (3, 3, 2) too.

    Raises:
        InputError: the annotations have faults.
        UsageError: fewer than nine different boxes.
    """
    require_whole(dataset.source, dataset.problems)
    shapes = letterboxed_shapes(dataset, imgsz)
    priors = fit_priors(shapes, *SHAPE[:2], seed=seed)
    fits = [
        float(shape_iou(shapes, np.reshape(p, (-1, 2))).max(axis=1).mean())
        for p in (priors, np.asarray(classic))
    ]
    return FittedPriors(priors, imgsz, len(shapes), *fits)


def letterboxed_shapes(dataset: DetectionDataset, imgsz: tuple[int, int]) -> NDArray[np.float64]:
    """(n, 2) w, h of the objects that training sees, in pixels of the network's input."""
    shapes: list[NDArray[np.floating]] = [np.zeros((0, 2))]
    for index in range(len(dataset)):
        boxes = dataset.objects(index).boxes
        shapes.append((boxes[:, 2:] - boxes[:, :2]) * fit(dataset.size(index), imgsz)[2])
    return np.concatenate(shapes).astype(np.float64)


def load_priors(path: Path, imgsz: tuple[int, int]) -> NDArray[np.float32]:
    """The (3, 3, 2) float32 priors in a file of `FittedPriors.save`.

    Raises:
        InputError: it cannot be read or holds no such priors.
        UsageError: they were fitted for another input than `imgsz` (height, width).
    """
    saved = records.load(_PriorFile, path, PRIORS)
    priors = np.array(saved.priors, np.float32)
    if not (np.isfinite(priors).all() and (priors > 0).all()):
        raise InputError(f"{path} holds a side of {priors.min():g}; expected all above 0; {PRIORS.cure}")
    height, width = saved.imgsz
    if (height, width) != imgsz:
        wanted = f"{imgsz[0]}x{imgsz[1]}"
        raise UsageError(
            f"{path} was fitted for {height}x{width} and training is at {wanted}; "
            f"fit them again: yolox-deploy priors DATA --imgsz {wanted}"
        )
    return priors


def fit_priors(
    shapes: NDArray[np.floating], levels: int = 3, count: int = 3, *, seed: int = 0
) -> NDArray[np.float32]:
    """Priors for the box `shapes` of a data set, by k-means with the distance 1 - IoU (YOLO9000, section 2).

    Args:
        shapes: (n, 2) w, h in pixels of the network's input, so letterboxed; n is at least levels * count.
        levels: feature levels.
        count: priors a level.
        seed: of the first centres, drawn by k-means++.

    Returns:
        (levels, count, 2) float32 w, h in pixels; the smallest areas belong to the finest level.

    Raises:
        UsageError: fewer different shapes than priors, or a side that is not a positive number.
    """
    shapes = np.asarray(shapes, np.float64).reshape(-1, 2)
    if not (np.isfinite(shapes).all() and (shapes > 0).all()):
        raise UsageError("the boxes have sides that are not above 0; mend the data set first")
    wanted, different = levels * count, len(np.unique(shapes, axis=0))
    if different < wanted:
        raise UsageError(f"found {different} different box shapes; {wanted} priors need as many at least")
    centres = _first_centres(shapes, wanted, np.random.default_rng(seed))
    owner = np.full(len(shapes), -1)
    for _ in range(ROUNDS):
        nearest = shape_iou(shapes, centres).argmax(axis=1)
        if (nearest == owner).all():
            break
        owner = nearest
        for k in np.unique(owner):
            centres[k] = shapes[owner == k].mean(axis=0)
    centres = centres[np.argsort(centres.prod(axis=1), kind="stable")]
    return centres.reshape(levels, count, 2).astype(np.float32)


def shape_iou(
    first: NDArray[np.floating], second: Sequence[object] | NDArray[np.floating]
) -> NDArray[np.float64]:
    """IoU (n, k) of boxes (n, 2) and (k, 2), w, h, laid on the same centre."""
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    shared = np.minimum(a, b).prod(axis=2)
    return np.asarray(shared / (a.prod(axis=2) + b.prod(axis=2) - shared))


def _first_centres(shapes: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """k-means++: each next centre is a shape drawn in proportion to its squared distance from those before."""
    chosen = [int(rng.integers(len(shapes)))]
    while len(chosen) < count:
        distance = (1 - shape_iou(shapes, shapes[chosen]).max(axis=1)).clip(min=0) ** 2
        chosen.append(int(rng.choice(len(shapes), p=distance / distance.sum())))
    return shapes[chosen]
