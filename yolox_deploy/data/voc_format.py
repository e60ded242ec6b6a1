"""PASCAL VOC annotations: one XML file a picture, and text files that list the pictures of a split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.data.extras import Extras, load_extras, restored
from yolox_deploy.data.picture_size import size_or_unknown
from yolox_deploy.data.report import Tally
from yolox_deploy.data.voc_files import VocFile, VocFiles, tell_faults
from yolox_deploy.errors import InputError
from yolox_deploy.files import read_lines
from yolox_deploy.sources import IMAGE_SUFFIXES

VOC_CLASS_NAMES = tuple(
    """aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|diningtable|dog|horse|motorbike|person|
pottedplant|sheep|sofa|train|tvmonitor""".replace("\n", "").split("|")
)

Pair = tuple[Path, Path | None]
"""A picture and its annotation file; None where it has none."""


def read_voc(
    image_sets: Sequence[Path],
    class_names: Sequence[str] | None = None,
    *,
    without: Sequence[Path] = (),
    files: VocFiles | None = None,
) -> DetectionDataset:
    """Read the pictures that `ImageSets/Main/*.txt` files list, of one or several VOC folders.

    Args:
        image_sets: files FOLDER/ImageSets/Main/NAME.txt, where FOLDER has Annotations and JPEGImages too.
        class_names: None for all those in the folders.
        without: image sets whose pictures are left out.
        files: as of `read_xml`.

    Raises:
        InputError: an image set is missing, or what `read_xml` raises.
    """
    files = files or VocFiles()
    roots = [image_set.parents[2] for image_set in image_sets]
    names = class_names or files.names(annotation_files(roots))
    excluded = {(image_set.parents[2], stem) for image_set in without for stem in picture_stems(image_set)}
    listed = [
        (root, stem) for root, item in zip(roots, image_sets, strict=True) for stem in picture_stems(item)
    ]
    listed = [entry for entry in listed if entry not in excluded]
    if without and not listed:
        raise InputError(f"{image_sets[0]} lists no pictures but those of {without[0]}")
    folder = Path(os.path.commonpath(roots))
    source = image_sets[0] if len(image_sets) == 1 else folder
    extras = load_extras(folder)
    return read_xml(_pairs(listed), names, source=source, folder=folder, files=files, extras=extras)


def read_xml(
    pairs: Sequence[Pair],
    class_names: Sequence[str],
    *,
    source: Path,
    folder: Path,
    files: VocFiles | None = None,
    extras: Extras | None = None,
) -> DetectionDataset:
    """Read pictures with their XML files.

    VOC counts pixels from 1 and its corners are inclusive: 1 is subtracted from xmin and ymin, as other
    readers do. Difficult objects are trained on, and in evaluation treated like COCO's crowds, which is a little
    kinder than VOC's own way (see `DetectionDataset.to_coco`). A picture without an annotation file has no
    objects; such pictures are counted in `problems`, as is all that is at fault, which is mended or left out.

    Args:
        pairs: pictures and their files.
        class_names: in the order of their indices.
        source: to name in messages.
        folder: what the names of the pictures are made relative to.
        files: where parsed files are kept.
        extras: what was kept beside the files, in `folder`.

    Raises:
        InputError: there are no pictures.
    """
    tally = Tally()
    class_ids = {name: index for index, name in enumerate(class_names)}
    rows = _pictures(pairs, folder, class_ids, files or VocFiles(), tally)
    return dataset_from_rows(
        restored(rows, extras, folder, folder, tally),
        source=source,
        folder=folder,
        class_names=class_names,
        category_ids=None if extras is None else extras.ids_of(class_names),
        tally=tally,
    )


def annotation_files(roots: Sequence[Path]) -> list[Path]:
    """All XML files of VOC folders: the splits have the classes of all."""
    return [file for root in sorted(set(roots)) for file in sorted((root / "Annotations").rglob("*.xml"))]


def picture_stems(image_set: Path) -> list[str]:
    """What an image set lists; VOC writes names without suffix, some with, and CVAT quotes those with blanks."""
    lines = (line for _, line in read_lines(image_set))
    names = [line[1:-1] if line[0] == line[-1] == '"' and line != '"' else line for line in lines]
    return [
        name[: name.rindex(".")] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name for name in names
    ]


def _pairs(listed: Sequence[tuple[Path, str]]) -> list[Pair]:
    pictures = cache(_picture_files)
    pairs: list[Pair] = []
    for root, stem in listed:
        place = (root / "JPEGImages" / stem).parent
        name = stem.rpartition("/")[2]
        annotation = root / "Annotations" / f"{stem}.xml"
        picture = place / pictures(place).get(name, f"{name}.jpg")
        pairs.append((picture, annotation if os.path.isfile(annotation) else None))
    return pairs


def _picture_files(folder: Path) -> dict[str, str]:
    """The file name of each stem; of two pictures with one stem, the first."""
    names = sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []
    return {Path(name).stem: name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES}


def _pictures(
    pairs: Sequence[Pair], folder: Path, class_ids: Mapping[str, int], files: VocFiles, tally: Tally
) -> Iterator[PictureRow]:
    for image_id, (picture, annotation) in enumerate(pairs, start=1):
        file = VocFile() if annotation is None else files[annotation]
        name = _relative(picture, folder)
        if annotation is None:
            meaning = "pictures have no annotation file: taken for pictures without objects"
            tally.warn("missing_annotation", meaning, name)
        else:
            tell_faults(file, _relative(annotation, folder), tally)
        if file.broken is not None:
            continue
        measured = min(file.size) <= 0
        size = size_or_unknown(picture) if measured else file.size
        yield PictureRow(name, size, image_id, _rows(file, name, class_ids, tally), measured)


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path.absolute())


def _rows(file: VocFile, picture: str, class_ids: Mapping[str, int], tally: Tally) -> list[ObjectRow]:
    rows = []
    for item in file.objects:
        if item.name not in class_ids:
            meaning = f"objects are of other classes than {', '.join(class_ids)}"
            tally.fail("foreign_class", meaning, f"{picture}: {item.name}")
            tally.lose()
            continue
        area = item.box[2] * item.box[3]
        rows.append(ObjectRow(class_ids[item.name], item.box, area, item.crowd, item.difficult))
    return rows
