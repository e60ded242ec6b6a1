"""VOC data sets in folders: by image sets, or XML files that lie in any folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.extras import Extras, load_extras
from yolox_deploy.data.layout import Layout, Part
from yolox_deploy.data.pairs import Paired, left_over, parts_of
from yolox_deploy.data.split_names import PartName, part_of
from yolox_deploy.data.voc_files import VocFiles
from yolox_deploy.data.voc_format import VOC_CLASS_NAMES, annotation_files, picture_stems, read_voc, read_xml

_PAIRS = (("train", "val"), ("trainval", "test"), ("trainval", "val"))


def find_voc(folder: Path) -> Layout | None:
    """Folders with `Annotations`, `JPEGImages` and `ImageSets/Main`, this one or those in it; see `open_dataset`."""
    roots = [folder, *sorted(folder.glob("VOC*")), *sorted(folder.glob("VOCdevkit/VOC*"))]
    roots = [root for root in roots if (root / "ImageSets/Main").is_dir() and (root / "Annotations").is_dir()]
    train, val = _usual_sets(roots)
    sets: dict[PartName, list[Path]] = {"train": train, "val": val}
    if not train and not val:
        sets = _named_sets(roots)
    elif train and val and val[0].stem != "test" and not _is_official(roots):
        sets["test"] = _annotated_sets(roots, "test", first=None)
    files = VocFiles()
    parts: dict[PartName, Part] = {}
    for part, image_sets in sets.items():
        without = val if part == "train" and image_sets[:1] and image_sets[0].stem == "trainval" else []
        if image_sets:
            parts[part] = partial(_read, roots, image_sets, without, files)
    return Layout("VOC", parts) if parts else None


def xml_layout(folder: Path, pairs: Sequence[Paired]) -> Layout:
    """Pictures with XML files in any folders; the splits have the classes of all."""
    files = VocFiles()
    every = [item.annotation for item in pairs if item.annotation is not None]
    parts: dict[PartName, Part] = {
        part: partial(_read_pairs, folder, items, every, files) for part, items in parts_of(pairs).items()
    }
    return Layout("XML", parts, left_over(pairs))


def _read_pairs(
    folder: Path, pairs: Sequence[Paired], every: Sequence[Path], files: VocFiles
) -> DetectionDataset:
    extras = load_extras(folder)
    names = _class_names(files.names(every), extras)
    listed = [(item.picture, item.annotation) for item in pairs]
    return read_xml(listed, names, source=folder, folder=folder, files=files, extras=extras)


def _read(
    roots: Sequence[Path], image_sets: Sequence[Path], without: Sequence[Path], files: VocFiles
) -> DetectionDataset:
    names: Sequence[str] = files.names(annotation_files(roots))
    if _is_official(roots) and set(names) <= set(VOC_CLASS_NAMES):
        names = VOC_CLASS_NAMES
    extras = load_extras(roots[0]) if len(roots) == 1 else None
    names = _class_names(names, extras)
    return read_voc(image_sets, names, without=without, files=files)


def _class_names(found: Sequence[str], extras: Extras | None) -> Sequence[str]:
    """Those that `convert` kept, in their order, where they have all that are found."""
    return extras.class_names if extras is not None and set(found) <= set(extras.class_names) else found


def _is_official(roots: Sequence[Path]) -> bool:
    return bool(roots) and all(root.name in ("VOC2007", "VOC2012") for root in roots)


def _usual_sets(roots: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Those to train on and those to evaluate on, from one pair of names."""
    official = _is_official(roots)
    pairs = (_PAIRS[1], _PAIRS[0], _PAIRS[2]) if official else _PAIRS
    first = 16 if official else None
    found = [tuple(_annotated_sets(roots, name, first) for name in pair) for pair in pairs]
    complete, partial_ = [sets for sets in found if all(sets)], [sets for sets in found if any(sets)]
    train, val = next(iter(complete + partial_), ([], []))
    return train, val


def _named_sets(roots: Sequence[Path]) -> dict[PartName, list[Path]]:
    """Image sets of other names: by the splits they speak of, or the only one."""
    sets: dict[PartName, list[Path]] = {}
    files = [file for root in roots for file in sorted((root / "ImageSets/Main").glob("*.txt"))]
    files = [file for file in files if _is_annotated(file, None)]
    for file in files:
        part = part_of(file.stem)
        if part is not None:
            sets.setdefault(part, []).append(file)
    return sets or ({"all": files} if len(files) == 1 else {})


def _annotated_sets(roots: Sequence[Path], name: str, first: int | None) -> list[Path]:
    """The image sets of a name; those of VOC's secret test sets have no annotations and do not count."""
    files = [root / "ImageSets/Main" / f"{name}.txt" for root in roots]
    return [file for file in files if file.is_file() and _is_annotated(file, first)]


def _is_annotated(image_set: Path, first: int | None) -> bool:
    """Whether any of the first pictures is; others' sets may begin with many that show no object."""
    annotations = image_set.parents[2] / "Annotations"
    return any(os.path.isfile(annotations / f"{stem}.xml") for stem in picture_stems(image_set)[:first])
