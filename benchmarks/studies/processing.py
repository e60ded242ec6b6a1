"""Letterbox and post-processing against the official way of computing them.

Protocol: `python -m yolox_deploy.benchmarks.studies.processing [ROUNDS]`. One process, synthetic data of a fixed
seed, no network. The ways take turns inside each round, so that a disturbance of the machine meets all of
them; 20 rounds warm up, then ROUNDS (default 100) are timed by the wall clock. Medians in milliseconds, and
ratio = official / ours of the same run: absolute values drift, ratios hold. The official way is written here
anew from its description: a canvas of ones times 114, transposed and cast; every box decoded and turned into
corners, every class suppressed by itself in NumPy on areas of one pixel more. Both ways get undecoded output.
A second table compares one chosen class with the same class filtered out of the result.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.benchmarks.studies.turns import take_turns, timed
from yolox_deploy.postprocess import anchor_grid, postprocess
from yolox_deploy.preprocess import Preprocessor

Floats = NDArray[np.float32]

WARM_UP_ROUNDS = 20
LETTERBOX_CASES = (((480, 640), 416), ((480, 640), 640), ((1080, 1920), 640))
THRESHOLDS = ((0.3, 0.45), (0.01, 0.65))


def official_letterbox(image: NDArray[np.uint8], size: int) -> Floats:
    """(h, w, 3) uint8 to (1, 3, size, size) float32."""
    canvas = np.ones((size, size, 3), np.uint8) * 114
    ratio = min(size / image.shape[0], size / image.shape[1])
    width, height = int(image.shape[1] * ratio), int(image.shape[0] * ratio)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    canvas[:height, :width] = resized
    return np.ascontiguousarray(canvas.transpose(2, 0, 1), dtype=np.float32)[None]


def official_decode(raw: Floats, size: int) -> Floats:
    """(N, 5 + C) undecoded to decoded, the grid computed at each call."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        side = size // stride
        columns, rows = np.meshgrid(np.arange(side), np.arange(side))
        grids.append(np.stack((columns, rows), 2).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    grid, steps = np.concatenate(grids), np.concatenate(strides)
    decoded = raw.copy()
    decoded[:, :2] = (decoded[:, :2] + grid) * steps
    decoded[:, 2:4] = np.exp(decoded[:, 2:4]) * steps
    return decoded


def official_nms(boxes: Floats, scores: Floats, iou: float) -> list[int]:
    """Greedy suppression of (N, 4) corners; a box from 0 to 9 is 10 pixels wide here."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    order = scores.argsort()[::-1]
    kept = []
    while order.size:
        best, others = order[0], order[1:]
        kept.append(int(best))
        width = np.maximum(0.0, np.minimum(x2[best], x2[others]) - np.maximum(x1[best], x1[others]) + 1)
        height = np.maximum(0.0, np.minimum(y2[best], y2[others]) - np.maximum(y1[best], y1[others]) + 1)
        shared = width * height
        order = others[shared / (areas[best] + areas[others] - shared) <= iou]
    return kept


def official_postprocess(raw: Floats, size: int, conf: float, iou: float, agnostic: bool) -> Floats:
    """(N, 5 + C) undecoded to rows x1, y1, x2, y2, score, class."""
    decoded = official_decode(raw, size)
    half = decoded[:, 2:4] / 2
    boxes = np.concatenate([decoded[:, :2] - half, decoded[:, :2] + half], axis=1)
    scores = decoded[:, 4:5] * decoded[:, 5:]
    if agnostic:
        classes = scores.argmax(1)
        best = scores[np.arange(len(scores)), classes]
        candidates = [(np.flatnonzero(best > conf), best, classes)]
    else:
        per_class = enumerate(scores.T)
        candidates = [(np.flatnonzero(s > conf), s, np.full(len(s), label)) for label, s in per_class]
    results = []
    for rows, values, labels in candidates:
        kept = rows[official_nms(boxes[rows], values[rows], iou)] if rows.size else rows
        results.append(np.concatenate([boxes[kept], values[kept, None], labels[kept, None]], axis=1))
    return np.concatenate(results).astype(np.float32)


def synthetic_output(size: int, candidates: int, objects: int, seed: int = 0, classes: int = 80) -> Floats:
    """Undecoded (N, 5 + classes) output in which `candidates` anchor points see one of `objects` objects."""
    random = np.random.default_rng(seed)
    grid = anchor_grid((size, size))
    points, strides = grid.offsets * grid.strides[:, None], grid.strides[:, None]
    output = np.zeros((len(grid), 5 + classes), np.float32)
    output[:, 4] = random.uniform(0, 0.005, len(grid))
    output[:, 5:] = random.uniform(0, 0.005, (len(grid), classes))
    centres = random.uniform(0.1 * size, 0.9 * size, (objects, 2))
    sides = random.uniform(0.05 * size, 0.3 * size, (objects, 2))
    labels = random.integers(0, classes, objects)
    rows = random.choice(len(grid), candidates, replace=False)
    seen = random.integers(0, objects, candidates)
    seen_centres = centres[seen] + random.normal(0, 0.08, (candidates, 2)) * sides[seen]
    output[rows, :2] = (seen_centres - points[rows]) / strides[rows]
    output[rows, 2:4] = np.log(sides[seen] * random.lognormal(0, 0.15, (candidates, 2)) / strides[rows])
    # Most candidates of a real image are weak: about one in seven reaches 0.3.
    output[rows, 4] = 0.03 + 0.97 * random.uniform(0, 1, candidates) ** 6
    output[rows, 5 + labels[seen]] = random.uniform(0.5, 1, candidates)
    return output


def medians(official: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median milliseconds of both ways."""
    ways = {"official": timed(lambda _: official()), "ours": timed(lambda _: ours())}
    taken = take_turns(ways, rounds, warm_up=WARM_UP_ROUNDS)
    return statistics.median(taken["official"]), statistics.median(taken["ours"])


def letterbox_row(image_size: tuple[int, int], size: int, rounds: int) -> tuple[str, float, float]:
    """(name, official, ours) in milliseconds, for a picture of `image_size` (h, w)."""
    image = np.random.default_rng(0).integers(0, 256, (*image_size, 3), dtype=np.uint8)
    preprocessor = Preprocessor((size, size))
    times = medians(lambda: official_letterbox(image, size), lambda: preprocessor(image), rounds)
    return f"letterbox {image_size[1]}x{image_size[0]} to {size}", *times


def postprocess_row(
    name: str, raw: Floats, size: int, thresholds: tuple[float, float], agnostic: bool, rounds: int
) -> tuple[str, float, float]:
    """(name, official, ours) in milliseconds, for one undecoded output."""
    conf, iou = thresholds
    grid = anchor_grid((size, size))
    times = medians(
        lambda: official_postprocess(raw, size, conf, iou, agnostic),
        lambda: postprocess(raw, conf=conf, iou=iou, class_agnostic=agnostic, grid=grid),
        rounds,
    )
    return f"{name} {conf}/{iou} {'agnostic' if agnostic else 'class-aware'}", *times


def chosen_row(name: str, raw: Floats, size: int, conf: float, rounds: int) -> tuple[str, float, float]:
    """(name, one class filtered out of the result, that class alone asked for) in milliseconds."""
    grid = anchor_grid((size, size))

    def filtered() -> list[NDArray[Any]]:
        found = postprocess(raw, conf=conf, iou=0.65, grid=grid)
        return [values[found[2] == 0] for values in found]

    times = medians(filtered, lambda: postprocess(raw, conf=conf, iou=0.65, grid=grid, classes=(0,)), rounds)
    return f"{name} {conf}/0.65 one class", *times


def main(rounds: int = 100) -> None:
    """Measure and print the table."""
    table = [letterbox_row(image_size, size, rounds) for image_size, size in LETTERBOX_CASES]
    outputs = (
        ("3549x85, 250 candidates", synthetic_output(416, candidates=250, objects=12), 416),
        ("8400x85, 1500 candidates", synthetic_output(640, candidates=1500, objects=80), 640),
    )
    for name, raw, size in outputs:
        for thresholds in THRESHOLDS:
            for agnostic in (False, True):
                table.append(postprocess_row(name, raw, size, thresholds, agnostic, rounds))
    _print(("official ms", "ours ms"), table)
    chosen = [
        chosen_row(name, raw, size, conf, rounds) for name, raw, size in outputs for conf in (0.25, 0.001)
    ]
    _print(("filtered ms", "chosen ms"), chosen)


def _print(names: tuple[str, str], table: list[tuple[str, float, float]]) -> None:
    print(f"{'':<50}{names[0]:>12}{names[1]:>10}{'ratio':>8}")
    for name, before, after in table:
        print(f"{name:<50}{before:>12.3f}{after:>10.3f}{before / after:>8.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
