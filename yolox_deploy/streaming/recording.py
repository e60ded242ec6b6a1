"""Running a detector over annotated sequences: one record a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.streaming.clocks import NEWEST, Clock
from yolox_deploy.streaming.policies import Policy
from yolox_deploy.streaming.record import StreamRecord
from yolox_deploy.streaming.sequences import AnnotatedSequence, AnnotatedSequences
from yolox_deploy.types import Detections


class StreamPredictor(Protocol):
    """What runs: a `Detector`, or anything with its `predict`."""

    def predict(self, image: Any, **thresholds: Any) -> Detections: ...


def record_sequences(
    detector: StreamPredictor,
    data: AnnotatedSequences,
    clock: Clock,
    *,
    policy: Policy = NEWEST,
    model: Mapping[str, Any] | None = None,
    **thresholds: Any,
) -> list[StreamRecord]:
    """Let a detector answer each sequence as a stream.

    Args:
        detector: what runs.
        data: the sequences; every picture of them must be there.
        clock: a `SimulatedClock` or a `RealClock`.
        policy: which frames the detector takes.
        model: what to write about the detector into the records.
        thresholds: of `detector.predict`.

    Raises:
        InputError: a picture is missing or broken.
        UsageError: a sequence has gaps.
    """
    return [
        clock.run(
            Pictures(stream_paths(sequence)),
            lambda image: detector.predict(image, **thresholds),
            frame_rate=data.frame_rate,
            policy=policy,
            source=sequence.name,
            model=model,
        )
        for sequence in data.sequences
    ]


class Pictures(Sequence[NDArray[np.uint8]]):
    """Picture files as (H, W, 3) uint8 BGR arrays, each read when it is asked for and not kept."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Pictures:
        from yolox_deploy.images import load_image

        return Pictures(self._paths[index]) if isinstance(index, slice) else load_image(self._paths[index])


def stream_paths(sequence: AnnotatedSequence) -> list[Path]:
    """The pictures of a stream from its first frame on, without gaps."""
    indices = [frame.index for frame in sequence.frames]
    if indices != list(range(len(indices))):
        raise UsageError(f"sequence {sequence.name!r} has gaps: a detector needs every frame from 0 on")
    missing = [frame.path for frame in sequence.frames if not frame.path.is_file()]
    if missing:
        raise InputError(
            f"sequence {sequence.name!r}: {len(missing)} of its {len(indices)} pictures are missing, the first is "
            f"{missing[0]}"
        )
    return [frame.path for frame in sequence.frames]
