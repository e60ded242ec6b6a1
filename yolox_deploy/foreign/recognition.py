"""The description of a file that has none: from its shapes, its first weights and what it answers to two pictures.

The pictures are a grey one, in which nothing is to be found, and a photograph. What the numbers do not tell is refused,
with the option that states it; what differs from the authors' own files is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import default_class_names
from yolox_deploy.errors import ArtifactError
from yolox_deploy.foreign import evidence
from yolox_deploy.foreign.finished import describe_rows, order_of
from yolox_deploy.foreign.probe import Pair, Probe
from yolox_deploy.foreign.refusals import refuse, refuse_boxes, refuse_rows, refuse_scores, refuse_shapes
from yolox_deploy.foreign.structure import BOX_COLUMNS, Answers, predictions_form, row_forms
from yolox_deploy.outputs import blocks, finest_first, joined, row_reader
from yolox_deploy.postprocess import Grid, anchor_grid
from yolox_deploy.types import DETECTION_COLUMNS, OutputConvention

OTHER_FAMILIES = {"Ultralytics": "a YOLO model of Ultralytics"}
"""What the author in a file's metadata begins with -> what it then is."""

LEAST_POINTS = 8
"""Anchor points with an answer that boxes are told by, at least."""


def describe_outputs(probe: Probe, stated: Mapping[str, Any]) -> tuple[ArtifactInfo, Pair]:
    """A description of the file with the input convention of `probe`, and its answers to the two pictures.

    Args:
        stated: conventions by dotted name, taken as they are.

    Raises:
        ArtifactError: it is no YOLOX detector, or nothing tells which conventions it has.
    """
    _refuse_other_families(probe, stated)
    grid = anchor_grid(probe.size, priors=stated.get("priors", 1))
    pair = Pair(probe.grey(), probe.photograph(probe.convention))
    form = _form(probe, pair, grid, stated)
    if form.finished:
        fields, classes = describe_rows(probe, pair, form, stated)
    else:
        fields, classes = _predictions(probe, pair, form, grid, stated)
    info = ArtifactInfo(
        model="unknown",
        class_names=classes,
        input_size=probe.size,
        batch=probe.spec.shape[0],
        input=probe.convention,
        precision=probe.runtime.loaded.precision,
        format=probe.runtime.path.suffix.removeprefix("."),
        origin="inferred",
        **fields,
    )
    if info.boxes == "raw" and "boxes" not in stated and not form.finished:
        rows = row_reader(info, [spec.name for spec in probe.runtime.outputs])(pair.photo, 1)[0]
        if evidence.axes_swapped(rows[:, :BOX_COLUMNS], rows[:, 4] * rows[:, 5:].max(axis=1), grid):
            refuse(probe, "its boxes hold y before x, or its rows run down the columns of each level")
    return info, pair


def _refuse_other_families(probe: Probe, stated: Mapping[str, Any]) -> None:
    author = probe.runtime.loaded.metadata.get("author", "")
    for name, what in OTHER_FAMILIES.items():
        if author.startswith(name) and not any(key.startswith("output.") for key in stated):
            refuse(probe, f"it is {what} by its metadata, not a YOLOX model")


def _form(probe: Probe, pair: Pair, grid: Grid, stated: Mapping[str, Any]) -> OutputConvention:
    """How the outputs hold predictions or detections: as stated, else as shapes and numbers tell."""
    tensors, columns = stated.get("output.tensors", ()), stated.get("output.columns")
    missing = [name for name in tensors if name not in pair.grey]
    if missing:
        names = ", ".join(pair.grey)
        raise ArtifactError(
            f"{probe.runtime.path} has the outputs {names}; output.tensors names {missing[0]!r}"
        )
    answers = pair._replace(
        grey={name: pair.grey[name] for name in tensors or pair.grey},
        photo={name: pair.photo[name] for name in tensors or pair.photo},
    )
    form = predictions_form(answers.grey, len(grid), probe.size)
    rows = row_forms(answers.photo) if form is None or _six_columns(form, answers.grey) else []
    if columns is not None:
        found = OutputConvention(columns=columns)
        likely = (rows[0] if rows else None) if found.finished else form
        order = likely.tensors if likely else tuple(answers.grey) if len(answers.grey) > 1 else ()
        first = stated.get("output.columns_first", bool(likely and likely.columns_first))
        return OutputConvention(tensors or order, columns, first)
    arrays = [answers.photo[name] for name in (rows[0].tensors or answers.photo)] if rows else []
    fitting = order_of(arrays, rows, probe.size, probe.spec.shape[0] or 1)
    if form is not None:
        fitting = [order for order in fitting if _are_corners(probe, answers.grey, order, grid)]
    if len(fitting) == 1:
        return fitting[0]
    if form is not None:
        return form
    if rows:
        refuse_rows(probe, arrays)
    return refuse_shapes(probe, pair.grey, grid)


def _six_columns(form: OutputConvention, grey: Answers) -> bool:
    """Whether rows of all anchor points may be finished: x1, y1, x2, y2, score, class, as DeepStream takes them."""
    return not form.tensors and not form.columns_first and next(iter(grey.values())).shape[-1] == 6


def _are_corners(probe: Probe, grey: Answers, order: OutputConvention, grid: Grid) -> bool:
    """Whether rows of all anchor points hold corners where finished ones in this order would."""
    rows = _rows(grey, order)
    found = [rows[:, order.columns.index(name)] for name in DETECTION_COLUMNS[:BOX_COLUMNS]]
    return (evidence.box_form(np.stack(found, axis=1), grid, probe.size) or ("", False))[0] == "corners"


def _predictions(
    probe: Probe, pair: Pair, form: OutputConvention, grid: Grid, stated: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a description that predictions have, and the class names."""
    rows = [_rows(answers, form) for answers in pair]
    if any(len(part) != len(grid) for part in rows):
        refuse_shapes(probe, pair.grey, grid)
    coarse_first = stated.get("output.coarse_first")
    if coarse_first is None:
        coarse_first = (
            len(form.tensors) < 2
            and stated.get("priors", 1) == 1
            and evidence.levels_reversed(rows[0], probe.size)
        )
    if coarse_first:
        rows = [finest_first(part, probe.size) for part in rows]
    parts = [blocks(part, form.columns) for part in rows]
    names = [name for name in ("objectness", "classes") if name in form.columns]
    logits, scores = _scores(
        probe, [np.concatenate([part[name] for name in names], axis=1) for part in parts], stated
    )
    if "output.columns" not in stated:
        form = dataclasses.replace(form, columns=_columns(form, *scores))
        if "objectness" not in form.columns and not rows[0].any():
            refuse(
                probe,
                "it answers nothing but zeros to a grey picture, so nothing tells whether it has objectness",
                "--override output.columns=boxes,objectness,classes or boxes,classes",
            )
    boxes, normalized = stated.get("boxes"), stated.get("output.normalized", False)
    if boxes is None:
        boxes, normalized = _box_form(probe, rows, [part["boxes"] for part in parts], grid)
    output = dataclasses.replace(form, logits=logits, normalized=normalized, coarse_first=coarse_first)
    classes = scores[0].shape[1] - ("objectness" in form.columns)
    return {"boxes": boxes, "output": output}, default_class_names(classes)


def _scores(
    probe: Probe, scores: list[NDArray[Any]], stated: Mapping[str, Any]
) -> tuple[bool, list[NDArray[Any]]]:
    """Whether the scores of both pictures (N, columns) lack their sigmoid, and the scores with it."""
    logits = stated.get("output.logits")
    if logits is None:
        logits = any(map(evidence.outside_unit, scores))
        if logits and not evidence.are_logits(scores[0]):
            refuse_scores(probe, scores)
        if all(map(evidence.twice, scores)):
            refuse(
                probe,
                "its scores lie between 0.5 and 0.731, as where the sigmoid is applied twice, and everything is found",
                "--override output.logits=false",
            )
    if logits:
        scores = [1 / (1 + np.exp(-part.astype(np.float64))) for part in scores]
    elif any(map(evidence.outside_unit, scores)):
        refuse_scores(probe, scores)
    elif "output.columns" not in stated and evidence.end_with_label(np.concatenate(scores)):
        refuse(
            probe,
            "its last column holds 0 and 1 alone, as labels do, and the boxes before it are no corners",
            "--override output.columns=...",
        )
    return bool(logits), scores


def _columns(form: OutputConvention, grey: NDArray[Any], photo: NDArray[Any]) -> tuple[str, ...]:
    """What the columns of `form` hold, objectness where the scores (N, columns) show it."""
    if form.tensors and "objectness" in form.columns:
        return form.columns
    held: tuple[str, ...] = ("classes",)
    if evidence.holds_objectness(grey, photo):
        held = ("classes", "objectness") if evidence.objectness_is_last(grey) else ("objectness", "classes")
    kept = [name for name in form.columns if name != "objectness"]
    return tuple(part for name in kept for part in (held if name == "classes" else (name,)))


def _box_form(
    probe: Probe, rows: list[NDArray[Any]], boxes: list[NDArray[Any]], grid: Grid
) -> tuple[str, bool]:
    """What the boxes are, told by the anchor points that answer anything: some files leave out what is faint."""
    said = [np.flatnonzero(part.any(axis=1)) for part in rows]
    index = np.concatenate(said)
    if len(index) < LEAST_POINTS:
        refuse(
            probe,
            f"it answers almost nothing but zeros ({len(index)} rows of two pictures), too little to tell its boxes",
            "--override boxes=raw|decoded|corners",
        )
    found = np.concatenate([part[points] for part, points in zip(boxes, said, strict=True)])
    told = evidence.box_form(found, Grid(grid.offsets[index], grid.strides[index]), probe.size)
    return told or refuse_boxes(probe, found)


def _rows(answers: Answers, form: OutputConvention) -> NDArray[np.float32]:
    """(N, columns) of the first image."""
    tensors = [answers[name] for name in form.tensors or answers]
    rows = joined(tensors, form.columns_first)[:1]
    return rows.reshape(-1, rows.shape[-1]).astype(np.float32)
