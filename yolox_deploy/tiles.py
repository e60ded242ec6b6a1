"""Large pictures cut into overlapping tiles, and what was found in the tiles made one.

A box that ends at an inner edge of its tile is a part: the object goes on in the neighbour. Parts go three ways.

1. A whole box of another tile that would look like the part if the part's tile cut it explains the part, which goes.
2. Two parts that reach over what two neighbouring tiles share, one from each side, and look alike there are one object:
   they are joined to their common frame, over as many tiles as it takes.
3. What is left of them is kept as it is.

Then ordinary suppression removes what two tiles found twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.matching import iou_matrix
from yolox_deploy.nms import nms
from yolox_deploy.thresholds import Thresholds

ALIKE = 0.5
"""Least IoU, within what both tiles see, of boxes that mean one object."""

NEAR_TILE = 0.02
NEAR_BOX = 0.1
"""A box ends at an edge where it is nearer to it than these shares of the tile's and of its own side, or one pixel."""

AXES = (0, 1)
"""Across and down: corner `axis` of a box is its beginning there, corner `axis + 2` its end."""

OUTWARD = np.array([-1, -1, 1, 1])
"""Which way each corner grows."""


@dataclass(frozen=True)
class Tiling:
    """The tiles of a picture, the whole picture as the last of them; of a picture that is not cut, it alone.

    Attributes:
        image_size: (H, W) of the picture in pixels.
        corners: (T, 4) int64 x1, y1, x2, y2 of each tile in pixels.
    """

    image_size: tuple[int, int]
    corners: NDArray[np.int64]

    @classmethod
    def of(cls, image_size: tuple[int, int], thresholds: Thresholds) -> Tiling:
        """Tiles of `thresholds.tile_size()`, laid evenly, that share at least `thresholds.overlap` of a side."""
        sides = thresholds.tile_size()
        rows, columns = (
            spans(length, side, thresholds.overlap) for length, side in zip(image_size, sides, strict=True)
        )
        tiles = [(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns]
        if len(tiles) > 1:
            tiles.append((0, 0, image_size[1], image_size[0]))
        return cls(image_size, np.array(tiles, np.int64))

    def __len__(self) -> int:
        return len(self.corners)

    def cut(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The tiles of the picture (H, W, C), as views of it."""
        return [image[y1:y2, x1:x2] for x1, y1, x2, y2 in self.corners.tolist()]

    def merge(self, found: Sequence[Detections], thresholds: Thresholds) -> Detections:
        """What was found in each tile, in its own pixels, as what is in the picture.

        A joined object has the mean score of its parts, each counted by its area; all others keep theirs.
        """
        if len(found) == 1:
            return found[0]
        tiles = np.repeat(np.arange(len(found)), [len(each) for each in found])
        boxes = np.concatenate([each.boxes for each in found])
        boxes += self.corners[tiles][:, [0, 1, 0, 1]].astype(np.float32)
        scores = np.concatenate([each.scores for each in found])
        class_ids = np.concatenate([each.class_ids for each in found])
        pieces = Pieces.of(self, boxes, class_ids * (not thresholds.class_agnostic), tiles)
        boxes, scores, class_ids = _joined(_objects(pieces, ALIKE), boxes, scores, class_ids)
        kept = nms(boxes, scores, class_ids, thresholds.iou, thresholds.class_agnostic)
        kept = kept[: thresholds.max_detections]
        return Detections(
            boxes[kept], scores[kept], class_ids[kept], found[0].class_names, image_size=self.image_size
        )


def spans(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Beginning and end of each tile along one side of a picture, the first at 0 and the last at `length`."""
    if length <= side:
        return [(0, length)]
    step = max(int(side * (1 - overlap)), 1)
    last = -(-(length - side) // step)
    starts = [index * (length - side) // last for index in range(last + 1)]
    return [(start, start + side) for start in starts]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Boxes of all tiles with what is known of where they were cut.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2; a side at which a box is cut lies on the tile's edge.
        groups: (N,) int64, equal where boxes may be one object.
        tiles: (N,) int64 which tile a box is from.
        frames: (N, 4) int64 corners of that tile.
        cut: (N, 4) bool, at which sides the object goes on outside the tile.
    """

    boxes: NDArray[np.float32]
    groups: NDArray[np.int64]
    tiles: NDArray[np.int64]
    frames: NDArray[np.int64]
    cut: NDArray[np.bool_]

    @classmethod
    def of(
        cls, tiling: Tiling, boxes: NDArray[np.float32], groups: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> Pieces:
        frames = tiling.corners[tiles]
        height, width = tiling.image_size
        near = np.maximum(np.minimum(NEAR_BOX * _sides(boxes), NEAR_TILE * _sides(frames)), 1)
        cut = (np.abs(boxes - frames) <= np.tile(near, 2)) & (frames != (0, 0, width, height))
        return cls(np.where(cut, frames, boxes).astype(np.float32), groups, tiles, frames, cut)

    def explained(self, part: int, alike: float) -> bool:
        """Whether a box that shows more of the object looks like this one where both are seen."""
        further = OUTWARD * self.frames > OUTWARD * self.frames[part]
        as_far = OUTWARD * self.frames >= OUTWARD * self.frames[part]
        shows = ~self.cut | (self.cut[part] & as_far)
        more = self.cut[part] & (~self.cut | further)
        others = (self.groups == self.groups[part]) & (self.tiles != self.tiles[part])
        others &= shows.all(axis=1) & more.any(axis=1)
        seen, own = (_clipped(self.boxes[which], self.frames[part]) for which in (others, [part]))
        return bool((iou_matrix(seen, own) > alike).any())

    def continued(self, part: int, axis: int, among: NDArray[np.int64]) -> list[tuple[float, int]]:
        """Those of `among` that may go on behind the end of a part, with the IoU of the two where both are seen."""
        own, theirs = self.frames[part], self.frames[among]
        aside = [1 - axis, 3 - axis]
        behind = among[
            self.cut[among, axis]
            & (self.groups[among] == self.groups[part])
            & (theirs[:, axis] > own[axis])
            & (theirs[:, axis] <= own[axis + 2])
            & (theirs[:, aside] == own[aside]).all(axis=1)
        ]
        return [(self._likeness(part, other, axis), other) for other in behind.tolist()]

    def _likeness(self, part: int, other: int, axis: int) -> float:
        shared = self.frames[part].copy()
        shared[axis] = self.frames[other, axis]
        ends = _clipped(self.boxes[[part, other]], shared)
        if (
            shared[axis] == shared[axis + 2]
        ):  # the tiles only touch: what counts is where the boxes meet the seam
            ends[:, [axis, axis + 2]] = (0, 1)
        return float(iou_matrix(ends[:1], ends[1:])[0, 0])


def _objects(pieces: Pieces, alike: float) -> list[list[int]]:
    """The pieces of each object: those that were explained are in none, those that nothing was joined to are alone."""
    parts = np.flatnonzero(pieces.cut.any(axis=1))
    explained = {part for part in parts.tolist() if pieces.explained(part, alike)}
    left = np.array([part for part in parts.tolist() if part not in explained], np.int64)
    pairs = [
        (-likeness, part, other, axis)
        for axis in AXES
        for part in left[pieces.cut[left, axis + 2]].tolist()
        for likeness, other in pieces.continued(part, axis, left)
        if likeness > alike
    ]
    objects = {piece: [piece] for piece in range(len(pieces.tiles)) if piece not in explained}
    taken: set[tuple[int, int, int]] = set()
    for _, part, other, axis in sorted(pairs):
        # A part has one continuation in each tile behind it, and is that of one part of each tile before it.
        ends = (part, axis, int(pieces.tiles[other])), (other, axis + 2, int(pieces.tiles[part]))
        if taken.isdisjoint(ends):
            taken.update(ends)
            if objects[part] is not objects[other]:
                objects[part] += objects[other]
                objects.update(dict.fromkeys(objects[other], objects[part]))
    return list({id(members): members for members in objects.values()}.values())


def _joined(
    objects: list[list[int]],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """One box, score and class for each object; the arrays given are written to."""
    areas = _sides(boxes).astype(np.float64).prod(axis=1) + 1e-12
    for members in (members for members in objects if len(members) > 1):
        own, values = boxes[members], scores[members]
        first = members[0]
        class_ids[first] = class_ids[members[int(values.argmax())]]
        boxes[first] = (*own[:, :2].min(axis=0), *own[:, 2:].max(axis=0))
        scores[first] = np.average(values, weights=areas[members]).clip(values.min(), values.max())
    kept = [members[0] for members in objects]
    return boxes[kept], scores[kept], class_ids[kept]


def _sides(boxes: NDArray[Any]) -> NDArray[Any]:
    """(N, 2) width and height."""
    sides: NDArray[Any] = boxes[:, 2:] - boxes[:, :2]
    return sides


def _clipped(boxes: NDArray[np.float32], frame: NDArray[np.int64]) -> NDArray[np.float32]:
    """What of boxes lies inside a frame; without area where that is nothing."""
    x1, y1, x2, y2 = frame
    inside: NDArray[np.float32] = boxes.clip((x1, y1, x1, y1), (x2, y2, x2, y2))
    return inside
