"""Decoding, thresholds and suppression: the reference arrays, the readable NMS, broken numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.nms import nms
from yolox_deploy.postprocess import anchor_grid, decode, postprocess, split_batch, to_detections
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import Letterboxed


def random_predictions(count: int, classes: int = 4, seed: int = 0) -> NDArray[np.float32]:
    """Decoded (count, 5 + classes) predictions that crowd a 200x200 picture."""
    random = np.random.default_rng(seed)
    predictions = random.uniform(0, 1, (count, 5 + classes)).astype(np.float32)
    predictions[:, :2] *= 200
    predictions[:, 2:4] = predictions[:, 2:4] * 60 + 2
    return predictions


def nms_reference(
    boxes: NDArray[Any],
    scores: NDArray[Any],
    class_ids: NDArray[Any],
    iou: float,
    class_agnostic: bool,
) -> NDArray[np.int64]:
    """The same as `nms`, written to be read: the definition that it is held to."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    areas = (x2 - x1) * (y2 - y1)
    kept: list[int] = []
    remaining = np.argsort(-scores, kind="stable")
    while remaining.size:
        best, others = remaining[0], remaining[1:]
        kept.append(int(best))
        width = np.minimum(x2[best], x2[others]) - np.maximum(x1[best], x1[others])
        height = np.minimum(y2[best], y2[others]) - np.maximum(y1[best], y1[others])
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[others] - intersection
        overlaps = intersection > iou * union
        rivals = overlaps if class_agnostic else overlaps & (class_ids[others] == class_ids[best])
        remaining = others[~rivals]
    return np.array(kept, np.int64)


@pytest.mark.parametrize(
    ("conf", "iou", "agnostic"), [(0.01, 0.65, False), (0.25, 0.45, False), (0.25, 0.45, True)]
)
def test_postprocess_equals_the_reference(shared: Path, conf: float, iou: float, agnostic: bool) -> None:
    arrays = np.load(shared / "reference" / "reference.npz")
    expected = arrays[f"post/out_{conf}_{iou}_{'agnostic' if agnostic else 'per_class'}"]
    boxes, scores, class_ids = postprocess(
        arrays["post/pred"][0], conf=conf, iou=iou, class_agnostic=agnostic
    )
    np.testing.assert_array_equal(class_ids, expected[:, 6])
    np.testing.assert_allclose(boxes, expected[:, :4], rtol=0, atol=1e-3)
    np.testing.assert_allclose(scores, expected[:, 4] * expected[:, 5], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "count"), [((640, 640), 8400), ((416, 416), 3549), ((96, 160), 315)])
def test_anchor_points_count_and_order(size: tuple[int, int], count: int) -> None:
    grid = anchor_grid(size)
    assert len(grid) == count
    assert grid.offsets.shape == (count, 2)
    assert grid.strides.shape == (count,)
    columns = size[1] // 8
    np.testing.assert_array_equal(grid.offsets[:2], [[0, 0], [1, 0]])
    np.testing.assert_array_equal(grid.offsets[columns], [0, 1])
    np.testing.assert_array_equal(np.unique(grid.strides), [8, 16, 32])
    assert np.all(np.diff(grid.strides) >= 0)


def test_anchor_points_are_shared_and_read_only() -> None:
    grid = anchor_grid([64, np.int64(96)])
    assert grid is anchor_grid((64, 96))
    with pytest.raises(ValueError, match="read-only"):
        grid.offsets[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        grid.strides[0] = 1


@pytest.mark.parametrize("size", [(100, 64), (0, 32), (16, 16), (64,), (64.0, 64), "64"])
def test_anchor_points_refuse_other_sizes(size: object) -> None:
    with pytest.raises(UsageError, match="input size"):
        anchor_grid(size)


@pytest.mark.parametrize("lead", [(), (1,), (2, 3)])
def test_decode_follows_the_formula_and_leaves_its_input_alone(lead: tuple[int, ...]) -> None:
    raw = np.random.default_rng(0).normal(0, 1, (*lead, 84, 7)).astype(np.float32)
    before = raw.copy()
    decoded = decode(raw, (64, 64))
    np.testing.assert_array_equal(raw, before)
    assert decoded.dtype == np.float32
    assert decoded.shape == raw.shape
    row = 64 + 4 + 1  # level of stride 16, second row, second column
    np.testing.assert_allclose(decoded[..., row, :2], (raw[..., row, :2] + 1) * 16, rtol=1e-6)
    np.testing.assert_allclose(decoded[..., row, 2:4], np.exp(raw[..., row, 2:4]) * 16, rtol=1e-6)
    np.testing.assert_array_equal(decoded[..., 4:], raw[..., 4:])


def test_decode_widens_half_precision_and_keeps_double() -> None:
    raw = np.zeros((21, 6))
    assert decode(raw.astype(np.float16), (32, 32)).dtype == np.float32
    assert decode(raw, (32, 32)).dtype == np.float64


def test_decode_lets_a_size_overflow_to_infinity() -> None:
    raw = np.full((21, 6), 1000, np.float32)
    assert np.isinf(decode(raw, (32, 32))[:, 2:4]).all()


@pytest.mark.parametrize("shape", [(20, 6), (22, 6), (21, 5), (21,), (6, 21)])
def test_decode_names_the_shape_it_expects(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArtifactError, match=r"expected \(\.\.\., 21, 5 \+ classes\)"):
        decode(np.zeros(shape, np.float32), (32, 32))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("conf", [0.0, 0.2, 0.6])
def test_undecoded_with_grid_equals_decoded_first(conf: float, multi_label: bool) -> None:
    raw = random_predictions(84, seed=3)
    raw[:, :4] = np.random.default_rng(4).normal(0, 1, (84, 4))
    before = raw.copy()
    options = {"conf": conf, "iou": 0.5, "multi_label": multi_label}
    direct = postprocess(raw, grid=anchor_grid((64, 64)), **options)
    for mine, other in zip(direct, postprocess(decode(raw, (64, 64)), **options), strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("iou", [0.0, 0.45, 0.65, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 40, 300])
def test_nms_equals_the_reference_on_random_boxes(count: int, iou: float, agnostic: bool) -> None:
    for seed in range(8):
        random = np.random.default_rng([seed, count])
        # Whole coordinates and few distinct scores make ties and identical boxes common.
        corners = random.integers(0, 40, (count, 2))
        boxes = np.concatenate([corners, corners + random.integers(0, 25, (count, 2))], 1).astype(np.float32)
        scores = (random.integers(0, 12, count) / 12).astype(np.float32)
        class_ids = random.integers(0, 5, count)
        kept = nms(boxes, scores, class_ids, iou, agnostic)
        np.testing.assert_array_equal(kept, nms_reference(boxes, scores, class_ids, iou, agnostic))
        assert kept.dtype == np.int64


@pytest.mark.parametrize("agnostic", [False, True])
def test_nms_equals_the_reference_on_1500_boxes(agnostic: bool) -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(-50, 600, (1500, 2))
    boxes = np.concatenate([corners, corners + random.uniform(1, 200, (1500, 2))], axis=1).astype(np.float32)
    scores, class_ids = random.uniform(0, 1, 1500).astype(np.float32), random.integers(0, 20, 1500)
    kept = nms(boxes, scores, class_ids, 0.5, agnostic)
    np.testing.assert_array_equal(kept, nms_reference(boxes, scores, class_ids, 0.5, agnostic))


@pytest.mark.parametrize("scale", [1e-3, 1e6, 1e15, 1e30])
def test_nms_does_not_depend_on_the_scale_of_coordinates(scale: float) -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [-30, -30, -20, -20], [0, 0, 10, 10]]) * scale
    kept = nms(boxes, np.array([0.9, 0.8, 0.7, 0.6]), np.array([0, 0, 0, 79]), 0.5)
    np.testing.assert_array_equal(kept, [0, 2, 3])


def test_huge_boxes_beside_small_ones_lose_no_precision() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 1e30, 1e30]])
    kept = nms(boxes, np.array([0.9, 0.8, 0.7]), np.array([5, 5, 7]), 0.5)
    np.testing.assert_array_equal(kept, [0, 1, 2])


@pytest.mark.parametrize("iou", [k / 20 for k in range(1, 20)])
def test_an_iou_equal_to_the_threshold_does_not_suppress(iou: float) -> None:
    # A box of 20x1 and the part of it that the threshold names.
    boxes = np.array([[0, 0, 20, 1], [0, 0, round(iou * 20), 1]], np.float32)
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.array([0, 0])
    np.testing.assert_array_equal(nms(boxes, scores, class_ids, iou), [0, 1])
    np.testing.assert_array_equal(nms(boxes, scores, class_ids, iou - 1e-4), [0])


def test_boxes_without_area_suppress_nothing() -> None:
    boxes = np.array([[5, 5, 5, 9], [5, 5, 5, 9], [90, 90, 90, 90], [0, 0, 10, 10]], np.float32)
    kept = nms(boxes, np.array([0.5, 0.5, 0.4, 0.9]), np.zeros(4, np.int64), 0.0, True)
    np.testing.assert_array_equal(kept, [3, 0, 1, 2])


def test_classes_suppress_each_other_only_when_agnostic() -> None:
    predictions = np.array([[10, 10, 8, 8, 1, 0.9, 0.1], [10, 10, 8, 8, 1, 0.1, 0.8]], np.float32)
    assert postprocess(predictions, conf=0.3, iou=0.5)[2].tolist() == [0, 1]
    assert postprocess(predictions, conf=0.3, iou=0.5, class_agnostic=True)[2].tolist() == [0]


def test_results_have_the_promised_types_and_corners() -> None:
    predictions = np.array([[10, 20, 8, 4, 0.5, 0.1, 0.8]], np.float32)
    boxes, scores, class_ids = postprocess(predictions, conf=0.25, iou=0.45)
    assert (boxes.dtype, scores.dtype, class_ids.dtype) == (np.float32, np.float32, np.int64)
    np.testing.assert_array_equal(boxes, [[6, 18, 14, 22]])
    np.testing.assert_allclose(scores, [0.4])
    assert class_ids.tolist() == [1]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("suppress", [False, True])
@pytest.mark.parametrize("predictions", [np.zeros((0, 8), np.float32), random_predictions(50) * 0.1])
def test_nothing_found_is_empty_arrays(
    predictions: NDArray[np.float32], multi_label: bool, suppress: bool
) -> None:
    found = postprocess(predictions, conf=0.9, iou=0.5, multi_label=multi_label, suppress=suppress)
    assert [part.shape for part in found] == [(0, 4), (0,), (0,)]
    assert [part.dtype for part in found] == [np.float32, np.float32, np.int64]


def test_a_score_equal_to_the_threshold_is_kept() -> None:
    predictions = np.array([[10, 10, 4, 4, 1, 0.3], [90, 90, 4, 4, 0.3, 1]], np.float32)
    for conf in (0.3, np.float64(0.3), np.float32(0.3)):
        assert len(postprocess(predictions, conf=conf, iou=0.5)[0]) == 2


def test_conf_zero_keeps_scores_of_zero() -> None:
    predictions = np.zeros((3, 6), np.float32)
    predictions[:, :4] = [[10, 10, 4, 4], [50, 50, 4, 4], [90, 90, 4, 4]]
    assert len(postprocess(predictions, conf=0, iou=0.5)[0]) == 3


def test_equal_scores_keep_the_order_of_the_anchor_points() -> None:
    predictions = np.tile(np.array([0, 0, 4, 4, 1, 0.5], np.float32), (50, 1))
    predictions[:, 0] = np.arange(50) * 10
    boxes, _, _ = postprocess(predictions, conf=0.1, iou=0.5)
    np.testing.assert_array_equal(boxes[:, 0], np.arange(50) * 10 - 2)


@pytest.mark.parametrize("limit", [1, 5, 10_000])
def test_max_detections_keeps_the_best(limit: int) -> None:
    predictions = random_predictions(200)
    everything = postprocess(predictions, conf=0.1, iou=0.5)
    limited = postprocess(predictions, conf=0.1, iou=0.5, max_detections=limit)
    for part, whole in zip(limited, everything, strict=True):
        np.testing.assert_array_equal(part, whole[:limit])


def test_multi_label_gives_every_class_that_reaches_conf() -> None:
    predictions = np.array([[10, 10, 4, 4, 0.5, 0.9, 0.1, 0.7], [80, 80, 4, 4, 1, 0.2, 0.6, 0.1]], np.float32)
    boxes, scores, class_ids = postprocess(predictions, conf=0.2, iou=0.5, multi_label=True)
    assert class_ids.tolist() == [1, 0, 2, 0]
    np.testing.assert_allclose(scores, [0.6, 0.45, 0.35, 0.2])
    np.testing.assert_array_equal(boxes[1], boxes[2])


def test_without_suppression_every_candidate_comes_sorted() -> None:
    predictions = random_predictions(300)
    boxes, scores, _ = postprocess(predictions, conf=0.2, iou=0.5, suppress=False)
    expected = np.sort((predictions[:, 4] * predictions[:, 5:].max(1)).astype(np.float32))[::-1]
    np.testing.assert_array_equal(scores, expected[expected >= 0.2])
    assert len(boxes) == len(scores)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(7))
def test_detections_with_broken_numbers_are_dropped(column: int, value: float, multi_label: bool) -> None:
    sound = np.array([[10, 10, 8, 8, 1, 0.9, 0.8]], np.float32)
    broken = np.array([[50, 50, 8, 8, 1, 0.7, 0.6]], np.float32)
    broken[0, column] = value
    boxes, scores, _ = postprocess(
        np.concatenate([broken, sound]), conf=0.1, iou=0.5, multi_label=multi_label, class_agnostic=True
    )
    assert np.isfinite(boxes).all()
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(boxes[scores == np.float32(0.9)], [[6, 6, 14, 14]])


def test_undecoded_sizes_that_overflow_are_dropped() -> None:
    raw = np.zeros((21, 6), np.float32)
    raw[:2, 4:] = 1
    raw[0, 2] = 500
    boxes, _, _ = postprocess(raw, conf=0.5, iou=0.5, grid=anchor_grid((32, 32)))
    assert len(boxes) == 1
    assert np.isfinite(boxes).all()


def test_negative_sizes_are_dropped() -> None:
    predictions = np.array([[10, 10, -8, 8, 1, 0.9], [10, 10, 8, -8, 1, 0.9]], np.float32)
    assert len(postprocess(predictions, conf=0.1, iou=0.5)[0]) == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_accepted(dtype: type) -> None:
    predictions = random_predictions(60).astype(dtype)
    boxes, scores, _ = postprocess(predictions, conf=0.3, iou=0.5)
    assert boxes.dtype == scores.dtype == np.float32
    assert len(boxes) > 0


def test_the_input_is_not_modified_and_results_are_its_own() -> None:
    predictions = random_predictions(60)
    before = predictions.copy()
    boxes, scores, class_ids = postprocess(predictions, conf=0.0, iou=1.0)
    boxes[:], scores[:], class_ids[:] = 0, 0, 0
    np.testing.assert_array_equal(predictions, before)


@pytest.mark.parametrize(
    "options",
    [{"conf": -0.1}, {"conf": 1.1}, {"conf": np.nan}, {"iou": -1}, {"iou": 45}, {"max_detections": 0}],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} is"):
        postprocess(random_predictions(5), **{"conf": 0.3, "iou": 0.5, **options})


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (np.zeros((1, 21, 85), np.float32), "of one image"),
        (np.zeros((21, 5), np.float32), "of one image"),
        (np.zeros((21, 85), np.int32), "floating"),
        (np.zeros((20, 85), np.float32), "the grid has 21"),
    ],
)
def test_other_predictions_are_refused(predictions: NDArray, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        postprocess(predictions, conf=0.3, iou=0.5, grid=anchor_grid((32, 32)))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suppress", [True, False])
def test_chosen_classes_are_what_dropping_the_others_afterwards_leaves(
    multi_label: bool, dtype: type, suppress: bool
) -> None:
    random = np.random.default_rng(3)
    for seed in range(30):
        predictions = random_predictions(200, classes=6, seed=seed).astype(dtype)
        predictions[:, 5:] = predictions[:, 5:].round(
            1
        )  # so that scores of several classes and points are equal
        predictions[random.integers(0, 200, 20), random.integers(4, 11, 20)] = np.nan
        options = {"conf": 0.2, "iou": 0.5, "multi_label": multi_label, "suppress": suppress}
        chosen = random.permutation(6)[: random.integers(1, 6)].tolist()
        everything = postprocess(predictions, **options)
        kept = np.isin(everything[2], chosen)
        assert 0 < kept.sum() < len(kept)
        for found, expected in zip(
            postprocess(predictions, classes=chosen, **options), everything, strict=True
        ):
            np.testing.assert_array_equal(found, expected[kept])


def test_a_point_whose_best_class_is_not_chosen_is_nothing() -> None:
    predictions = np.array([[50, 50, 10, 10, 1, 0.9, 0.8], [90, 90, 10, 10, 1, 0.5, 0.5]], np.float32)
    assert postprocess(predictions, conf=0.1, iou=0.5, classes=[1])[2].tolist() == []
    assert postprocess(predictions, conf=0.1, iou=0.5, classes=[0])[2].tolist() == [0, 0]
    assert postprocess(predictions, conf=0.1, iou=0.5, classes=[1], multi_label=True)[2].tolist() == [1, 1]


def test_chosen_classes_alone_suppress_across_classes_and_count_for_the_limit() -> None:
    predictions = np.array([[50, 50, 10, 10, 1, 0.9, 0], [51, 50, 10, 10, 1, 0, 0.8]], np.float32)
    options = {"conf": 0.1, "iou": 0.5, "class_agnostic": True}
    assert postprocess(predictions, **options)[2].tolist() == [0]
    assert postprocess(predictions, classes=(1,), **options)[2].tolist() == [1]
    assert postprocess(predictions, conf=0.1, iou=0.5, max_detections=1)[2].tolist() == [0]
    assert postprocess(predictions, conf=0.1, iou=0.5, max_detections=1, classes=(1,))[2].tolist() == [1]


@pytest.mark.parametrize("classes", [[4], [-1], [], ["dog"], [0.5], [True]])
def test_class_ids_that_cannot_be_are_refused(classes: Any) -> None:
    with pytest.raises(UsageError, match=r"classes is .*; expected ids from 0 to 3"):
        postprocess(random_predictions(5), conf=0.3, iou=0.5, classes=classes)


CLASSES = ("a", "b", "c", "d")


@pytest.mark.parametrize("suppression", ["none", "not_needed"])
def test_detections_are_the_boxes_of_postprocess_in_the_pictures_pixels(suppression: str) -> None:
    predictions = random_predictions(300)
    before = predictions.copy()
    thresholds = Thresholds(conf=0.3, iou=0.5, max_detections=40, multi_label=True)
    found = to_detections(
        predictions,
        Letterboxed(0.5, 500, 600),
        thresholds=thresholds,
        suppression=suppression,
        class_names=CLASSES,
        grid=None,
    )
    boxes, scores, class_ids = postprocess(
        predictions, conf=0.3, iou=0.5, max_detections=40, multi_label=True, suppress=suppression == "none"
    )
    np.testing.assert_array_equal(found.boxes, (boxes / np.float32(0.5)).clip(0, (600, 500, 600, 500)))
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.class_ids, class_ids)
    np.testing.assert_array_equal(predictions, before)


@pytest.mark.parametrize("ratio", [0.416, (0.416, 0.416), (1.37, 0.291)])
@pytest.mark.parametrize("offset", [(0, 0), (13, 0), (7, 41)])
def test_the_way_back_undoes_offset_and_ratios_in_float32(
    ratio: float | tuple[float, float], offset: tuple[int, int]
) -> None:
    predictions = random_predictions(300)
    thresholds = Thresholds(conf=0.3, iou=0.5)
    form = {"suppression": "none", "class_names": CLASSES, "grid": None, "thresholds": thresholds}
    found = to_detections(predictions, Letterboxed(ratio, 900, 800, offset), **form)
    boxes, *_ = postprocess(predictions, conf=0.3, iou=0.5, max_detections=thresholds.max_detections)
    across, down = ratio if isinstance(ratio, tuple) else (ratio, ratio)
    moved = boxes - np.float32([*offset, *offset])
    expected = (moved / np.float32([across, down, across, down])).clip(0, np.float32([800, 900, 800, 900]))
    inside = (expected[:, 2:] > expected[:, :2]).all(axis=1)
    np.testing.assert_array_equal(found.boxes, expected[inside])


@pytest.mark.parametrize("in_graph", [False, True], ids=["rows", "final rows"])
def test_boxes_are_clipped_and_those_in_the_padding_dropped(in_graph: bool) -> None:
    """A picture of 100x40 (h, w) at ratio 2 in a square input: columns from 80 on are padding."""
    corners = np.array([[60, 20, 120, 60], [90, 10, 150, 50], [-10, 180, 20, 260]], np.float32)
    centred = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
    scores = np.array([[0.9], [0.8], [0.7]], np.float32)
    ids = np.array([[1], [2], [3]], np.float32)
    predictions = np.hstack([centred, np.ones_like(scores), scores * (ids == np.arange(4))])
    found = to_detections(
        np.hstack([corners, scores, ids]) if in_graph else predictions.astype(np.float32),
        Letterboxed(2.0, 100, 40),
        thresholds=Thresholds(conf=0.5),
        suppression="in_graph" if in_graph else "none",
        class_names=CLASSES,
        grid=None,
    )
    assert found.boxes.tolist() == [[30, 10, 40, 30], [0, 90, 10, 100]]
    assert found.class_ids.tolist() == [1, 3]
    assert found.class_names == CLASSES


def test_a_graphs_own_detections_come_best_first_above_conf_and_no_more_than_asked() -> None:
    rows = np.array([[1, 1, 5, 5, score, 0] for score in (0.5, 0.9, 0.2, 0.7)], np.float32)
    thresholds = Thresholds(conf=0.3, max_detections=2)
    form = {"suppression": "in_graph", "class_names": CLASSES, "grid": None}
    found = to_detections(rows, Letterboxed(1.0, 10, 10), thresholds=thresholds, **form)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    with pytest.raises(ArtifactError, match="expected \\(K, 6\\)"):
        to_detections(rows[:, :5], Letterboxed(1.0, 10, 10), thresholds=thresholds, **form)


def test_a_batch_is_split_by_image() -> None:
    output = random_predictions(6).reshape(2, 3, 9)
    for part, expected in zip(split_batch(output, "none", 2), output, strict=True):
        np.testing.assert_array_equal(part, expected)
    rows = np.array([[2, 0, 0, 1, 1, 0.9, 0], [0, 0, 0, 2, 2, 0.8, 1], [2, 0, 0, 3, 3, 0.7, 2]], np.float32)
    first, second, third = split_batch(rows, "in_graph", 3)
    np.testing.assert_array_equal(first, rows[1:2, 1:])
    assert second.shape == (0, 6)
    np.testing.assert_array_equal(third, rows[[0, 2], 1:])
