"""Annotated sequences together with their pictures, and the same at lower frame rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.recording import Pictures, stream_paths
from yolox_deploy.streaming.sequences import (
    AnnotatedSequence,
    AnnotatedSequences,
    read_sequences,
    sequences_from_coco,
)
from yolox_deploy.synthetic.sequences import SequenceFrames, SequenceOptions, sequence_annotations
from yolox_deploy.synthetic.worlds import Worlds


@dataclass(frozen=True, eq=False)
class Footage:
    """Streams to run detectors on.

    Attributes:
        data: the annotations.
        frames: of each sequence its frames, (H, W, 3) uint8 BGR, read or drawn when they are asked for.
        name: where it came from, for reports.
    """

    data: AnnotatedSequences
    frames: tuple[Sequence[NDArray[np.uint8]], ...]
    name: str


def read_footage(
    annotations: str | Path, images_dir: str | Path | None = None, *, frame_rate: float | None = None
) -> Footage:
    """Annotated sequences on disk; arguments and errors as of `read_sequences`.

    Raises:
        InputError: a picture is missing.
        UsageError: a sequence has gaps.
    """
    data = read_sequences(annotations, images_dir, frame_rate=frame_rate)
    frames = tuple(Pictures(stream_paths(sequence)) for sequence in data.sequences)
    return Footage(data, frames, str(annotations))


def generated_footage(worlds: Worlds, options: SequenceOptions, name: str) -> Footage:
    """Sequences of a moving camera (`streaming.sequences`), drawn frame by frame and never written."""
    data = sequences_from_coco(sequence_annotations(worlds, options), Path())
    frames = tuple(SequenceFrames(world, options, i) for i, world in enumerate(worlds.pictures))
    return Footage(data, frames, name)


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
    kept = {frame.image_id for sequence in sequences for frame in sequence.frames}
    content = {
        **data.content,
        "images": [image for image in data.content["images"] if image["id"] in kept],
        "annotations": [row for row in data.content["annotations"] if row["image_id"] in kept],
    }
    return replace(data, content=content, frame_rate=data.frame_rate / stride, sequences=sequences)
