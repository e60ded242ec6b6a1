"""What a model found, as annotations that labelling tools take and people correct: COCO and YOLO text.

Both grow picture by picture and keep no more in memory than the names of one folder.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePath
from typing import IO, Any

from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.files import replacing, write_text
from yolox_deploy.paths import IMAGE_SUFFIXES


class CocoFile:
    """Writes a COCO `instances` file with a `score` in each annotation; all ids count from 1. A context manager.

    Every class of the model is a category, and pictures without objects are listed too. File names are relative to
    the folder that all pictures have in common. The file is there when the block ends well.
    """

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self._path, self._names = path, class_names
        self._ids = range(1, len(class_names) + 1)
        self._pictures = self._objects = 0
        self._common: str | None = None

    def __enter__(self) -> CocoFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._images, self._annotations = (
                stack.enter_context(tempfile.TemporaryFile("w+", dir=self._path.parent)) for _ in range(2)
            )
            self._files = stack.pop_all()
        return self

    def add(self, path: Path, found: Detections) -> None:
        """Add a picture, whose size in pixels is that of `found`."""
        self._pictures += 1
        absolute = path.absolute()
        folder = str(absolute.parent)
        self._common = folder if self._common is None else os.path.commonpath([self._common, folder])
        height, width = found.image_size or (0, 0)
        row = {"id": self._pictures, "file_name": str(absolute), "width": width, "height": height}
        self._images.write(json.dumps(row) + "\n")
        for annotation in found.to_coco(self._pictures, self._ids):
            self._objects += 1
            area = annotation["bbox"][2] * annotation["bbox"][3]
            more = {"id": self._objects, "area": area, "iscrowd": 0, "segmentation": []}
            self._annotations.write(json.dumps({**annotation, **more}) + "\n")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):  # what ended the work is the one to tell
                self._files.close()
            return
        with self._files, replacing(self._path) as part, part.open("w", encoding="utf-8") as file:
            self._join(file)

    def _join(self, file: IO[str]) -> None:
        file.write('{"info": {},\n"images": [')
        self._copy(self._images, file, self._relative)
        file.write('],\n"annotations": [')
        self._copy(self._annotations, file, lambda line: line)
        categories = [{"id": key, "name": name} for key, name in zip(self._ids, self._names, strict=True)]
        file.write(f'],\n"categories": {json.dumps(categories)}}}\n')

    def _relative(self, line: str) -> str:
        row = json.loads(line)
        return json.dumps(
            {**row, "file_name": Path(row["file_name"]).relative_to(self._common or "").as_posix()}
        )

    @staticmethod
    def _copy(rows: IO[str], file: IO[str], change: Any) -> None:
        rows.seek(0)
        for number, line in enumerate(rows):
            file.write((",\n" if number else "\n") + change(line.rstrip("\n")))


class YoloFolder:
    """Fills a folder with `images`, `labels` (`class cx cy w h`, shares of the picture) and the class names.

    `classes.txt` is for Label Studio, labelImg and CVAT, `data.yaml` for Roboflow and Ultralytics; both are read by
    `open_dataset`. A picture in which nothing was found has an empty file. The pictures are linked where the disk
    allows it, else copied; of those that would share a file of labels all but the first are numbered.

    Args:
        folder: empty, or one that this class has filled with another part of the pictures.

    Raises:
        UsageError: the folder holds the labels of other classes.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self._folder = folder
        self._place, self._given = PurePath(), dict[str, str]()
        classes = "".join(f"{name}\n" for name in class_names)
        file = folder / "classes.txt"
        if file.exists() and file.read_text(encoding="utf-8") != classes:
            raise UsageError(f"{file} names other classes than the model; name a new folder")
        write_text(file, classes)  # first, so that a folder begun and left is known again
        for name in ("images", "labels"):
            (folder / name).mkdir(exist_ok=True)
        names = "".join(f"  {key}: {json.dumps(name)}\n" for key, name in enumerate(class_names))
        write_text(folder / "data.yaml", f"train: images\nnc: {len(class_names)}\nnames:\n{names}")

    def add(self, path: Path, name: PurePath, found: Detections) -> None:
        """Add a picture under `name`, its place in both folders, with its own suffix."""
        stem = self._free(path, name)
        _link(path, self._image(stem, path.suffix))
        write_text(self._labels(stem), found.to_yolo_txt())

    def holds(self, path: Path, name: PurePath) -> bool:
        """Whether this picture has its labels there."""
        return self._labels(self._free(path, name)).exists()

    def _free(self, path: Path, name: PurePath) -> PurePath:
        """The place without a suffix: that of the picture where it is there already, else one of its own."""
        if name.parent != self._place:
            self._place, self._given = name.parent, {}
        first = stem = name.with_suffix("")
        number = 1
        while self._is_taken(stem, path, name):
            number += 1
            stem = first.with_name(f"{first.name}_{number}")
        self._given[stem.name.lower()] = name.name
        return stem

    def _is_taken(self, stem: PurePath, path: Path, name: PurePath) -> bool:
        """Whether another picture has this stem, also one whose letters differ in case alone from those beside it."""
        if self._given.get(stem.name.lower(), name.name) != name.name:
            return True
        own = self._image(stem, path.suffix)
        if own.exists():
            return not (own.samefile(path) or filecmp.cmp(own, path, shallow=False))
        cases = (case for suffix in IMAGE_SUFFIXES for case in (suffix, suffix.upper()))
        return any(self._image(stem, suffix).exists() for suffix in cases)

    def _image(self, stem: PurePath, suffix: str) -> Path:
        return self._folder / "images" / stem.parent / f"{stem.name}{suffix}"

    def _labels(self, stem: PurePath) -> Path:
        return self._folder / "labels" / stem.parent / f"{stem.name}.txt"


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        with replacing(target) as part:
            shutil.copyfile(source, part)
