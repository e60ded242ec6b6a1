"""Pictures of a run, read back from their files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_deploy.charts import draw_curves
from yolox_deploy.data.dataset import Objects
from yolox_deploy.detections import Detections
from yolox_deploy.drawing import class_color
from yolox_deploy.training.drawings import TILE, draw_batch, draw_predictions

NAMES = ("ball", "cup", "key")


def read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    assert image is not None
    assert image.dtype == np.uint8
    return image  # type: ignore[return-value]


def found(score: float, *boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    scores = np.full(count, score, np.float32)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, np.arange(count), NAMES)


def test_targets_are_drawn_around_their_objects(tmp_path: Path) -> None:
    images = np.full((3, 3, 160, 320), 30, np.uint8)
    targets = np.zeros((3, 120, 5), np.float32)
    targets[1, 0] = (2, 100, 80, 60, 40)
    draw_batch(images, targets, NAMES, tmp_path / "batch.png")
    grid = read(tmp_path / "batch.png")
    assert grid.shape == (TILE, 3 * TILE, 3)
    color = class_color(2)
    for x, y in ((70, 80), (130, 80), (100, 60), (100, 100)):
        assert tuple(grid[y, TILE + x]) == color
    assert (grid[70:95, TILE + 75 : TILE + 125] == 30).all(), "the inside stays visible"
    assert (grid[:150, : TILE - 2] == 30).all(), "rows of zeros are padding"


def test_boxes_follow_the_size_of_the_picture(tmp_path: Path) -> None:
    images = np.full((1, 3, 640, 640), 30, np.uint8)
    targets = np.array([[[0, 320, 320, 200, 200]]], np.float32)
    draw_batch(images, targets, NAMES, tmp_path / "batch.png")
    assert tuple(read(tmp_path / "batch.png")[160, 110]) == class_color(0)


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (5, (2, 4)), (16, (4, 4)), (40, (4, 4))])
def test_a_grid_holds_up_to_16_pictures(tmp_path: Path, count: int, shape: tuple[int, int]) -> None:
    images = np.zeros((count, 3, 64, 64), np.uint8)
    draw_batch(images, np.zeros((count, 4, 5), np.float32), NAMES, tmp_path / "batch.jpg")
    assert read(tmp_path / "batch.jpg").shape == (shape[0] * TILE, shape[1] * TILE, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["batch.jpg"]


def test_predictions_stand_beside_their_truth(tmp_path: Path) -> None:
    picture = np.full((320, 320, 3), 30, np.uint8)
    truth = Objects(np.array([[40, 40, 120, 120]], np.float32), np.array([1]), ((),))
    nothing = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), ())
    pictures = [(picture, found(0.9, (150, 150, 250, 250))), (picture, found(0.1, (10, 10, 300, 300)))]
    draw_predictions(pictures, tmp_path / "found.png", [truth, nothing])
    grid = read(tmp_path / "found.png")
    assert grid.shape == (TILE, 4 * TILE, 3)
    left, right, third, unsure = (grid[30:300, i * TILE : (i + 1) * TILE - 2] for i in range(4))
    assert tuple(left[50, 40]) == class_color(1)
    assert tuple(right[170, 150]) == class_color(0)
    assert (third == 30).all()
    assert (unsure == 30).all(), "scores below 0.3 are not drawn"


def test_predictions_are_drawn_without_truth_too(tmp_path: Path) -> None:
    pictures = [(np.zeros((48, 64, 3), np.uint8), found(0.5, (1, 1, 60, 40)))] * 3
    draw_predictions(pictures, tmp_path / "found.jpg")
    assert read(tmp_path / "found.jpg").shape == (TILE, 3 * TILE, 3)


def test_boxes_beyond_the_edge_do_no_harm(tmp_path: Path) -> None:
    targets = np.array([[[0, 0, 0, 500, 500], [1, 64, 64, 4, 4]]], np.float32)
    draw_batch(np.zeros((1, 3, 64, 64), np.uint8), targets, NAMES, tmp_path / "batch.png")
    assert read(tmp_path / "batch.png").any()


def test_a_falling_loss_and_a_rising_precision_are_seen_as_such(tmp_path: Path) -> None:
    steps = [{"step": k, "total": 8.0 - 8 * k / 90} for k in range(0, 91, 10)]
    epochs = [{"epoch": k, "AP": k / 10} for k in range(11)]
    draw_curves(steps, epochs, tmp_path / "curves.png")
    chart = read(tmp_path / "curves.png")
    color = np.round(0.75 * np.array(class_color(0))).astype(np.uint8)
    losses, figures = (np.argwhere((half == color).all(axis=2)) for half in np.split(chart, 2, axis=1))
    for line, sign in ((losses, 1), (figures, -1)):
        line = line[line[:, 1] < 588]  # left of the names of the lines
        assert np.corrcoef(line[:, 1], line[:, 0])[0, 1] * sign > 0.99
        assert np.ptp(line[:, 0]) > 300
        assert np.ptp(line[:, 1]) > 510


@pytest.mark.parametrize("rows", [0, 1])
def test_curves_of_hardly_anything(tmp_path: Path, rows: int) -> None:
    steps = [{"step": 0, "total": 3.0, "iou": 0.0}] * rows
    epochs = [{"epoch": 0, "AP": 0.0, "AP50": -1.0}] * rows
    draw_curves(steps, epochs, tmp_path / "curves.png")
    assert read(tmp_path / "curves.png").min() < 255
