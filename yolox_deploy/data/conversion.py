"""Write a data set in another format: nothing is lost of boxes, classes, crowds, difficult objects and polygons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from yolox_deploy.data.checks import check_dataset
from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.layouts import find_layout
from yolox_deploy.data.opening import read_named
from yolox_deploy.data.picture_size import UNKNOWN, picture_size
from yolox_deploy.data.report import DatasetReport, Tally, raise_for_errors
from yolox_deploy.data.selection import select
from yolox_deploy.data.split_names import PARTS, PartName, part_of
from yolox_deploy.data.splits import VAL_SHARE, match_classes, split_by_seed, with_problems
from yolox_deploy.data.writers import write_coco, write_voc, write_yolo
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.files import new_folder
from yolox_deploy.types import SILENT, Report

Format = Literal["coco", "yolo", "voc"]
FORMATS: tuple[Format, ...] = get_args(Format)
_WRITERS = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc}
_FATAL = frozenset(("other_size", "unknown_class", "wrong_boxes"))
"""Errors that nothing can be left out for."""

_Parts = Mapping[PartName, DetectionDataset]


def convert(
    source: str | Path,
    to: str,
    out: str | Path,
    *,
    images: Path | None = None,
    val: float | None = None,
    seed: int = 0,
    link: bool = False,
    report: Report = SILENT,
) -> dict[PartName, DatasetReport]:
    """Write the data set at `source` in another layout, with its pictures.

    Objects and pictures that are at fault are left out and told in the reports. What the format has no place for is
    kept in a file beside it, which `open_dataset` reads and other tools ignore (see `extras`). Masks in run-length
    encoding are not kept.

    Args:
        source: folder of a data set in any layout that `open_dataset` knows, its `data.yaml`, or a COCO JSON.
        to: one of `FORMATS`.
        out: folder to write; must not exist, or be empty. It appears when all is written.
        images: the pictures of a COCO JSON; None for those near it.
        val: share of the pictures for validation, 0-1, where the data set is not split; 0 for none, None for 0.2.
        seed: that chooses them.
        link: make links to the pictures in place of copies.
        report: told of each picture.

    Returns:
        What was found and mended in each split that was written.

    Raises:
        InputError: the data set cannot be read, is no sound one, or most of its pictures are missing or broken.
        UsageError: no such format, a share for a data set that is split, or `out` holds something or lies in `source`.
    """
    if to not in FORMATS:
        raise UsageError(f"there is no format {to!r}; expected one of {', '.join(FORMATS)}")
    if Path(source).is_dir() and Path(source).resolve() in Path(out).resolve().parents:
        raise UsageError(
            f"{out} lies in {source}, whose pictures would be found twice; name a folder beside it"
        )
    with new_folder(Path(out)) as folder:
        parts = {part: _usable(data, report) for part, data in _read(Path(source), images, val, seed).items()}
        reports = {part: check_dataset(data, pictures=False) for part, data in parts.items()}
        raise_for_errors(*map(_fatal, reports.values()), use="converted")
        report.step("writing")
        _WRITERS[to](parts, folder, link)
    return reports


def _read(source: Path, images: Path | None, val: float | None, seed: int) -> _Parts:
    share = VAL_SHARE if val is None else val
    if not 0 <= share < 1:
        raise UsageError(f"the share of pictures for validation is {val}; expected 0 to less than 1")
    layout = None
    if source.suffix.lower() == ".json" or images is not None:
        data = read_named(source, images, part_of(source.stem) or "train")
    else:
        layout = find_layout(source)
        if "all" in layout.parts or layout.parts.keys() == {"train"}:
            (read,) = layout.parts.values()
            data = read()
            data, layout = with_problems(data, *data.problems, *layout.notes), None
    if layout is None:
        if share == 0:
            return {"train": data}
        train, rest = split_by_seed(data, share, seed)
        return {"train": _without_note(train), "val": rest}
    if val is not None:
        raise UsageError(
            f"{source} is split already, into {', '.join(layout.parts)}; leave the share (--val) out"
        )
    parts: dict[PartName, DetectionDataset] = {
        part: layout.parts[part]() for part in PARTS if part in layout.parts
    }
    first, *others = parts
    parts[first] = with_problems(parts[first], *parts[first].problems, *layout.notes)
    return {first: parts[first], **{part: match_classes(parts[first], parts[part]) for part in others}}


def _without_note(data: DetectionDataset) -> DetectionDataset:
    """The split is made for good."""
    return with_problems(data, *(problem for problem in data.problems if problem.kind != "made_split"))


def _usable(data: DetectionDataset, report: Report) -> DetectionDataset:
    """The pictures that can be read, with their sizes."""
    report.step(f"looking at the pictures of {data.source}")
    tally, kept, sizes = Tally(), [], data.sizes.copy()
    for index in range(len(data)):
        report.advance(index + 1, len(data))
        try:
            size = picture_size(data.path(index))
        except InputError as error:
            tally.warn("unreadable_picture", "pictures are missing or cannot be read: left out", str(error))
            continue
        if data.size(index) == UNKNOWN:
            sizes[index] = size
        elif data.size(index) != size:
            claim = "{1}x{0}".format(*data.size(index))
            example = f"{data.name(index)}: annotated {claim}, is {size[1]}x{size[0]}"
            meaning = "pictures have another width or height than annotated, so their boxes are elsewhere"
            tally.warn("other_size", meaning, example, severity="error")
        kept.append(index)
    problems = tally.problems(len(data))
    if len(kept) <= len(data) / 2:
        raise InputError(
            "\n".join(
                [f"{data.source}: only {len(kept)} of {len(data)} pictures can be read", *map(str, problems)]
            )
        )
    data = select(replace(data, sizes=sizes), np.array(kept, np.int64))
    return with_problems(data, *data.problems, *problems)


def _fatal(report: DatasetReport) -> DatasetReport:
    return replace(report, problems=tuple(item for item in report.problems if item.kind in _FATAL))
