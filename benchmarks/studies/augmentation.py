"""Training samples a second: this package's augmentation against the authors' way.

Protocol: `python -m yolox_deploy.benchmarks.studies.augmentation [FOLDER] [ROUNDS]`, by default 10 rounds over
generated pictures of COCO's sizes, saved as JPEG. One process, OpenCV without threads, as in a worker of the
loader; decoding is included. Each picture has 7 random objects. The ways take turns picture by picture with
random generators of the same seed, so that a disturbance of the machine meets both; one round warms up.
Milliseconds an image are the median over rounds of a round's mean; hold the ratios, absolute values drift.
Freed memory is kept (`keep_freed_memory`), which the whole process shares: `canvas` gains from it too.

`canvas` is what the released code does, written plainly: each picture is resized to fit when it is read, four of
them fill a canvas twice the sample's height and width, that is mapped to the sample; MixUp builds the whole scaled
letterbox and blends in float32; hue, saturation and value are shifted in int16; the sample is float32.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.benchmarks.studies.turns import take_turns, timed
from yolox_deploy.data.dataset import DetectionDataset, ObjectRow, PictureRow, dataset_from_rows
from yolox_deploy.host import keep_freed_memory
from yolox_deploy.images import load_image
from yolox_deploy.preprocess import fit, letterbox
from yolox_deploy.sources import image_paths
from yolox_deploy.training.augment.geometry import PAD, Image, Labels, Overlay, read_labels, transform_labels
from yolox_deploy.training.augment.mosaic import Mosaic, draw_mosaic, mosaic_labels
from yolox_deploy.training.augment.pipeline import Augmenter, random_shifts
from yolox_deploy.training.config import Augmentation

Arrays = tuple[NDArray[np.uint8] | NDArray[np.float32], NDArray[np.float32]]
Way = Callable[[int, np.random.Generator], Arrays]
OBJECTS = 7
GENERATED = 64


@dataclass(frozen=True)
class Case:
    """What to measure: square samples of `size`; without `strong` no mosaic and no MixUp."""

    name: str
    size: int
    settings: Augmentation
    strong: bool = True


NANO = Augmentation(mosaic=0.5, mosaic_scale=(0.5, 1.5), mixup=0)
CASES = (
    Case("mosaic + MixUp", 640, Augmentation()),
    Case("mosaic", 640, Augmentation(mixup=0)),
    Case("plain", 640, Augmentation(), strong=False),
    Case("mosaic + MixUp", 416, Augmentation()),
    Case("nano's recipe", 416, NANO),
)


class CanvasWay:
    """The released code's way to a sample; geometry and random numbers are those of this package."""

    def __init__(self, pictures: DetectionDataset, case: Case) -> None:
        self.pictures, self.case, self.size = pictures, case, (case.size, case.size)

    def __call__(self, index: int, rng: np.random.Generator) -> Arrays:
        """(3, H, W) float32 BGR and the targets of a `Sample`."""
        settings = self.case.settings
        if self.case.strong and rng.random() < settings.mosaic:
            mosaic = draw_mosaic(rng, self.pictures, index, self.size, settings)
            image, labels = canvas_mosaic(self.pictures, mosaic), mosaic_labels(self.pictures, mosaic)
            if len(labels) and rng.random() < settings.mixup:
                image, labels = self._mix_up(image, labels, rng)
        else:
            image, labels = self._fitted(index)
        return self._finish(image, labels, rng)

    def _fitted(self, index: int) -> tuple[Image, Labels]:
        image, labels = fitted(self.pictures, index, self.size), read_labels(self.pictures, index)
        labels[:, :4] *= fit(self.pictures.size(index), self.size)[2]
        return image, labels

    def _mix_up(self, image: Image, labels: Labels, rng: np.random.Generator) -> tuple[Image, Labels]:
        index = int(rng.integers(len(self.pictures)))
        while not len(others := read_labels(self.pictures, index)):
            index = int(rng.integers(len(self.pictures)))
        overlay = Overlay.draw(rng, self.pictures.size(index), self.size, self.case.settings.mixup_scale)
        other = canvas_overlay(fitted(self.pictures, index, self.size), overlay, self.size)
        mixed = 0.5 * image.astype(np.float32) + 0.5 * other.astype(np.float32)
        moved = transform_labels(others, overlay.matrix, self.size)
        return mixed.astype(np.uint8), np.concatenate([labels, moved])

    def _finish(self, image: Image, labels: Labels, rng: np.random.Generator) -> Arrays:
        shifted = canvas_shift(image.copy(), random_shifts(rng, self.case.settings.hsv))
        boxes = labels[:, :4].copy()
        if rng.random() < self.case.settings.flip:
            shifted = shifted[:, ::-1]
            boxes[:, [0, 2]] = shifted.shape[1] - boxes[:, [2, 0]]
        kept = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) > 1
        if not kept.any():
            shifted, boxes = image, labels[:, :4]
            kept = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) > 0
        canvas, _ = letterbox(np.ascontiguousarray(shifted), self.size)
        sides = boxes[:, 2:] - boxes[:, :2]
        rows = np.concatenate([labels[:, 4:], boxes[:, :2] + sides / 2, sides], axis=1)[kept]
        targets = np.zeros((self.case.settings.max_objects, 5), np.float32)
        targets[: len(rows)] = rows[: len(targets)]
        return np.ascontiguousarray(canvas.transpose(2, 0, 1), np.float32), targets


def fitted(pictures: DetectionDataset, index: int, size: tuple[int, int]) -> Image:
    """A picture resized to fit `size`."""
    image = pictures.load(index)
    height, width, _ = fit((image.shape[0], image.shape[1]), size)
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


def canvas_mosaic(pictures: DetectionDataset, mosaic: Mosaic) -> Image:
    """The (H, W, 3) sample of a mosaic by way of its (2H, 2W) canvas."""
    height, width = mosaic.size
    canvas = np.full((2 * height, 2 * width, 3), PAD, np.uint8)
    for tile in mosaic.tiles:
        live_h, live_w = tile.live
        image = cv2.resize(fitted(pictures, tile.index, mosaic.size), (live_w, live_h))
        left, top = tile.corner
        x1, y1, x2, y2 = (
            max(left, 0),
            max(top, 0),
            min(left + live_w, 2 * width),
            min(top + live_h, 2 * height),
        )
        canvas[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]
    # The released code leaves the half pixels out, which moves pictures by up to half a pixel against boxes.
    matrix = mosaic.matrix.copy()
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5
    return np.asarray(cv2.warpAffine(canvas, matrix, (width, height), borderValue=(PAD,) * 3), np.uint8)


def canvas_overlay(image: Image, overlay: Overlay, size: tuple[int, int]) -> Image:
    """The (H, W, 3) crop of a fitted picture's scaled letterbox."""
    boxed, _ = letterbox(image, size)
    scaled = np.asarray(cv2.resize(boxed, overlay.canvas[::-1]), np.uint8)
    left, top = overlay.offset
    if overlay.flip:
        # The released code flips first, and then crops anywhere.
        scaled, left = scaled[:, ::-1], overlay.canvas[1] - overlay.crop[1] - left
    height, width = overlay.canvas
    padded = np.zeros((max(height, size[0]), max(width, size[1]), 3), np.uint8)
    padded[:height, :width] = scaled
    return padded[top : top + size[0], left : left + size[1]]


def canvas_shift(image: Image, shifts: tuple[int, int, int]) -> Image:
    """Shifted hue, saturation and value, in place."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + shifts[0]) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] + shifts[1], 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + shifts[2], 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR, dst=image), np.uint8)


def open_pictures(folder: Path) -> DetectionDataset:
    """The pictures of a folder, each with random objects."""
    rng = np.random.default_rng(0)

    def rows() -> Iterator[PictureRow]:
        for number, path in enumerate(image_paths(folder), start=1):
            size = load_image(path).shape[:2]
            yield PictureRow(path.name, size, number, [random_object(rng, size) for _ in range(OBJECTS)])

    return dataset_from_rows(rows(), source=folder, folder=folder, class_names=("object",))


def random_object(rng: np.random.Generator, size: tuple[int, int]) -> ObjectRow:
    """An object of 2 to 60 % of a picture's sides, anywhere in it."""
    height, width = size[0] * rng.uniform(0.02, 0.6), size[1] * rng.uniform(0.02, 0.6)
    corner = rng.uniform(0, size[1] - width), rng.uniform(0, size[0] - height)
    return ObjectRow(0, (*corner, width, height), width * height)


def write_generated(folder: Path) -> None:
    """Save generated pictures of COCO's sizes."""
    from yolox_deploy.benchmarks.pictures import generated

    for number, image in enumerate(generated(GENERATED, seed=0).images):
        cv2.imwrite(str(folder / f"{number:03}.jpg"), image)


def measure(pictures: DetectionDataset, case: Case, rounds: int) -> dict[str, float]:
    """Way -> milliseconds an image: the median over rounds, each over all pictures."""
    augmenter = Augmenter(pictures, (case.size, case.size), case.settings)
    count = len(pictures)

    def ours(index: int, rng: np.random.Generator) -> Arrays:
        return augmenter(index, rng, strong=case.strong)

    def turns_of(way: Way) -> Callable[[int], float]:
        return timed(lambda turn: way(turn % count, np.random.default_rng(divmod(turn, count))))

    ways = {"canvas": turns_of(CanvasWay(pictures, case)), "yolox-deploy": turns_of(ours)}
    taken = take_turns(ways, rounds * count, warm_up=count)
    return {
        name: float(np.median(np.reshape(times, (rounds, count)).mean(axis=1)))
        for name, times in taken.items()
    }


def report(results: dict[Case, dict[str, float]]) -> str:
    """A Markdown table of `measure`'s results."""
    lines = ["| case | size | canvas, ms | yolox-deploy, ms | ratio |", "|---|---|---|---|---|"]
    for case, times in results.items():
        canvas, ours = times["canvas"], times["yolox-deploy"]
        lines.append(f"| {case.name} | {case.size} | {canvas:.1f} | {ours:.1f} | {ours / canvas:.2f} |")
    return "\n".join(lines)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def main(arguments: list[str]) -> None:
    """Measure all cases on the pictures of a folder and print their table."""
    keep_freed_memory()
    rounds = int(arguments[1]) if len(arguments) > 1 else 10
    with tempfile.TemporaryDirectory() as temporary, _one_thread():
        folder = Path(arguments[0]) if arguments else Path(temporary)
        if not arguments:
            write_generated(folder)
        pictures = open_pictures(folder)
        print(report({case: measure(pictures, case, rounds) for case in CASES}))


if __name__ == "__main__":
    main(sys.argv[1:])
