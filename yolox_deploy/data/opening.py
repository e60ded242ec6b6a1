"""Open both splits of a data set, whose annotations may be named one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.coco_layouts import picture_folders
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layout import Layout, Part
from yolox_deploy.data.layouts import find_layout, read_splits
from yolox_deploy.data.pairs import Paired, find_pairs, unpaired
from yolox_deploy.data.report import EXAMPLES, Problem
from yolox_deploy.data.split_names import PartName
from yolox_deploy.data.splits import VAL_SHARE, Splits, with_problems
from yolox_deploy.data.voc_files import VocFiles
from yolox_deploy.data.voc_format import Pair, read_voc, read_xml
from yolox_deploy.data.yolo_format import read_txt, read_yolo
from yolox_deploy.data.yolo_layouts import class_names
from yolox_deploy.errors import InputError, UsageError, translating

_KINDS = (
    "a COCO JSON, a folder of XML or YOLO text files, an image set of VOC, or a text file that lists pictures"
)


def open_splits(
    data: str | Path | None = None,
    *,
    train_annotations: Path | None = None,
    val_annotations: Path | None = None,
    images: Path | None = None,
    val_images: Path | None = None,
    val_share: float = VAL_SHARE,
    seed: int = 0,
) -> Splits:
    """The pictures to train on and those to evaluate on, with the same classes.

    Args:
        data: folder of a data set, see `layouts.open_dataset`; may be left out where annotations are named.
        train_annotations, val_annotations: in place of what the folder has: a COCO JSON, a folder of XML or of YOLO
            text files, an image set of VOC, or a list of pictures. Without the second, a split is made by seed. Of
            pictures in another folder than their XML or text files, those without a file are left out.
        images, val_images: folders of their pictures; None for those near the annotations, or in `data`.
        val_share, seed: of the pictures, for validation, where they are not split; which ones.

    Raises:
        InputError: something is missing or cannot be read.
        UsageError: options that do not go together.
    """
    if train_annotations is None and val_annotations is None:
        if images is not None or val_images is not None:
            raise UsageError("images says where the pictures of train_annotations are; expected both")
        if data is None:
            raise UsageError(
                "no data set is named; expected a folder (data) or its annotations (train_annotations)"
            )
        return read_splits(find_layout(Path(data)), data, val_share=val_share, seed=seed)
    base = None if data is None else Path(data)
    parts: dict[PartName, Part] = {}
    if train_annotations is None:
        if base is None:
            raise UsageError(
                "val_annotations alone has nothing to train on; expected train_annotations or data too"
            )
        found = find_layout(base).parts
        parts["train"] = found["train"] if "train" in found else found.get("all", _nothing(base))
    xml = _XmlFolders(tuple(item for item in (train_annotations, val_annotations) if item is not None))
    named: Mapping[PartName, tuple[Path | None, Path | None]] = {
        "train": (train_annotations, images),
        "val": (val_annotations, val_images or images),
    }
    for part, (place, folder) in named.items():
        if place is not None:
            parts[part] = partial(read_named, place, folder or base, part, xml)
    return read_splits(Layout("named files", parts), train_annotations, val_share=val_share, seed=seed)


class _XmlFolders:
    """The named folders of XML files: both have the classes of both."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.files = VocFiles()
        self._folders = folders

    def names(self) -> list[str]:
        found = [
            file for folder in self._folders if folder.is_dir() for file in sorted(folder.rglob("*.xml"))
        ]
        return self.files.names(found)


def _nothing(folder: Path) -> Part:
    def refuse() -> DetectionDataset:
        raise InputError(f"{folder} has nothing to train on; expected train_annotations too")

    return refuse


def read_named(
    annotations: Path, images: Path | None, part: PartName, xml: _XmlFolders | None = None
) -> DetectionDataset:
    """The annotations of a file or folder, with their pictures in `images` or near them; all of them, whatever `part`.

    Raises:
        InputError: they cannot be read.
    """
    with translating(InputError, f"the annotations {annotations} cannot be read"):
        return _read_named(annotations, images, part, xml or _XmlFolders((annotations,)))


def _read_named(annotations: Path, images: Path | None, part: PartName, xml: _XmlFolders) -> DetectionDataset:
    if not annotations.exists():
        raise InputError(f"no annotations at {annotations}; expected {_KINDS}")
    if images is not None and not images.is_dir():
        raise InputError(f"no folder of pictures at {images}")
    if annotations.is_dir():
        return _read_folder(annotations, images, xml)
    suffix = annotations.suffix.lower()
    if suffix == ".json":
        root = images or (
            annotations.parents[1] if annotations.parent.name == "annotations" else annotations.parent
        )
        return read_coco(annotations, picture_folders(root, annotations, part))
    if suffix != ".txt":
        raise InputError(f"{annotations} holds no annotations that are known by its name; expected {_KINDS}")
    if annotations.absolute().parent.parent.name == "ImageSets":
        return read_voc([annotations.absolute()], files=xml.files)
    return read_yolo([annotations], class_names(annotations.parent), source=annotations)


def _read_folder(annotations: Path, images: Path | None, xml: _XmlFolders) -> DetectionDataset:
    """Their pictures are in `images`, else beside the files, else beside the folder."""
    for pictures in (images,) if images else (annotations, annotations.parent):
        for suffix in (".xml", ".txt"):
            pairs = find_pairs(pictures, suffix, annotations)
            if pairs:
                listed, left_out = _annotated(pairs, pictures, annotations)
                data = _read_pairs(listed, suffix, annotations, pictures, xml)
                strays = unpaired(pairs, pictures, suffix, annotations)
                return with_problems(data, *data.problems, *left_out, *strays)
    raise InputError(
        f"no XML or text file in {annotations} has the name of a picture in {images or annotations.parent}; "
        "name the folder of the pictures with --images"
    )


def _annotated(
    pairs: Sequence[Paired], pictures: Path, annotations: Path
) -> tuple[list[Pair], tuple[Problem, ...]]:
    """All pictures of one folder; of those of another folder, the annotated ones: the rest may be another split's."""
    kept = [item for item in pairs if item.annotation is not None or pictures == annotations]
    names = [item.picture.name for item in pairs if item.annotation is None and pictures != annotations]
    meaning = f"pictures in {pictures} have no file in {annotations}: left out"
    problem = Problem("no_annotation", "warning", len(names), tuple(names[:EXAMPLES]), meaning)
    return [(item.picture, item.annotation) for item in kept], (problem,) if names else ()


def _read_pairs(
    listed: Sequence[Pair], suffix: str, annotations: Path, pictures: Path, xml: _XmlFolders
) -> DetectionDataset:
    if suffix == ".xml":
        return read_xml(listed, xml.names(), source=annotations, folder=pictures, files=xml.files)
    return read_txt(listed, class_names(annotations, annotations.parent), source=annotations)
