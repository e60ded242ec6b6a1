"""Still pictures whose objects are known, for a camera to move over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.report import require_whole
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.images import load_image
from yolox_deploy.synthetic.scenes import CLASS_NAMES, draw_scene


@dataclass(frozen=True, eq=False)
class StillScene:
    """A still picture and what is in it.

    Attributes:
        load: gives the picture, (H, W, 3) uint8 BGR.
        size: (H, W).
        boxes: (n, 4) x1, y1, x2, y2 in pixels.
        classes: (n,) indices into the class names of its `StillScenes`.
        areas: (n,) pixels².
        crowds: (n,) groups of objects, neither counted nor punished in evaluation.
    """

    load: Callable[[], NDArray[np.uint8]]
    size: tuple[int, int]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StillScenes:
    """Still pictures with one list of classes; each becomes a sequence."""

    pictures: tuple[StillScene, ...]
    class_names: tuple[str, ...]


def coco_worlds(
    annotations: str | Path, images_dir: str | Path, count: int = 10, *, least_objects: int = 3
) -> StillScenes:
    """The first so many pictures of a COCO data set that have enough objects.

    Raises:
        InputError: the data set cannot be read, or has no such picture.
        UsageError: no picture is asked for.
    """
    _check_count(count)
    data = read_coco(annotations, images_dir)
    require_whole(data.source, data.problems)
    worlds: list[StillScene] = []
    for index in range(len(data)):
        rows = slice(int(data.offsets[index]), int(data.offsets[index + 1]))
        boxes = data.clipped(rows, data.sizes[index]).astype(np.float64)
        keep = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
        if (keep & ~data.crowds[rows]).sum() < least_objects or len(worlds) == count:
            continue
        columns = (data.classes[rows][keep], data.areas[rows][keep], data.crowds[rows][keep])
        worlds.append(StillScene(_loader(data.path(index)), data.size(index), boxes[keep], *columns))
    if not worlds:
        raise InputError(f"{annotations}: no picture has {least_objects} objects")
    return StillScenes(tuple(worlds), data.class_names)


def scene_worlds(count: int = 10, *, seed: int = 0, size: tuple[int, int] = (720, 960)) -> StillScenes:
    """Generated scenes (`yolox_deploy.synthetic.scenes`), for tests without any data.

    Raises:
        UsageError: no scene is asked for, or the size is too small to draw on.
    """
    _check_count(count)
    worlds = []
    for number in range(count):
        scene = draw_scene(np.random.default_rng([seed, number]), size)
        boxes, areas = scene.boxes.astype(np.float64), scene.areas.astype(np.float64)
        crowds = np.zeros(len(boxes), bool)
        worlds.append(StillScene(_holder(scene.image), size, boxes, scene.classes, areas, crowds))
    return StillScenes(tuple(worlds), CLASS_NAMES)


def _check_count(count: int) -> None:
    if count < 1:
        raise UsageError(f"{count} pictures; expected at least 1")


def _loader(path: Path) -> Callable[[], NDArray[np.uint8]]:
    return lambda: load_image(path)


def _holder(image: NDArray[np.uint8]) -> Callable[[], NDArray[np.uint8]]:
    return lambda: image
