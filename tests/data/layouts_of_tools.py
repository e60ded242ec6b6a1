"""Data sets as labelling tools leave them: one builder a tool, of the same photographs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.data.coco_format import read_coco

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shot:
    """A photograph and its objects: class name, (x, y, w, h), and whether it is a crowd."""

    path: Path
    size: tuple[int, int]
    objects: tuple[tuple[str, Box, bool], ...]

    @property
    def name(self) -> str:
        return self.path.name


Shots = Sequence[Shot]
Build = Callable[[Path, Shots], None]


def take_shots(folder: Path, count: int = 12) -> list[Shot]:
    """The first photographs of `coco_mini` that show something, one with a crowd among them."""
    data = read_coco(folder / "instances.json", folder / "images")
    shots = []
    for index in range(len(data)):
        rows = range(int(data.offsets[index]), int(data.offsets[index + 1]))
        objects = tuple(
            (data.class_names[data.classes[row]], _box(data.boxes[row].tolist()), bool(data.crowds[row]))
            for row in rows
        )
        shots.append(Shot(data.path(index), data.size(index), objects))
    shots = [shot for shot in shots if shot.objects]
    shots.sort(key=lambda shot: not any(crowd for _, _, crowd in shot.objects))
    return shots[:count]


def names_of(shots: Shots) -> list[str]:
    return sorted({name for shot in shots for name, _, _ in shot.objects})


def _box(values: Sequence[float]) -> Box:
    x, y, w, h = values
    return x, y, w, h


def _halves(shots: Shots) -> tuple[Shots, Shots]:
    return shots[: len(shots) * 2 // 3], shots[len(shots) * 2 // 3 :]


def _copy(shots: Shots, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        shutil.copyfile(shot.path, folder / shot.name)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _coco(path: Path, shots: Shots, names: Sequence[str], place: str = "", first: int = 1) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, shot in enumerate(shots, start=first):
        height, width = shot.size
        images.append({"id": image_id, "file_name": place + shot.name, "height": height, "width": width})
        for name, box, crowd in shot.objects:
            item = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": names.index(name) + first,
            }
            annotations.append({**item, "bbox": box, "area": box[2] * box[3], "iscrowd": int(crowd)})
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=first)]
    _write(path, json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def _xml(folder: Path, shots: Shots) -> None:
    for shot in shots:
        rows = [
            f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
            f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
            for name, (x, y, w, h), crowd in shot.objects
            if not crowd
        ]
        size = "<size><width>{1}</width><height>{0}</height><depth>3</depth></size>".format(*shot.size)
        text = f"<annotation><filename>{shot.name}</filename>{size}{''.join(rows)}</annotation>"
        _write(folder / f"{shot.path.stem}.xml", text)


def _txt(folder: Path, shots: Shots, names: Sequence[str]) -> None:
    for shot in shots:
        height, width = shot.size
        rows = [
            f"{names.index(name)} {(x + w / 2) / width!r} {(y + h / 2) / height!r} {w / width!r} {h / height!r}"
            for name, (x, y, w, h), crowd in shot.objects
            if not crowd
        ]
        _write(folder / f"{shot.path.stem}.txt", "\n".join(rows))


def _classes(path: Path, names: Sequence[str]) -> None:
    _write(path, "\n".join(names))


def coco(root: Path, shots: Shots) -> None:
    for split, part in zip(("train", "val"), _halves(shots), strict=True):
        _copy(part, root / f"{split}2017")
        _coco(root / f"annotations/instances_{split}2017.json", part, names_of(shots))


def roboflow_coco(root: Path, shots: Shots) -> None:
    for split, part in zip(("train", "valid"), _halves(shots), strict=True):
        _copy(part, root / split)
        _coco(root / split / "_annotations.coco.json", part, names_of(shots), first=0)


def roboflow_yolo(root: Path, shots: Shots) -> None:
    names = names_of(shots)
    for split, part in zip(("train", "valid"), _halves(shots), strict=True):
        _copy(part, root / split / "images")
        _txt(root / split / "labels", part, names)
    text = f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: {len(names)}\nnames: {names!r}\n"
    _write(root / "data.yaml", text)


def roboflow_voc(root: Path, shots: Shots) -> None:
    for split, part in zip(("train", "valid"), _halves(shots), strict=True):
        _copy(part, root / split)
        _xml(root / split, part)


def roboflow_darknet(root: Path, shots: Shots) -> None:
    for split, part in zip(("train", "valid"), _halves(shots), strict=True):
        _copy(part, root / split)
        _txt(root / split, part, names_of(shots))
        _classes(root / split / "_darknet.labels", names_of(shots))


def ultralytics_yolo(root: Path, shots: Shots) -> None:
    for split, part in zip(("train", "val"), _halves(shots), strict=True):
        _copy(part, root / "images" / split)
        _txt(root / "labels" / split, part, names_of(shots))
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(names_of(shots)))
    _write(
        root / "animals.yaml",
        f"path: ../datasets/animals\ntrain: images/train\nval: images/val\nnames:\n{names}\n",
    )


def cvat_coco(root: Path, shots: Shots) -> None:
    _copy(shots, root / "images/default")
    _coco(root / "annotations/instances_default.json", shots, names_of(shots))


def cvat_coco_splits(root: Path, shots: Shots) -> None:
    for split, part in zip(("Train", "Validation"), _halves(shots), strict=True):
        _copy(part, root / "images" / split)
        _coco(root / f"annotations/instances_{split}.json", part, names_of(shots))


def cvat_yolo(root: Path, shots: Shots) -> None:
    _copy(shots, root / "obj_train_data")
    _txt(root / "obj_train_data", shots, names_of(shots))
    _classes(root / "obj.names", names_of(shots))
    _write(
        root / "obj.data",
        f"classes = {len(names_of(shots))}\ntrain = data/train.txt\nnames = data/obj.names\n",
    )
    _write(root / "train.txt", "\n".join(f"data/obj_train_data/{shot.name}" for shot in shots))


def darknet(root: Path, shots: Shots) -> None:
    _copy(shots, root / "data/obj")
    _txt(root / "data/obj", shots, names_of(shots))
    _classes(root / "data/obj.names", names_of(shots))
    for split, part in zip(("train", "valid"), _halves(shots), strict=True):
        _write(root / f"data/{split}.txt", "\n".join(f"data/obj/{shot.name}" for shot in part))


def cvat_ultralytics(root: Path, shots: Shots) -> None:
    for split, part in zip(("Train", "Validation"), _halves(shots), strict=True):
        _copy(part, root / "images" / split)
        _txt(root / "labels" / split, part, names_of(shots))
        _write(root / f"{split}.txt", "\n".join(f"data/images/{split}/{shot.name}" for shot in part))
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(names_of(shots)))
    _write(root / "data.yaml", f"path: .\ntrain: Train.txt\nval: Validation.txt\nnames:\n{names}\n")


def cvat_voc(root: Path, shots: Shots) -> None:
    _copy(shots, root / "JPEGImages")
    _xml(root / "Annotations", shots)
    _write(root / "ImageSets/Main/default.txt", "\n".join(shot.path.stem for shot in shots))
    _write(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\n")


def label_studio_coco(root: Path, shots: Shots) -> None:
    _copy(shots, root / "images")
    _coco(root / "result.json", shots, names_of(shots), place="images/", first=0)


def label_studio_coco_windows(root: Path, shots: Shots) -> None:
    _copy(shots, root / "images")
    _coco(root / "result.json", shots, names_of(shots), place="images\\", first=0)


def label_studio_yolo(root: Path, shots: Shots) -> None:
    _copy(shots, root / "images")
    _txt(root / "labels", shots, names_of(shots))
    _classes(root / "classes.txt", names_of(shots))
    notes = {"categories": [{"id": index, "name": name} for index, name in enumerate(names_of(shots))]}
    _write(root / "notes.json", json.dumps({**notes, "info": {"year": 2026}}))


def labelimg_voc(root: Path, shots: Shots) -> None:
    _copy(shots, root)
    _xml(root, shots)


def labelimg_yolo(root: Path, shots: Shots) -> None:
    _copy(shots, root)
    _txt(root, shots, names_of(shots))
    _classes(root / "classes.txt", names_of(shots))


def voc(root: Path, shots: Shots) -> None:
    _copy(shots, root / "JPEGImages")
    _xml(root / "Annotations", shots)
    for split, part in zip(("train", "val"), _halves(shots), strict=True):
        _write(root / f"ImageSets/Main/{split}.txt", "\n".join(shot.path.stem for shot in part))


def voc_without_sets(root: Path, shots: Shots) -> None:
    _copy(shots, root / "JPEGImages")
    _xml(root / "Annotations", shots)


def images_and_annots(root: Path, shots: Shots) -> None:
    _copy(shots, root / "images")
    _xml(root / "annots", shots)


def images_and_annotations_splits(root: Path, shots: Shots) -> None:
    for split, part in zip(("train", "val"), _halves(shots), strict=True):
        _copy(part, root / "images" / split)
        _xml(root / "annotations" / split, part)


def json_of_any_name(root: Path, shots: Shots) -> None:
    _copy(shots, root / "photos")
    for split, part in zip(("training", "validation"), _halves(shots), strict=True):
        _coco(root / "photos" / f"my {split} set.json", part, names_of(shots))


def fiftyone_coco(root: Path, shots: Shots) -> None:
    _copy(shots, root / "data")
    _coco(root / "labels.json", shots, names_of(shots))


SPLIT: dict[str, Build] = {
    "COCO": coco,
    "Roboflow COCO": roboflow_coco,
    "Roboflow YOLO": roboflow_yolo,
    "Roboflow VOC": roboflow_voc,
    "Roboflow Darknet": roboflow_darknet,
    "Darknet": darknet,
    "Ultralytics YOLO": ultralytics_yolo,
    "CVAT COCO, train and validation": cvat_coco_splits,
    "CVAT Ultralytics YOLO": cvat_ultralytics,
    "VOC": voc,
    "images/train, annotations/train": images_and_annotations_splits,
    "JSON of any name": json_of_any_name,
}
WHOLE: dict[str, Build] = {
    "CVAT COCO": cvat_coco,
    "CVAT YOLO": cvat_yolo,
    "CVAT VOC": cvat_voc,
    "Label Studio COCO": label_studio_coco,
    "Label Studio COCO on Windows": label_studio_coco_windows,
    "Label Studio YOLO": label_studio_yolo,
    "labelImg VOC": labelimg_voc,
    "labelImg YOLO": labelimg_yolo,
    "VOC without ImageSets": voc_without_sets,
    "images and annots": images_and_annots,
    "FiftyOne COCO": fiftyone_coco,
}
"""Without a split."""

LAYOUTS = SPLIT | WHOLE
WITH_CROWDS = frozenset(name for name in LAYOUTS if "COCO" in name or "JSON" in name)
"""Those whose annotations have a place for crowds."""
