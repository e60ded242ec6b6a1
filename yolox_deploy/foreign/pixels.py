"""How a foreign file wants its pixels scaled: told by its first weights and by what it finds in two pictures."""

from __future__ import annotations

import dataclasses

import numpy as np

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.foreign.probe import Probe
from yolox_deploy.foreign.stem import UNCERTAIN_WEIGHT, stem_weight
from yolox_deploy.foreign.structure import Answers
from yolox_deploy.outputs import row_reader
from yolox_deploy.types import LEGACY_STEM_WEIGHT, InputConvention

CLEARLY_BETTER = 1.5
"""How many times higher the scores of a photograph have to be for another scaling than the likely one."""

FOUND_IN_GREY = 0.3
"""The sum of the best scores in a grey picture from which the pixels are of another scale than the network's: under
0.01 in right files, 0.65 and 15 in networks of normalised pixels that are given 0-255."""

BEST = 20
"""Scores of a picture that are summed."""

PIXELS = ("color_order", "scale", "mean", "std")
"""The fields of an input convention that say what a pixel becomes."""


def scalings(convention: InputConvention) -> tuple[InputConvention, ...]:
    """`convention` with the pixels of the files from before YOLOX 0.1.1, and divided by 255 alone."""
    unit = 1 / 255
    ways = (
        InputConvention.legacy(),
        InputConvention(color_order="RGB", scale=unit),
        InputConvention(scale=unit),
    )
    return tuple(
        dataclasses.replace(convention, **{name: getattr(way, name) for name in PIXELS}) for way in ways
    )


def first_weight(probe: Probe) -> float | None:
    """The mean absolute weight that pixels meet first, where they may be scaled and it can be told."""
    scalable = probe.convention.dtype != "uint8" and probe.convention.channels == 3
    return stem_weight(probe.runtime.path, probe.runtime.content) if scalable else None


def likely_input(convention: InputConvention, weight: float | None) -> InputConvention:
    """`convention`, with normalised pixels where the first weights are clearly made for them."""
    return scalings(convention)[0] if weight is not None and weight > LEGACY_STEM_WEIGHT else convention


def scaled_input(probe: Probe, info: ArtifactInfo, grey: Answers, weight: float | None) -> InputConvention:
    """The input convention of a file whose outputs are described by `info`.

    Only large first weights raise the question; the photograph is then looked at once more for each way.

    Args:
        probe: with the likely convention.
        grey: what the file answers to a grey picture by it.
        weight: what `first_weight` gives.
    """
    if weight is None or weight <= UNCERTAIN_WEIGHT:
        return probe.convention
    if weight <= LEGACY_STEM_WEIGHT and _scores(grey, probe, info) < FOUND_IN_GREY:
        return probe.convention
    likely, *others = scalings(probe.convention)
    scores = {way: _scores(probe.photograph(way), probe, info) for way in (likely, *others)}
    best = max(others, key=scores.__getitem__)
    return best if scores[best] > CLEARLY_BETTER * scores[likely] else likely


def _scores(answers: Answers, probe: Probe, info: ArtifactInfo) -> float:
    """The sum of the best scores in a picture."""
    rows = row_reader(info, [spec.name for spec in probe.runtime.outputs])(answers, 1)[0]
    scores = rows[:, 4] if info.suppression == "in_graph" else rows[:, 4] * rows[:, 5:].max(axis=1)
    return float(np.sort(scores)[-BEST:].sum())
