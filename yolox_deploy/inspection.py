"""What a model file of another tool seems to be, and which conventions give the best boxes on real pictures."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import BOXES, ArtifactInfo, write_sidecar
from yolox_deploy.detector import Detector
from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError
from yolox_deploy.files import packaged_photographs
from yolox_deploy.foreign.pixels import PIXELS, scalings
from yolox_deploy.foreign.structure import ROW_ORDERS
from yolox_deploy.images import load_image
from yolox_deploy.runtimes.registry import open_runtime, present_files
from yolox_deploy.sources import image_paths
from yolox_deploy.types import SILENT, Detections, InputConvention, OutputConvention, Report, TensorSpec

MOST_PICTURES = 16
"""Pictures that are looked at where no annotations are given; more only take longer."""

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


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        path, backend: of the file, and what it was run with.
        inputs, outputs: name, shape and dtype of each tensor.
        metadata: texts in the file itself.
        seems: what the file seems to be, in words.
        trials: the conventions that could be run, best first; the first is the one to open it with.
        override: what `Detector` takes to open the file by the best of them.
        info: the description that it then has; None where none could be run.
        pictures: how many were looked at.
    """

    path: Path
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    seems: str
    trials: tuple[Trial, ...] = ()
    override: Mapping[str, Any] = field(default_factory=dict)
    info: ArtifactInfo | None = None
    pictures: int = 0

    def save(self) -> Path:
        """Write the sidecar `FILE.json` by which the file opens with the best convention from now on.

        Raises:
            ArtifactError: no convention could be run.
        """
        if self.info is None:
            raise ArtifactError(f"{self.path}: {self.seems}")
        tried = {"pictures": self.pictures, "ap": self.trials[0].ap}
        info = dataclasses.replace(
            self.info, origin="inspected", details={**self.info.details, "inspected": tried}
        )
        return write_sidecar(self.path, info, present_files(self.path)[1:])

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        values = dataclasses.asdict(self) | {"path": str(self.path)}
        for name in ("inputs", "outputs"):
            values[name] = [{**spec, "dtype": str(spec["dtype"])} for spec in values[name]]
        return values


def inspect(
    path: str | Path,
    images: str | Path | None = None,
    *,
    annotations: str | Path | None = None,
    backend: str | None = None,
    override: Mapping[str, Any] | None = None,
    report: Report = SILENT,
) -> Inspection:
    """Tell what a model file is, and try the plausible conventions on pictures.

    Args:
        path: the model file.
        images: a picture, a folder or a glob; None for three photographs of the package.
        annotations: COCO file of the folder `images`: the conventions are then compared by AP.
        backend: a backend's name, where another than the suffix's default is wanted.
        override: conventions that are known, as `Detector` takes them; they are not varied.
        report: told of each convention.

    Raises:
        ArtifactError: the file cannot be loaded at all.
        InputError: there is no picture in `images`.
        UsageError: annotations without a folder of pictures, or an unknown convention.
    """
    if annotations is not None and images is None:
        raise UsageError("annotations need the pictures they describe: add --images DIR")
    pictures = image_paths(images) if images is not None else packaged_photographs()
    with open_runtime(path, backend) as runtime:
        facts = Inspection(
            path=runtime.path,
            backend=runtime.name,
            inputs=runtime.inputs,
            outputs=runtime.outputs,
            metadata=dict(runtime.loaded.metadata),
            seems="",
        )
    stated = dict(override or {})
    attempt = _Attempts(Path(path), backend, stated, pictures[:MOST_PICTURES], images, annotations, report)
    base, seems = attempt.first()
    trials = attempt.varied(base) if base is not None else attempt.guessed()
    if not trials:
        return dataclasses.replace(facts, seems=seems)
    best = choose(trials)
    ranked = (best, *sorted((trial for trial in trials if trial is not best), key=_figure, reverse=True))
    return dataclasses.replace(
        facts,
        seems=seems,
        trials=ranked,
        override={**best.override, **stated},
        info=attempt.info(best.override),
        pictures=attempt.count,
    )


def choose(trials: Sequence[Trial]) -> Trial:
    """The trial to open the file with: the first, unless another is clearly better.

    Without AP another is taken only where the first finds nothing of an object's size and shape, or something in grey:
    wrong colour orders and ways of resizing find most objects too, and wrong scales more than there are.
    """
    first = trials[0]
    best = max(trials, key=_figure)
    if first.in_grey > best.in_grey or not first.scores:
        return best
    if first.ap is None or best.ap is None:
        return first
    factor, more = CLEARLY_BETTER
    return best if best.ap > factor * first.ap + more else first


def _figure(trial: Trial) -> tuple[bool, float]:
    return trial.in_grey == 0, trial.scores if trial.ap is None else trial.ap


@dataclass(frozen=True)
class _Attempts:
    """Opens one file by one convention after another."""

    path: Path
    backend: str | None
    stated: Fields
    pictures: Sequence[Path]
    images: str | Path | None
    annotations: str | Path | None
    report: Report

    @property
    def count(self) -> int:
        """Pictures that each convention is tried on."""
        return len(self.pictures) if self.annotations is None else len(image_paths(str(self.images)))

    def first(self) -> tuple[Trial | None, str]:
        """The convention that the file opens with by itself, and what it then seems to be; None where it does not."""
        try:
            with self._open({}) as detector:
                seems = describe_in_words(detector.info.artifact, detector.info.notes)
            return self._try(AS_IT_IS, {}), seems
        except (ArtifactError, RuntimeFailure) as error:
            return None, str(error).removeprefix(f"{self.path}: ")

    def varied(self, base: Trial) -> list[Trial]:
        """The convention found, other ways of scaling the pixels, and with the best of these other ways of resizing."""
        known = self.info({}).input
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
        return sorted(sound, key=_figure, reverse=True)

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
                trials.append(self._try(name, fields))
            except (ArtifactError, RuntimeFailure, UsageError):
                continue  # the file is not of that kind
        return trials

    def _try(self, name: str, fields: Fields) -> Trial:
        self.report.step(f"trying {name}")
        with self._open(fields) as detector:
            found = [(detector.predict(image), image.shape) for image in map(load_image, self.pictures)]
            height, width = detector.info.artifact.input_size
            grey = np.full((height, width, 3), detector.info.artifact.input.pad_value, np.uint8)
            in_grey = len(detector.predict(grey))
            ap = None if self.annotations is None else self._ap(detector)
        sound = np.concatenate([plausible(detections, shape) for detections, shape in found])
        scores = np.concatenate([detections.scores for detections, _ in found])
        share = float(sound.mean()) if len(sound) else None
        return Trial(name, fields, len(scores), share, float(scores[sound].sum()) / len(found), in_grey, ap)

    def _ap(self, detector: Detector) -> float:
        from yolox_deploy.evaluation import coco_ap

        assert self.images is not None
        assert self.annotations is not None
        return coco_ap(detector, self.images, self.annotations, report=self.report)["AP"]

    @contextmanager
    def _open(self, fields: Mapping[str, Any]) -> Iterator[Detector]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is recognised stands in the table
            with Detector(self.path, backend=self.backend, override={**fields, **self.stated}) as detector:
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


def describe_in_words(info: ArtifactInfo, notes: Sequence[str]) -> str:
    """What a file that opens is, in a sentence."""
    size = "{}x{}".format(*info.input_size)
    what = f"a YOLOX detector of {len(info.class_names)} classes at {size}"
    if info.origin == "metadata":
        return f"{what}: {info.model}, as its own description says"
    if info.origin == "inspected":
        return f"{what}, as the description beside it says (yolox-deploy inspect --save)"
    return f"{what}; " + ("; ".join(notes) or "laid out as the authors' own files")
