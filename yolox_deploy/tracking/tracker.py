"""A detector whose answers carry identities: the same number is the same object, from frame to frame."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from yolox_deploy.capture import Frame, is_cut
from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError, check_kind
from yolox_deploy.thresholds import ThresholdFields, Thresholds
from yolox_deploy.tracking.association import UNCONFIRMED, Association, TrackConfig
from yolox_deploy.tracking.bytetrack import ByteTrack
from yolox_deploy.types import is_finite

if TYPE_CHECKING:
    from typing_extensions import Unpack


GAPS = 3
"""In a row, after which frames count as too far apart."""


class Detecting(Protocol):
    """What finds the boxes: a `Detector`, or anything with its thresholds and its `predict`."""

    thresholds: Thresholds

    def predict(self, image: Any, **thresholds: Unpack[ThresholdFields]) -> Detections: ...


class Tracker:
    """Gives the objects of one stream their identities. One Tracker a stream, used by one thread at a time.

    The detector is asked for low scores too, which continue objects that are half hidden. An answer holds what the
    detector finds at `conf`, and the boxes below it that continue a confirmed object: the same boxes, scores and order.

    Args:
        detector: may serve several Trackers.
        config: how boxes are linked.
        association: makes what links them, from the settings; another library fits in here.
        thresholds: `conf`, `iou`, `classes`, … in place of the detector's own.

    Attributes:
        config: the settings in force: with an activation score, and no score that the detector cannot give.
        thresholds: what to ask the detector for, where `follow` is given its answers.
        conf: least score of a box that is no confirmed object.

    Raises:
        MissingExtraError: the extra `track` is not installed.
        UsageError: a threshold that cannot work.
    """

    def __init__(
        self,
        detector: Detecting,
        *,
        config: TrackConfig | None = None,
        association: Callable[[TrackConfig], Association] = ByteTrack,
        **thresholds: Unpack[ThresholdFields],
    ) -> None:
        check_kind("config", config, (TrackConfig, type(None)), "a TrackConfig, or None")
        if not isinstance(getattr(detector, "thresholds", None), Thresholds):
            raise UsageError(f"the detector is {type(detector).__name__}; expected a Detector")
        config = config or TrackConfig()
        self.conf = detector.thresholds.changed(thresholds).conf
        begin = self.conf if config.activation_score is None else config.activation_score
        low = min(max(config.low_score, _least_conf(detector)), self.conf)
        self.config = dataclasses.replace(config, activation_score=begin, low_score=low)
        classes = thresholds.get("classes")
        if isinstance(classes, Iterator):
            thresholds["classes"] = tuple(classes)  # they are asked for in every frame
        self.thresholds = ThresholdFields(**{**thresholds, "conf": low})
        self._detector = detector
        self._association = association(self.config)
        self._given = self._newest = 0
        self._time: float | None = None
        self._gaps = 0

    def update(self, frame: Any, time: float | None = None) -> Detections:
        """Detect in the next frame, and tell who is who.

        Args:
            frame: as `Detector.predict` takes an image.
            time: of the frame, in seconds from any beginning; None for one frame of `config.frame_rate` after the one
                before. The true times of a stream that drops frames keep identities that counted frames lose. At a
                time that stands still nothing is expected to move.

        Returns:
            Best first, `track_ids` from 1; -1 for a box that is not confirmed (yet).

        Raises:
            UsageError: a time before that of the last frame, or none at all. Also whatever the detector raises.
        """
        time = self._checked(time)
        return self._follow(self._detector.predict(frame, **self.thresholds), time)

    def follow(self, detections: Detections, time: float | None = None) -> Detections:
        """Tell who is who among the next frame's detections, which somebody found already.

        Args:
            detections: of the whole frame, best found with `thresholds`.
            time: as of `update`.

        Returns:
            Those that are confirmed objects or reach `conf`; otherwise unchanged.

        Raises:
            UsageError: as `update`.
        """
        return self._follow(detections, self._checked(time))

    def update_all(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
        """`update` for each frame of a source, at its own time; what comes after a cut is another stream."""
        before = None
        for frame in frames:
            if is_cut(before, frame):
                self.reset(renumber=False)
            yield frame, self.update(frame.image, frame.time)
            before = frame

    def reset(self, *, renumber: bool = True) -> None:
        """Forget all objects and the time, for another stream.

        Args:
            renumber: identities begin at 1 again; else they go on, so that none is used twice.
        """
        self._association.reset()
        self._newest = 0 if renumber else self._newest
        self._given = self._newest
        self._time, self._gaps = None, 0

    def _follow(self, detections: Detections, time: float) -> Detections:
        self._warn_of_gaps(time)
        self._time = time
        boxes, scores, class_ids = detections.boxes, detections.scores, detections.class_ids
        used = np.flatnonzero(scores >= self.config.low_score)
        identities = np.full(len(scores), UNCONFIRMED, np.int64)
        own = self._association.update(boxes[used], scores[used], class_ids[used], time)
        identities[used] = np.where(own > 0, own + self._given, own)
        self._newest = max(self._newest, int(identities.max(initial=0)))
        told = dataclasses.replace(detections, track_ids=identities)
        return told[(identities > 0) | (scores >= self.conf)]

    def _warn_of_gaps(self, time: float) -> None:
        """Say once that a stream is too slow for the settings: no object would ever have an identity."""
        gap = 0.0 if self._time is None else time - self._time
        self._gaps = self._gaps + 1 if gap > self.config.lost_seconds else 0
        if self._gaps == GAPS:
            warnings.warn(
                f"the frames are {gap:.3g} s apart, and objects are forgotten after lost_seconds "
                f"{self.config.lost_seconds:g}: none keeps its identity; raise it (--lost) to several of these gaps",
                stacklevel=4,
            )

    def _checked(self, time: float | None) -> float:
        """The time of the next frame; the detector does not run for one that cannot be."""
        if time is None:
            return 0.0 if self._time is None else self._time + 1 / self.config.frame_rate
        if not is_finite(time):
            raise UsageError(
                f"the time of the frame is {time!r}; expected seconds, or None for the next frame"
            )
        if self._time is not None and time < self._time:
            raise UsageError(
                f"the time of the frame is {time:g} s, before the last {self._time:g} s; give frames in the order "
                "in which they were taken, and call reset() before another stream"
            )
        return float(time)


def _least_conf(detector: Detecting) -> float:
    """The least score that the detector can give: a file with suppression of its own dropped what is below."""
    info = getattr(detector, "info", None)
    graph = None if info is None else info.artifact.graph_nms
    return float(graph["conf"]) if graph else 0.0
