"""Pictures cut into tiles: the tiles cover them, and what was cut by a seam is found once, whole."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_deploy import Detections, Detector
from yolox_deploy.errors import UsageError
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.tiles import Tiling, spans

NAMES = ("cat", "dog")
OVERLAPS = (0, 0.1, 0.2, 0.3, 0.5, 0.75)


@pytest.mark.parametrize("overlap", [*OVERLAPS, 0.9])
def test_tiles_cover_every_pixel_and_share_what_was_asked(overlap: float) -> None:
    random = np.random.default_rng(int(overlap * 100))
    for _ in range(300):
        length, side = (int(value) for value in random.integers(1, 5000, 2))
        side = max(side, 32)
        found = spans(length, side, overlap)
        assert found[0][0] == 0
        assert found[-1][1] == length
        assert {end - start for start, end in found} == {min(side, length)}
        shared = [end - start for (_, end), (start, _) in pairwise(found)]
        assert min(shared, default=side) >= overlap * side
        one_less = (length - side) / max(len(found) - 2, 1)
        assert len(found) < 3 or one_less > int(side * (1 - overlap)), "a tile more than it takes"


def test_the_whole_picture_is_one_more_tile_of_a_picture_that_is_cut() -> None:
    assert Tiling.of((480, 640), Thresholds(tiles=640)).corners.tolist() == [[0, 0, 640, 480]]
    cut = Tiling.of((100, 90), Thresholds(tiles=(100, 50), overlap=0.2))
    assert cut.corners.tolist() == [[0, 0, 50, 100], [40, 0, 90, 100], [0, 0, 90, 100]]
    assert len(Tiling.of((3000, 4000), Thresholds(tiles=640))) == 49


def test_tiles_are_views() -> None:
    image = np.arange(100 * 90 * 3, dtype=np.uint8).reshape(100, 90, 3)
    tiling = Tiling.of((100, 90), Thresholds(tiles=64))
    for tile, (x1, y1, x2, y2) in zip(tiling.cut(image), tiling.corners.tolist(), strict=True):
        assert np.shares_memory(tile, image)
        np.testing.assert_array_equal(tile, image[y1:y2, x1:x2])


def seen(
    tiling: Tiling, boxes: NDArray[Any], class_ids: Any = None, scores: Any = None, *, whole: bool = False
) -> list[Detections]:
    """What a perfect detector finds in each tile: of each object the part that is in it, if it is a pixel wide.

    Args:
        whole: whether it finds the objects in the whole picture too, as it would large ones.
    """
    count = len(boxes)
    class_ids = np.zeros(count, np.int64) if class_ids is None else np.array(class_ids)
    scores = np.linspace(0.9, 0.8, count) if scores is None else np.array(scores)
    order = np.argsort(-scores, kind="stable")
    found = []
    for index, (x1, y1, x2, y2) in enumerate(tiling.corners.tolist()):
        inside = boxes[order].clip((x1, y1, x1, y1), (x2, y2, x2, y2)) - (x1, y1, x1, y1)
        there = (inside[:, 2:] - inside[:, :2]).min(axis=1) >= 1
        if index == len(tiling) - 1 and len(tiling) > 1 and not whole:
            there[:] = False
        own = order[there]
        found.append(
            Detections(
                inside[there].astype(np.float32),
                scores[own].astype(np.float32),
                class_ids[own],
                NAMES,
                image_size=(y2 - y1, x2 - x1),
            )
        )
    return found


def assert_found(found: Detections, boxes: NDArray[Any], told: object) -> None:
    """Each box exactly once, and nothing else."""
    assert sorted(found.boxes.tolist()) == sorted(boxes.astype(np.float32).tolist()), told


def trials(count: int, seed: int) -> Iterator[tuple[np.random.Generator, Tiling, Thresholds]]:
    """Pictures and tiles of all kinds, also two thin strips."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        size = tuple(int(side) for side in random.integers(120, 1500, 2))
        tiles = tuple(int(side) for side in random.integers(60, 500, 2))
        thresholds = Thresholds(tiles=(tiles[0], tiles[1]), overlap=float(random.choice(OVERLAPS)))
        yield random, Tiling.of((size[0], size[1]), thresholds), thresholds


def placed(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.int64]:
    """A box somewhere, from 4 pixels to the whole picture."""
    height, width = size
    sides = (np.exp(random.uniform(np.log(4), np.log(side))) for side in (width, height))
    w, h = (int(side) for side in sides)
    x, y = random.integers(0, width - w + 1), random.integers(0, height - h + 1)
    return np.array([[x, y, x + w, y + h]])


@pytest.mark.parametrize("whole", [False, True], ids=["tiles alone", "whole picture too"])
def test_an_object_of_any_size_comes_out_once_with_its_box(whole: bool) -> None:
    larger_than_a_tile = smaller_than_the_overlap = 0
    for random, tiling, thresholds in trials(600, seed=1 + whole):
        box = placed(random, tiling.image_size)
        found = tiling.merge(seen(tiling, box, whole=whole), thresholds)
        assert_found(found, box, (tiling, thresholds))
        assert found.image_size == tiling.image_size
        assert found.scores.tolist() == [np.float32(0.9)]
        sides, tile = box[0, 2:] - box[0, :2], np.array(thresholds.tile_size()[::-1])
        larger_than_a_tile += bool((sides > tile).any())
        smaller_than_the_overlap += bool((sides < thresholds.overlap * tile).all())
    assert min(larger_than_a_tile, smaller_than_the_overlap) > 50


@pytest.mark.parametrize("axis", [0, 1], ids=["side by side", "above each other"])
@pytest.mark.parametrize("gap", [0, 1, 5])
def test_neighbours_are_not_made_one(axis: int, gap: int) -> None:
    """Two of one class, as high and nearly as wide, with nothing or little between them, often upon a seam."""
    pairs = 0
    for random, tiling, thresholds in trials(600, seed=10 + gap):
        if thresholds.overlap < 0.1:
            continue  # without a shared strip, two that end at one seam cannot be told from one
        first = placed(random, tiling.image_size)
        side = int(first[0, axis + 2] - first[0, axis])
        second = first.copy()
        second[0, [axis, axis + 2]] += side + gap
        second[0, axis + 2] += int(random.integers(0, side // 4 + 1))
        if second[0, axis + 2] > tiling.image_size[1 - axis]:
            continue
        pairs += 1
        both = np.concatenate([first, second])
        assert_found(tiling.merge(seen(tiling, both), thresholds), both, (tiling, thresholds, both))
    assert pairs > 150


def test_a_crowd_of_many_sizes_comes_out_whole() -> None:
    for random, tiling, thresholds in trials(60, seed=5):
        if thresholds.overlap < 0.1:
            continue
        boxes = np.zeros((0, 4), np.int64)
        for _ in range(30):
            box = placed(random, tiling.image_size)
            apart = (boxes[:, :2] >= box[:, 2:]).any(axis=1) | (boxes[:, 2:] <= box[:, :2]).any(axis=1)
            boxes = np.concatenate([boxes, box]) if apart.all() else boxes
        for whole in (False, True):
            found = tiling.merge(seen(tiling, boxes, whole=whole), thresholds)
            assert_found(found, boxes, (tiling, thresholds))


ROW = Thresholds(tiles=(100, 100), overlap=0.2)
IN_A_ROW = Tiling.of((100, 260), ROW)  # tiles at 0, 80 and 160
LONG = np.array([[30, 20, 230, 80]])  # through all of them


def only(part: Detections, score: float) -> Detections:
    return Detections(
        part.boxes, np.full(1, score, np.float32), part.class_ids, NAMES, image_size=part.image_size
    )


def test_parts_of_different_classes_stay_apart_unless_classes_do_not_matter() -> None:
    found = seen(IN_A_ROW, LONG, [0])
    other = found[1]
    found[1] = Detections(other.boxes, other.scores, other.class_ids + 1, NAMES, image_size=other.image_size)
    assert len(IN_A_ROW.merge(found, ROW)) == 3
    agnostic = Thresholds(tiles=100, class_agnostic=True)
    merged = IN_A_ROW.merge(found, agnostic)
    assert_found(merged, LONG, "class-agnostic")


def test_a_joined_object_has_the_mean_score_of_its_parts_by_area() -> None:
    found = [
        Detections(
            each.boxes, np.full(1, score, np.float32), each.class_ids, NAMES, image_size=each.image_size
        )
        for each, score in zip(seen(IN_A_ROW, LONG)[:3], (0.5, 0.9, 0.6), strict=True)
    ]
    merged = IN_A_ROW.merge([*found, Detections.empty(NAMES, (100, 260))], ROW)
    assert_found(merged, LONG, "three parts")
    assert merged.scores[0] == pytest.approx((70 * 0.5 + 100 * 0.9 + 70 * 0.6) / 240)


@pytest.mark.parametrize("other", [1, -1], ids=["of the next tile", "of the whole picture"])
def test_a_whole_box_wins_over_a_part_of_a_higher_score_and_keeps_its_own(other: int) -> None:
    box = np.array([[86, 20, 150, 80]])  # whole in the second tile, a part in the first
    found = seen(IN_A_ROW, box, whole=True)
    nothing = [Detections.empty(NAMES, each.image_size) for each in found]
    parts = [*nothing]
    parts[0] = only(found[0], 0.9)
    assert len(IN_A_ROW.merge(parts, ROW)) == 1, "a part that nothing explains stays"
    parts[other] = only(found[other], 0.3)
    merged = IN_A_ROW.merge(parts, ROW)
    assert_found(merged, box, other)
    assert merged.scores[0] == np.float32(0.3)


def test_parts_that_are_joined_win_over_the_coarser_box_of_the_whole_picture() -> None:
    found = [only(each, 0.6) for each in seen(IN_A_ROW, LONG, whole=True)]
    coarse = Detections(
        (LONG + 4).astype(np.float32),
        np.full(1, 0.3, np.float32),
        np.zeros(1, np.int64),
        NAMES,
        image_size=(100, 260),
    )
    assert_found(IN_A_ROW.merge([*found[:-1], coarse], ROW), LONG, "all parts")
    merged = IN_A_ROW.merge([found[0], found[1], Detections.empty(NAMES, (100, 100)), coarse], ROW)
    assert_found(merged, LONG + 4, "the last part was not found, so the joined box is still cut")


def test_a_small_object_at_a_seam_in_front_of_a_large_one_stays() -> None:
    both = np.array([[30, 20, 230, 80], [90, 40, 110, 60]])
    for whole in (False, True):
        assert_found(IN_A_ROW.merge(seen(IN_A_ROW, both, whole=whole), ROW), both, whole)


def test_no_more_than_asked_best_first() -> None:
    boxes = np.array([[x, 10, x + 12, 30] for x in range(0, 240, 20)])
    scores = np.linspace(0.3, 0.9, len(boxes))
    thresholds = Thresholds(tiles=100, max_detections=3)
    merged = IN_A_ROW.merge(seen(IN_A_ROW, boxes, scores=scores), thresholds)
    assert merged.scores == pytest.approx(scores[::-1][:3])
    np.testing.assert_array_equal(merged.boxes, boxes[::-1][:3])


def toy_rows() -> list[tuple[int, list[float]]]:
    """Undecoded answers of a 64x96 network: class 1 at (12, 8, 28, 16), class 0 at (48, 28, 72, 60)."""
    answers = []
    for cx, cy, w, h, *scores in ((20, 12, 16, 8, 0.5, 0, 1, 0), (60, 44, 24, 32, 0.8, 1, 0, 0)):
        column, row = cx // 8, cy // 8
        answers.append(
            (row * 12 + column, [cx / 8 - column, cy / 8 - row, np.log(w / 8), np.log(h / 8), *scores])
        )
    return answers


@pytest.mark.parametrize(("batch", "calls"), [(1, [1] * 13), (4, [4] * 4), (None, [13]), (16, [16])])
def test_tiles_fill_the_batches_that_the_file_takes(
    toy_model: Any, tmp_path: Path, batch: int | None, calls: list[int]
) -> None:
    sizes: list[int] = []
    picture = np.zeros((160, 312, 3), np.uint8)  # 3 x 4 tiles, and the whole
    with Detector(toy_model(tmp_path / "toy.onnx", toy_rows(), batch=batch), tiles=(64, 96)) as detector:
        infer = detector._runtime.infer
        detector._runtime.infer = lambda inputs: (  # type: ignore[method-assign]
            sizes.append(len(inputs["images"])),
            infer(inputs),
        )[1]
        found = detector.predict(picture)
    assert sizes == calls
    starts = [(x, y) for y in (0, 48, 96) for x in (0, 72, 144, 216)]
    corner = np.array([[48, 28, 72, 60], [12, 8, 28, 16]])
    in_tiles = np.concatenate([corner + np.tile(start, 2) for start in starts])
    ratio = 96 / 312  # the whole picture's objects are three times as large
    expected = np.concatenate([in_tiles, (corner / ratio).clip(0, (312, 160, 312, 160))])
    assert found.image_size == (160, 312)
    np.testing.assert_allclose(sorted(found.boxes.tolist()), sorted(expected.tolist()), atol=1e-3)


def test_pictures_no_larger_than_a_tile_are_predicted_as_ever(
    nano_onnx: Path, scene_pictures: list[Path]
) -> None:
    with Detector(nano_onnx, conf=0.01) as detector:
        for picture in scene_pictures:
            assert detector.predict(picture, tiles=640) == detector.predict(picture)
        limited = detector.predict_batch(scene_pictures, tiles=(480, 640), max_detections=5)
        assert limited == detector.predict_batch(scene_pictures, max_detections=5)


def test_a_batch_gives_what_single_calls_give_and_so_do_streams_and_threads(
    toy_model: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    shapes = [(64, 96), (100, 200), (64, 97), (300, 90), (20, 30)]
    pictures = [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
    index, row = toy_rows()[0]
    path = toy_model(tmp_path / "lit.onnx", [(index, [*row[:4], 0, 0, 1, 0])], lit=[index], batch=4)
    with Detector(path, conf=0.1, tiles=64, threads=1) as detector, ThreadPoolExecutor(4) as pool:
        single = [detector.predict(picture) for picture in pictures]
        assert all(len(found) > 0 for found in single)
        assert detector.predict_batch(iter(pictures)) == single
        assert [frame.detections for frame in detector.stream(tmp_path / "*.png")] == single
        assert list(pool.map(detector.predict, pictures * 10)) == single * 10
        detector.warmup(1)
        assert (
            detector.predict(pictures[1], tiles=None) == detector.predict_batch([pictures[1]], tiles=None)[0]
        )
        assert len(detector.predict(pictures[1], max_detections=1)) == 1


@pytest.mark.parametrize("tiles", [0, 31, (64, 8), "640", 64.0, (1, 2, 3), True, (64,)])
def test_tiles_that_cannot_be_are_refused(toy_model: Any, tmp_path: Path, tiles: Any) -> None:
    with pytest.raises(
        UsageError, match=r"tiles is .*; expected the side of a tile in pixels .* at least 32"
    ):
        Detector(toy_model(tmp_path / "toy.onnx"), tiles=tiles)


@pytest.mark.parametrize("overlap", [-0.1, 0.91, "0.2", None, float("nan")])
def test_an_overlap_that_cannot_be_is_refused(toy_model: Any, tmp_path: Path, overlap: Any) -> None:
    with (
        Detector(toy_model(tmp_path / "toy.onnx")) as detector,
        pytest.raises(UsageError, match=r"overlap is .*; expected a number from 0 to 0\.9"),
    ):
        detector.predict(np.zeros((64, 96, 3), np.uint8), overlap=overlap)
