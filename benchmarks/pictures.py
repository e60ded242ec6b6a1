"""The pictures of a run: a folder from the user, or pictures generated with objects in them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.evaluation.annotated import picture_paths
from yolox_deploy.files import packaged_photographs
from yolox_deploy.images import load_image
from yolox_deploy.sources import image_paths

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset

Image = NDArray[np.uint8]

SIZES = ((480, 640), (640, 480), (427, 640), (375, 500), (612, 612), (720, 1280))
"""(H, W) of generated pictures: those of COCO, and a camera's."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Decoded pictures, all distinct.

    Attributes:
        images: (H, W, 3) uint8 BGR each.
        description: for the report: how many, and where from.
        decoding_ms: how long each file took from disk to array; empty for generated pictures.
    """

    images: tuple[Image, ...]
    description: str
    decoding_ms: tuple[float, ...] = ()


def load_pictures(
    images: str | Path | None, protocol: Protocol, dataset: DetectionDataset | None = None
) -> Pictures:
    """As many pictures as the protocol asks for: those of a folder or glob, or generated ones without.

    Args:
        dataset: whose pictures are taken where `images` is None.

    Raises:
        InputError: as `from_folder`.
    """
    if images is not None:
        return from_folder(images, protocol.images)
    if dataset is not None:
        return _from_files(list(picture_paths(dataset)), protocol.images, dataset.folder)
    return generated(protocol.images, protocol.seed)


def from_folder(source: str | Path, count: int) -> Pictures:
    """`count` pictures of a folder or glob, evenly spread over its sorted names; all, where it has fewer.

    Raises:
        InputError: there is no picture, or one cannot be read.
    """
    return _from_files(image_paths(source), count, source)


def _from_files(paths: list[Path], count: int, source: str | Path) -> Pictures:
    if len(paths) > count:
        paths = [paths[index * len(paths) // count] for index in range(count)]
    images, times = [], []
    for path in paths:
        start = time.perf_counter_ns()
        images.append(load_image(path))
        times.append((time.perf_counter_ns() - start) / 1e6)
    return Pictures(tuple(images), f"{len(images)} pictures of {_name(source)}", tuple(times))


def generated(count: int, seed: int) -> Pictures:
    """`count` pictures composed from the package's photographs: the same for the same seed.

    On a blurred background of noise lie one to four cut-outs of photographs of a person, a cat and a cup,
    each flipped, scaled and lit at random, so that post-processing has something to do with trained weights.
    """
    rng = np.random.default_rng(seed)
    photographs = [load_image(path) for path in packaged_photographs()]
    images = tuple(_compose(rng, photographs) for _ in range(count))
    return Pictures(images, f"{count} generated pictures (seed {seed})")


def _name(source: str | Path) -> str:
    """The last two parts of a path: enough to recognise it, without anyone's home folder."""
    return "/".join(Path(source).absolute().parts[-2:])


def _compose(rng: np.random.Generator, photographs: list[Image]) -> Image:
    height, width = SIZES[rng.integers(len(SIZES))]
    coarse = rng.integers(80, 176, (6, 8, 3), np.uint8)
    image = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    for _ in range(rng.integers(1, 5)):
        _paste(rng, image, photographs[rng.integers(len(photographs))])
    return image


def _paste(rng: np.random.Generator, image: Image, photograph: Image) -> None:
    height, width = image.shape[:2]
    scale = rng.uniform(0.25, 0.9) * min(height / photograph.shape[0], width / photograph.shape[1])
    side_h, side_w = int(photograph.shape[0] * scale), int(photograph.shape[1] * scale)
    patch = cv2.resize(photograph, (side_w, side_h), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        patch = cv2.flip(patch, 1)
    lit = np.clip(patch.astype(np.float32) * rng.uniform(0.7, 1.3), 0, 255).astype(np.uint8)
    top, left = int(rng.integers(height - side_h + 1)), int(rng.integers(width - side_w + 1))
    image[top : top + side_h, left : left + side_w] = lit
