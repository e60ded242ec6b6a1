"""Finished rows: what their numbers tell of their columns, and the description that they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import CLASS_NAMES, default_class_names
from yolox_deploy.foreign.evidence import SURE, Rows
from yolox_deploy.foreign.probe import Pair, Probe, beside_grey
from yolox_deploy.foreign.refusals import refuse
from yolox_deploy.foreign.structure import BOX_COLUMNS
from yolox_deploy.outputs import detections
from yolox_deploy.postprocess import anchor_grid
from yolox_deploy.types import DETECTION_COLUMNS, OutputConvention


def describe_rows(
    probe: Probe, pair: Pair, form: OutputConvention, stated: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a description that finished rows have, and the class names, whose number only labels tell.

    They are suppressed again: it changes nothing where the graph did so by the same thresholds.
    """
    images = [
        rows
        for answers in pair
        for rows in detections(
            [answers[name] for name in form.tensors or answers], probe.spec.shape[0] or 1, form
        )
    ]
    rows = np.concatenate(images)
    classes = int(rows[:, 5].max()) + 1 if len(rows) else 1
    if len(rows) < len(anchor_grid(probe.size)) and "class_names" not in stated:
        if classes > len(CLASS_NAMES):
            refuse(
                probe,
                f"it answers class {classes - 1}, and its number of classes is not in it",
                "--names FILE",
            )
        classes = len(CLASS_NAMES)
    normalized = stated.get("output.normalized", are_shares(images))
    if "output.columns" not in stated and y_first(_found_beside(probe, form, normalized)):
        refuse(
            probe, "its rows hold y before x", f"--override output.columns={','.join(_y_first(form.columns))}"
        )
    fields = {"boxes": "corners", "output": dataclasses.replace(form, normalized=normalized)}
    return fields, default_class_names(classes)


def _found_beside(probe: Probe, form: OutputConvention, normalized: bool) -> list[NDArray[np.float32]]:
    """Finished rows, in pixels, of the photograph in the right half of a picture twice as wide as high."""
    answers = probe.answer(beside_grey(probe.convention.pad_value), probe.convention)
    images = detections([answers[name] for name in form.tensors or answers], probe.spec.shape[0] or 1, form)
    for rows in images if normalized else ():
        rows[:, :4] *= np.tile(probe.size[::-1], 2)
    return images


def _y_first(columns: Sequence[str]) -> list[str]:
    axes = {"x": "y", "y": "x"}
    return [
        axes.get(name[0], name[0]) + name[1:] if name in DETECTION_COLUMNS[:BOX_COLUMNS] else name
        for name in columns
    ]


def order_of(
    tensors: list[NDArray[np.float32]], forms: list[OutputConvention], size: tuple[int, int], batch: int
) -> list[OutputConvention]:
    """Those of `forms` that the numbers of finished rows fit."""
    found = []
    for form in forms:
        if "batch" in form.columns and not _is_batch(tensors, form, batch):
            continue
        if fits(detections(tensors, batch, form), form, size):
            found.append(form)
    return found


def _is_batch(tensors: list[NDArray[np.float32]], form: OutputConvention, batch: int) -> bool:
    rows = tensors[0].reshape(-1, tensors[0].shape[-1])
    places = rows[:, form.columns.index("batch")]
    return bool(((places >= 0) & (places < batch) & (places == np.round(places))).all())


def fits(images: list[Rows], output: OutputConvention, size: tuple[int, int]) -> bool:
    """Whether finished rows, read in this order, are boxes in a picture with scores and classes."""
    rows = np.concatenate(images)
    if not len(rows):
        return False
    corners, scores, labels = rows[:, :4], rows[:, 4], rows[:, 5]
    whole = bool((labels == np.round(labels)).all() and labels.max() < 10_000)
    proper = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    reach = 2.0 * max(size)
    return (
        whole
        and bool(scores.max() <= 1.001 and (scores != np.round(scores)).any())
        and float(proper.mean()) > 0.95
        and bool(np.abs(corners).max() < reach * 4 and np.median(np.abs(corners)) < reach)
    )


def are_shares(images: list[Rows]) -> bool:
    """Whether the corners of finished rows are shares of the input's size, not pixels."""
    rows = np.concatenate(images)
    return bool(len(rows) and np.quantile(np.abs(rows[:, :4]), 0.9) <= 1.5)


def y_first(images: list[Rows]) -> bool:
    """Whether finished rows hold y before x, of a picture twice as wide as high with all objects in its right half."""
    rows = np.concatenate(images)
    x1, y1, x2, y2 = rows[rows[:, 4] > SURE, :4].T
    return bool(len(x1) and np.median(y1 + y2) > np.median(x1 + x2))
