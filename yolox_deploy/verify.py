"""Proof after an export: the new file against the PyTorch network it was made from.

Float32 files are compared number by number. Reduced precision moves single numbers without harm (by 0.3 in
bfloat16), so there the detections are compared: matched boxes, their overlap, class and score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.images import load_image
from yolox_deploy.matching import Boxes, match
from yolox_deploy.postprocess import anchor_points, decode, final_rows, postprocess
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.runtimes.base import Runtime

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(B, 3, H, W) float32 to undecoded (B, N, 5 + C): the reference."""

RAW_TOLERANCE = 1e-3
"""Largest difference of a float32 file, each number scaled by 1 / max(unit, |reference|).

The unit is 1, and for decoded boxes the stride: there a box is its code times the stride.
"""

SEED = 20210718
CONF = 0.25
IOU = 0.45
FEWEST_DETECTIONS = 20


@dataclass(frozen=True)
class Gate:
    """What a reduced-precision file must reach.

    Attributes:
        match_iou: overlap from which two boxes are the same object.
        share: least share of the detections of either side that the other has too.
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


def packaged_photographs() -> list[Path]:
    """Three real photographs that come with the package (CC0 and public domain)."""
    folder = Path(str(resources.files("yolox_deploy"))) / "assets"
    return sorted(folder.glob("*.jpg"))


def verify(
    runtime: Runtime, info: ArtifactInfo, network: Network, images: Sequence[Path] = ()
) -> dict[str, Any]:
    """Compare a loaded file with its reference.

    Args:
        runtime: the file, loaded on its backend.
        info: its description.
        network: the float32 reference.
        images: photographs to compare on; those of the package where none are given.

    Returns:
        Figures for the artifact's metadata; `passed` tells whether they are within the limits.
    """
    pictures = [load_image(path) for path in (images or packaged_photographs())]
    by_numbers = info.precision == "fp32" and info.suppression != "in_graph"
    figures = _by_numbers(runtime, info, network, pictures) if by_numbers else {}
    if not by_numbers:
        figures = _by_detections(runtime, info, network, pictures)
    return {"verified": True, "backend": runtime.name, "device": runtime.loaded.device, **figures}


def _by_numbers(
    runtime: Runtime, info: ArtifactInfo, network: Network, pictures: Sequence[NDArray[np.uint8]]
) -> dict[str, Any]:
    sizes = (1, 3) if info.batch is None else (info.batch,)
    errors: list[tuple[float, float]] = []
    for batch in sizes:
        for tensor in _tensors(info, pictures, batch):
            expected = network(_to_float(tensor, info))
            if info.boxes == "decoded":
                expected = decode(expected, info.input_size, info.priors)
            found = _run(runtime, tensor)
            error = np.abs(found - expected) / np.maximum(_units(info), np.abs(expected))
            errors.append((float(error[..., :4].max()), float(error[..., 4:].max())))
    boxes, scores = (float(value) for value in np.max(errors, axis=0))  # unlike max(), keeps a NaN
    largest = np.maximum(boxes, scores)
    return {
        "kind": "numbers",
        "photographs": len(pictures),
        "batches": list(sizes),
        "max_error_boxes": boxes,
        "max_error_scores": scores,
        "limits": {"max_error": RAW_TOLERANCE},
        "passed": bool(np.isfinite(largest) and largest <= RAW_TOLERANCE),
    }


def _units(info: ArtifactInfo) -> NDArray[np.float32]:
    """(N, 5 + C) what the errors of predictions are counted in: 1, and strides for decoded boxes."""
    strides = anchor_points(info.input_size, priors=info.priors).strides
    units = np.ones((len(strides), 5 + len(info.class_names)), np.float32)
    if info.boxes == "decoded":
        units[:, :4] = strides[:, None]
    return units


def _by_detections(
    runtime: Runtime, info: ArtifactInfo, network: Network, pictures: Sequence[NDArray[np.uint8]]
) -> dict[str, Any]:
    gate = GATES[info.precision]
    pairs: list[Mapping[str, float]] = []
    for index, picture in enumerate(pictures):
        batch = info.batch or (3 if index == 0 else 1)  # a free batch is tried at another size once
        tensor = _tensors(info, [picture], batch, noise=False)[0]
        reference = decode(network(_to_float(tensor[:1], info)), info.input_size, info.priors)[0]
        found = _run(runtime, tensor)
        if info.suppression == "in_graph":
            rows = found[found[:, 0] == batch - 1, 1:]
            pairs.append(_compare_final(reference, rows, info, gate.match_iou))
            continue
        found = found if info.boxes == "decoded" else decode(found, info.input_size, info.priors)
        pairs.append(_compare(reference, found[-1], gate.match_iou, info.suppression == "none"))
    totals = {key: sum(pair[key] for pair in pairs) for key in pairs[0]}
    nothing = totals["either"] == 0  # only a graph with its own threshold can find nothing on either side
    matched = max(totals["matched"], 1.0)
    figures = {
        "share_matched": 1.0 if nothing else totals["both"] / totals["either"],
        "mean_matched_iou": 1.0 if nothing else totals["iou"] / matched,
        "class_agreement": 1.0 if nothing else totals["same_class"] / matched,
        "mean_score_difference": totals["score"] / matched,
    }
    passed = (
        figures["share_matched"] >= gate.share
        and figures["mean_matched_iou"] >= gate.mean_iou
        and figures["class_agreement"] >= gate.classes
        and figures["mean_score_difference"] <= gate.score
    )
    return {
        "kind": "detections",
        "photographs": len(pictures),
        "detections": int(totals["reference"]),
        **figures,
        "limits": asdict(gate),
        "passed": bool(passed),
    }


def _compare(
    reference: NDArray[np.float32], found: NDArray[np.float32], match_iou: float, suppress: bool = True
) -> dict[str, float]:
    """Matches in both directions between decoded (A, 5 + C) outputs of one image.

    A box just above the threshold on one side may be just below it on the other, so each side's detections
    are looked for among the other's at half the threshold.
    """
    conf = min(CONF, _score_of_rank(reference, FEWEST_DETECTIONS))
    strong, weak = (_boxes(reference, least, suppress) for least in (conf, conf / 2))
    found_strong, found_weak = (_boxes(found, least, suppress) for least in (conf, conf / 2))
    return _count_matches(strong, weak, found_strong, found_weak, match_iou)


def _compare_final(
    reference: NDArray[np.float32], rows: NDArray[np.float32], info: ArtifactInfo, match_iou: float
) -> dict[str, float]:
    """Matches between the shared suppression on the reference and the rows of a graph that has its own."""
    nms = info.details["nms"]
    expected = Boxes(*postprocess(reference, conf=nms["conf"], iou=nms["iou"], multi_label=True))
    found = Boxes(*final_rows(rows, conf=nms["conf"]))
    return _count_matches(expected, expected, found, found, match_iou)


def _count_matches(
    strong: Boxes, weak: Boxes, found_strong: Boxes, found_weak: Boxes, match_iou: float
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


def _boxes(decoded: NDArray[np.float32], conf: float, suppress: bool) -> Boxes:
    return Boxes(*postprocess(decoded, conf=conf, iou=IOU, max_detections=300, suppress=suppress))


def _score_of_rank(decoded: NDArray[np.float32], rank: int) -> float:
    """The rank-th best score: an untrained network is compared on its best anchor points."""
    scores = decoded[:, 4] * decoded[:, 5:].max(axis=1)
    return float(np.partition(scores, -rank)[-rank]) if len(scores) >= rank else 0.0


def _tensors(
    info: ArtifactInfo, pictures: Sequence[NDArray[np.uint8]], batch: int, *, noise: bool = True
) -> list[NDArray[Any]]:
    """Input tensors: the photographs in batches (repeated to fill), then one of uniform noise."""
    preprocessor = Preprocessor(info.input_size, info.input)
    rng = np.random.default_rng(SEED)
    height, width = info.input_size
    picked = list(pictures)
    if noise:
        picked += [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(batch)]
    tensors = []
    for start in range(0, len(picked), batch):
        chunk = (picked[start : start + batch] * batch)[:batch]
        tensor = preprocessor.batch(batch)
        for slot, picture in zip(tensor, chunk, strict=True):
            preprocessor.fill(slot, picture)
        tensors.append(tensor)
    return tensors


def _to_float(tensor: NDArray[Any], info: ArtifactInfo) -> NDArray[np.float32]:
    """The same pixels as the reference takes them: (B, 3, H, W) float32."""
    if info.input.layout == "NHWC":
        tensor = tensor.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(tensor, np.float32)


def _run(runtime: Runtime, tensor: NDArray[Any]) -> NDArray[np.float32]:
    return runtime.infer({runtime.inputs[0].name: tensor})[runtime.outputs[0].name]
