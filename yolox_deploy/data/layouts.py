"""Find out how the folder of a data set is laid out, and open one of its splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.voc_format import VOC_CLASS_NAMES, names_found, picture_stems, read_voc
from yolox_deploy.data.yolo_format import read_data_yaml, read_yolo
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.files import read_lines

Split = Literal["train", "val"]

_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train2017", "train2014", "train"),
    "val": ("val2017", "val2014", "val", "valid"),
}
_COCO_FILES = ("annotations/instances_{}.json", "annotations/{}.json", "{}/_annotations.coco.json")
_YOLO_FOLDERS = ("images/{}", "{}/images")
_YAML_SUFFIXES = (".yaml", ".yml")
_LAYOUTS = (
    "COCO: annotations/instances_train.json and instances_val.json; VOC: ImageSets/Main, Annotations and JPEGImages, "
    "here or in VOCdevkit/VOC*; YOLO text: data.yaml with names, train and val, or images/train, labels/train and "
    "classes.txt"
)
_CLASS_FILES = ("classes.txt", "labels/classes.txt", "obj.names")


def open_dataset(folder: str | Path, split: Split) -> DetectionDataset:
    """Open the training or validation split of a COCO, VOC or YOLO text data set.

    - COCO: `annotations/instances_train2017.json` or `instances_train.json` with the pictures in `train2017`,
      `train` or `images/...`; or `train/_annotations.coco.json` beside the pictures (Roboflow).
    - VOC: `VOCdevkit/VOC2007` and the like, where training takes trainval of all years and validation test,
      the usual protocol, or train and val where there is no annotated test; or a folder with `Annotations`,
      `JPEGImages` and `ImageSets/Main/{train,val}.txt`. Of `trainval` and `val` alone, those in val are not
      trained on. Classes are those found, or VOC's 20 in a folder with its name and no others.
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
    if folder.is_file() and folder.suffix.lower() not in _YAML_SUFFIXES:
        raise InputError(
            f"{folder} is no folder; expected that of the data set ({_LAYOUTS}) or its data.yaml"
        )
    for open_layout in (_open_coco, _open_voc, _open_yolo):
        dataset = open_layout(folder, split)
        if dataset is not None:
            return dataset
    raise InputError(_not_found(folder, split))


def coco_files(split: Split) -> list[str]:
    """Where in its folder the annotations of a COCO data set may be; the first that is there counts."""
    return [pattern.format(name) for name in _FOLDERS[split] for pattern in _COCO_FILES]


def picture_folders(split: Split) -> list[str]:
    """Where in its folder the pictures of a COCO data set may be."""
    return [*(place for name in _FOLDERS[split] for place in (name, f"images/{name}")), "images", "."]


def _open_coco(folder: Path, split: Split) -> DetectionDataset | None:
    file, name = _coco_file(folder, split)
    if file is None:
        return None
    beside = file.parent.name == name
    return read_coco(file, file.parent if beside else _picture_folders(folder, name, split))


def _coco_file(folder: Path, split: Split) -> tuple[Path | None, str]:
    """The annotation file of a split, and by which of its names it was found."""
    for name in _FOLDERS[split]:
        for pattern in _COCO_FILES:
            file = folder / pattern.format(name)
            if file.is_file():
                return file, name
    return None, ""


def _picture_folders(folder: Path, name: str, split: Split) -> list[Path]:
    names = dict.fromkeys((name, *_FOLDERS[split]))
    places = [place for key in names for place in (key, f"images/{key}")]
    return [folder / place for place in (*places, "images", ".") if (folder / place).is_dir()]


def _open_voc(folder: Path, split: Split) -> DetectionDataset | None:
    train, val = _voc_image_sets(folder)
    image_sets = train if split == "train" else val
    if not image_sets:
        return None
    roots = sorted({item.parents[2] for item in train + val})
    names: Sequence[str] = names_found(roots)
    if _is_official(roots) and set(names) <= set(VOC_CLASS_NAMES):
        names = VOC_CLASS_NAMES
    is_joint = split == "train" and train[0].stem == "trainval"
    return read_voc(image_sets, names, without=val if is_joint else ())


def _is_official(roots: Sequence[Path]) -> bool:
    return all(root.name in ("VOC2007", "VOC2012") for root in roots)


def _voc_image_sets(folder: Path) -> tuple[list[Path], list[Path]]:
    """Those to train on and those to evaluate on, from one pair of names."""
    roots = [folder, *sorted(folder.glob("VOC*")), *sorted(folder.glob("VOCdevkit/VOC*"))]
    roots = [root for root in roots if (root / "ImageSets/Main").is_dir() and (root / "Annotations").is_dir()]
    official = _is_official(roots)
    pairs = [("train", "val"), ("trainval", "test"), ("trainval", "val")]
    if official:
        pairs.insert(0, pairs.pop(1))
    found = [tuple(_annotated_sets(roots, name, official) for name in pair) for pair in pairs]
    complete, partial = [sets for sets in found if all(sets)], [sets for sets in found if any(sets)]
    train, val = next(iter(complete + partial), ([], []))
    return train, val


def _annotated_sets(roots: list[Path], name: str, official: bool) -> list[Path]:
    """The image sets of a name; those of VOC's secret test sets have no annotations and do not count."""
    files = [root / "ImageSets/Main" / f"{name}.txt" for root in roots]
    return [file for file in files if file.is_file() and _is_annotated(file, 16 if official else None)]


def _is_annotated(image_set: Path, first: int | None) -> bool:
    """Whether any of the first pictures is; others' sets may begin with many that show no object."""
    annotations = image_set.parents[2] / "Annotations"
    return any((annotations / f"{stem}.xml").is_file() for stem in picture_stems(image_set)[:first])


def _open_yolo(folder: Path, split: Split) -> DetectionDataset | None:
    file = _data_yaml(folder)
    if file is not None:
        found = read_data_yaml(file)
        if split not in found.splits:
            return None
        return read_yolo(found.splits[split], found.names, source=file, keypoints=found.keypoints)
    pictures = _yolo_folder(folder, split)
    return None if pictures is None else read_yolo([pictures], _class_names(folder), source=folder)


def _yolo_folder(folder: Path, split: Split) -> Path | None:
    """The pictures of a split, if there are labels or class names too."""
    for name in _FOLDERS[split]:
        for pattern in _YOLO_FOLDERS:
            pictures, labels = (
                folder / pattern.format(name),
                folder / pattern.replace("images", "labels").format(name),
            )
            if pictures.is_dir() and (
                labels.is_dir() or any((folder / item).is_file() for item in _CLASS_FILES)
            ):
                return pictures
    return None


def _data_yaml(folder: Path) -> Path | None:
    if folder.is_file():
        return folder
    files = sorted(file for suffix in _YAML_SUFFIXES for file in folder.glob(f"*{suffix}"))
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
    """What to add: to the layout that has the other split, or in general."""
    other: Split = "val" if split == "train" else "train"
    file, name = _coco_file(folder, other)
    if file is not None:
        missing = str(file).replace(name, name.replace("valid", "val").replace(other, split))
        return f"{folder} has {other} ({file.relative_to(folder)}) but no {split}; expected {missing}"
    image_sets = _voc_image_sets(folder)[other == "val"]
    if image_sets:
        return f"{folder} has {other} but no {split}; expected {image_sets[0].with_name(f'{split}.txt')}"
    file = _data_yaml(folder)
    if file is not None and read_data_yaml(file).splits:
        return f"{file} has {other} but no {split}; add {split}: FOLDER"
    pictures = _yolo_folder(folder, other)
    if pictures is not None:
        yolo = ", ".join(pattern.format(split) for pattern in _YOLO_FOLDERS)
        return f"{folder} has {other} ({pictures.relative_to(folder)}) but no {split}; expected one of {yolo}"
    return f"{folder} is laid out in no way known here; expected {_LAYOUTS}"
