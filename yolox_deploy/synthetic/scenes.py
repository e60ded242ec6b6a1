"""Generated detection scenes: drawn objects on varied backgrounds, with exact boxes and masks.

They stand in for a data set where there is none: for tests, demos and a first training without a download.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolox_deploy.drawing import write_picture
from yolox_deploy.errors import UsageError
from yolox_deploy.files import new_folder
from yolox_deploy.synthetic.drawing import SIZE_RANGE, Scene, draw_scene
from yolox_deploy.synthetic.objects import CLASS_NAMES
from yolox_deploy.types import SILENT, Report

__all__ = ["CLASS_NAMES", "Scene", "draw_scene", "write_scenes"]

SPLITS = ("train", "val")
JPEG_QUALITY = 90


def write_scenes(
    folder: str | Path,
    *,
    train: int = 2000,
    val: int = 200,
    seed: int = 0,
    size: tuple[int, int] = (480, 640),
    size_range: tuple[float, float] = SIZE_RANGE,
    report: Report = SILENT,
) -> Path:
    """Write a data set of scenes in COCO layout: annotations/instances_{train,val}.json, train/*.jpg, val/*.jpg.

    The folder appears complete or not at all. Scene i of a split depends on the seed, the split and i alone, so
    a larger data set begins with the scenes of a smaller one.

    Args:
        folder: must not exist, or be empty.
        train, val: pictures of the splits, at least one each.
        seed: of all randomness, from 0.
        size: (H, W) of the pictures, in pixels.
        size_range: of the objects, see `draw_scene`.
        report: told of each picture.

    Returns:
        The folder.

    Raises:
        UsageError: the folder holds something, or a number cannot work.
    """
    folder = Path(folder).resolve()
    if min(train, val) < 1 or seed < 0:
        raise UsageError(f"train {train}, val {val}, seed {seed}; expected at least 1, 1 and 0")
    with new_folder(folder) as built:
        for split, count in enumerate((train, val)):
            _write_split(built, split, count, seed, size, size_range, report)
    return folder


def _write_split(
    folder: Path,
    split: int,
    count: int,
    seed: int,
    size: tuple[int, int],
    size_range: tuple[float, float],
    report: Report,
) -> None:
    name = SPLITS[split]
    pictures = folder / name
    pictures.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    report.step(f"drawing {name}")
    for number in range(1, count + 1):
        scene = draw_scene(np.random.default_rng([seed, split, number]), size, size_range=size_range)
        image = {"id": number, "file_name": f"{number:06d}.jpg", "height": size[0], "width": size[1]}
        path = pictures / str(image["file_name"])
        write_picture(path, scene.image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        images.append(image)
        annotations += _to_coco(scene, number, len(annotations) + 1)
        report.advance(number, count)
    categories = [{"id": index, "name": label} for index, label in enumerate(CLASS_NAMES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file = folder / "annotations" / f"instances_{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def _to_coco(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """The scene's objects as COCO annotation rows."""
    return [
        {
            "id": first_id + index,
            "image_id": image_id,
            "category_id": int(scene.classes[index]) + 1,
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "area": int(scene.areas[index]),
            "iscrowd": 0,
            "segmentation": [ring.ravel().tolist() for ring in scene.polygons[index]],
        }
        for index, (x1, y1, x2, y2) in enumerate(scene.boxes)
    ]
