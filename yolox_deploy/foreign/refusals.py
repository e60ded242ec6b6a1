"""What is said where nothing tells what a file answers: what was found, and the option that states it."""

from __future__ import annotations

from typing import Any, NoReturn

from numpy.typing import NDArray

from yolox_deploy.errors import ArtifactError
from yolox_deploy.foreign.probe import Probe
from yolox_deploy.foreign.structure import ROW_ORDERS, Answers, predictions_form
from yolox_deploy.outputs import side_by_side
from yolox_deploy.postprocess import Grid

PRIORS = 3
"""Anchor boxes a location in YOLOv3, v5 and v7."""


def refuse(probe: Probe, found: str, option: str = "") -> NoReturn:
    cure = f"state it with {option}, or compare" if option else "compare"
    raise ArtifactError(
        f"{probe.runtime.path}: {found}. If it is a YOLOX detector all the same, {cure} what is possible on pictures: "
        f"yolox-deploy inspect {probe.runtime.path} --images DIR{probe.hint}"
    )


def refuse_rows(probe: Probe, tensors: list[NDArray[Any]]) -> NoReturn:
    rows = side_by_side(tensors)
    orders = "; ".join(",".join(order) for order in ROW_ORDERS if len(order) == rows.shape[-1])
    why = (
        "no known order of them fits"
        if rows.size
        else "it finds nothing in a photograph, which would tell their order"
    )
    refuse(
        probe,
        f"its rows of {rows.shape[-1]} columns seem to be finished detections, and {why}",
        f"--override output.columns=... (in use are: {orders})",
    )


def refuse_shapes(probe: Probe, answers: Answers, grid: Grid) -> NoReturn:
    shapes = ", ".join(f"{name} {array.shape}" for name, array in answers.items())
    size = "{}x{}".format(*probe.size)
    if any(len(grid) * PRIORS in array.shape for array in answers.values()):
        refuse(
            probe,
            f"the output is {shapes}: {PRIORS} rows for each of the {len(grid)} anchor points of {size}, as YOLOv3, v5 "
            "and v7 have with their anchor boxes",
            f"--override priors={PRIORS} (YOLOX's own anchor-based models)",
        )
    alone = [name for name in answers if predictions_form({name: answers[name]}, len(grid), probe.size)]
    if len(alone) == 1 and len(answers) > 1:
        others = ", ".join(name for name in answers if name != alone[0])
        refuse(probe, f"beside {alone[0]} it answers {others}", f"--override output.tensors={alone[0]}")
    refuse(
        probe, f"the output is {shapes}; a YOLOX detector of {size} gives (batch, {len(grid)}, 5 + classes)"
    )


def refuse_scores(probe: Probe, scores: list[NDArray[Any]]) -> NoReturn:
    low, high = min(part.min() for part in scores), max(part.max() for part in scores)
    refuse(
        probe,
        f"its score columns hold {low:.3g} to {high:.3g}, expected 0 to 1, and they are no logits either: more box "
        "coordinates than four (a four-point head), or another network",
        "--override output.logits=true or output.columns=...",
    )


def refuse_boxes(probe: Probe, boxes: NDArray[Any]) -> NoReturn:
    low, high = (
        ", ".join(f"{value:.3g}" for value in side) for side in (boxes.min(axis=0), boxes.max(axis=0))
    )
    refuse(
        probe,
        f"its box columns (from {low} to {high} on a grey picture) are neither undecoded, nor centres and sizes, nor "
        "corners",
        "--override boxes=raw|decoded|corners",
    )
