"""What a model found, as annotations that labelling tools take and people correct: COCO and YOLO text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from yolox_deploy.detections import Detections
from yolox_deploy.files import write_text


class Prelabelled(NamedTuple):
    """A picture, its (height, width) in pixels as it is seen upright, and what was found in it."""

    path: Path
    size: tuple[int, int]
    found: Detections


def to_coco(pictures: Sequence[Prelabelled], class_names: Sequence[str]) -> dict[str, Any]:
    """A COCO `instances` dictionary with a `score` in each annotation; all ids count from 1.

    Every class of the model is a category, and pictures without objects are listed too. File names are relative to
    the folder that all pictures have in common.
    """
    ids = range(1, len(class_names) + 1)
    names = _relative([picture.path for picture in pictures])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (picture, name) in enumerate(zip(pictures, names, strict=True), start=1):
        height, width = picture.size
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for row in picture.found.to_coco(image_id, ids):
            area = row["bbox"][2] * row["bbox"][3]
            more = {"id": len(annotations) + 1, "area": area, "iscrowd": 0, "segmentation": []}
            annotations.append({**row, **more})
    categories = [{"id": key, "name": name} for key, name in zip(ids, class_names, strict=True)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write_yolo(folder: Path, pictures: Sequence[Prelabelled], class_names: Sequence[str]) -> None:
    """Fill an empty folder with `images`, `labels` (`class cx cy w h`, shares of the picture) and the class names.

    `classes.txt` is for Label Studio, labelImg and CVAT, `data.yaml` for Roboflow and Ultralytics; both are read by
    `open_dataset`. A picture in which nothing was found has an empty file. The pictures are linked where the disk
    allows it, else copied; of equal names all but the first are numbered.
    """
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for picture, stem in zip(pictures, _stems(picture.path for picture in pictures), strict=True):
        _link(picture.path, folder / "images" / f"{stem}{picture.path.suffix}")
        write_text(folder / "labels" / f"{stem}.txt", "".join(_rows(picture)))
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in class_names))
    names = "".join(f"  {key}: {json.dumps(name)}\n" for key, name in enumerate(class_names))
    write_text(folder / "data.yaml", f"train: images\nnc: {len(class_names)}\nnames:\n{names}")


def _rows(picture: Prelabelled) -> Iterable[str]:
    height, width = picture.size
    for item in picture.found:
        x1, y1, x2, y2 = item.box
        shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        yield f"{item.class_id} {' '.join(f'{share:.6f}' for share in shares)}\n"


def _relative(paths: Sequence[Path]) -> list[str]:
    """The names below the folder that holds all of them, with forward slashes."""
    absolute = [path.absolute() for path in paths]
    if not absolute:
        return []
    common = os.path.commonpath([path.parent for path in absolute])
    return [path.relative_to(common).as_posix() for path in absolute]


def _stems(paths: Iterable[Path]) -> list[str]:
    """A name without suffix for each picture, which no other has, also where letters differ in case alone."""
    stems: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem, number = path.stem, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{path.stem}_{number}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
