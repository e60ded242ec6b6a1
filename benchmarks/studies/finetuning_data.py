"""Three small data sets of one kind each, to fine-tune a COCO model on: known classes, new ones, and both.

Made of photographs with COCO's annotations and of generated scenes. The seed decides the split, so that three seeds
judge three times on other pictures. Each folder has COCO's layout; beside the annotations of `val` lie those of the
known and of the new classes alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.files import new_folder
from yolox_deploy.synthetic.drawing import Scene, draw_scene
from yolox_deploy.synthetic.objects import CLASS_NAMES
from yolox_deploy.synthetic.scenes import write_scenes

KNOWN = ("person", "car", "chair")
NEW = ("fish", "key", "star")
TRAIN_PHOTOS = 40
SCENES = (128, 64)
"""Generated pictures to train on and to judge by."""
PASTED = 12
"""Objects drawn for a photograph, of all generated classes; those of `NEW` that find a place are pasted in."""
MOST_COVERED = 0.3
"""Share of an annotated object that a pasted one may cover."""
JPEG_QUALITY = 95

Image = NDArray[np.uint8]
Row = dict[str, Any]
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Photographs:
    """Photographs with COCO's annotations: the `instances` JSON and the folder of the pictures."""

    annotations: Path
    images: Path


def build_people(folder: Path, photographs: Photographs, seed: int) -> Path:
    """`TRAIN_PHOTOS` photographs with `KNOWN` classes annotated, and the rest to judge by; see `build`."""
    return _write_photographs(folder, photographs, seed, KNOWN, lambda image, rows, _rng: (image, rows))


def build_mixed(folder: Path, photographs: Photographs, seed: int) -> Path:
    """The same photographs with drawn objects of `NEW` classes pasted in; see `build`."""
    return _write_photographs(folder, photographs, seed, KNOWN + NEW, paste_drawn)


def build_scenes(folder: Path, _photographs: Photographs, seed: int) -> Path:
    """Generated scenes; see `build`."""
    train, val = SCENES
    return write_scenes(folder, train=train, val=val, seed=1000 + seed, size=(360, 480))


BUILDERS: Mapping[str, Callable[[Path, Photographs, int], Path]] = {
    "people": build_people,
    "scenes": build_scenes,
    "mixed": build_mixed,
}


def build(task: str, folder: Path, photographs: Photographs, seed: int) -> Path:
    """Write the data set of `task` unless it is there.

    Returns:
        The folder.
    """
    return folder if folder.is_dir() else BUILDERS[task](folder, photographs, seed)


def split_photographs(dataset: DetectionDataset, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the pictures to train on and of the rest; those with a known class are shared out evenly."""
    known = {dataset.class_names.index(name) for name in KNOWN}
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    shown = [index for index in order if known & set(dataset.objects(index).classes.tolist())]
    empty = [index for index in order if index not in set(shown)]
    half = len(shown) // 2
    rest = max(min(TRAIN_PHOTOS, (len(order) + 1) // 2) - half, 0)
    return sorted(shown[:half] + empty[:rest]), sorted(shown[half:] + empty[rest:])


Change = Callable[[Image, list[Row], np.random.Generator], tuple[Image, list[Row]]]
"""A picture and its objects (`name`, `bbox`, `area`, `iscrowd`) made into others."""


def _write_photographs(
    folder: Path, photographs: Photographs, seed: int, names: Sequence[str], change: Change
) -> Path:
    dataset = read_coco(photographs.annotations, photographs.images)
    with new_folder(folder) as built:
        (built / "images").mkdir()
        (built / "annotations").mkdir()
        for split, chosen in zip(SPLITS, split_photographs(dataset, seed), strict=True):
            pictures = []
            for index in chosen:
                rng = np.random.default_rng([seed, index])
                image, rows = change(dataset.load(index), known_rows(dataset, index), rng)
                file_name = f"{split}_{index:04d}.jpg"
                cv2.imwrite(
                    str(built / "images" / file_name), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                )
                pictures.append((file_name, image.shape[:2], rows))
            _write_annotations(built, split, names, pictures)
    return folder


def known_rows(dataset: DetectionDataset, index: int) -> list[Row]:
    """The objects of `KNOWN` classes in a picture."""
    rows = range(int(dataset.offsets[index]), int(dataset.offsets[index + 1]))
    found = [
        {
            "name": dataset.class_names[dataset.classes[row]],
            "bbox": dataset.boxes[row].tolist(),
            "area": float(dataset.areas[row]),
            "iscrowd": int(dataset.crowds[row]),
        }
        for row in rows
    ]
    return [row for row in found if row["name"] in KNOWN]


def paste_drawn(image: Image, rows: list[Row], rng: np.random.Generator) -> tuple[Image, list[Row]]:
    """Draw a scene of the picture's size, and paste its `NEW` objects where they leave the annotated ones seen."""
    scene = draw_scene(rng, image.shape[:2], max_objects=PASTED)
    image, rows = image.copy(), list(rows)
    annotated = [row["bbox"] for row in rows]
    for index, class_id in enumerate(scene.classes.tolist()):
        name = CLASS_NAMES[class_id]
        mask = _mask(scene, index)
        if name not in NEW or any(covered(mask, box) > MOST_COVERED for box in annotated):
            continue
        image[mask] = scene.image[mask]
        x1, y1, x2, y2 = scene.boxes[index].tolist()
        box = [x1, y1, x2 - x1, y2 - y1]
        rows.append({"name": name, "bbox": box, "area": float(scene.areas[index]), "iscrowd": 0})
    return image, rows


def covered(mask: NDArray[np.bool_], box: Sequence[float]) -> float:
    """The share (0-1) of a box x, y, w, h that a mask (H, W) covers."""
    x, y, width, height = (round(value) for value in box)
    inside = mask[y : y + height, x : x + width]
    return float(inside.mean()) if inside.size else 0.0


def _mask(scene: Scene, index: int) -> NDArray[np.bool_]:
    drawn = np.zeros(scene.image.shape[:2], np.uint8)
    for ring in scene.polygons[index]:
        cv2.fillPoly(drawn, [np.round(ring).astype(np.int32)], 1)
    return drawn.astype(bool)


def _write_annotations(
    folder: Path,
    split: str,
    names: Sequence[str],
    pictures: Iterable[tuple[str, tuple[int, ...], list[Row]]],
) -> None:
    images: list[Row] = []
    annotations: list[Row] = []
    for file_name, size, rows in pictures:
        key = len(images) + 1
        images.append({"id": key, "file_name": file_name, "height": size[0], "width": size[1]})
        for row in rows:
            place = {"id": len(annotations) + 1, "image_id": key, "category_id": names.index(row["name"]) + 1}
            annotations.append({**place, **{name: row[name] for name in ("bbox", "area", "iscrowd")}})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(whole), encoding="utf-8")
    if split == "val":
        for part, chosen in (("known", KNOWN), ("new", NEW)):
            path = folder / f"{part}.json"
            path.write_text(json.dumps(restricted(whole, chosen)), encoding="utf-8")


def restricted(content: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """COCO's `content` with the categories `names` alone."""
    categories = [row for row in content["categories"] if row["name"] in names]
    kept = {row["id"] for row in categories}
    rows = [row for row in content["annotations"] if row["category_id"] in kept]
    return {"images": content["images"], "annotations": rows, "categories": categories}
