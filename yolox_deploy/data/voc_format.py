"""PASCAL VOC annotations: one XML file a picture, and text files that list the pictures of a split."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.lines import read_lines
from yolox_deploy.data.picture_size import size_or_unknown
from yolox_deploy.errors import InputError

VOC_CLASS_NAMES = tuple(
    """aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|diningtable|dog|horse|motorbike|person|
pottedplant|sheep|sofa|train|tvmonitor""".replace("\n", "").split("|")
)


class _Object(NamedTuple):
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


def read_voc(image_sets: Sequence[Path], class_names: Sequence[str] | None = None) -> DetectionDataset:
    """Read the pictures that `ImageSets/Main/*.txt` files list, of one or several VOC folders.

    VOC counts pixels from 1 and its corners are inclusive: 1 is subtracted from xmin and ymin, as other
    readers do. Difficult objects are trained on, and ignored in evaluation as VOC does.

    Args:
        image_sets: files FOLDER/ImageSets/Main/NAME.txt, where FOLDER has Annotations and JPEGImages too.
        class_names: None for the names found in all files of Annotations, sorted, so that the splits agree.

    Raises:
        InputError: a file is missing or malformed, or has an object of another class; names the file.
    """
    roots = [image_set.parents[2] for image_set in image_sets]
    names = tuple(class_names or _names_found(roots))
    folder = Path(os.path.commonpath(roots))
    return dataset_from_rows(
        _pictures(image_sets, folder, {name: index for index, name in enumerate(names)}),
        source=image_sets[0] if len(image_sets) == 1 else folder,
        folder=folder,
        class_names=names,
    )


def _names_found(roots: Sequence[Path]) -> list[str]:
    files = (file for root in sorted(set(roots)) for file in sorted((root / "Annotations").glob("*.xml")))
    names = sorted({item.name for file in files for item in _objects(file, _parse(file))})
    if not names:
        raise InputError(f"no objects in {', '.join(str(root / 'Annotations') for root in roots)}")
    return names


def _pictures(image_sets: Sequence[Path], folder: Path, class_ids: dict[str, int]) -> Iterator[PictureRow]:
    image_id = 0
    for image_set in image_sets:
        root = image_set.parents[2]
        pictures = root / "JPEGImages"
        files = {entry.stem: entry.name for entry in pictures.iterdir()} if pictures.is_dir() else {}
        for _, name in read_lines(image_set):
            image_id += 1
            path = pictures / files.get(name, f"{name}.jpg")
            annotation = root / "Annotations" / f"{name}.xml"
            tree = _parse(annotation)
            objects = [_row(annotation, item, class_ids) for item in _objects(annotation, tree)]
            yield PictureRow(str(path.relative_to(folder)), _size(tree, path), image_id, objects)


def _parse(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(file).getroot()
    except FileNotFoundError:
        raise InputError(f"no annotation file {file}") from None
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{file} is not XML ({error})") from error


def _size(tree: ElementTree.Element, picture: Path) -> tuple[int, int]:
    """As annotated; some tools leave it out or write 0, then the picture is asked."""
    try:
        size = int(tree.findtext("size/height", "0")), int(tree.findtext("size/width", "0"))
    except ValueError:
        size = (0, 0)
    return size if min(size) > 0 else size_or_unknown(picture)


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
