"""How a foreign file wants its pixels scaled: told by its first weights and by what it finds in two pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.errors import ArtifactError
from yolox_deploy.foreign.evidence import best_sum
from yolox_deploy.foreign.probe import Probe
from yolox_deploy.foreign.recognition import describe_outputs
from yolox_deploy.foreign.stem import UNCERTAIN_WEIGHT, stem_weight
from yolox_deploy.foreign.structure import Answers
from yolox_deploy.outputs import row_reader
from yolox_deploy.types import LEGACY_STEM_WEIGHT, InputConvention

CLEARLY_BETTER = 1.5
"""How many times higher the scores of a photograph have to be for another scaling than the likely one."""

FOUND_IN_GREY = 0.3
"""The sum of the best scores in a grey picture from which the pixels are of another scale than the network's: under
0.01 in right files, 0.65 and 15 in networks of normalised pixels that are given 0-255."""

DECIDES = 1.0
"""The sum of the best scores in a photograph from which they tell one scaling from another."""

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
    return stem_weight(probe.runtime.path, probe.runtime.content) if _scalable(probe) else None


def _scalable(probe: Probe) -> bool:
    return probe.convention.dtype != "uint8" and probe.convention.channels == 3


class Reading(NamedTuple):
    """A description by one scaling, and what tells whether it is right, the most telling first.

    Attributes:
        silent: nothing is found in the grey picture.
        usual: objectness is where it usually is; a wrong scaling can look like another order of the columns.
        scores: of what is found in the photograph.
    """

    info: ArtifactInfo
    silent: bool
    usual: bool
    scores: float

    @classmethod
    def of(cls, probe: Probe, stated: Mapping[str, Any]) -> Reading:
        """Describe the file by the convention of `probe`.

        Raises:
            ArtifactError: as `describe_outputs`.
        """
        info, pair = describe_outputs(probe, stated)
        grey, photo = (_scores(answers, probe, info) for answers in pair)
        return cls(info, grey < FOUND_IN_GREY, info.output.columns[-1] != "objectness", photo)


def describe_scaled(
    probe: Probe, stated: Mapping[str, Any], weight: float | None
) -> tuple[ArtifactInfo, bool]:
    """The description of a file whose scaling is not stated, and whether the photograph tells the scaling.

    Large first weights raise the question, and where they cannot be read, what is found in a grey picture: the two
    pictures are then looked at once more for each scaling.

    Args:
        stated: conventions by dotted name, taken as they are.
        weight: what `first_weight` gives.

    Raises:
        ArtifactError: as `describe_outputs`, with each scaling.
    """
    if not _scalable(probe) or (weight is not None and weight <= UNCERTAIN_WEIGHT):
        return describe_outputs(probe, stated)[0], True
    if weight is None:
        first = Reading.of(probe, stated)
        if first.silent and first.usual:
            return first.info, True
    plain, legacy, *others = (probe.convention, *scalings(probe.convention))
    likely, other = (legacy, plain) if (weight or 0) > LEGACY_STEM_WEIGHT else (plain, legacy)
    ways = [dataclasses.replace(probe, convention=way) for way in (likely, other, *others)]
    readings = [reading for way in ways if (reading := _attempt(way, stated)) is not None]
    if not readings:
        return describe_outputs(ways[0], stated)[0], False  # raises what is wrong with it
    first, best = readings[0], max(readings, key=lambda reading: reading[1:])
    decided = best.scores >= DECIDES
    clearly = decided and best.scores > CLEARLY_BETTER * first.scores
    told = decided or likely == plain  # nothing speaks against YOLOX's own scaling
    # Pixels of another scale silence any network: without weights that ask for them something has to be found.
    better = best[1:3] > first[1:3] and (decided or weight is not None)
    return (best if better or clearly else first).info, told


def _attempt(probe: Probe, stated: Mapping[str, Any]) -> Reading | None:
    try:
        return Reading.of(probe, stated)
    except ArtifactError:
        return None  # no such answers by this scaling


def _scores(answers: Answers, probe: Probe, info: ArtifactInfo) -> float:
    """The sum of the best scores in a picture."""
    rows = row_reader(info, [spec.name for spec in probe.runtime.outputs])(answers, 1)[0]
    scores = rows[:, 4] if info.suppression == "in_graph" else rows[:, 4] * rows[:, 5:].max(axis=1)
    return best_sum(scores)
