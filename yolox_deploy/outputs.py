"""From a network's output tensors to rows of one form, whatever the tool was that wrote the file.

A file of ours has one tensor (B, N, 5 + C) and is read without a copy. Those of other tools are brought to it, as
their `OutputConvention` says; finished detections become (K, 6): x1, y1, x2, y2, score, class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.errors import ArtifactError
from yolox_deploy.postprocess import STRIDES, anchor_grid, split_batch
from yolox_deploy.types import DETECTION_COLUMNS, OutputConvention

Rows: TypeAlias = NDArray[Any]
Reader: TypeAlias = Callable[[Mapping[str, Rows], int], list[Rows]]
"""Tensors by name, and how many images went in, to one array an image."""

OF_ONE_IMAGE = 3
"""Dimensions of a tensor of rows with its batch."""


def row_reader(info: ArtifactInfo, names: Sequence[str]) -> Reader:
    """How the answers of a file are read: predictions (N, 5 + C) as `postprocess` takes them, boxes undecoded or as
    centre and size; detections (K, 6) where `info.suppression` is "in_graph".

    Args:
        names: of the file's outputs.

    Raises:
        ArtifactError: the file lacks an output that the convention names; when read, tensors that do not fit it.
    """
    output = info.output
    missing = [name for name in output.tensors if name not in names]
    if missing:
        raise ArtifactError(
            f"the file has the outputs {', '.join(names)}; output.tensors names {missing[0]!r}"
        )
    tensors = output.tensors or tuple(names)
    if output == OutputConvention(output.tensors) and len(tensors) == 1 and info.boxes != "corners":
        classes = None if info.suppression == "in_graph" else len(info.class_names)
        return partial(_ours, name=tensors[0], suppression=info.suppression, classes=classes)
    read = _read_detections if output.finished else _read_predictions
    return partial(read, info=info, tensors=tensors)


def _ours(
    tensors: Mapping[str, Rows], batch: int, *, name: str, suppression: str, classes: int | None
) -> list[Rows]:
    rows = tensors[name]
    if classes is not None and rows.shape[-1] != 5 + classes:
        raise ArtifactError(
            f"the output has {rows.shape[-1]} columns; expected 5 + {classes}, one a class name beside boxes and "
            "objectness: name its classes with --names FILE"
        )
    if rows.ndim > OF_ONE_IMAGE:  # (B, 1, N, 5 + C)
        rows = _flat(rows, columns_first=False)
    return _as_many(split_batch(rows, suppression, batch), batch)


def _as_many(images: list[Rows], batch: int) -> list[Rows]:
    """`images`, of which there have to be as many as went in."""
    if len(images) < batch:
        raise ArtifactError(
            f"the file answers for {len(images)} of {batch} pictures, though its input takes {batch}; it was made for "
            f"{len(images)} at a time: state it with --override batch={len(images)}"
        )
    return images


def _read_predictions(
    answers: Mapping[str, Rows], batch: int, *, info: ArtifactInfo, tensors: Sequence[str]
) -> list[Rows]:
    output = info.output
    rows = joined([answers[name] for name in tensors], output.columns_first)
    if output.coarse_first:
        rows = finest_first(rows, info.input_size)
    classes = rows.shape[2] - 4 - ("objectness" in output.columns)
    expected = len(anchor_grid(info.input_size, priors=info.priors)), len(info.class_names)
    if (rows.shape[1], classes) != expected:
        raise ArtifactError(
            f"the output has {rows.shape[1]} rows of {classes} classes beside {', '.join(output.columns)}; an input of "
            "{}x{} has {} rows, and there are {} class names".format(*info.input_size, *expected)
        )
    return _as_many(list(canonical(rows, info)), batch)


def joined(tensors: Sequence[Rows], columns_first: bool) -> Rows:
    """One tensor (B, rows, columns) of several: levels below one another, and what has equally many rows side by side.

    Raises:
        ArtifactError: the tensors have other than 3 or 4 dimensions, or do not fit together.
    """
    levels: dict[int, list[Rows]] = {}
    for tensor in tensors:
        rows = _flat(tensor, columns_first)
        levels.setdefault(rows.shape[1], []).append(rows)
    try:
        parts = [_side_by_side(levels[count]) for count in sorted(levels, reverse=True)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    except ValueError as error:
        shapes = ", ".join(str(tensor.shape) for tensor in tensors)
        raise ArtifactError(
            f"the outputs {shapes} do not fit together as levels or columns ({error})"
        ) from error


def finest_first(rows: Rows, size: tuple[int, int]) -> Rows:
    """Rows (..., N, columns) of the levels of stride 32, 16, 8 in the order of stride 8, 16, 32."""
    counts = [(size[0] // stride) * (size[1] // stride) for stride in STRIDES[::-1]]
    return np.concatenate(np.split(rows, np.cumsum(counts)[:-1], axis=-2)[::-1], axis=-2)


def _flat(tensor: Rows, columns_first: bool) -> Rows:
    """(B, rows, columns) of (B, h, w, columns), and of both with the columns first."""
    if tensor.ndim == OF_ONE_IMAGE - 1:  # objectness or labels without a column of their own
        return tensor[:, :, None]
    if tensor.ndim not in (OF_ONE_IMAGE, OF_ONE_IMAGE + 1):
        raise ArtifactError(f"an output is {tensor.shape}; expected (B, rows, columns) or (B, h, w, columns)")
    if columns_first:
        return tensor.reshape(*tensor.shape[:2], -1).transpose(0, 2, 1)
    return tensor.reshape(tensor.shape[0], -1, tensor.shape[-1])


def _side_by_side(parts: Sequence[Rows]) -> Rows:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def canonical(rows: Rows, info: ArtifactInfo) -> NDArray[np.float32]:
    """(B, N, columns) in the file's convention to (B, N, 5 + C) with boxes undecoded or as centre and size."""
    output, parts = info.output, blocks(rows, info.output.columns)
    classes = parts["classes"].shape[-1]
    found = np.empty((*rows.shape[:2], 5 + classes), np.float32)
    found[..., :4] = parts["boxes"]
    found[..., 4:5] = parts.get("objectness", 1.0)
    found[..., 5:] = parts["classes"]
    if output.logits:
        scores = found[..., 4 if "objectness" in parts else 5 :]
        with np.errstate(over="ignore"):  # exp of a large number is Inf, and 1 / Inf the right answer
            np.reciprocal(np.exp(-scores) + 1, out=scores)
    if output.normalized:
        found[..., :4] *= _size(info)
    if info.boxes == "corners":
        _to_centers(found)
    return found


def blocks(rows: Rows, columns: Sequence[str]) -> dict[str, Rows]:
    """Boxes, objectness and classes of rows (..., columns), as far as there are such columns."""
    rest = rows.shape[-1] - 4 - ("objectness" in columns)
    found, start = {}, 0
    for name in columns:
        width = {"boxes": 4, "objectness": 1}.get(name, rest)
        found[name] = rows[..., start : start + width]
        start += width
    return found


def _to_centers(rows: NDArray[np.float32]) -> None:
    rows[..., 2:4] -= rows[..., :2]
    rows[..., :2] += rows[..., 2:4] / 2


def _size(info: ArtifactInfo) -> NDArray[np.float32]:
    height, width = info.input_size
    return np.array((width, height, width, height), np.float32)


def _read_detections(
    answers: Mapping[str, Rows], batch: int, *, info: ArtifactInfo, tensors: Sequence[str]
) -> list[Rows]:
    images = _as_many(detections([answers[name] for name in tensors], batch, info.output), batch)
    if info.output.normalized:
        for rows in images:
            rows[:, :4] *= _size(info)
    if info.suppression == "in_graph":
        return images
    return [_predictions(rows, len(info.class_names)) for rows in images]


def detections(tensors: Sequence[Rows], batch: int, output: OutputConvention) -> list[NDArray[np.float32]]:
    """(K, 6) x1, y1, x2, y2, score, class of each image, without the empty rows that fill a tensor up.

    Raises:
        ArtifactError: the tensors have other columns than the convention.
    """
    rows = side_by_side(tensors)
    if rows.shape[-1] != len(output.columns):
        raise ArtifactError(
            f"a row of the output has {rows.shape[-1]} columns; output.columns names {len(output.columns)}: "
            f"{','.join(output.columns)}"
        )
    if "batch" in output.columns:
        place = rows[..., output.columns.index("batch")].ravel()
        flat = rows.reshape(-1, rows.shape[-1])
        images = [flat[place == index] for index in range(batch)]
    else:
        images = list(rows)
    order = [output.columns.index(name) for name in DETECTION_COLUMNS]
    found = [image[:, order].astype(np.float32) for image in images]
    return [image[(image[:, 4] > 0) & (image[:, 5] >= 0)] for image in found]


def side_by_side(tensors: Sequence[Rows]) -> Rows:
    """(B, K, columns) of finished rows that may come in several tensors, (B, K) for one column, or as (K, columns)."""
    most = max(tensor.ndim for tensor in tensors)
    shapes = ", ".join(str(tensor.shape) for tensor in tensors)
    if most not in (OF_ONE_IMAGE - 1, OF_ONE_IMAGE):
        raise ArtifactError(f"the outputs {shapes} are no rows of detections")
    try:
        rows = np.concatenate(
            [t if t.ndim == most else t[..., None] for t in tensors], axis=-1, dtype=np.float32
        )
    except ValueError as error:
        raise ArtifactError(f"the outputs {shapes} do not stand side by side ({error})") from error
    return rows if rows.ndim == OF_ONE_IMAGE else rows[None]


def _predictions(rows: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Detections that still have to be suppressed, (K, 6), as predictions (K, 5 + C) with one class each."""
    labels = rows[:, 5].astype(np.int64)
    if len(labels) and labels.max() >= classes:
        raise ArtifactError(f"the file answers class {labels.max()}, and there are {classes} class names")
    found = np.zeros((len(rows), 5 + classes), np.float32)
    found[:, :5] = rows[:, :5]
    found[np.arange(len(rows)), 5 + labels] = 1
    _to_centers(found)
    return found
