"""A float32 file against PyTorch, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.exporter.feeding import Network, Pictures, Rows, chunks, free_batch, run, to_float
from yolox_deploy.postprocess import anchor_grid, decode
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.runtimes.base import Runtime

RAW_TOLERANCE = 1e-3
"""Largest difference of a float32 file, each number scaled by 1 / max(unit, |reference|).

The unit is 1, and for decoded boxes the stride: there a box is its code times the stride.
"""

ROUNDINGS = 4
"""Multiple of PyTorch's own float32 rounding that a file's error may be where it is more than `RAW_TOLERANCE`.

A hardly trained network without saturation answers numbers like 1e13, and two ways to add them up differ by as much as
float32 differs from float64. A wrong file differs by far more.
"""

MOST_ROUNDING = 0.01
"""Rounding from which float32 says nothing of a file any more."""

SEED = 20210718


def compare_numbers(
    runtime: Runtime, info: ArtifactInfo, network: Network, exact: Network | None, pictures: Pictures
) -> dict[str, Any]:
    """Figures of the largest errors, see `parity.verify`; `exact` is run only where they are too large."""
    sizes = sorted({1, free_batch(runtime)}) if info.batch is None else [info.batch]
    differences = partial(_differences, info, pictures, sizes)
    reference = partial(_reference, info, network)
    largest = differences(reference, partial(run, runtime))
    limits = {"max_error": RAW_TOLERANCE}
    figures = {
        "kind": "numbers",
        "photographs": len(pictures),
        "batches": sizes,
        **{f"max_error_{part}": error for part, error in largest.items()},
        "limits": limits,
        "passed": all(error <= RAW_TOLERANCE for error in largest.values()),  # which no NaN is
    }
    if figures["passed"] or exact is None or not np.isfinite([*largest.values()]).all():
        return figures
    rounding = differences(reference, partial(_reference, info, exact))
    figures |= {f"rounding_{part}": error for part, error in rounding.items()}
    if max(rounding.values()) > MOST_ROUNDING:
        return figures
    allowed = {part: max(RAW_TOLERANCE, ROUNDINGS * error) for part, error in rounding.items()}
    return {
        **figures,
        "limits": {**limits, **{f"max_error_{part}": limit for part, limit in allowed.items()}},
        "passed": all(largest[part] <= limit for part, limit in allowed.items()),
    }


def _differences(
    info: ArtifactInfo, pictures: Pictures, sizes: Sequence[int], reference: Network, other: Network
) -> dict[str, float]:
    """Largest error of boxes and of scores, on the pictures and on noise, in batches of each size."""
    rng = np.random.default_rng(SEED)
    shape = (*info.input_size, info.input.picture_channels)
    errors: list[tuple[float, float]] = []
    for batch in sizes:
        noise = [rng.integers(0, 256, shape, np.uint8) for _ in range(batch)]
        for chunk in chunks([*pictures, *noise], batch):
            tensor, _ = Preprocessor(info.input_size, info.input).stack(chunk)
            expected = reference(tensor)
            error = np.abs(other(tensor) - expected) / np.maximum(_units(info), np.abs(expected))
            errors.append((float(error[..., :4].max()), float(error[..., 4:].max())))
    boxes, scores = (float(value) for value in np.max(errors, axis=0))  # unlike max(), keeps a NaN
    return {"boxes": boxes, "scores": scores}


def _reference(info: ArtifactInfo, network: Network, tensor: NDArray[Any]) -> Rows:
    """What the file should answer to its input."""
    rows = network(to_float(tensor, info))
    return decode(rows, info.input_size, info.priors) if info.boxes == "decoded" else rows


def _units(info: ArtifactInfo) -> Rows:
    """(N, 5 + C) what the errors of predictions are counted in: 1, and strides for decoded boxes."""
    strides = anchor_grid(info.input_size, priors=info.priors).strides
    units = np.ones((len(strides), 5 + len(info.class_names)), np.float32)
    if info.boxes == "decoded":
        units[:, :4] = strides[:, None]
    return units
