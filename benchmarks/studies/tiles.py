"""What tiles are worth: AP by the size of objects with and without them, and what they cost.

    python -m yolox_deploy.benchmarks.studies.tiles MODEL --images DIR --annotations J [--picture OUT.png]

Protocol: two sets are made of an annotated one. "canvas": twelve pictures each, unscaled, at seeded places on a grey
canvas of 4000x3000, none upon another, with their annotations moved there. "half": each picture at half its size,
annotations and areas with it. Detections at conf 0.01 and IoU 0.65, as YOLOX evaluates. The tiles of a picture are
detected in once, and the ways to make one of what was found take the same boxes:

- "plain": the whole picture alone, no tiles.
- "joined": ours (`yolox_deploy.tiles`); "without whole": without the whole picture as one more tile.
- "nms": ordinary suppression of all boxes of all tiles.
- "greedy": the usual way of tiling libraries: in order of the scores each box takes up those of which it covers more
  than half, or that cover more than half of it, and grows to their common frame.

Times are of one process, network and all, as a ratio to "plain".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.detections import Detections
from yolox_deploy.detector import Detector
from yolox_deploy.drawing import write_picture
from yolox_deploy.evaluation.coco import Annotations, annotations_of, score
from yolox_deploy.images import load_image
from yolox_deploy.nms import descending, nms
from yolox_deploy.thresholds import ThresholdFields, Thresholds
from yolox_deploy.tiles import Tiling

CANVAS = (3000, 4000)
A_CANVAS = 12
GREY = 114
OVERLAPS = (0.1, 0.2, 0.3)
SIDES = {"canvas": (640, 416), "half": (208, 160)}
EVERYTHING: ThresholdFields = {"conf": 0.01, "iou": 0.65, "max_detections": None}
FIGURES = ("AP", "APs", "APm", "APl")
ROW = "{:8}{:>6}{:>9} {:15}" + "{:>6}" * len(FIGURES) + "{:>8}{:>8}"
COVERED = 0.5

Image = NDArray[np.uint8]
Merge = Callable[[Tiling, Sequence[Detections]], Detections]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures by image id, and the COCO annotations of them."""

    images: tuple[tuple[int, Image], ...]
    content: dict[str, Any]


def main(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    images: Annotated[Path, typer.Option(help="Folder of annotated pictures.")],
    annotations: Annotated[Path, typer.Option(help="Their COCO file.")],
    count: Annotated[int | None, typer.Option(min=1, help="Use the first so many pictures.")] = None,
    overlaps: Annotated[list[float] | None, typer.Option("--overlap", help="Shares to compare.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the first canvas, with tiles of 416.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Print a row a way: AP, calls of the network a picture, time as a ratio."""
    with Detector(model, threads=threads) as detector:
        known = first(annotations_of(read_coco(annotations, images), detector.class_names), count)
        sets = {"canvas": pasted(known), "half": halved(known)}
        typer.echo(ROW.format("", "tiles", "overlap", "way", *FIGURES, "calls", "time"))
        for name, data in sets.items():
            for row in measured(detector, name, data, known.category_ids, overlaps or OVERLAPS):
                typer.echo(ROW.format(*row))
        if picture is not None:
            _, canvas = sets["canvas"].images[0]
            found = detector.predict(canvas, tiles=SIDES["canvas"][-1])
            write_picture(picture, found.plot(canvas))
            typer.echo(f"{picture}: {found!r}")


def measured(
    detector: Detector,
    name: str,
    data: Pictures,
    category_ids: Sequence[int | None],
    overlaps: Sequence[float],
) -> Iterator[tuple[Any, ...]]:
    """Rows of the table for one set."""

    def figures(found: Sequence[Detections]) -> list[str]:
        keys = [key for key, _ in data.images]
        rows = [row for key, each in zip(keys, found, strict=True) for row in each.to_coco(key, category_ids)]
        values = score(data.content, rows)
        return [f"{100 * values[figure]:.1f}" for figure in FIGURES]

    start = time.perf_counter()
    found = [detector.predict(image, **EVERYTHING) for _, image in data.images]
    plain = time.perf_counter() - start
    yield name, "", "", "plain", *figures(found), "1.0", "1.0"
    for side, overlap in product(SIDES[name], overlaps):
        asked = Thresholds().changed({**EVERYTHING, "tiles": side, "overlap": overlap})
        tilings = [Tiling.of((image.shape[0], image.shape[1]), asked) for _, image in data.images]
        start = time.perf_counter()
        parts = [
            detector.predict_batch(tiling.cut(image), **EVERYTHING)
            for tiling, (_, image) in zip(tilings, data.images, strict=True)
        ]
        network = time.perf_counter() - start
        calls = np.mean([len(tiling) for tiling in tilings])
        for way, merge in ways(asked).items():
            start = time.perf_counter()
            found = [merge(tiling, each) for tiling, each in zip(tilings, parts, strict=True)]
            ratio = (network + time.perf_counter() - start) / plain
            yield name, side, overlap, way, *figures(found), f"{calls:.1f}", f"{ratio:.1f}"


def ways(asked: Thresholds) -> dict[str, Merge]:
    """The ways to make one of what was found in tiles, by name."""

    def joined(tiling: Tiling, found: Sequence[Detections]) -> Detections:
        return tiling.merge(found, asked)

    def without_whole(tiling: Tiling, found: Sequence[Detections]) -> Detections:
        if len(found) == 1:
            return found[0]
        nothing = Detections.empty(found[-1].class_names, tiling.image_size)
        return tiling.merge([*found[:-1], nothing], asked)

    def suppressed(tiling: Tiling, found: Sequence[Detections]) -> Detections:
        boxes, scores, class_ids = _together(tiling, found)
        kept = nms(boxes, scores, class_ids, asked.iou)
        return Detections(boxes[kept], scores[kept], class_ids[kept], found[0].class_names)

    return {"joined": joined, "without whole": without_whole, "nms": suppressed, "greedy": greedy}


def _together(
    tiling: Tiling, found: Sequence[Detections]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    corners = tiling.corners[:, [0, 1, 0, 1]].astype(np.float32)
    boxes = [each.boxes + corner for each, corner in zip(found, corners, strict=True)]
    scores, class_ids = ([getattr(each, name) for each in found] for name in ("scores", "class_ids"))
    return np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids)


def greedy(tiling: Tiling, found: Sequence[Detections]) -> Detections:
    """Boxes of a class taken up by the best that shares more than half of the smaller one's area with them."""
    boxes, scores, class_ids = _together(tiling, found)
    waiting, kept = descending(scores), []
    while len(waiting):
        best, others = waiting[0], waiting[1:]
        sides = np.minimum(boxes[others, 2:], boxes[best, 2:]) - np.maximum(
            boxes[others, :2], boxes[best, :2]
        )
        areas = [(boxes[which, 2:] - boxes[which, :2]).prod(axis=-1) for which in (others, best)]
        covered = sides.clip(0).prod(axis=1) > COVERED * np.minimum(*areas)
        covered &= class_ids[others] == class_ids[best]
        taken = np.append(others[covered], best)
        boxes[best] = (*boxes[taken, :2].min(axis=0), *boxes[taken, 2:].max(axis=0))
        waiting = others[~covered]
        kept.append(best)
    return Detections(boxes[kept], scores[kept], class_ids[kept], found[0].class_names)


def first(known: Annotations, count: int | None) -> Annotations:
    """The first so many pictures with their objects."""
    images = known.images[:count]
    kept = {image_id for image_id, _ in images}
    rows = [row for row in known.content["annotations"] if row["image_id"] in kept]
    return replace(known, images=images, content={**known.content, "annotations": rows})


def pasted(known: Annotations, seed: int = 0) -> Pictures:
    """Twelve pictures each on a large canvas."""
    random = np.random.default_rng(seed)
    canvases: list[tuple[int, Image]] = []
    moved: dict[int, tuple[int, float, float, float]] = {}
    for start in range(0, len(known.images), A_CANVAS):
        key = len(canvases) + 1
        canvas = np.full((*CANVAS, 3), GREY, np.uint8)
        own = [(image_id, load_image(path)) for image_id, path in known.images[start : start + A_CANVAS]]
        places = _places(random, [(image.shape[0], image.shape[1]) for _, image in own])
        for (image_id, image), (x, y) in zip(own, places, strict=True):
            canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
            moved[image_id] = (key, x, y, 1.0)
        canvases.append((key, canvas))
    return Pictures(tuple(canvases), _annotated(known.content, moved, canvases))


def _places(random: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(x, y) of each picture, none upon another."""
    taken = np.zeros((0, 4), np.int64)
    for height, width in sizes:
        while True:
            x, y = (
                int(random.integers(0, CANVAS[1 - axis] - side + 1))
                for axis, side in enumerate((width, height))
            )
            frame = np.array([x, y, x + width, y + height])
            if ((taken[:, :2] >= frame[2:]) | (taken[:, 2:] <= frame[:2])).any(axis=1).all():
                break
        taken = np.concatenate([taken, frame[None]])
        yield x, y


def halved(known: Annotations) -> Pictures:
    """Each picture at half its size."""
    small: list[tuple[int, Image]] = []
    for image_id, path in known.images:
        image = load_image(path)
        size = (image.shape[1] // 2, image.shape[0] // 2)
        small.append((image_id, np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)))
    moved = {image_id: (image_id, 0.0, 0.0, 0.5) for image_id, _ in small}
    return Pictures(tuple(small), _annotated(known.content, moved, small))


def _annotated(
    content: dict[str, Any],
    moved: dict[int, tuple[int, float, float, float]],
    images: Sequence[tuple[int, Image]],
) -> dict[str, Any]:
    """`content` with its objects where the pictures went: (image id, x, y, ratio) by the old image id."""
    rows = []
    for row in content["annotations"]:
        image_id, left, top, ratio = moved[row["image_id"]]
        x, y, width, height = (ratio * value for value in row["bbox"])
        box = [x + left, y + top, width, height]
        plain = {name: value for name, value in row.items() if name != "segmentation"}
        rows.append({**plain, "image_id": image_id, "bbox": box, "area": ratio**2 * row["area"]})
    listed = [
        {"id": key, "file_name": f"{key}.png", "height": image.shape[0], "width": image.shape[1]}
        for key, image in images
    ]
    return {**content, "images": listed, "annotations": rows}


if __name__ == "__main__":
    typer.run(main)
