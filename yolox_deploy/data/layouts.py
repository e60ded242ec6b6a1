"""Open a data set as labelling tools leave it: find out how its folder is laid out, and read its splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from yolox_deploy.data.coco_layouts import find_any_coco, find_usual_coco
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layout import Layout, Part
from yolox_deploy.data.pairs import Paired, find_pairs, unpaired
from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.data.split_names import SPLITS, PartName, Split
from yolox_deploy.data.splits import VAL_SHARE, Splits, match_classes, split_by_seed, with_problems
from yolox_deploy.data.voc_layouts import find_voc, xml_layout
from yolox_deploy.data.yolo_layouts import YAML_SUFFIXES, find_lists, find_usual_yolo, find_yaml, txt_layout
from yolox_deploy.errors import InputError, UsageError, translating
from yolox_deploy.paths import walk

_LAYOUTS = (
    "COCO: annotations/instances_train.json and instances_val.json; VOC: ImageSets/Main, Annotations and JPEGImages, "
    "here or in VOCdevkit/VOC*, or XML files beside the pictures; YOLO text: data.yaml with names, train and val, or "
    "images/train, labels/train and classes.txt"
)


def open_dataset(
    folder: str | Path, split: Split, *, val_share: float = VAL_SHARE, seed: int = 0
) -> DetectionDataset:
    """Open a split of a COCO, VOC or YOLO text data set.

    - COCO: `annotations/instances_train2017.json` or `instances_train.json` with the pictures in `train2017`,
      `train` or `images/...`; or `train/_annotations.coco.json` beside the pictures (Roboflow); or files of any names,
      if there is one whose name says train and one that says val, or one in all.
    - VOC: `VOCdevkit/VOC2007` and the like, where training takes trainval of all years and validation test,
      the usual protocol, or train and val where there is no annotated test; or a folder with `Annotations`,
      `JPEGImages` and `ImageSets/Main/{train,val}.txt`. Of `trainval` and `val` alone, those in val are not
      trained on. Classes are those found, or VOC's 20 in a folder with its name and no others. Or XML files in any
      folders, which are paired with pictures by name.
    - YOLO text: `data.yaml` (the folder's or given itself) with names, train and val; or text files that are paired
      with pictures by name, with `classes.txt` and the like.

    Where there is no validation split, `test` is taken; where there is neither, one is made by `seed` out of the names
    of the pictures (see `splits.split_by_seed`). `problems` tells of both.

    Args:
        folder: of the data set.
        split: "train" or "val"; "test" where there is one; "all" for every picture of a data set that is not split.
        val_share: of the pictures, for validation, where the data set is not split.
        seed: that chooses them.

    Raises:
        InputError: there is no such folder or split, which says what was found; or nothing can be read.
        UsageError: no such name of a split.
    """
    if split not in SPLITS:
        raise UsageError(f"there is no split {split!r}; expected {', '.join(SPLITS)}")
    layout = find_layout(Path(folder))
    if split in ("test", "all"):
        return _as_it_is(layout, folder, split)
    if split == "val" and (part := _val_part(layout.parts)):
        notes = () if part == "val" else (_test_note(layout),)
        data = layout.parts[part]()
        return with_problems(data, *data.problems, *notes)
    if split == "train" and "train" in layout.parts and _val_part(layout.parts):
        data = layout.parts["train"]()
        return with_problems(data, *data.problems, *layout.notes)
    train, val = read_splits(layout, folder, val_share=val_share, seed=seed)
    return train if split == "train" else with_problems(val, *train.problems)


def _as_it_is(layout: Layout, folder: object, split: Split) -> DetectionDataset:
    """The part of that name; of a data set with one part, all of it."""
    parts = layout.parts
    name = next(iter(parts)) if split == "all" and len(parts) == 1 else split
    if name not in parts:
        has = "is not split" if "all" in parts else f"has {', '.join(parts)}"
        raise InputError(
            f"{folder} {has} ({layout.kind}), so there is no {split} to open; name another split"
        )
    data = parts[name]()
    return with_problems(data, *data.problems, *layout.notes)


def read_splits(layout: Layout, folder: object, *, val_share: float = VAL_SHARE, seed: int = 0) -> Splits:
    """Read both splits of a layout; each picture is read once. The classes of both are those of the first."""
    parts = layout.parts
    val_part = _val_part(parts)
    if "train" not in parts and "all" not in parts:
        raise InputError(f"{folder} has {', '.join(parts)} ({layout.kind}) but nothing to train on; {_CURE}")
    if "all" in parts or val_part is None:
        train, val = split_by_seed(parts["all" if "all" in parts else "train"](), val_share, seed)
    else:
        train, val = parts["train"](), parts[val_part]()
        if val_part == "test":
            val = with_problems(val, *val.problems, _test_note(layout))
    return Splits(with_problems(train, *train.problems, *layout.notes), match_classes(train, val))


def find_layout(folder: Path) -> Layout:
    """How a data set is laid out; its parts raise nothing else than InputError either.

    Raises:
        InputError: there is no such folder, or nothing that is known; lists what is there.
    """
    with translating(InputError, f"the data set {folder} cannot be read"):
        found = _find_layout(folder)
    return replace(found, parts={name: partial(_read, folder, part) for name, part in found.parts.items()})


def _read(folder: Path, part: Part) -> DetectionDataset:
    with translating(InputError, f"the data set {folder} cannot be read"):
        return part()


def _find_layout(folder: Path) -> Layout:
    if not folder.exists():
        raise InputError(f"no data set folder at {folder}")
    if folder.is_file() and folder.suffix.lower() not in YAML_SUFFIXES:
        what = "give it as --train-annotations, or " if folder.suffix.lower() == ".json" else ""
        raise InputError(
            f"{folder} is no folder; {what}name the folder of the data set ({_LAYOUTS}) or its data.yaml"
        )
    finders = (find_yaml,) if folder.is_file() else _FINDERS
    found = next((layout for find in finders if (layout := find(folder)) is not None), None)
    if found is None and folder.is_dir():
        inner = _only_folder(folder)
        found = find_paired(folder) if inner is None else _find_layout(inner)
    if found is None:
        raise InputError(
            f"{folder} is laid out in no way known here: {_seen(folder)}; {_CURE}. Known are {_LAYOUTS}"
        )
    return found


def find_paired(folder: Path) -> Layout | None:
    """XML or text files that have the names of pictures; of both, those that are more."""
    xml, txt = (find_pairs(folder, suffix) for suffix in (".xml", ".txt"))
    if not xml and not txt:
        return None
    counts = [sum(item.annotation is not None for item in pairs) for pairs in (xml, txt)]
    if counts[0] >= counts[1]:
        layout, notes = xml_layout(folder, xml), _other_kind("text", "XML", txt, xml)
        return _with_notes(layout, [*notes, *unpaired(xml, folder, ".xml")])
    layout, notes = txt_layout(folder, txt), _other_kind("XML", "text", xml, txt)
    return _with_notes(layout, [*notes, *unpaired(txt, folder, ".txt")])


def _with_notes(layout: Layout, notes: Sequence[Problem]) -> Layout:
    return replace(layout, notes=(*layout.notes, *notes))


def _other_kind(left: str, read: str, others: Sequence[Paired], chosen: Sequence[Paired]) -> list[Problem]:
    """Of pictures that have a file of the kind that is not read: with one of the other, and without."""
    without = {item.picture for item in chosen if item.annotation is None}
    annotated = [item.picture for item in others if item.annotation is not None]
    names = [picture.name for picture in annotated if picture in without]
    problems = []
    if both := [picture.name for picture in annotated if picture not in without]:
        told = f"pictures have a {left} file too: {read} is read"
        problems.append(Problem("two_kinds", "note", len(both), tuple(both[:EXAMPLES]), told))
    meaning = (
        f"pictures have a {left} file and no {read}: {read} is read, so they count as pictures without objects. If "
        f"these are their objects, write all as one kind (the {left} files alone: --train-annotations), or take "
        "them out"
    )
    if names:
        problems.append(Problem("other_kind", "warning", len(names), tuple(names[:EXAMPLES]), meaning))
    return problems


_FINDERS: tuple[Callable[[Path], Layout | None], ...] = (
    find_usual_coco, find_voc, find_yaml, find_usual_yolo, find_lists, find_any_coco,
)  # fmt: skip
"""From those that know names to those that look at every file."""

_CURE = "name the files with --train-annotations, --val-annotations and --images"


def _only_folder(folder: Path) -> Path | None:
    """Archives are often unpacked into a folder of their own name, which holds that folder alone."""
    names = [item for item in folder.iterdir() if item.name[0] != "." and item.name != "__MACOSX"]
    return names[0] if len(names) == 1 and names[0].is_dir() else None


def _val_part(parts: Mapping[PartName, Part]) -> PartName | None:
    names: tuple[PartName, ...] = ("val", "test")
    return next((name for name in names if name in parts), None)


def _test_note(layout: Layout) -> Problem:
    return Problem(
        "test_as_val", "note", 1, (), f"split for validation is called test ({layout.kind}): there is no val"
    )


def _seen(folder: Path) -> str:
    """The files that may be annotations, and the folders: a few of each, and how many there are."""
    if folder.is_file():
        return f"{folder.name} names no train or val"
    kinds: dict[str, list[str]] = {".json": [], ".xml": [], ".txt": [], ".yaml": []}
    folders: Counter[str] = Counter()
    for place, names in walk(folder):
        relative = place.relative_to(folder)
        folders[relative.as_posix()] += len(names)
        for name in names:
            suffix = Path(name).suffix.lower().replace(".yml", ".yaml")
            if suffix in kinds:
                kinds[suffix].append((relative / name).as_posix())
    told = [f"{len(files)} {suffix[1:].upper()} ({_few(files)})" for suffix, files in kinds.items() if files]
    places = [f"{name} ({count} files)" for name, count in folders.items() if name != "."]
    told += [f"{len(places)} folders ({_few(places)})"] if places else []
    return (
        f"there are {', '.join(told)}" if told else f"there are {folders['.']} files and none of annotations"
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
