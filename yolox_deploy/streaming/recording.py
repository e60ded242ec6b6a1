"""Annotated sequences with their pictures, at any frame rate, and the records of a detector that watched them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.streaming.clocks import NEWEST, Clock
from yolox_deploy.streaming.policies import Policy
from yolox_deploy.streaming.record import StreamRecord
from yolox_deploy.streaming.sequences import AnnotatedSequence, AnnotatedSequences, read_sequences
from yolox_deploy.thresholds import ThresholdFields

if TYPE_CHECKING:
    from typing_extensions import Unpack


class StreamPredictor(Protocol):
    """What runs: a `Detector`, or anything with its `predict`."""

    def predict(self, image: Any, **thresholds: Unpack[ThresholdFields]) -> Detections: ...


def record_sequences(
    detector: StreamPredictor,
    data: AnnotatedSequences,
    clock: Clock,
    *,
    policy: Policy = NEWEST,
    model: Mapping[str, Any] | None = None,
    **thresholds: Unpack[ThresholdFields],
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


@dataclass(frozen=True, eq=False)
class AnnotatedVideo:
    """Streams to run detectors on.

    Attributes:
        data: the annotations.
        frames: of each sequence its frames, (H, W, 3) uint8 BGR, read or drawn when they are asked for.
        name: where it came from, for reports.
    """

    data: AnnotatedSequences
    frames: tuple[Sequence[NDArray[np.uint8]], ...]
    name: str


def read_video(
    annotations: str | Path, images_dir: str | Path | None = None, *, frame_rate: float | None = None
) -> AnnotatedVideo:
    """Annotated sequences on disk; arguments and errors as of `read_sequences`.

    Raises:
        InputError: a picture is missing.
        UsageError: a sequence has gaps.
    """
    data = read_sequences(annotations, images_dir, frame_rate=frame_rate)
    frames = tuple(Pictures(stream_paths(sequence)) for sequence in data.sequences)
    return AnnotatedVideo(data, frames, str(annotations))


def stride_of(frame_rate: float, footage_rate: float) -> int:
    """Every how many frames must be taken to come to a frame rate.

    Raises:
        UsageError: it is no whole part of the footage's rate.
    """
    stride = round(footage_rate / frame_rate) if frame_rate > 0 else 0
    if stride < 1 or abs(stride * frame_rate - footage_rate) > 1e-6 * footage_rate:
        raise UsageError(
            f"{frame_rate:g} frames a second cannot be taken from {footage_rate:g}: every second, third, ... frame "
            f"gives {footage_rate:g}, {footage_rate / 2:g}, {footage_rate / 3:g}, ..."
        )
    return stride


def every(data: AnnotatedSequences, stride: int) -> AnnotatedSequences:
    """The annotations of every so many-th frame, numbered anew, at the rate that this gives."""
    if stride == 1:
        return data
    sequences = tuple(
        AnnotatedSequence(
            sequence.name,
            tuple(
                replace(frame, index=frame.index // stride)
                for frame in sequence.frames
                if frame.index % stride == 0
            ),
        )
        for sequence in data.sequences
    )
    return replace(data.only(sequences), frame_rate=data.frame_rate / stride)
