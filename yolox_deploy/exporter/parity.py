"""Proof after an export: the new file against the PyTorch network it was made from.

Float32 files are compared number by number. Reduced precision moves single numbers without harm (by 0.3 in
bfloat16), so there the detections are compared: matched boxes, their overlap, class and score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.errors import GateError
from yolox_deploy.exporter.feeding import Network, Pictures, Rows, batches, run, to_float
from yolox_deploy.exporter.numbers import compare_numbers
from yolox_deploy.files import packaged_photographs
from yolox_deploy.images import load_opaque
from yolox_deploy.matching import Boxes, match
from yolox_deploy.postprocess import anchor_grid, split_batch, to_detections
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.types import Letterboxed

FEWEST_DETECTIONS = 20

FEWEST_OF_A_SLOT = 3
"""Detections (of both sides together) from which a slot of the batch is judged by itself too."""


@dataclass(frozen=True)
class Gate:
    """What a reduced-precision file must reach.

    Attributes:
        match_iou: overlap from which two boxes are the same object.
        share: least share of the detections of either side that the other has too; half of it for each slot of
            a batch, so that one that answers nothing or for another does not hide among many.
        mean_iou: least mean overlap of the matched boxes.
        classes: least share of matched boxes with the same class.
        score: largest mean difference of the scores of matched boxes.
    """

    match_iou: float
    share: float
    mean_iou: float
    classes: float
    score: float


GATES = {
    "fp32": Gate(match_iou=0.99, share=0.99, mean_iou=0.999, classes=0.99, score=0.001),
    "fp16": Gate(match_iou=0.9, share=0.95, mean_iou=0.98, classes=0.98, score=0.01),
    "bf16": Gate(match_iou=0.9, share=0.80, mean_iou=0.95, classes=0.95, score=0.03),
    "int8": Gate(match_iou=0.8, share=0.75, mean_iou=0.90, classes=0.90, score=0.10),
}


def verify(
    runtime: Runtime,
    info: ArtifactInfo,
    network: Network,
    images: Sequence[Path] = (),
    exact: Network | None = None,
) -> dict[str, Any]:
    """Compare a loaded file with its reference.

    Args:
        runtime: the file, loaded on its backend.
        info: its description.
        network: the float32 reference.
        images: photographs to compare on; those of the package where none are given.
        exact: the reference in float64, for files whose numbers differ more than float32 files may.

    Returns:
        Figures for the artifact's metadata; `passed` tells whether they are within the limits.

    Raises:
        GateError: a graph with its own threshold, and nothing above it on either side.
    """
    channels = info.input.picture_channels
    pictures = [load_opaque(path, channels) for path in (images or packaged_photographs())]
    if info.precision != "fp32" or info.suppression == "in_graph":
        figures = _by_detections(runtime, info, network, pictures)
    else:
        figures = compare_numbers(runtime, info, network, exact, pictures)
    return {"verified": True, "backend": runtime.name, "device": runtime.loaded.device, **figures}


def _by_detections(
    runtime: Runtime, info: ArtifactInfo, network: Network, pictures: Pictures
) -> dict[str, Any]:
    gate = GATES[info.precision]
    slots: list[dict[str, float]] = []
    sizes, best = set[int](), 0.0
    for chunk in batches(runtime, info, pictures):
        sizes.add(len(chunk))
        slots += [{} for _ in range(len(chunk) - len(slots))]
        tensor, letterboxes = Preprocessor(info.input_size, info.input).stack(chunk)
        references = network(to_float(tensor, info))
        answers = split_batch(run(runtime, tensor), info.suppression, len(chunk))
        for slot, parts in enumerate(zip(references, answers, letterboxes, strict=True)):
            slots[slot] = _sum((slots[slot], _compare(*parts, info, gate.match_iou)))
            best = max(best, _score_of_rank(parts[0], 1))
    totals = _sum(slots)
    if totals["either"] == 0:  # only a graph with a threshold of its own can find nothing on either side
        raise GateError(
            f"nothing was compared: at conf {info.details['nms']['conf']} neither PyTorch (best score {best:.3f}) "
            f"nor the graph's own suppression finds anything in {len(pictures)} pictures. Name a folder of "
            "pictures with objects that the model knows: --images DIR, or a lower --conf"
        )
    return {
        "kind": "detections",
        "photographs": len(pictures),
        "batches": sorted(sizes),
        "detections": int(totals["reference"]),
        **_judge(totals, slots, gate),
    }


def _judge(totals: Mapping[str, float], slots: Sequence[Mapping[str, float]], gate: Gate) -> dict[str, Any]:
    matched = max(totals["matched"], 1.0)
    judged = [slot["both"] / slot["either"] for slot in slots if slot["either"] >= FEWEST_OF_A_SLOT]
    figures = {
        "share_matched": totals["both"] / totals["either"],
        "mean_matched_iou": totals["iou"] / matched,
        "class_agreement": totals["same_class"] / matched,
        "mean_score_difference": totals["score"] / matched,
        "worst_slot_share": min(judged, default=1.0),
    }
    passed = (
        figures["share_matched"] >= gate.share
        and figures["mean_matched_iou"] >= gate.mean_iou
        and figures["class_agreement"] >= gate.classes
        and figures["mean_score_difference"] <= gate.score
        and figures["worst_slot_share"] >= gate.share / 2
    )
    return {**figures, "limits": asdict(gate), "passed": bool(passed)}


def _sum(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _compare(
    reference: Rows, found: Rows, letterbox: Letterboxed, info: ArtifactInfo, match_iou: float
) -> dict[str, float]:
    """Matches in both directions between the undecoded (A, 5 + C) reference of one image and what was found in it.

    A box just above the threshold on one side may be just below it on the other, so each side's detections
    are looked for among the other's at half the threshold. A graph that suppresses by itself has one threshold.
    """
    grid = anchor_grid(info.input_size, priors=info.priors)
    suppression = "none" if info.suppression == "in_graph" else info.suppression
    finish = partial(_boxes, letterbox=letterbox, class_names=info.class_names)
    expect = partial(finish, reference, suppression=suppression, grid=grid)
    find = partial(finish, found, suppression=info.suppression, grid=grid if info.boxes == "raw" else None)
    both = _thresholds(reference, info)
    return _count_matches(match_iou, *(side(thresholds=each) for side in (expect, find) for each in both))


def _boxes(rows: Rows, letterbox: Letterboxed, **form: Any) -> Boxes:
    found = to_detections(rows, letterbox, **form)
    return Boxes(found.boxes, found.scores, found.class_ids)


def _thresholds(reference: Rows, info: ArtifactInfo) -> tuple[Thresholds, Thresholds]:
    """The thresholds that detections are counted at, and those that they are looked for at."""
    if info.suppression == "in_graph":
        nms = info.details["nms"]
        own = Thresholds(nms["conf"], nms["iou"], max_detections=None, multi_label=True)
        return own, own
    default = Thresholds()
    conf = min(default.conf, _score_of_rank(reference, FEWEST_DETECTIONS))
    return replace(default, conf=conf), replace(default, conf=conf / 2)


def _count_matches(
    match_iou: float, strong: Boxes, weak: Boxes, found_strong: Boxes, found_weak: Boxes
) -> dict[str, float]:
    """Each side's detections among the other's more generous set."""
    a, b, overlaps = match(strong, found_weak, match_iou)
    backward = match(found_strong, weak, match_iou)
    return {
        "reference": len(strong.scores),
        "either": len(strong.scores) + len(found_strong.scores),
        "both": len(a) + len(backward[0]),
        "matched": len(a),
        "iou": float(overlaps.sum()),
        "same_class": float((strong.class_ids[a] == found_weak.class_ids[b]).sum()),
        "score": float(np.abs(strong.scores[a] - found_weak.scores[b]).sum()),
    }


def _score_of_rank(rows: Rows, rank: int) -> float:
    """The rank-th best score: an untrained network is compared on its best anchor points."""
    scores = rows[:, 4] * rows[:, 5:].max(axis=1)
    return float(np.partition(scores, -rank)[-rank]) if len(scores) >= rank else 0.0
