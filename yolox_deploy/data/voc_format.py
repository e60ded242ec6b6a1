"""PASCAL VOC annotations: one XML file a picture, and text files that list the pictures of a split."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.picture_size import size_or_unknown
from yolox_deploy.data.report import Tally
from yolox_deploy.errors import InputError
from yolox_deploy.files import read_lines
from yolox_deploy.sources import IMAGE_SUFFIXES

VOC_CLASS_NAMES = tuple(
    """aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|diningtable|dog|horse|motorbike|person|
pottedplant|sheep|sofa|train|tvmonitor""".replace("\n", "").split("|")
)


class _Object(NamedTuple):
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


def read_voc(
    image_sets: Sequence[Path], class_names: Sequence[str] | None = None, *, without: Sequence[Path] = ()
) -> DetectionDataset:
    """Read the pictures that `ImageSets/Main/*.txt` files list, of one or several VOC folders.

    VOC counts pixels from 1 and its corners are inclusive: 1 is subtracted from xmin and ymin, as other
    readers do. Difficult objects are trained on, and in evaluation treated like COCO's crowds, which is a little
    kinder than VOC's own way (see `DetectionDataset.to_coco`). A picture without an annotation file has no
    objects; such pictures are counted in `problems`.

    Args:
        image_sets: files FOLDER/ImageSets/Main/NAME.txt, where FOLDER has Annotations and JPEGImages too.
        class_names: None for `names_found` in the folders.
        without: image sets whose pictures are left out.

    Raises:
        InputError: a file is missing or malformed, or has an object of another class; names the file.
    """
    roots = [image_set.parents[2] for image_set in image_sets]
    names = tuple(class_names or names_found(roots))
    folder = Path(os.path.commonpath(roots))
    excluded = {(image_set.parents[2], stem) for image_set in without for stem in picture_stems(image_set)}
    listed = [
        (root, stem) for root, item in zip(roots, image_sets, strict=True) for stem in picture_stems(item)
    ]
    listed = [entry for entry in listed if entry not in excluded]
    if without and not listed:
        raise InputError(f"{image_sets[0]} lists no pictures but those of {without[0]}")
    tally = Tally()
    return dataset_from_rows(
        _pictures(listed, folder, {name: index for index, name in enumerate(names)}, tally),
        source=image_sets[0] if len(image_sets) == 1 else folder,
        folder=folder,
        class_names=names,
        tally=tally,
    )


def names_found(roots: Sequence[Path]) -> list[str]:
    """The class names in all files of the folders' Annotations, sorted: the splits have the same.

    Raises:
        InputError: a file is malformed, or there is no object.
    """
    files = (file for root in sorted(set(roots)) for file in sorted((root / "Annotations").glob("*.xml")))
    names = sorted({item.name for file in files for item in _objects(file, _parse(file))})
    if not names:
        raise InputError(f"no objects in {', '.join(str(root / 'Annotations') for root in roots)}")
    return names


def picture_stems(image_set: Path) -> list[str]:
    """What an image set lists; some write file names, VOC writes them without suffix."""
    names = [name for _, name in read_lines(image_set)]
    return [
        name[: name.rindex(".")] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name for name in names
    ]


def _pictures(
    listed: Sequence[tuple[Path, str]], folder: Path, class_ids: dict[str, int], tally: Tally
) -> Iterator[PictureRow]:
    files = {root: _picture_files(root / "JPEGImages") for root, _ in listed}
    for image_id, (root, stem) in enumerate(listed, start=1):
        path = root / "JPEGImages" / files[root].get(stem, f"{stem}.jpg")
        annotation = root / "Annotations" / f"{stem}.xml"
        objects, size = [], (0, 0)
        if annotation.is_file():
            tree = _parse(annotation)
            objects = [_row(annotation, item, class_ids) for item in _objects(annotation, tree)]
            size = _size(tree)
        else:
            meaning = "pictures have no annotation file: taken for pictures without objects"
            tally.warn("missing_annotation", meaning, str(annotation.relative_to(folder)))
        measured = min(size) <= 0
        name = str(path.relative_to(folder))
        yield PictureRow(name, size_or_unknown(path) if measured else size, image_id, objects, measured)


def _picture_files(folder: Path) -> dict[str, str]:
    """The file name of each stem; of two pictures with one stem, the first."""
    names = sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []
    return {Path(name).stem: name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES}


def _parse(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{file} is not XML ({error})") from error


def _size(tree: ElementTree.Element) -> tuple[int, int]:
    """As annotated; some tools leave it out or write 0."""
    try:
        return int(tree.findtext("size/height", "0")), int(tree.findtext("size/width", "0"))
    except ValueError:
        return 0, 0


def _objects(file: Path, tree: ElementTree.Element) -> Iterator[_Object]:
    for position, item in enumerate(tree.iterfind("object"), start=1):
        name = item.findtext("name", "").strip()
        try:
            x1, y1, x2, y2 = (
                float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            raise InputError(
                f"{file}: object {position} ({name}) has no bndbox of four numbers: xmin, ymin, xmax, ymax"
            ) from None
        if not name or not math.isfinite(x1 + x2 + y1 + y2):
            raise InputError(f"{file}: object {position} has name {name!r} and box {x1, y1, x2, y2}")
        box = x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1
        yield _Object(name, box, item.findtext("difficult", "0").strip() == "1")


def _row(file: Path, item: _Object, class_ids: dict[str, int]) -> ObjectRow:
    if item.name not in class_ids:
        raise InputError(f"{file} has an object {item.name!r}; expected one of {', '.join(class_ids)}")
    area = item.box[2] * item.box[3]
    return ObjectRow(class_ids[item.name], item.box, area, difficult=item.difficult)
