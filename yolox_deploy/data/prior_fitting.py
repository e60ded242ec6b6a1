"""Priors (anchor boxes) for box shapes, by k-means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError

ROUNDS = 300
"""Most rounds of k-means; it usually settles within 50."""


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
