"""ByteTrack (Zhang et al., ECCV 2022), which was made on YOLOX, by the library `trackers`."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import require
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.tracking.association import UNCONFIRMED, TrackConfig

BUFFER_RATE = 30.0
"""Frames a second in which `trackers` counts how long an object may be lost."""


class ByteTrack:
    """Links boxes to where a Kalman filter expects each object: those that score high first, then the low ones, which
    continue objects and begin none.

    Two things differ from the paper, since people walk behind pillars (docs/tracking.md has the figures): boxes need
    not overlap the expected one, but lie in reach of it (DIoU); and a box keeps its size while nobody sees it, where
    the paper's goes on shrinking as it did when the object went behind something.

    Args:
        config: where it has no activation score, the default `conf` is meant.

    Raises:
        MissingExtraError: the extra `track` is not installed.
    """

    def __init__(self, config: TrackConfig) -> None:
        self._library = require("trackers", "track")
        self._supervision = require("supervision", "track")
        self._motion = _steady_motion()
        begin = config.activation_score
        self.begin = Thresholds.conf if begin is None else begin
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget all objects; identities begin at 1 again."""
        self._groups: dict[int, _Group] = {}
        self._identities = itertools.count(1)
        self._time = -math.inf

    def update(
        self, boxes: NDArray[Any], scores: NDArray[Any], class_ids: NDArray[np.int64], time: float
    ) -> NDArray[np.int64]:
        """Identities of the rows, as `Association.update` tells."""
        # The library warns of a time that stands still; the next number is the same moment to every motion.
        self._time = time if time > self._time else math.nextafter(self._time, math.inf)
        groups = np.zeros_like(class_ids) if self.config.class_agnostic else class_ids
        for key in groups[scores >= self.begin].tolist():
            if key not in self._groups:
                self._groups[key] = _Group(self.new_linker())
        identities = np.full(len(boxes), UNCONFIRMED, np.int64)
        for key, group in list(self._groups.items()):
            rows = np.flatnonzero(groups == key)
            found = group.linker.update(
                self._supervision.Detections(
                    xyxy=boxes[rows].astype(np.float64), confidence=scores[rows], data={"row": rows}
                ),
                timestamp=self._time,
            )
            if len(found):  # an empty answer has no rows
                identities[found.data["row"]] = [
                    self._identity(group, own) for own in found.tracker_id.tolist()
                ]
            group.forget_lost()
            if not group.linker.tracks:
                del self._groups[key]
        return identities

    def _identity(self, group: _Group, own: int) -> int:
        """Ours for one of the library's, which begin at 0 in each group."""
        if own == UNCONFIRMED:
            return UNCONFIRMED
        if own not in group.identities:
            group.identities[own] = next(self._identities)
        return group.identities[own]

    def new_linker(self) -> Any:
        """What links the boxes of one class: of the library, so that another of its algorithms fits in a subclass."""
        config = self.config
        # Two equal boxes side by side, their centres `reach` widths apart: the DIoU of those.
        least = -(config.reach**2) / ((config.reach + 1) ** 2 + 1)
        return self._library.ByteTrackTracker(
            lost_track_buffer=math.ceil(config.lost_seconds * BUFFER_RATE),
            frame_rate=config.frame_rate,
            track_activation_threshold=self.begin,
            high_conf_det_threshold=self.begin,
            minimum_consecutive_frames=config.confirm_frames,
            minimum_iou_threshold=least,
            iou=self._library.DIoU(),
            state_estimator_class=self._motion,
        )


def _steady_motion() -> Any:
    """The library's constant velocity of centre, width and height, without the velocity of the last two."""
    states = require("trackers.utils.state_representations", "track")

    class SteadyBox(states.XCYCWHStateEstimator):  # type: ignore[misc, name-defined, unused-ignore]
        def clamp_velocity(self, frame_step: float = 1.0) -> None:
            """Called before each prediction."""
            self.kf.state[6:8] = 0.0

    return SteadyBox


class _Group:
    """Boxes that may be linked to each other: those of one class."""

    def __init__(self, linker: Any) -> None:
        self.linker = linker
        self.identities: dict[int, int] = {}

    def forget_lost(self) -> None:
        """Keep no more identities than there are objects, however long the stream is."""
        alive = {track.tracker_id for track in self.linker.tracks}
        self.identities = {own: ours for own, ours in self.identities.items() if own in alive}
