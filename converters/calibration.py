"""Real pictures as input tensors, for INT8 calibration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.images import load_image
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.sources import image_paths

MOST_PICTURES = 300
"""More do not make the ranges better, only the export slower."""


def calibration_tensors(folder: Path, info: ArtifactInfo) -> Iterator[NDArray[Any]]:
    """The pictures of `folder` as the model takes them, one (1, …) tensor at a time, in name order.

    Raises:
        InputError: there is no picture, or one cannot be read.
    """
    preprocessor = Preprocessor(info.input_size, info.input)
    for path in image_paths(folder)[:MOST_PICTURES]:
        tensor = preprocessor.batch(1)
        preprocessor.fill(tensor[0], load_image(path))
        yield tensor
