"""The description of a file that has none: from its shapes, its first weights and what it answers to two pictures.

The pictures are a grey one, in which nothing is to be found, and a photograph. What the numbers do not tell is refused,
with the option that states it; what differs from the authors' own files is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import CLASS_NAMES, default_class_names
from yolox_deploy.errors import ArtifactError
from yolox_deploy.foreign import evidence
from yolox_deploy.foreign.probe import Probe
from yolox_deploy.foreign.structure import ROW_ORDERS, Answers, predictions_form, row_forms
from yolox_deploy.outputs import blocks, detections, joined, side_by_side
from yolox_deploy.postprocess import Grid, anchor_grid
from yolox_deploy.types import OutputConvention

OTHER_FAMILIES = {"Ultralytics": "a YOLO model of Ultralytics"}
"""What the author in a file's metadata begins with -> what it then is."""

PRIORS = 3
"""Anchor boxes a location in YOLOv3, v5 and v7."""


class Pair(NamedTuple):
    """What a file answers to the grey picture and to the photograph."""

    grey: Answers
    photo: Answers


def describe_outputs(probe: Probe, stated: Mapping[str, Any]) -> tuple[ArtifactInfo, Answers]:
    """A description of the file with the input convention of `probe`, and its answers to the grey picture.

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
        fields, classes = _finished(probe, pair, form, stated)
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
    return info, pair.grey


def _refuse_other_families(probe: Probe, stated: Mapping[str, Any]) -> None:
    author = probe.runtime.loaded.metadata.get("author", "")
    for name, what in OTHER_FAMILIES.items():
        if author.startswith(name) and not any(key.startswith("output.") for key in stated):
            _refuse(probe, f"it is {what} by its metadata, not a YOLOX model")


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
    form = predictions_form(answers.grey, len(grid))
    rows = row_forms(answers.photo) if form is None or _six_columns(form, answers.grey) else []
    if columns is not None:
        found = OutputConvention(columns=columns)
        likely = (rows[0] if rows else None) if found.finished else form
        order = likely.tensors if likely else tuple(answers.grey) if len(answers.grey) > 1 else ()
        first = stated.get("output.columns_first", bool(likely and likely.columns_first))
        return OutputConvention(tensors or order, columns, first)
    arrays = [answers.photo[name] for name in (rows[0].tensors or answers.photo)] if rows else []
    fitting = evidence.order_of(arrays, rows, probe.size, probe.spec.shape[0] or 1)
    if len(fitting) == 1:
        return fitting[0]
    if form is not None:
        return form
    if rows:
        _refuse_rows(probe, arrays)
    return _refuse_shapes(probe, pair.grey, grid)


def _six_columns(form: OutputConvention, grey: Answers) -> bool:
    """Whether rows of all anchor points may be finished: x1, y1, x2, y2, score, class, as DeepStream takes them."""
    return not form.tensors and not form.columns_first and next(iter(grey.values())).shape[-1] == 6


def _predictions(
    probe: Probe, pair: Pair, form: OutputConvention, grid: Grid, stated: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a description that predictions have, and the class names."""
    grey, photo = (blocks(_rows(answers, form), form.columns) for answers in pair)
    parts = [name for name in ("objectness", "classes") if name in form.columns]
    scores = [np.concatenate([found[name] for name in parts], axis=1) for found in (grey, photo)]
    logits = stated.get("output.logits")
    if logits is None:
        logits = any(map(evidence.outside_unit, scores))
        if logits and not evidence.are_logits(scores[0]):
            _refuse_scores(probe, scores)
    if logits:
        scores = [1 / (1 + np.exp(-part.astype(np.float64))) for part in scores]
    elif any(map(evidence.outside_unit, scores)):
        _refuse_scores(probe, scores)
    unsaid = "output.columns" not in stated and not form.tensors
    if unsaid and not evidence.holds_objectness(*scores):
        form, parts = dataclasses.replace(form, columns=("boxes", "classes")), ["classes"]
    box_form = stated.get("boxes"), stated.get("output.normalized", False)
    if box_form[0] is None:
        box_form = evidence.box_form(grey["boxes"], grid, probe.size) or _refuse_boxes(probe, grey["boxes"])
    output = dataclasses.replace(form, logits=bool(logits), normalized=box_form[1])
    return {"boxes": box_form[0], "output": output}, default_class_names(scores[0].shape[1] - len(parts) + 1)


def _rows(answers: Answers, form: OutputConvention) -> NDArray[np.float32]:
    """(N, columns) of the first image."""
    tensors = [answers[name] for name in form.tensors or answers]
    rows: NDArray[np.float32] = joined(tensors, form.columns_first)[0].astype(np.float32)
    return rows


def _finished(
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
            _refuse(
                probe,
                f"it answers class {classes - 1}, and its number of classes is not in it",
                "--names FILE",
            )
        classes = len(CLASS_NAMES)
    normalized = stated.get("output.normalized", evidence.are_shares(images))
    fields = {"boxes": "corners", "output": dataclasses.replace(form, normalized=normalized)}
    return fields, default_class_names(classes)


def _refuse(probe: Probe, found: str, option: str = "") -> NoReturn:
    cure = f"state it with {option}, or compare" if option else "compare"
    raise ArtifactError(
        f"{probe.runtime.path}: {found}. If it is a YOLOX detector all the same, {cure} what is possible on pictures: "
        f"yolox-deploy inspect {probe.runtime.path} --images DIR{probe.hint}"
    )


def _refuse_rows(probe: Probe, tensors: list[NDArray[Any]]) -> NoReturn:
    rows = side_by_side(tensors)
    orders = "; ".join(",".join(order) for order in ROW_ORDERS if len(order) == rows.shape[-1])
    why = (
        "no known order of them fits"
        if rows.size
        else "it finds nothing in a photograph, which would tell their order"
    )
    _refuse(
        probe,
        f"its rows of {rows.shape[-1]} columns seem to be finished detections, and {why}",
        f"--override output.columns=... (in use are: {orders})",
    )


def _refuse_shapes(probe: Probe, answers: Answers, grid: Grid) -> NoReturn:
    shapes = ", ".join(f"{name} {array.shape}" for name, array in answers.items())
    size = "{}x{}".format(*probe.size)
    if any(len(grid) * PRIORS in array.shape for array in answers.values()):
        _refuse(
            probe,
            f"the output is {shapes}: {PRIORS} rows for each of the {len(grid)} anchor points of {size}, as YOLOv3, v5 "
            "and v7 have with their anchor boxes",
            f"--override priors={PRIORS} (YOLOX's own anchor-based models)",
        )
    alone = [name for name in answers if predictions_form({name: answers[name]}, len(grid))]
    if len(alone) == 1 and len(answers) > 1:
        others = ", ".join(name for name in answers if name != alone[0])
        _refuse(probe, f"beside {alone[0]} it answers {others}", f"--override output.tensors={alone[0]}")
    _refuse(
        probe, f"the output is {shapes}; a YOLOX detector of {size} gives (batch, {len(grid)}, 5 + classes)"
    )


def _refuse_scores(probe: Probe, scores: list[NDArray[Any]]) -> NoReturn:
    low, high = min(part.min() for part in scores), max(part.max() for part in scores)
    _refuse(
        probe,
        f"its score columns hold {low:.3g} to {high:.3g}, expected 0 to 1, and they are no logits either: more box "
        "coordinates than four (a four-point head), or another network",
        "--override output.logits=true or output.columns=...",
    )


def _refuse_boxes(probe: Probe, boxes: NDArray[Any]) -> NoReturn:
    low, high = (
        ", ".join(f"{value:.3g}" for value in side) for side in (boxes.min(axis=0), boxes.max(axis=0))
    )
    _refuse(
        probe,
        f"its box columns (from {low} to {high} on a grey picture) are neither undecoded, nor centres and sizes, nor "
        "corners",
        "--override boxes=raw|decoded|corners",
    )
