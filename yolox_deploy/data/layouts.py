"""Find out how the folder of a data set is laid out, and open one of its splits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.lines import read_lines
from yolox_deploy.data.voc_format import VOC_CLASS_NAMES, read_voc
from yolox_deploy.data.yolo_format import read_data_yaml, read_yolo
from yolox_deploy.errors import InputError, UsageError

Split = Literal["train", "val"]

_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train2017", "train2014", "train"),
    "val": ("val2017", "val2014", "val", "valid"),
}
_COCO_FILES = ("annotations/instances_{}.json", "annotations/{}.json", "{}/_annotations.coco.json")
_YOLO_FOLDERS = ("images/{}", "{}/images")
_CLASS_FILES = ("classes.txt", "labels/classes.txt", "obj.names")


def open_dataset(folder: str | Path, split: Split) -> DetectionDataset:
    """Open the training or validation split of a COCO, VOC or YOLO text data set.

    - COCO: `annotations/instances_train2017.json` or `instances_train.json` with the pictures in `train2017`,
      `train` or `images/...`; or `train/_annotations.coco.json` beside the pictures (Roboflow).
    - VOC: `VOCdevkit/VOC2007` and the like, where training takes trainval of all years and validation test,
      the usual protocol, or train and val where there is no annotated test; or a folder with `Annotations`,
      `JPEGImages` and `ImageSets/Main/{train,val}.txt`, whose classes are those found in it.
    - YOLO text: `data.yaml` (the folder's or given itself) with names, train and val; or `images/train` with
      `labels/train` and `classes.txt`.

    Raises:
        InputError: there is no such folder or split, which says what was looked for; or a file is malformed.
        UsageError: the split is neither train nor val.
    """
    folder = Path(folder)
    if split not in _FOLDERS:
        raise UsageError(f"there is no split {split!r}; expected train or val")
    if not folder.exists():
        raise InputError(f"no data set folder at {folder}")
    for open_layout in (_open_coco, _open_voc, _open_yolo):
        dataset = open_layout(folder, split)
        if dataset is not None:
            return dataset
    raise InputError(_not_found(folder, split))


def _open_coco(folder: Path, split: Split) -> DetectionDataset | None:
    for name in _FOLDERS[split]:
        for pattern in _COCO_FILES:
            file = folder / pattern.format(name)
            if file.is_file():
                beside = file.parent.name == name
                return read_coco(file, file.parent if beside else _picture_folders(folder, name, split))
    return None


def _picture_folders(folder: Path, name: str, split: Split) -> list[Path]:
    names = dict.fromkeys((name, *_FOLDERS[split]))
    places = [place for key in names for place in (key, f"images/{key}")]
    return [folder / place for place in (*places, "images", ".") if (folder / place).is_dir()]


def _open_voc(folder: Path, split: Split) -> DetectionDataset | None:
    roots = [folder, *sorted(folder.glob("VOC*")), *sorted(folder.glob("VOCdevkit/VOC*"))]
    roots = [root for root in roots if (root / "ImageSets/Main").is_dir() and (root / "Annotations").is_dir()]
    official = bool(roots) and all(root.name in ("VOC2007", "VOC2012") for root in roots)
    image_sets = _voc_image_sets(roots, split, official)
    return read_voc(image_sets, VOC_CLASS_NAMES if official else None) if image_sets else None


def _voc_image_sets(roots: list[Path], split: Split, official: bool) -> list[Path]:
    """Train and val go together, and so do trainval and test: a picture must not be in both splits."""
    pairs = [("train", "val"), ("trainval", "test")]
    if official:
        pairs.reverse()
    found = [tuple(_annotated_sets(roots, name) for name in pair) for pair in pairs]
    complete, partial = [sets for sets in found if all(sets)], [sets for sets in found if any(sets)]
    chosen = next(iter(complete + partial), ([], []))
    return chosen[split == "val"]


def _annotated_sets(roots: list[Path], name: str) -> list[Path]:
    """The image sets of a name; those of VOC's secret test sets have no annotations and do not count."""
    files = [root / "ImageSets/Main" / f"{name}.txt" for root in roots]
    return [file for file in files if file.is_file() and _is_annotated(file)]


def _is_annotated(image_set: Path) -> bool:
    annotations = image_set.parents[2] / "Annotations"
    return any((annotations / f"{name}.xml").is_file() for _, name in read_lines(image_set)[:16])


def _open_yolo(folder: Path, split: Split) -> DetectionDataset | None:
    file = _data_yaml(folder)
    if file is not None:
        names, splits = read_data_yaml(file)
        return read_yolo(splits[split], names, source=file) if split in splits else None
    for name in _FOLDERS[split]:
        for pattern in _YOLO_FOLDERS:
            pictures = folder / pattern.format(name)
            if pictures.is_dir():
                return read_yolo([pictures], _class_names(folder), source=folder)
    return None


def _data_yaml(folder: Path) -> Path | None:
    if folder.is_file():
        return folder
    files = sorted(file for suffix in ("yaml", "yml") for file in folder.glob(f"*.{suffix}"))
    named = [file for file in files if file.stem in ("data", "dataset")]
    return named[0] if named else files[0] if len(files) == 1 else None


def _class_names(folder: Path) -> list[str]:
    for name in _CLASS_FILES:
        file = folder / name
        if file.is_file():
            return [line for _, line in read_lines(file)]
    raise InputError(
        f"{folder} has pictures and labels but no class names; expected data.yaml or classes.txt"
    )


def _not_found(folder: Path, split: Split) -> str:
    coco = [pattern.format(name) for name in _FOLDERS[split] for pattern in _COCO_FILES]
    voc = f"ImageSets/Main with Annotations, here or in VOCdevkit/VOC*, with annotated pictures for {split}"
    yolo = [f"data.yaml with {split}:", *(p.format(n) for n in _FOLDERS[split] for p in _YOLO_FOLDERS)]
    return (
        f"{folder} has no {split} split in a layout known here. Looked for COCO: {', '.join(coco)}; "
        f"VOC: {voc}; YOLO text: {', '.join(yolo)}"
    )
