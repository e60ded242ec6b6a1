"""The pictures of a proof, as the batches and tensors that the file and its reference get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.runtimes.base import Runtime

Rows = NDArray[np.float32]
Pictures = Sequence[NDArray[np.uint8]]
Network = Callable[[Rows], Rows]
"""(B, C, H, W) float32, C channels of the input, to undecoded (B, N, 5 + C): the reference."""

SHIFT = 37
"""Pixels that a copy of a picture is shifted by, against the one before it."""


def free_batch(runtime: Runtime) -> int:
    """The second size that a free batch is tried at."""
    return min(3, runtime.loaded.max_batch or 3)


def batches(runtime: Runtime, info: ArtifactInfo, pictures: Pictures) -> Iterator[Pictures]:
    """All pictures in batches of the file's size; where that is free, one batch of several and the rest singly."""
    if info.batch is not None:
        return chunks(pictures, info.batch)
    return chain(islice(chunks(pictures, free_batch(runtime)), 1), chunks(pictures[1:] or pictures, 1))


def chunks(pictures: Pictures, size: int) -> Iterator[Pictures]:
    """The pictures in batches of `size`, the last one filled up with altered copies.

    No two slots see the same picture: one that answered for another would not be noticed.
    """
    for start in range(0, len(pictures), size):
        yield [_altered(pictures, index) for index in range(start, start + size)]


def _altered(pictures: Pictures, index: int) -> NDArray[np.uint8]:
    """A picture, and beyond the last one the same again: mirrored, then shifted around, then both, and so on."""
    turn, which = divmod(index, len(pictures))
    picture = pictures[which][:, :: -1 if turn % 2 else 1]
    return np.ascontiguousarray(np.roll(picture, turn // 2 * SHIFT, axis=1))


def to_float(tensor: NDArray[Any], info: ArtifactInfo) -> Rows:
    """The same values as the reference takes them: (B, C, H, W) float32."""
    if info.input.layout == "NHWC":
        tensor = tensor.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(tensor, np.float32)


def run(runtime: Runtime, tensor: NDArray[Any]) -> Rows:
    return runtime.infer({runtime.inputs[0].name: tensor})[runtime.outputs[0].name]
