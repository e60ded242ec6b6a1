"""Real pictures as input tensors, for INT8 calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.images import load_opaque
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.sources import image_paths

MOST_PICTURES = 300
"""More do not make the ranges better, only the export slower."""


def calibration_pictures(source: Path | Sequence[Path]) -> list[Path]:
    """The files that are calibrated on, at most `MOST_PICTURES`.

    Raises:
        InputError: there is no picture in the folder.
    """
    return list(image_paths(source) if isinstance(source, Path) else source)[:MOST_PICTURES]


@dataclass(frozen=True)
class CalibrationSet:
    """The pictures of a folder (or of the files `source`) as the model takes them; may be iterated more than once.

    Yields (B, …) tensors of the network's batch size (1 where it is free) in name order; the last one is filled
    by repetition. Iterating raises InputError where there is no picture, or one cannot be read.
    """

    source: Path | Sequence[Path]
    info: ArtifactInfo

    def __iter__(self) -> Iterator[NDArray[Any]]:
        batch = self.info.batch or 1
        preprocessor = Preprocessor(self.info.input_size, self.info.input)
        paths = iter(calibration_pictures(self.source))
        while chunk := list(islice(paths, batch)):
            tensor = preprocessor.batch(batch)
            for slot, path in zip(tensor, (chunk * batch)[:batch], strict=True):
                preprocessor.fill(slot, load_opaque(path, self.info.input.picture_channels))
            yield tensor
