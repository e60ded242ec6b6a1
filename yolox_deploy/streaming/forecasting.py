"""Moving an answer to the moment it is asked for: a Kalman filter of constant velocity for each object.

An answer is about the frame it was computed from, and old when it is read. Li, Wang, Ramanan ("Towards Streaming
Perception", ECCV 2020, Section 4) track the objects from answer to answer and extrapolate them to the query.

Own code, since no maintained library does this part: `trackers` and `supervision` (Roboflow) number objects at a
fixed frame rate and give no position at another time, `norfair` needs numpy below 2 and filterpy, whose last release
is from 2018. Matching is the project's own, greedy by overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.matching import Boxes, match
from yolox_deploy.streaming.events import StreamEvent

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """Settings; lengths are in sides of the object's box, so that near and far objects are treated alike.

    Attributes:
        least_iou: overlap by which a predicted object and a detection of its class are one.
        measurement: standard deviation of a detected edge.
        velocity: standard deviation of the velocity of an object seen for the first time, a second.
        acceleration: how much velocities change: root of the spectral density of white acceleration noise, that
            is the deviation of the velocity after one second.
        keep: seconds that an object is remembered without being detected.
    """

    least_iou: float = 0.3
    measurement: float = 0.05
    velocity: float = 2.0
    acceleration: float = 1.0
    keep: float = 0.5

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 < getattr(self, item.name) < float("inf"):
                raise UsageError(f"forecast: {item.name} is {getattr(self, item.name)}; expected more than 0")


@dataclass(frozen=True)
class Tracks:
    """Objects at one moment: each edge (x1, y1, x2, y2) is a filter of its own.

    Attributes:
        edges, velocity: (N, 4) pixels, pixels a second.
        edge_var, covariance, velocity_var: (N, 4) of their joint distribution.
        class_ids: (N,).
        seen: (N,) when each was detected last, seconds.
    """

    edges: Floats
    velocity: Floats
    edge_var: Floats
    covariance: Floats
    velocity_var: Floats
    class_ids: NDArray[np.int64]
    seen: Floats

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Tracks:
        return Tracks(*(getattr(self, item.name)[rows] for item in fields(self)))


class Forecaster:
    """Takes in answers one after the other and moves the newest to any moment after it."""

    def __init__(self, options: Forecast = Forecast()) -> None:
        self._options = options
        self._tracks: Tracks | None = None
        self._captured = 0.0
        self._newest: Detections | None = None
        self._velocity: Floats = np.zeros((0, 4))

    def update(self, event: StreamEvent) -> None:
        """Take in an answer, in the order of their frames; one about an older frame is ignored."""
        if self._newest is not None and event.captured < self._captured:
            return
        found = event.detections
        begun = begin_tracks(found, event.captured, self._options)
        if self._tracks is not None and len(self._tracks.seen):
            begun = self._joined(self._tracks, begun, event.captured)
        self._velocity = begun.velocity[: len(found)]
        self._tracks, self._captured, self._newest = begun, event.captured, found

    def at(self, moment: float, size: tuple[int, int] | None = None) -> Detections:
        """The newest answer with its boxes moved to `moment` (seconds), clipped to `size` (H, W) where it is given.

        Raises:
            UsageError: there was no answer yet.
        """
        if self._newest is None:
            raise UsageError("no answer was taken in that could be moved; call update first")
        found = self._newest
        if moment <= self._captured or not len(found):
            return found
        boxes = found.boxes + self._velocity * (moment - self._captured)
        if size is not None:
            boxes = boxes.clip(0, [size[1], size[0], size[1], size[0]])
        lost = ~np.all(boxes[:, 2:] > boxes[:, :2], axis=1)  # moved out of sight, or turned inside out
        boxes[lost] = found.boxes[lost]
        return Detections(boxes.astype(np.float32), found.scores, found.class_ids, found.class_names)

    def _joined(self, old: Tracks, new: Tracks, moment: float) -> Tracks:
        """The new answer's objects, each with the history of the old one it matches, then those not seen now."""
        old = old[moment - old.seen <= self._options.keep]
        predicted = advance(old, moment - self._captured, self._options)
        left, right, _ = match(_boxes(predicted), _boxes(new), self._options.least_iou, same_class_only=True)
        corrected = correct(predicted[left], new[right])
        unseen = np.ones(len(old.seen), bool)
        unseen[left] = False
        rest = predicted[unseen]
        columns = {}
        for item in fields(Tracks):
            column = getattr(new, item.name).copy()
            column[right] = getattr(corrected, item.name)
            columns[item.name] = np.concatenate([column, getattr(rest, item.name)])
        return Tracks(**columns)


def begin_tracks(found: Detections, moment: float, options: Forecast) -> Tracks:
    """A track for each detection, at rest for all that is known."""
    edges = found.boxes.astype(np.float64)
    sides = np.tile(edges[:, 2:] - edges[:, :2], 2)
    return Tracks(
        edges=edges,
        velocity=np.zeros_like(edges),
        edge_var=(options.measurement * sides) ** 2,
        covariance=np.zeros_like(edges),
        velocity_var=(options.velocity * sides) ** 2,
        class_ids=found.class_ids,
        seen=np.full(len(edges), moment),
    )


def advance(tracks: Tracks, seconds: float, options: Forecast) -> Tracks:
    """The tracks so many seconds later, each edge at its velocity: the filter's prediction."""
    sides = np.tile(tracks.edges[:, 2:] - tracks.edges[:, :2], 2)
    noise = (options.acceleration * sides) ** 2
    spread = tracks.velocity_var * seconds
    return Tracks(
        edges=tracks.edges + tracks.velocity * seconds,
        velocity=tracks.velocity,
        edge_var=tracks.edge_var + seconds * (2 * tracks.covariance + spread) + noise * seconds**3 / 3,
        covariance=tracks.covariance + spread + noise * seconds**2 / 2,
        velocity_var=tracks.velocity_var + noise * seconds,
        class_ids=tracks.class_ids,
        seen=tracks.seen,
    )


def correct(predicted: Tracks, measured: Tracks) -> Tracks:
    """The tracks after each was detected where `measured` (row by row) says: the filter's correction."""
    total = predicted.edge_var + measured.edge_var
    gain, velocity_gain = predicted.edge_var / total, predicted.covariance / total
    surprise = measured.edges - predicted.edges
    return Tracks(
        edges=predicted.edges + gain * surprise,
        velocity=predicted.velocity + velocity_gain * surprise,
        edge_var=(1 - gain) * predicted.edge_var,
        covariance=(1 - gain) * predicted.covariance,
        velocity_var=predicted.velocity_var - velocity_gain * predicted.covariance,
        class_ids=predicted.class_ids,
        seen=measured.seen,
    )


def _boxes(tracks: Tracks) -> Boxes:
    return Boxes(tracks.edges.astype(np.float32), np.ones(len(tracks.seen), np.float32), tracks.class_ids)
