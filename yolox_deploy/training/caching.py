"""Decoded pictures in memory (`--cache`), for sets that fit: no file is read or decoded twice.

A picture that is larger than the samples is kept at the size to which every use would reduce it, so samples and
figures are the same to the bit. The pixels lie in one array that the worker processes share with the one that forked
them: memory does not grow with their number.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.errors import UsageError
from yolox_deploy.host import available_memory, usable_cores
from yolox_deploy.preprocess import fit
from yolox_deploy.training.augment.mosaic import load_fitting
from yolox_deploy.training.splits import Splits

MOST_OF_MEMORY = 0.8
"""The share of the memory at hand that pictures may take."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedDataset(DetectionDataset):
    """A data set whose pictures are in memory, reduced to fit the size of samples.

    Attributes:
        pixels: of all pictures, one after another.
        starts: (N,) where each begins.
        shapes: (N, 2) height and width there; 0, 0 for one that is not kept, because it is not of its annotated size.
    """

    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def load(self, index: int) -> NDArray[np.uint8]:
        """The picture (H, W, 3) BGR, read-only and reduced where it is kept, else as it is in its file."""
        height, width = self.shapes[index].tolist()
        if not height:
            return super().load(index)
        start = int(self.starts[index])
        return self.pixels[start : start + 3 * height * width].reshape(height, width, 3)

    def source_size(self, index: int, loaded: NDArray[np.uint8]) -> tuple[int, int]:
        """Height and width of the picture in its file, of which `load` gave `loaded`."""
        return self.size(index) if self.shapes[index].any() else (loaded.shape[0], loaded.shape[1])


def cache_splits(data: Splits, size: tuple[int, int], workers: int, tell: Callable[[str], None]) -> Splits:
    """`data` with its pictures in memory.

    Args:
        size: (H, W) of samples and of evaluation.
        workers: processes that will prepare pictures.
        tell: told how much was read, and how long it took.

    Raises:
        UsageError: they do not fit into memory, or workers could not share it.
        InputError: a picture cannot be read; names it.
    """
    if workers and sys.platform != "linux":
        raise UsageError(
            "pictures in memory are shared with worker processes on Linux alone; add --set workers=0, or leave "
            "out --cache"
        )
    began = time.monotonic()
    shapes = [_kept_shapes(part, size) for part in data]
    need = sum(int(3 * part.prod(axis=1).sum()) for part in shapes)
    _require_room(need)
    train, val = (_cached(part, size, kept) for part, kept in zip(data, shapes, strict=True))
    tell(
        f"{len(train) + len(val)} pictures are in memory: {need / 1e9:.2f} GB, {time.monotonic() - began:.1f} s"
    )
    return Splits(train, val)


def _require_room(need: int) -> None:
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    room = available_memory()
    if room is not None and need * processes > MOST_OF_MEMORY * room:
        each = f" for each of {processes} processes" if processes > 1 else ""
        raise UsageError(
            f"the pictures take {need / 1e9:.2f} GB{each} and {room / 1e9:.2f} GB of memory are at hand, of which "
            f"{MOST_OF_MEMORY:.0%} may be used; leave out --cache, or train at a smaller --imgsz"
        )


def _kept_shapes(dataset: DetectionDataset, size: tuple[int, int]) -> NDArray[np.int64]:
    """(N, 2) height and width of each picture as it will be kept, by its annotated size."""
    rows = []
    for index in range(len(dataset)):
        height, width = dataset.size(index)
        live = fit((height, width), size) if height and width else (0, 0, 1.0)
        rows.append(live[:2] if live[2] < 1 else (height, width))
    return np.array(rows, np.int64).reshape(-1, 2)


def _cached(dataset: DetectionDataset, size: tuple[int, int], shapes: NDArray[np.int64]) -> CachedDataset:
    sizes = 3 * shapes.prod(axis=1)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    pixels = np.empty(int(sizes.sum()), np.uint8)

    def keep(index: int) -> None:
        image = load_fitting(dataset, index, size)
        if image.shape[:2] == tuple(shapes[index]):
            pixels[starts[index] : starts[index] + sizes[index]] = image.reshape(-1)
        else:
            shapes[index] = 0

    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding lets other threads run
        for _ in pool.map(keep, range(len(dataset))):
            pass
    own: dict[str, Any] = {item.name: getattr(dataset, item.name) for item in fields(DetectionDataset)}
    return CachedDataset(**own, pixels=pixels, starts=starts, shapes=shapes)
