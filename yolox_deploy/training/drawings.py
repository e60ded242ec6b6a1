"""Pictures of a run: what it trains on, what it finds, which anchor points are positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import Objects
from yolox_deploy.detections import Detections
from yolox_deploy.drawing import class_color, write_picture
from yolox_deploy.preprocess import letterbox

Picture = NDArray[np.uint8]

TILE, COLUMNS, MOST_TILES = 320, 4, 16
LARGE_TILE = 480
LEAST_SCORE = 0.3


def draw_batch(images: Picture, targets: NDArray[np.float32], class_names: Sequence[str], path: Path) -> None:
    """Draw up to 16 pictures of a batch with their targets.

    Args:
        images: (B, 3, H, W) uint8 BGR.
        targets: (B, M, 5) class, cx, cy, w, h in pixels, rows of zeros being padding.
        path: of the picture to write; its suffix names the format.
    """
    tiles = []
    for image, rows in zip(images[:MOST_TILES], targets, strict=False):
        used = rows[rows[:, 3:].any(axis=1)]
        boxes = np.concatenate([used[:, 1:3] - used[:, 3:] / 2, used[:, 1:3] + used[:, 3:] / 2], axis=1)
        classes = used[:, 0].astype(np.int64)
        tiles.append(_tile(image.transpose(1, 2, 0), boxes, classes, [class_names[i] for i in classes]))
    write_picture(path, _grid(tiles))


def draw_predictions(
    pictures: Sequence[tuple[Picture, Detections]], path: Path, truths: Sequence[Objects] = ()
) -> None:
    """Draw what was found with a score of at least 0.3, each picture to the right of its truth if that is given.

    Args:
        pictures: (H, W, 3) uint8 BGR, and what was found in it.
        path: as in `draw_batch`.
        truths: the annotated objects of each picture.
    """
    tiles = []
    for (image, found), truth in zip_longest(pictures, truths):
        if truth is not None:
            names = [found.class_names[i] for i in truth.classes]
            tiles.append(_tile(image, truth.boxes, truth.classes, names, "truth"))
        sure = [item for item in found if item.score >= LEAST_SCORE]
        boxes = np.array([item.box for item in sure]).reshape(-1, 4)
        classes = np.array([item.class_id for item in sure], np.int64)
        tiles.append(_tile(image, boxes, classes, [f"{i.class_name} {i.score:.2f}" for i in sure], "found"))
    write_picture(path, _grid(tiles[:MOST_TILES]))


def draw_assignments(
    image: Picture, boxes: NDArray[np.floating], positives: Mapping[str, NDArray[np.floating]], path: Path
) -> None:
    """Draw side by side which anchor points each assigner makes positive, in the colour of their object.

    Args:
        image: (H, W, 3) uint8 BGR.
        boxes: (n, 4) x1, y1, x2, y2 in pixels of `image`.
        positives: by assigner (p, 4) x, y, stride in pixels of `image`, and the row of `boxes`; a larger stride
            makes a larger dot.
        path: as in `draw_batch`.
    """
    tiles = []
    for name, rows in positives.items():
        tile, ratio = letterbox(image, (LARGE_TILE, LARGE_TILE))
        for number, (x1, y1, x2, y2) in enumerate((boxes * ratio).round().astype(int).tolist()):
            cv2.rectangle(tile, (x1, y1), (x2, y2), class_color(number), 1)
        for x, y, stride, number in rows.tolist():
            spot, radius = (round(x * ratio), round(y * ratio)), 2 + round(stride / 8)
            cv2.circle(tile, spot, radius + 1, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
            cv2.circle(tile, spot, radius, class_color(int(number)), cv2.FILLED, cv2.LINE_AA)
        _label(tile, f"{name}: {len(rows)} positives", (0, LARGE_TILE - 16), (0, 0, 0))
        tile[-2:] = tile[:, -2:] = 255
        tiles.append(tile)
    write_picture(path, _grid(tiles))


def _tile(
    image: Picture,
    boxes: NDArray[np.floating],
    classes: NDArray[np.int64],
    texts: Sequence[str],
    caption: str = "",
) -> Picture:
    """`image` in a square with its boxes (n, 4) x1, y1, x2, y2 in pixels of `image`."""
    tile, ratio = letterbox(np.ascontiguousarray(image), (TILE, TILE))
    corners = (boxes * ratio).round().astype(int).tolist()
    for (x1, y1, x2, y2), class_id, text in zip(corners, classes.tolist(), texts, strict=True):
        cv2.rectangle(tile, (x1, y1), (x2, y2), class_color(class_id), 1)
        _label(tile, text, (max(x1, 0), y1 - 12 if y1 >= 12 else 0), class_color(class_id))
    if caption:
        _label(tile, caption, (0, TILE - 16), (0, 0, 0))
    tile[-2:] = tile[:, -2:] = 255
    return tile


def _label(canvas: Picture, text: str, corner: tuple[int, int], color: tuple[int, int, int]) -> None:
    """White text on a dark shade of `color`."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)
    dark = tuple(round(0.6 * value) for value in color)
    (x, y), end = corner, (corner[0] + width + 2, corner[1] + height + below)
    cv2.rectangle(canvas, (x, y), end, dark, cv2.FILLED)
    white = (255, 255, 255)
    cv2.putText(canvas, text, (x + 1, y + height + 1), cv2.FONT_HERSHEY_SIMPLEX, 0.38, white, 1, cv2.LINE_AA)


def _grid(tiles: Sequence[Picture]) -> Picture:
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    blank = [np.full_like(tiles[0], 114)] * (rows * columns - len(tiles))
    cells = [*tiles, *blank]
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
