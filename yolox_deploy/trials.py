"""The conventions that a model file could have, tried one after another on pictures."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import BOXES, ArtifactInfo
from yolox_deploy.detections import Detections
from yolox_deploy.detector import Detector
from yolox_deploy.detector_info import DetectorInfo
from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError
from yolox_deploy.foreign.pixels import PIXELS, scalings
from yolox_deploy.foreign.structure import ROW_ORDERS
from yolox_deploy.images import load_opaque
from yolox_deploy.types import InputConvention, OutputConvention, Report

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset

CLEARLY_BETTER = 1.1, 0.01
"""A factor and a sum by which the AP of another convention has to be higher than that of the recognised one: on a
hundred pictures AP moves by 0.01 where nothing is wrong."""

LEAST_SIDE, MOST_RATIO, MOST_SHARE = 2.0, 20.0, 0.98
"""A plausible box has sides of so many pixels, is at most so many times longer than wide, and fills at most that share
of the picture."""

AS_IT_IS = "as it opens by itself"
NORMALISED = ("legacy (RGB, normalised)", "RGB / 255", "BGR / 255")
"""The names of `pixels.scalings`."""

Fields: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One convention, tried on pictures.

    Attributes:
        name: in words.
        override: what `Detector(..., override=)` takes.
        detections: found in all pictures at the default thresholds.
        plausible: share of them with the size and shape of an object, 0-1; None where nothing was found.
        scores: sum of the scores of the plausible ones, a picture.
        in_grey: detections in a plain grey picture, in which a right convention finds nothing.
        ap: average precision, 0-1, where annotations were given.
    """

    name: str
    override: Mapping[str, Any]
    detections: int
    plausible: float | None
    scores: float
    in_grey: int
    ap: float | None = None


def choose(trials: Sequence[Trial]) -> Trial:
    """The trial to open the file with: the first, unless another is clearly better.

    Without AP another is taken only where the first finds nothing of an object's size and shape, or something in grey:
    wrong colour orders and ways of resizing find most objects too, and wrong scales more than there are, or nothing.
    """
    first = trials[0]
    best = max(trials, key=figure)
    if not first.scores or (first.in_grey > best.in_grey and figure(best)[1] > figure(first)[1] / 2):
        return best
    if first.ap is None or best.ap is None:
        return first
    factor, more = CLEARLY_BETTER
    return best if best.ap > factor * first.ap + more else first


def figure(trial: Trial) -> tuple[bool, float]:
    """By what a trial is ranked: nothing found in grey, then AP or scores."""
    return trial.in_grey == 0, trial.scores if trial.ap is None else trial.ap


@dataclass(frozen=True)
class Attempts:
    """Opens one file by one convention after another.

    Attributes:
        stated: conventions that are known, and not varied.
        dataset: what AP is to be compared on, or None.
    """

    path: Path
    backend: str | None
    stated: Fields
    pictures: Sequence[Path]
    dataset: DetectionDataset | None
    report: Report

    def first(self) -> tuple[Trial, DetectorInfo]:
        """The convention that the file opens with by itself, and how it then is described.

        Raises:
            ArtifactError: it does not open by itself.
            RuntimeFailure: it does not run.
        """
        return self._try(AS_IT_IS, {})

    def varied(self, base: Trial, known: InputConvention) -> list[Trial]:
        """The convention found, other ways of scaling the pixels, and with the best of these other ways of resizing."""
        ways: dict[str, Fields] = {}
        if known.dtype != "uint8" and known.channels == 3:
            plain = dataclasses.replace(known, **{name: getattr(InputConvention(), name) for name in PIXELS})
            others = {"BGR": plain, "RGB": dataclasses.replace(plain, color_order="RGB")}
            others |= dict(zip(NORMALISED, scalings(plain), strict=True))
            ways = {name: _pixels(way) for name, way in others.items() if way != known}
        trials = [base, *self._tried(ways)]
        best = choose(trials)
        resizes: dict[str, Fields] = {
            "letterbox centred": {"input.resize": "letterbox_center"},
            "stretched": {"input.resize": "stretch"},
            "padding 0": {"input.pad_value": 0},
        }
        prefix = "" if best is base else f"{best.name}, "
        with_best = {prefix + name: {**best.override, **fields} for name, fields in resizes.items()}
        return [*trials, *self._tried(with_best)]

    def guessed(self) -> list[Trial]:
        """What a file could be that does not open by itself."""
        guesses: dict[str, Fields] = {}
        columns = OutputConvention().columns, ("boxes", "classes")
        for boxes in BOXES:
            for names in columns:
                for logits in (False, True):
                    text = f"boxes {boxes}, {'scores' if len(names) == 2 else 'objectness, classes'}"
                    fields = {"boxes": boxes, "output.columns": names, "output.logits": logits}
                    guesses[text + (", sigmoid outside" if logits else "")] = fields
        guesses |= {f"rows {','.join(order)}": {"output.columns": order} for order in ROW_ORDERS}
        sound = [trial for trial in self._tried(guesses) if trial.scores > 0 and trial.in_grey == 0]
        return sorted(sound, key=figure, reverse=True)

    def info(self, fields: Mapping[str, Any]) -> ArtifactInfo:
        """The description by a convention."""
        with self._open(fields) as detector:
            return detector.info.artifact

    def _tried(self, ways: Mapping[str, Fields]) -> list[Trial]:
        trials = []
        for name, fields in ways.items():
            if fields.keys() & self.stated.keys():
                continue
            try:
                trials.append(self._try(name, fields)[0])
            except (ArtifactError, RuntimeFailure, UsageError):
                continue  # the file is not of that kind
        return trials

    def _try(self, name: str, fields: Fields) -> tuple[Trial, DetectorInfo]:
        self.report.step(f"trying {name}")
        with self._open(fields) as detector:
            opened = detector.info
            size, convention = opened.artifact.input_size, opened.artifact.input
            pictures = [load_opaque(path, convention.picture_channels) for path in self.pictures]
            found = [(detector.predict(image), image.shape) for image in pictures]
            grey = np.full((*size, convention.picture_channels), convention.pad_value, np.uint8)
            in_grey = len(detector.predict(grey))
            ap = None if self.dataset is None else self._ap(detector, self.dataset)
        sound = np.concatenate([plausible(detections, shape) for detections, shape in found])
        scores = np.concatenate([detections.scores for detections, _ in found])
        share = float(sound.mean()) if len(sound) else None
        trial = Trial(name, fields, len(scores), share, float(scores[sound].sum()) / len(found), in_grey, ap)
        return trial, opened

    def _ap(self, detector: Detector, dataset: DetectionDataset) -> float:
        from yolox_deploy.evaluation.coco import dataset_ap

        return dataset_ap(detector, dataset, report=self.report)["AP"]

    @contextmanager
    def _open(self, fields: Mapping[str, Any]) -> Iterator[Detector]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is recognised stands in the table
            with Detector(
                self.path,
                backend=self.backend,
                override={**fields, **self.stated},
                runtime_options={"verify": False},
            ) as detector:
                yield detector


def _pixels(way: InputConvention) -> Fields:
    return {f"input.{name}": getattr(way, name) for name in PIXELS}


def plausible(detections: Detections, shape: Sequence[int]) -> NDArray[np.bool_]:
    """Which boxes have the size and shape of an object in a picture of `shape` (h, w, ...)."""
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    shorter, longer = sides.min(axis=1), sides.max(axis=1)
    sound: NDArray[np.bool_] = (
        (shorter >= LEAST_SIDE)
        & (longer <= MOST_RATIO * shorter)
        & (sides.prod(axis=1) <= MOST_SHARE * shape[0] * shape[1])
    )
    return sound
