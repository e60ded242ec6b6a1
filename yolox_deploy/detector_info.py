"""What a detector tells of itself, of a picture on its way, and of a frame of a stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.capture import Frame
from yolox_deploy.detections import Detections
from yolox_deploy.types import Letterboxed


@dataclass(frozen=True)
class DetectorInfo:
    """What a Detector runs, and where: the file's description and what the backend really gave.

    Attributes:
        artifact: the description stored in the file, or read from its graph (`artifact.origin`).
        device: the device obtained.
        precision: the precision in force at execution.
        details: versions, providers, threads.
        checked: what the file was compared with, "sha256" or "crc32" (a PyTorch file's own); "unchecked" where neither
            it nor a description beside it has a checksum, so that damage can go unnoticed.
        notes: what was recognised in a file that does not describe itself; warned of when it was opened.
    """

    path: str
    backend: str
    device: str
    precision: str
    artifact: ArtifactInfo
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    checked: str = "unchecked"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        return dataclasses.asdict(self)


class Prepared(NamedTuple):
    """A letterboxed image: `tensor` for the network, `letterbox` for the way back."""

    tensor: NDArray[Any]
    letterbox: Letterboxed


class StreamResult(NamedTuple):
    """One frame of a stream and what was found in it."""

    frame: Frame
    detections: Detections
