"""Large pictures cut into overlapping tiles, and what was found in the tiles made one.

A box that ends at an inner edge of its tile is a part: the object goes on outside. Parts go one of four ways.

1. A box of another tile that shows more of the object, and would look like the part if the part's tile cut it, explains
   the part, which goes.
2. Two parts that reach over what two neighbouring tiles share, one from each side, and look alike there are one object:
   they are joined to their common frame, over as many tiles as it takes.
3. What is still cut is explained by a box of the whole picture in the same way. The whole picture comes last because
   its boxes are the coarsest.
4. What is left stays as it is.

Then ordinary suppression removes what was found twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.matching import iou_matrix
from yolox_deploy.nms import nms
from yolox_deploy.thresholds import Thresholds

ALIKE = 0.5
"""IoU, within what both tiles show, above which two boxes mean one object."""

NEAR_TILE, NEAR_BOX = 0.02, 0.1
"""A box ends at an edge that is no farther off than these shares of the tile's and of its own side, or one pixel."""

AXES = (0, 1)
"""Across and down: corner `axis` of a box is its beginning there, corner `axis + 2` its end."""

OUTWARD = np.array([-1, -1, 1, 1])
"""Which way each corner grows."""


@dataclass(frozen=True, eq=False)
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
        pieces = _pieces(self, found)
        agnostic = thresholds.class_agnostic
        in_tiles, in_whole = pieces.of_tiles(self.corners[:-1]), pieces.of_tiles(self.corners[-1:])
        in_tiles = in_tiles.unexplained(in_tiles, agnostic)
        in_tiles = in_tiles.joined(agnostic).unexplained(in_whole, agnostic)
        boxes, scores, class_ids = (
            np.concatenate([getattr(in_tiles, name), getattr(in_whole, name)])
            for name in ("boxes", "scores", "class_ids")
        )
        kept = nms(boxes, scores, class_ids, thresholds.iou, agnostic)[: thresholds.max_detections]
        names = found[0].class_names
        return Detections(boxes[kept], scores[kept], class_ids[kept], names, image_size=self.image_size)


def spans(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Beginning and end of each tile along one side of a picture, the first at 0, the last up to `length`."""
    if length <= side:
        return [(0, length)]
    step = max(int(side * (1 - overlap)), 1)
    last = -(-(length - side) // step)
    starts = [index * (length - side) // last for index in range(last + 1)]
    return [(start, start + side) for start in starts]


def _pieces(tiling: Tiling, found: Sequence[Detections]) -> Pieces:
    frames = np.repeat(tiling.corners, [len(each) for each in found], axis=0)
    boxes = np.concatenate([each.boxes for each in found])
    boxes += frames[:, [0, 1, 0, 1]].astype(np.float32)
    height, width = tiling.image_size
    near = np.maximum(np.minimum(NEAR_BOX * _sides(boxes), NEAR_TILE * _sides(frames)), 1)
    cut = (np.abs(boxes - frames) <= np.tile(near, 2)) & (frames != (0, 0, width, height))
    scores, class_ids = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("scores", "class_ids")
    )
    return Pieces(boxes, scores, class_ids, frames, cut)


@dataclass(frozen=True, eq=False)
class Pieces:
    """What was found in tiles, in pixels of the picture, with what each tile shows of it.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2.
        scores, class_ids: (N,) float32 and int64.
        frames: (N, 4) int64 corners of the tile, or of the tiles, that a box was found in.
        cut: (N, 4) bool, at which corners the object goes on outside.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    frames: NDArray[np.int64]
    cut: NDArray[np.bool_]

    def __getitem__(self, index: Any) -> Pieces:
        return Pieces(*(getattr(self, field.name)[index] for field in fields(self)))

    def of_tiles(self, corners: NDArray[np.int64]) -> Pieces:
        """Those that were found in these tiles."""
        return self[(self.frames[:, None] == corners).all(axis=2).any(axis=1)]

    def seen(self, index: Any, frame: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 4) what of boxes lies inside a frame; where a box is cut it reaches to the edge of its tile."""
        x1, y1, x2, y2 = frame
        reaching = np.where(self.cut[index], self.frames[index], self.boxes[index])
        inside: NDArray[np.float32] = reaching.clip((x1, y1, x1, y1), (x2, y2, x2, y2)).astype(np.float32)
        return inside

    def unexplained(self, others: Pieces, class_agnostic: bool) -> Pieces:
        """Without the parts that one of `others` shows more of."""
        kept = np.ones(len(self.boxes), np.bool_)
        are_parts = self.cut.any(axis=1)
        for frame in np.unique(self.frames[are_parts], axis=0):
            parts = np.flatnonzero(are_parts & (self.frames == frame).all(axis=1))
            near = (others.boxes[:, :2] < frame[2:]).all(axis=1) & (others.boxes[:, 2:] > frame[:2]).all(
                axis=1
            )
            near &= (others.frames != frame).any(axis=1)
            kept[parts] = ~self._explained(parts, others[near], frame, class_agnostic)
        return self[kept]

    def _explained(
        self, parts: NDArray[np.int64], others: Pieces, frame: NDArray[np.int64], class_agnostic: bool
    ) -> NDArray[np.bool_]:
        """Which parts of one tile are explained by boxes of others: the pairs are (others, parts, corners)."""
        cut, other_cut = self.cut[None, parts], others.cut[:, None]
        gain = (OUTWARD * (others.frames - frame))[:, None]
        shows_all = (~other_cut | (cut & (gain >= 0))).all(axis=2)
        shows_more = (cut & (~other_cut | (gain > 0))).any(axis=2)
        same = class_agnostic | (others.class_ids[:, None] == self.class_ids[parts])
        alike = iou_matrix(others.seen(slice(None), frame), self.seen(parts, frame)) > ALIKE
        explained: NDArray[np.bool_] = (shows_all & shows_more & same & alike).any(axis=0)
        return explained

    def joined(self, class_agnostic: bool) -> Pieces:
        """With parts that go on in each other as one."""
        pairs = sorted(
            (-likeness, part, other, axis)
            for axis in AXES
            for part in np.flatnonzero(self.cut[:, axis + 2]).tolist()
            for likeness, other in self._continued(part, axis, class_agnostic)
            if likeness > ALIKE
        )
        objects = {piece: [piece] for piece in range(len(self.boxes))}
        taken: set[tuple[int, int, bytes]] = set()
        for _, part, other, axis in pairs:
            # A part goes on in one box of each tile behind it, and is what one box of each tile before it goes on in.
            ends = (part, axis + 2, self.frames[other].tobytes()), (other, axis, self.frames[part].tobytes())
            if taken.isdisjoint(ends):
                taken.update(ends)
                if objects[part] is not objects[other]:
                    objects[part] += objects[other]
                    objects.update(dict.fromkeys(objects[other], objects[part]))
        return self._as_one(list({id(members): members for members in objects.values()}.values()))

    def _continued(self, part: int, axis: int, class_agnostic: bool) -> Iterator[tuple[float, int]]:
        """The boxes that may go on behind the end of a part, each with the IoU of the two where both are seen."""
        own, theirs, aside = self.frames[part], self.frames, [1 - axis, 3 - axis]
        behind = (
            self.cut[:, axis]
            & (class_agnostic | (self.class_ids == self.class_ids[part]))
            & (theirs[:, axis] > own[axis])
            & (theirs[:, axis] <= own[axis + 2])
            & (theirs[:, aside] == own[aside]).all(axis=1)
        )
        for other in np.flatnonzero(behind).tolist():
            shared = own.copy()
            shared[axis] = theirs[other, axis]
            ends = self.seen([part, other], shared)
            if (
                shared[axis] == shared[axis + 2]
            ):  # the tiles only touch: what counts is where the boxes meet the seam
                ends[:, [axis, axis + 2]] = (0, 1)
            yield float(iou_matrix(ends[:1], ends[1:])[0, 0]), other

    def _as_one(self, objects: list[list[int]]) -> Pieces:
        whole = Pieces(*(getattr(self, field.name).copy() for field in fields(self)))
        areas = _sides(self.boxes).astype(np.float64).prod(axis=1) + 1e-12
        for members in (members for members in objects if len(members) > 1):
            first, scores, frames = members[0], self.scores[members], self.frames[members]
            whole.boxes[first] = _around(self.boxes[members])
            whole.scores[first] = np.average(scores, weights=areas[members]).clip(scores.min(), scores.max())
            whole.class_ids[first] = self.class_ids[members[int(scores.argmax())]]
            whole.frames[first] = _around(frames)
            whole.cut[first] = (self.cut[members] & (frames == whole.frames[first])).any(axis=0)
        return whole[[members[0] for members in objects]]


def _around(boxes: NDArray[Any]) -> NDArray[Any]:
    """The frame around boxes."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _sides(boxes: NDArray[Any]) -> NDArray[Any]:
    """(N, 2) width and height."""
    sides: NDArray[Any] = boxes[:, 2:] - boxes[:, :2]
    return sides
