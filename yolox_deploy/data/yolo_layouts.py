"""YOLO text data sets in folders: with a `data.yaml`, with folders or lists for the splits, or with neither."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from yolox_deploy import records
from yolox_deploy.data.coco_layouts import USUAL
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layout import Layout, Part
from yolox_deploy.data.pairs import Paired, left_over, parts_of
from yolox_deploy.data.split_names import PARTS, PartName, part_of
from yolox_deploy.data.yolo_format import DataYaml, read_data_yaml, read_txt, read_yolo
from yolox_deploy.errors import InputError, translating
from yolox_deploy.files import read_lines
from yolox_deploy.paths import walk

YAML_SUFFIXES = (".yaml", ".yml")
_FOLDERS = ("images/{}", "{}/images")
_CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_LISTS = ("train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt")
_NOTES = "notes.json"  # of Label Studio; it has the classes too


def find_yaml(folder: Path) -> Layout | None:
    """The splits of a `data.yaml`, the folder's or given itself."""
    file = data_yaml(folder)
    found = None if file is None else read_data_yaml(file)
    if file is None or found is None or not found.splits.keys() & {"train", "val"}:
        return None
    parts: dict[PartName, Part] = {
        part: partial(_read_yaml, file, found, part)
        for part in PARTS
        if part in found.splits and (part != "test" or all(item.exists() for item in found.splits[part]))
    }
    return Layout("YOLO text", parts)


def find_usual_yolo(folder: Path) -> Layout | None:
    """Folders of pictures of the usual names, with labels or class names."""
    places = {part: _usual_folder(folder, part) for part in PARTS}
    found = {part: place for part, place in places.items() if place is not None}
    if not {"train", "val"} <= found.keys():
        return None
    parts: dict[PartName, Part] = {
        part: partial(_read_folders, folder, [place]) for part, place in found.items()
    }
    return Layout("YOLO text", parts)


def find_lists(folder: Path) -> Layout | None:
    """Darknet's lists of pictures, `train.txt` and the like, beside the names of the classes."""
    if not _class_files(folder):
        return None
    places = [place / name for place in (folder, folder / "data") for name in _LISTS]
    files = {part: place for place in places if (part := part_of(place.stem)) and place.is_file()}
    if not {"train", "val"} <= files.keys():
        return None
    parts: dict[PartName, Part] = {
        part: partial(_read_folders, folder, [file]) for part, file in files.items()
    }
    return Layout("YOLO text", parts)


def txt_layout(folder: Path, pairs: Sequence[Paired]) -> Layout:
    """Pictures with label files in any folders."""
    parts: dict[PartName, Part] = {
        part: partial(_read_pairs, folder, items) for part, items in parts_of(pairs).items()
    }
    return Layout("YOLO text", parts, left_over(pairs))


def data_yaml(folder: Path) -> Path | None:
    """The `data.yaml` of a folder, or the only file of its kind, or the file that is given."""
    if folder.is_file():
        return folder
    files = sorted(file for suffix in YAML_SUFFIXES for file in folder.glob(f"*{suffix}"))
    named = [file for file in files if file.stem in ("data", "dataset")]
    return named[0] if named else files[0] if len(files) == 1 else None


def class_names(*folders: Path) -> list[str]:
    """The class names in the first of these folders that has some, in a file of a usual name or a `data.yaml`.

    Raises:
        InputError: there is none, or two files differ.
    """
    for folder in folders:
        found = {file: names for file in _class_files(folder) if (names := _names_in(file))}
        if len(set(map(tuple, found.values()))) > 1:
            told = ", ".join(f"{file} ({len(names)})" for file, names in found.items())
            raise InputError(f"the class names in these files differ: {told}; keep one of them")
        if found:
            return next(iter(found.values()))
        file = data_yaml(folder)
        if file is not None:
            return list(read_data_yaml(file).names)
    raise InputError(
        f"{folders[0]} has pictures and labels but no class names; expected data.yaml or classes.txt"
    )


def _class_files(folder: Path) -> list[Path]:
    wanted = {*_CLASS_FILES, _NOTES}
    files = [place / name for place, names in walk(folder) for name in names if name in wanted]
    texts = [file for file in files if file.name != _NOTES]
    return texts or files


def _names_in(file: Path) -> list[str]:
    if file.name != _NOTES:
        lines = read_lines(file)
        for class_id, (number, name) in enumerate(lines):
            if number != class_id + 1:
                raise InputError(
                    f"{file}: line {class_id + 1} is empty and {name!r} follows, so it is not certain whether that is "
                    f"class {class_id} or {number - 1}; remove the empty line, or write a name there"
                )
        return [name for _, name in lines]
    content = records.read(file, records.FileKind("expected Label Studio's notes"))
    with translating(InputError, f"{file} has no sound categories", "expected Label Studio's notes"):
        rows = sorted(content.get("categories", []), key=lambda row: int(row["id"]))
        return [records.convert(row["name"], str, "name") for row in rows]


def _usual_folder(folder: Path, part: PartName) -> Path | None:
    """The pictures of a split, if there are labels or class names too."""
    for name in USUAL[part]:
        for pattern in _FOLDERS:
            pictures, labels = (
                folder / item.format(name) for item in (pattern, pattern.replace("images", "labels"))
            )
            if pictures.is_dir() and (labels.is_dir() or _class_files(folder)):
                return pictures
    return None


def _read_yaml(file: Path, found: DataYaml, part: PartName) -> DetectionDataset:
    return read_yolo(found.splits[part], found.names, source=file, keypoints=found.keypoints)


def _read_folders(folder: Path, sources: Sequence[Path]) -> DetectionDataset:
    return read_yolo(sources, class_names(folder), source=folder)


def _read_pairs(folder: Path, pairs: Sequence[Paired]) -> DetectionDataset:
    listed = [(item.picture, item.annotation) for item in pairs]
    return read_txt(listed, class_names(folder), source=folder)
