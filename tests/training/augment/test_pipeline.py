"""Training samples: pixels against the slow way, boxes on their objects, odd pictures, odd settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.benchmarks.pictures import generated
from yolox_deploy.benchmarks.studies.augmentation import CanvasWay, Case, canvas_overlay, canvas_shift, fitted
from yolox_deploy.data.dataset import ObjectRow, Objects, PictureRow, dataset_from_rows
from yolox_deploy.errors import UsageError
from yolox_deploy.preprocess import letterbox
from yolox_deploy.training.augment.geometry import Overlay, transform_labels
from yolox_deploy.training.augment.mixing import copy_paste, draw_overlay, mix_up, uncovered_labels
from yolox_deploy.training.augment.mosaic import load_fitting
from yolox_deploy.training.augment.pipeline import Augmenter, Sample, random_shifts, shift_hsv
from yolox_deploy.training.config import Augmentation

SIZE = (160, 192)
STILL = Augmentation(mosaic=0, mixup=0, hsv=0, flip=0)
LEVEL = Augmentation(mixup=0, hsv=0, flip=0, degrees=0, shear=0)


class Memory:
    """Pictures in memory, which remembers what was loaded."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        boxes: Sequence[Sequence[Sequence[float]]],
        polygons: Sequence[tuple[tuple[np.ndarray, ...], ...]] | None = None,
    ) -> None:
        self.images, self.boxes, self.polygons = images, boxes, polygons
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> np.ndarray:
        self.loaded.append(index)
        return self.images[index]

    def size(self, index: int) -> tuple[int, int]:
        height, width = self.images[index].shape[:2]
        return height, width

    def objects(self, index: int) -> Objects:
        """Objects of one picture are of the class of its number."""
        boxes = np.array(self.boxes[index], np.float32).reshape(-1, 4)
        polygons = self.polygons[index] if self.polygons else ((),) * len(boxes)
        return Objects(boxes, np.full(len(boxes), index), polygons)

    def with_objects(self, *, masks: bool = False) -> np.ndarray:
        found = [self.objects(index) for index in range(len(self))]
        return np.flatnonzero([any(item.polygons) if masks else len(item.boxes) > 0 for item in found])


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(sample: Sample) -> np.ndarray:
    """(n, 5) x1, y1, x2, y2, class of the targets that are no padding."""
    targets = sample.targets[sample.targets[:, 3:].min(axis=1) > 0]
    half = targets[:, 3:] / 2
    return np.concatenate([targets[:, 1:3] - half, targets[:, 1:3] + half, targets[:, :1]], axis=1)


def one_rectangle(number: int) -> tuple[np.ndarray, list[float]]:
    """A dark picture with a rectangle of a colour of its own, and the rectangle's box."""
    height, width = ((120, 160), (180, 120), (150, 150))[number % 3]
    image = np.full((height, width, 3), 30, np.uint8)
    left, top, right, bottom = 20 + 3 * number, 25 + 2 * number, 70 + 3 * number, 85 + 2 * number
    image[top:bottom, left:right] = colour(number)
    return image, [left, top, right, bottom]


def colour(number: int) -> tuple[int, int, int]:
    """Distinct also after it was mixed with a neighbour's."""
    return ((250, 30, 30), (30, 250, 30), (30, 30, 250), (250, 250, 30), (250, 30, 250), (30, 250, 250))[
        number
    ]


def find(image: np.ndarray, wanted: Sequence[float]) -> tuple[float, float, float, float] | None:
    """The rectangle around the pixels of a (3, H, W) picture that have about the colour `wanted`."""
    near = np.abs(image.astype(int) - np.array(wanted, int)[:, None, None]).max(axis=0) < 60
    if not near.any():
        return None
    ys, xs = np.nonzero(near)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


@pytest.fixture(scope="module")
def rectangles() -> Memory:
    images, boxes = zip(*(one_rectangle(number) for number in range(6)), strict=True)
    return Memory(images, [[box] for box in boxes])


@pytest.fixture(scope="module")
def photographs() -> Memory:
    images = generated(6, seed=3).images
    boxes = [[[10, 20, image.shape[1] / 2, image.shape[0] - 30], [5, 5, 60, 50]] for image in images]
    return Memory(images, boxes)


@pytest.mark.parametrize("scales", [(0.1, 0.5), (0.5, 1.0), (1.0, 2.0)])
@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_sample_is_that_of_the_canvas(photographs: Memory, scales: tuple[float, float], mixup: float) -> None:
    """The same random numbers through the released code's steps give the same targets and nearly its pixels."""
    settings = Augmentation(mosaic_scale=scales, mixup=mixup, hsv=0)
    augmenter = Augmenter(photographs, (256, 256), settings)
    slow = CanvasWay(photographs, Case("", 256, settings))
    differences, shifted = [], []
    for number in range(12):
        fast = augmenter(number % 6, rng(number))
        truth, targets = slow(number % 6, rng(number))
        np.testing.assert_allclose(fast.targets, targets, atol=1e-4)
        differences.append(np.abs(fast.image - truth).mean())
        shifted.append(np.abs(fast.image[:, :-1, :-1] - truth[:, 1:, 1:]).mean())
    assert np.mean(differences) < 0.6
    assert np.mean(shifted) > 6 * 0.6


def test_plain_sample_is_that_of_the_canvas(photographs: Memory) -> None:
    augmenter = Augmenter(photographs, (192, 192), Augmentation())
    slow = CanvasWay(photographs, Case("", 192, Augmentation(), strong=False))
    for number in range(6):
        for fast, truth in zip(augmenter(number, rng(7), strong=False), slow(number, rng(7)), strict=True):
            np.testing.assert_allclose(fast, truth, atol=1e-4)


@pytest.mark.parametrize("degrees", [0.0, 10.0])
def test_boxes_stay_on_their_objects(rectangles: Memory, degrees: float) -> None:
    augmenter = Augmenter(rectangles, SIZE, dataclasses.replace(LEVEL, degrees=degrees, flip=0.5))
    errors = []
    for number in range(150):
        sample = augmenter(number % 6, rng(number))
        for label in rows(sample):
            kind = int(label[4])
            alone = (rows(sample)[:, 4] == kind).sum() == 1
            inside = (label[:2] > 2).all() and (label[2:4] < (SIZE[1] - 2, SIZE[0] - 2)).all()
            if alone and inside and (label[2:4] - label[:2]).min() > 12:
                errors.append(np.subtract(find(sample.image, colour(kind)), label[:4]))
    assert len(errors) > 50
    assert np.abs(errors).max() < 3  # a turned corner is blurred
    assert np.abs(np.mean(errors, axis=0).reshape(2, 2).mean(axis=0)).max() < 0.2


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_plain_boxes_stay_on_their_objects(rectangles: Memory, flip: float) -> None:
    augmenter = Augmenter(rectangles, SIZE, Augmentation(hsv=0, flip=flip))
    for number in range(6):
        sample = augmenter(number, rng(number), strong=False)
        (label,) = rows(sample)
        assert find(sample.image, colour(number)) == pytest.approx(label[:4], abs=1.6)


def test_mixed_up_boxes_stay_on_their_objects(rectangles: Memory) -> None:
    seen = 0
    for number in range(40):
        image, (label,) = mix_up(
            rng(number),
            rectangles,
            number % 6,
            np.zeros((*SIZE, 3), np.uint8),
            np.empty((0, 5), np.float32),
            (0.5, 1.5),
        )
        half = [value / 2 for value in colour(int(label[4]))]
        near = np.abs(image.astype(int) - np.array(half, int)).max(axis=2) < 30
        ys, xs = np.nonzero(near)
        if (label[2:4] - label[:2]).min() > 5:
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == pytest.approx(label[:4], abs=1.6)
            seen += 1
    assert seen > 30


def test_overlay_is_that_of_the_canvas(photographs: Memory) -> None:
    for number in range(12):
        image = photographs.images[number % 6]
        overlay = Overlay.draw(rng(number), (image.shape[0], image.shape[1]), (256, 320), (0.5, 1.5))
        fast = draw_overlay(load_fitting(photographs, number % 6, (256, 320)), overlay, (256, 320))
        truth = canvas_overlay(fitted(photographs, number % 6, (256, 320)), overlay, (256, 320))
        fast = fast.astype(float)
        assert np.abs(fast - truth).mean() < 3


def test_mean_of_two_rounds_down(rectangles: Memory) -> None:
    """Black and the grey of 114 give 57, 1 and 114 still 57, 2 and 114 give 58."""
    dark = Memory([np.full((40, 40, 3), 114, np.uint8)], [[[0, 0, 9, 9]]])
    for value, mean in ((0, 57), (1, 57), (2, 58)):
        image = np.full((40, 40, 3), value, np.uint8)
        mixed, _ = mix_up(rng(1), dark, 0, image, np.empty((0, 5), np.float32), (1.0, 1.0))
        assert (mixed == mean).all()


def test_pictures_out_of_sight_are_not_loaded(rectangles: Memory) -> None:
    close = dataclasses.replace(LEVEL, mosaic_scale=(2.0, 2.0), translate=0.0)
    far = dataclasses.replace(LEVEL, mosaic_scale=(0.5, 0.5), translate=0.0)
    for settings, count in ((close, 1), (far, 4)):
        rectangles.loaded.clear()
        for number in range(20):
            Augmenter(rectangles, SIZE, settings)(0, rng(number))
        assert 20 * count - 5 <= len(rectangles.loaded) <= 20 * count


def test_same_state_same_sample(photographs: Memory) -> None:
    augmenter = Augmenter(photographs, SIZE, Augmentation())
    first, *others = [augmenter(1, rng(seed)) for seed in (5, 6, 5)]
    assert not np.array_equal(first.image, others[0].image)
    for before, after in zip(first, others[1], strict=True):
        np.testing.assert_array_equal(before, after)


def test_forms(photographs: Memory) -> None:
    sample = Augmenter(photographs, SIZE, Augmentation(max_objects=30))(0, rng(0))
    assert sample.image.shape == (3, *SIZE)
    assert sample.image.dtype == np.uint8
    assert sample.image.flags.c_contiguous
    assert sample.targets.shape == (30, 5)
    assert sample.targets.dtype == np.float32


def test_sources_are_not_written_to(photographs: Memory) -> None:
    before = [image.copy() for image in photographs.images]
    for settings in (Augmentation(hsv=1), STILL):
        for number in range(6):
            Augmenter(photographs, photographs.size(number), settings)(number, rng(number))
    for old, new in zip(before, photographs.images, strict=True):
        np.testing.assert_array_equal(old, new)


def test_without_strong_augmentation_only_the_letterbox_is_left(photographs: Memory) -> None:
    for settings, strong in ((STILL, True), (dataclasses.replace(STILL, mosaic=1, mixup=1), False)):
        sample = Augmenter(photographs, SIZE, settings)(2, rng(0), strong=strong)
        expected, ratio = letterbox(photographs.images[2], SIZE)
        np.testing.assert_array_equal(sample.image, expected.transpose(2, 0, 1))
        np.testing.assert_allclose(rows(sample)[:, :4], np.array(photographs.boxes[2]) * ratio, atol=1e-3)


@pytest.mark.parametrize(("mixup", "share"), [(0.0, 0), (0.5, 0.5), (1.0, 1)])
def test_probability_of_mix_up(rectangles: Memory, mixup: float, share: float) -> None:
    augmenter = Augmenter(rectangles, SIZE, dataclasses.replace(LEVEL, mixup=mixup, mosaic_scale=(0.5, 0.5)))
    rectangles.loaded.clear()
    for number in range(200):
        augmenter(0, rng(number))
    assert abs((len(rectangles.loaded) - 4 * 200) / 200 - share) <= (0.1 if 0 < share < 1 else 0)


def test_probability_of_mosaic(rectangles: Memory) -> None:
    augmenter = Augmenter(rectangles, SIZE, dataclasses.replace(LEVEL, mosaic=0.25, mosaic_scale=(0.5, 0.5)))
    rectangles.loaded.clear()
    for number in range(200):
        augmenter(0, rng(number))
    assert (len(rectangles.loaded) - 200) / 600 == pytest.approx(0.25, abs=0.08)


def test_probability_of_flip(rectangles: Memory) -> None:
    augmenter = Augmenter(rectangles, (150, 150), dataclasses.replace(STILL, flip=0.3))
    still = augmenter.__class__(rectangles, (150, 150), STILL)(2, rng(0)).image
    flipped = [not np.array_equal(augmenter(2, rng(number)).image, still) for number in range(200)]
    assert np.mean(flipped) == pytest.approx(0.3, abs=0.08)


def test_first_objects_are_kept() -> None:
    boxes = [[4.0 * number, 10, 4.0 * number + 3, 20] for number in range(20)]
    crowd = Memory([np.zeros((*SIZE, 3), np.uint8)], [boxes])
    sample = Augmenter(crowd, SIZE, dataclasses.replace(STILL, max_objects=7))(0, rng(0))
    np.testing.assert_allclose(rows(sample)[:, :4], boxes[:7], atol=1e-4)


def test_boxes_of_a_pixel_are_dropped() -> None:
    boxes = [[10, 10, 11, 30], [40, 40, 42, 43], [50, 50, 80, 50.5]]
    picture = Memory([np.zeros((*SIZE, 3), np.uint8)], [boxes])
    sample = Augmenter(picture, SIZE, STILL)(0, rng(0))
    np.testing.assert_allclose(rows(sample)[:, :4], boxes[1:2])


def test_picture_with_nothing_but_tiny_boxes_stays_as_it_is(photographs: Memory) -> None:
    tiny = Memory(photographs.images, [[[10, 10, 10.5, 30]]] * 6)
    sample = Augmenter(tiny, SIZE, Augmentation(mosaic=0, hsv=1, flip=1))(0, rng(0))
    expected, ratio = letterbox(tiny.images[0], SIZE)
    np.testing.assert_array_equal(sample.image, expected.transpose(2, 0, 1))
    np.testing.assert_allclose(rows(sample)[:, :4], np.array(tiny.boxes[0]) * ratio, rtol=1e-5)


def test_boxes_without_a_side_are_never_trained_on(photographs: Memory) -> None:
    """Where no other is left either: the authors' code keeps them then."""
    flat = Memory(photographs.images, [[[10, 10, 10, 30], [5, 20, 25, 20]]] * 6)
    assert not Augmenter(flat, SIZE, Augmentation(mosaic=0))(0, rng(0)).targets.any()


def test_pictures_without_objects(photographs: Memory) -> None:
    empty = Memory(photographs.images, [[]] * 6)
    sample = Augmenter(empty, SIZE, Augmentation(mixup=1))(0, rng(0))
    assert sample.image.std() > 0
    assert not sample.targets.any()


def test_only_pictures_with_objects_are_mixed_in(photographs: Memory) -> None:
    rare = Memory(photographs.images, [[], [], [], [[10, 20, 200, 200]], [], []])
    close = dataclasses.replace(LEVEL, mixup=1, mosaic_scale=(0.5, 0.5), mixup_scale=(1, 1))
    for number in range(10):
        assert set(rows(Augmenter(rare, SIZE, close)(3, rng(number)))[:, 4]) == {3}
        rare.loaded.clear()
        Augmenter(rare, SIZE, close)(3, rng(number))
        assert rare.loaded[-1] == 3


def test_one_picture_with_objects_among_many_is_found_at_once(tmp_path: Path) -> None:
    """Drawing until one has objects would take a million draws."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    item = ObjectRow(0, (1, 1, 40, 40), 1600, rings=[(1, 1, 41, 1, 41, 41, 1, 41)])
    sparse = dataset_from_rows(
        (PictureRow("a.png", (64, 64), number, [item] if number == 7 else []) for number in range(1_000_000)),
        source=tmp_path,
        folder=tmp_path,
        class_names=("a",),
    )
    assert sparse.with_objects().tolist() == sparse.with_objects(masks=True).tolist() == [7]
    close = dataclasses.replace(LEVEL, mixup=1, copy_paste=1, mosaic_scale=(1, 1))
    augmenter = Augmenter(sparse, (64, 64), close)
    assert sum(len(rows(augmenter(7, rng(number)))) for number in range(20)) > 20


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (3, 900)])
@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_pictures_of_odd_shapes(shape: tuple[int, int], mosaic: float) -> None:
    image = np.full((*shape, 3), 200, np.uint8)
    strip = Memory([image], [[[0, 0, shape[1], shape[0]]]])
    augmenter = Augmenter(strip, SIZE, Augmentation(mosaic=mosaic, mosaic_scale=(0.5, 1.5)))
    for number in range(10):
        sample = augmenter(0, rng(number))
        assert sample.image.shape == (3, *SIZE)
        found = rows(sample)[:, :4]
        assert np.isfinite(found).all()
        assert found.min(initial=0) >= -1e-3
        assert (found.max(axis=0, initial=0) <= (SIZE[1], SIZE[0]) * 2).all()


def test_annotated_size_may_differ_from_the_picture(rectangles: Memory) -> None:
    """A copy of half the size, with its old boxes, is stretched to where the boxes are."""
    halves = Memory(
        [cv2.resize(image, None, fx=0.5, fy=0.5) for image in rectangles.images], rectangles.boxes
    )
    halves.size = rectangles.size  # type: ignore[method-assign]
    for strong in (True, False):
        for number in range(6):
            ways = [Augmenter(pictures, SIZE, LEVEL) for pictures in (rectangles, halves)]
            whole, half = (way(number, rng(number), strong=strong).image.astype(float) for way in ways)
            assert np.abs(whole - half).mean() < 6


@pytest.mark.parametrize("shifts", [(5, 0, 0), (-5, 30, -30), (0, -30, 7), (3, 0, 30)])
def test_shifts_are_those_of_the_canvas(photographs: Memory, shifts: tuple[int, int, int]) -> None:
    image = photographs.images[0]
    np.testing.assert_array_equal(shift_hsv(image, shifts), canvas_shift(image.copy(), shifts))
    assert shift_hsv(image, (0, 0, 0)) is image  # not even rounded


def test_random_shifts() -> None:
    drawn = np.array([random_shifts(rng(number), 0.5) for number in range(2000)])
    assert np.abs(drawn).max(axis=0).tolist() == [4, 29, 29]  # whole numbers towards 0
    # Half are not drawn, and of hue's a fifth are less than 1.
    np.testing.assert_allclose((drawn == 0).mean(axis=0), [0.6, 0.517, 0.517], atol=0.03)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=1)
    assert random_shifts(rng(0), 0) == (0, 0, 0)
    certain = np.array([random_shifts(rng(number), 1) for number in range(500)])
    np.testing.assert_allclose((certain == 0).mean(axis=0), [0.2, 0.033, 0.033], atol=0.05)


def triangles() -> Memory:
    """Picture 0 is dark and has one large object; in picture 1 lie a bright triangle and a bright square."""
    dark, bright = np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), 90, np.uint8)
    triangle = np.array([[20, 20], [100, 20], [20, 120]], np.float32)
    square = (np.array([[120, 30], [170, 30], [170, 60], [120, 60]], np.float32),)
    square += (np.array([[130, 50], [160, 50], [160, 90], [130, 90]], np.float32),)
    for ring in (triangle, *square):
        cv2.fillPoly(bright, [ring.astype(np.int32)], (255, 255, 255))
    boxes = [[[10, 10, 150, 150]], [[20, 20, 100, 120], [120, 30, 170, 90]]]
    return Memory([dark, bright], boxes, [((),), ((triangle,), square)])


def test_pasted_objects_lie_under_their_boxes() -> None:
    pictures, counts = triangles(), []
    below = np.array([[0, 0, *SIZE[::-1], 9]], np.float32)
    for number in range(30):
        image, labels = copy_paste(
            rng(number), pictures, 1, np.zeros((*SIZE, 3), np.uint8), below, (0.7, 1.4)
        )
        pasted = labels[labels[:, 4] == 1]
        counts.append(len(pasted))
        bright = np.argwhere(image.max(axis=2) > 200)[:, ::-1]
        if len(pasted):
            found = [*bright.min(axis=0), *bright.max(axis=0) + 1]
            around = [*pasted[:, :2].min(axis=0), *pasted[:, 2:4].max(axis=0)]
            # Where the sample's edge cuts through the triangle, its box is greater than what is left of it.
            if around[0] > 0 and around[1] > 0 and around[2] < SIZE[1] and around[3] < SIZE[0]:
                assert found == pytest.approx(around, abs=2.5)
            # The grey around the objects does not come with them.
            assert ((image > 40) & (image < 200)).mean() < 0.05
        else:
            assert not image.any()
    assert set(counts) == {0, 1, 2}


def test_overlapping_rings_are_one_mask() -> None:
    pictures = triangles()
    pictures.boxes[1][:1], pictures.polygons = [], [((),), pictures.polygons[1][1:]]  # type: ignore[index]
    for number in range(10):
        image, labels = copy_paste(
            rng(number), pictures, 1, np.zeros((*SIZE, 3), np.uint8), np.empty((0, 5), np.float32), (1, 1)
        )
        if len(labels):
            area = (image.max(axis=2) > 128).sum()
            assert area == pytest.approx(50 * 30 + 30 * 30, rel=0.06)


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (40, 40)])
def test_padding_is_not_pasted_with_an_outline_that_reaches_over_the_edge(shape: tuple[int, int]) -> None:
    height, width = shape
    ring = np.array(
        [[-20, -20], [width + 20, -20], [width + 20, height + 20], [-20, height + 20]], np.float32
    )
    bright = Memory([np.full((*shape, 3), 250, np.uint8)], [[[0, 0, width, height]]], [((ring,),)])
    pasted = 0
    for number in range(40):
        image = np.zeros((64, 64, 3), np.uint8)
        image, labels = copy_paste(rng(number), bright, 0, image, np.empty((0, 5), np.float32), (0.5, 1.5))
        assert set(np.unique(image)) <= {0, 250}
        for x1, y1, x2, y2, _ in labels:
            assert find(image.transpose(2, 0, 1), (250,) * 3) == pytest.approx((x1, y1, x2, y2), abs=1.1)
            pasted += 1
    assert pasted > 10


def test_covered_objects() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:, :40] = 255
    labels = np.array(
        [
            [50, 10, 90, 90, 0],
            [10, 10, 90, 90, 1],
            [10, 10, 45, 90, 2],
            [5.5, 5, 60, 9, 3],
            [100, 50, 100, 60, 4],
        ],
        np.float32,
    )
    kept = uncovered_labels(labels, mask)
    # Aside; shrunk; dropped, 86 % being covered; shrunk; empty already.
    expected = [[50, 10, 90, 90, 0], [40, 10, 90, 90, 1], [40, 5, 60, 9, 3], [100, 50, 100, 60, 4]]
    np.testing.assert_allclose(kept, expected)
    assert uncovered_labels(labels[2:3], mask).shape == (0, 5)
    mask[10:90, 40:80] = 0
    mask[30:60, 50:80] = 255  # a hole does not shrink a box
    np.testing.assert_allclose(uncovered_labels(labels[:1], mask), labels[:1])


def test_copy_paste_in_a_mosaic() -> None:
    pictures = triangles()
    settings = dataclasses.replace(LEVEL, mosaic_scale=(0.5, 0.5), copy_paste=1.0)
    plain = dataclasses.replace(settings, copy_paste=0.0)
    changed = 0
    for number in range(20):
        samples = [Augmenter(pictures, SIZE, way)(0, rng(number)) for way in (settings, plain)]
        changed += not np.array_equal(samples[0].image, samples[1].image)
        again = Augmenter(pictures, SIZE, settings)(0, rng(number))
        np.testing.assert_array_equal(again.image, samples[0].image)
    assert 10 < changed < 20  # in a quarter of the draws no object is chosen


def test_copy_paste_without_masks_is_refused(rectangles: Memory) -> None:
    with pytest.raises(UsageError, match=r"no object of the data set has a polygon.*copy_paste=0"):
        Augmenter(rectangles, SIZE, Augmentation(copy_paste=0.5))


def test_size_is_checked(rectangles: Memory) -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        Augmenter(rectangles, (0, 10), Augmentation())


def test_flipped_overlay_mirrors_boxes() -> None:
    """Cropped to columns 10 to 90 of the letterbox, then mirrored."""
    overlay = Overlay(live=(50, 100), canvas=(100, 100), crop=(80, 80), offset=(10, 0), ratio=0.5, flip=True)
    label = np.array([[30, 10, 60, 30, 3]], np.float32)
    np.testing.assert_allclose(transform_labels(label, overlay.matrix, (80, 80)), [[60, 5, 75, 15, 3]])
