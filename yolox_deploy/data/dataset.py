"""A data set as a few NumPy arrays, whatever format it was read from.

No list or object is kept for a picture: worker processes share the arrays of the process that forked them,
where every Python object that they touch would be copied page by page and memory would grow with each epoch.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import check_names
from yolox_deploy.data.report import Problem, Tally
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image


class ObjectRow(NamedTuple):
    """One object as a reader found it.

    Attributes:
        class_id: index into the class names.
        box: (x, y, w, h) in pixels of the picture, as it is in the file.
        area: in pixels²; COCO's small, medium and large go by it.
        crowd: a group of objects, left out of training and ignored in evaluation.
        difficult: trained on, in evaluation like a crowd.
        rings: outlines of the object, each flat: x, y, x, y, ...
    """

    class_id: int
    box: tuple[float, float, float, float]
    area: float
    crowd: bool = False
    difficult: bool = False
    rings: Sequence[Sequence[float]] = ()


class PictureRow(NamedTuple):
    """One picture as a reader found it.

    Attributes:
        file_name: relative to the data set's folder, or absolute.
        size: height and width; (0, 0) where they are not known.
        image_id: in the source.
        objects: those in the picture.
        measured: the size is that of the picture itself, not one that an annotation claims.
    """

    file_name: str
    size: tuple[int, int]
    image_id: int
    objects: Sequence[ObjectRow]
    measured: bool = False


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one picture.

    Attributes:
        boxes: (n, 4) x1, y1, x2, y2 in pixels of the source picture.
        classes: (n,) indices into the class names.
        polygons: for each object its rings, each (k, 2) x, y and read-only; () where there is no mask.
    """

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    polygons: tuple[tuple[NDArray[np.float32], ...], ...]


@dataclass(frozen=True, eq=False)
class DetectionDataset:
    """N pictures with M objects, whose outlines have R rings of P points in all; every array is read-only.

    Attributes:
        source: the file or folder that it was read from, for messages.
        folder: what the file names are relative to.
        class_names: one name a class.
        category_ids: the category id of each class in the source; 1, 2, ... where it has none.
        image_ids: (N,) ids in the source; 1, 2, ... where it has none.
        file_names: (N,) paths as bytes of one width.
        sizes: (N, 2) height and width; 0, 0 for a picture that could not be read.
        measured: (N,) whether the size was taken from the picture.
        offsets: (N + 1,) the objects of picture i are rows offsets[i] to offsets[i + 1].
        boxes: (M, 4) x, y, w, h as in the source: neither clipped nor checked.
        areas, classes, crowds, difficult: (M,) see `ObjectRow`.
        ring_offsets: (M + 1,) rings of each object.
        point_offsets: (R + 1,) points of each ring.
        points: (P, 2) x, y.
        problems: what the reader left out or mended.
    """

    source: Path
    folder: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.bytes_]
    sizes: NDArray[np.int32]
    measured: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    classes: NDArray[np.int64]
    crowds: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    ring_offsets: NDArray[np.int64]
    point_offsets: NDArray[np.int64]
    points: NDArray[np.float32]
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __len__(self) -> int:
        return len(self.image_ids)

    def name(self, index: int) -> str:
        """The file name of the picture, as in `PictureRow`."""
        return os.fsdecode(self.file_names[index])

    def path(self, index: int) -> Path:
        """Where the picture lies."""
        return self.folder / self.name(index)

    def load(self, index: int) -> NDArray[np.uint8]:
        """The picture as (H, W, 3) BGR, upright.

        Raises:
            InputError: it is missing or broken; names the file.
        """
        return load_image(self.path(index))

    def size(self, index: int) -> tuple[int, int]:
        """Height and width as annotated."""
        height, width = self.sizes[index]
        return int(height), int(width)

    def objects(self, index: int) -> Objects:
        """What to train on: crowds left out, boxes clipped to the picture, empty ones dropped.

        Polygons are as annotated and may reach over the picture's edge.
        """
        rows = slice(self.offsets[index], self.offsets[index + 1])
        boxes = self.clipped(rows, self.sizes[index])
        keep = ~self.crowds[rows] & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
        polygons = tuple(self._rings(int(row)) for row in np.flatnonzero(keep) + rows.start)
        return Objects(boxes[keep], self.classes[rows][keep], polygons)

    def with_objects(self, *, masks: bool = False) -> NDArray[np.int64]:
        """The pictures, ascending, in which `objects` finds any; with `masks`, any that has a polygon."""
        owners = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        boxes = self.clipped(slice(None), self.sizes[owners])
        keep = ~self.crowds & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
        if masks:
            keep &= np.diff(self.ring_offsets) > 0
        return np.unique(owners[keep])

    def clipped(self, rows: slice, sizes: NDArray[np.int32]) -> NDArray[np.float32]:
        """(n, 4) x1, y1, x2, y2 of some rows, clipped to pictures of `sizes`, (2,) or (n, 2)."""
        limits = sizes[..., [1, 0]]
        corners = self.boxes[rows, :2]
        ends = corners + self.boxes[rows, 2:]
        clipped = np.concatenate([corners.clip(0, limits), ends.clip(0, limits)], axis=1)
        return clipped.astype(np.float32)

    def _rings(self, row: int) -> tuple[NDArray[np.float32], ...]:
        rings = range(int(self.ring_offsets[row]), int(self.ring_offsets[row + 1]))
        return tuple(self.points[self.point_offsets[ring] : self.point_offsets[ring + 1]] for ring in rings)

    def outlines(self, row: int) -> list[list[float]]:
        """The rings of an object, each flat, in the fewest digits that give the same float32."""
        return [ring.ravel().astype(str).astype(np.float64).tolist() for ring in self._rings(row)]

    def to_coco(self) -> dict[str, Any]:
        """The data set as a COCO dictionary, for `yolox_deploy.evaluation.coco.score`.

        Boxes and areas are those of the source, image and category ids too. Crowds and difficult objects have
        `iscrowd` 1: the evaluation does not count them, nor punish detections of which a large enough share
        lies inside one. (VOC's own evaluation asks for their IoU with a difficult object, which is stricter.)
        Annotation ids start at 1 and there are no masks.

        Raises:
            InputError: an object's class is not among the class names.
        """
        if len(self.classes) and self.classes.max() >= len(self.class_names):
            raise InputError(
                f"{self.source} has objects of class {self.classes.max()}, but {len(self.class_names)} class names"
            )
        categories = np.array(self.category_ids, np.int64)[self.classes].tolist()
        images = np.repeat(self.image_ids, np.diff(self.offsets)).tolist()
        ignored = (self.crowds | self.difficult).astype(np.int64).tolist()
        columns = zip(images, categories, self.boxes.tolist(), self.areas.tolist(), ignored, strict=True)
        return {
            "info": {},
            "images": [
                {"id": image_id, "file_name": os.fsdecode(name), "height": height, "width": width}
                for image_id, name, (height, width) in zip(
                    self.image_ids.tolist(), self.file_names.tolist(), self.sizes.tolist(), strict=True
                )
            ],
            "categories": [
                {"id": category, "name": name}
                for category, name in zip(self.category_ids, self.class_names, strict=True)
            ],
            "annotations": [
                {
                    "id": key,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": area,
                    "iscrowd": crowd,
                }
                for key, (image, category, box, area, crowd) in enumerate(columns, start=1)
            ],
        }


def dataset_from_rows(
    rows: Iterable[PictureRow],
    *,
    source: Path,
    folder: Path,
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    tally: Tally | None = None,
) -> DetectionDataset:
    """Pack what a reader yields, picture by picture, into arrays; and what it has counted in `tally` by then.

    Raises:
        InputError: there are no pictures, an id is too large for 64 bits, or a class name is not to be written.
    """
    check_names(tuple(class_names), InputError, f"{source}: ")
    names: list[bytes] = []
    images, sizes, measured, counts = array("q"), array("i"), array("b"), array("q")
    classes, boxes, areas, crowds, difficult = array("q"), array("d"), array("d"), array("b"), array("b")
    ring_counts, point_counts, points = array("q"), array("q"), array("f")
    where = "categories"
    try:
        categories = array("q", category_ids or range(1, len(class_names) + 1))
        for picture in rows:
            where = f"picture {picture.file_name!r}"
            names.append(os.fsencode(picture.file_name))
            images.append(picture.image_id)
            sizes.extend(picture.size)
            measured.append(picture.measured)
            counts.append(len(picture.objects))
            for item in picture.objects:
                classes.append(item.class_id)
                boxes.extend(item.box)
                areas.append(item.area)
                crowds.append(item.crowd)
                difficult.append(item.difficult)
                ring_counts.append(len(item.rings))
                for ring in item.rings:
                    point_counts.append(len(ring) // 2)
                    points.extend(ring)
    except (OverflowError, UnicodeEncodeError) as error:
        raise InputError(f"{source}, {where}: a name or number cannot be kept ({error})") from error
    if not names:
        raise InputError(f"{source} lists no pictures")
    return DetectionDataset(
        source=source,
        folder=folder,
        class_names=tuple(class_names),
        category_ids=tuple(categories),
        image_ids=np.array(images),
        file_names=np.array(names, dtype=np.bytes_),
        sizes=np.array(sizes, np.int32).reshape(-1, 2),
        measured=np.array(measured, np.bool_),
        offsets=_offsets(counts),
        boxes=np.array(boxes).reshape(-1, 4),
        areas=np.array(areas),
        classes=np.array(classes),
        crowds=np.array(crowds, np.bool_),
        difficult=np.array(difficult, np.bool_),
        ring_offsets=_offsets(ring_counts),
        point_offsets=_offsets(point_counts),
        points=np.array(points).reshape(-1, 2),
        problems=tally.problems(len(classes)) if tally else (),
    )


def _offsets(counts: array[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]).astype(np.int64)
