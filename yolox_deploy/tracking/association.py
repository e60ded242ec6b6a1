"""What links boxes over time has to offer, and its settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError

UNCONFIRMED = -1
"""In place of an identity: a box that belongs to no confirmed object, or not yet."""


@dataclass(frozen=True)
class TrackConfig:
    """How boxes are linked over time.

    Attributes:
        lost_seconds: an object that is not seen for longer is forgotten; when it comes back, it is a new one. Frames
            that are further apart than this cannot be linked at all.
        activation_score: least score of a box that may begin an identity; None for the `conf` of the tracker.
        low_score: least score of a box that may continue one. An object that is half hidden scores low for a while.
        confirm_frames: an object gets its identity in this frame of a row in which it is seen; 2 is the least.
        reach: how far from the place where it is expected an object may be found, in widths of its box.
        frame_rate: frames a second of a source that does not tell its times, and the rate that the expected motion is
            tuned for.
        class_agnostic: let boxes of different classes be one object. By default each class is linked by itself, so
            that a person and a bicycle never exchange their identities.

    Raises:
        UsageError: a value that cannot work.
    """

    lost_seconds: float = 1.0
    activation_score: float | None = None
    low_score: float = 0.1
    confirm_frames: int = 2
    reach: float = 2.0
    frame_rate: float = 30.0
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        if not all(0 <= score <= 1 for score in (self.low_score, self.activation_score or 0)):
            raise UsageError(
                f"activation_score {self.activation_score}, low_score {self.low_score}; expected scores from 0 to 1"
            )
        if not 0 < self.lost_seconds < math.inf or not 0 <= self.reach < math.inf:
            raise UsageError(
                f"lost_seconds {self.lost_seconds}, reach {self.reach}; expected seconds above 0, and at least 0"
            )
        if not 0 < self.frame_rate < math.inf or self.confirm_frames < 2 or self.confirm_frames % 1:
            raise UsageError(
                f"frame_rate {self.frame_rate}, confirm_frames {self.confirm_frames}; expected a rate above 0, and at "
                "least 2 frames"
            )


class Association(Protocol):
    """What links the boxes of one frame to those before it; another library fits a `Tracker` by this."""

    def update(
        self, boxes: NDArray[Any], scores: NDArray[Any], class_ids: NDArray[np.int64], time: float
    ) -> NDArray[np.int64]:
        """Identities of the rows, (N,) int64: from 1, each used once, -1 where there is none (yet).

        Args:
            boxes: (N, 4) x1, y1, x2, y2 in pixels.
            scores: (N,) 0-1, also low ones.
            class_ids: (N,).
            time: of the frame, in seconds; never less than that of the frame before.
        """
        ...

    def reset(self) -> None:
        """Forget all objects; identities begin at 1 again."""
        ...
