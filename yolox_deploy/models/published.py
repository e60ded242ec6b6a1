"""Models named rather than given as a file: a name of the zoo stands for the authors' ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

from yolox_deploy.errors import UsageError, check_kind, translating
from yolox_deploy.models.naming import get_config
from yolox_deploy.path_texts import short


def model_path(model: str | Path) -> Path:
    """The path of a model file: `model` itself or, for a name of the zoo, the authors' ONNX file, fetched once.

    What exists is a path, and so is what has a suffix or a folder in it.

    Raises:
        UsageError: neither a file nor a model of that name; suggests the closest name.
        ArtifactError: it has no published file, or that cannot be fetched.
    """
    check_kind(
        "the model",
        model,
        (str, os.PathLike),
        "a path, a name of the zoo, or the bytes of a file with format=",
    )
    with translating(UsageError, f"{short(model)} cannot be a model file"):
        path = Path(model)
        if path.suffix or path.name != str(model) or path.exists():
            return path
    try:
        config = get_config(path.name)
    except UsageError as error:
        raise UsageError(f"no model file at {path}, and {error}") from error
    from yolox_deploy.models.weights import fetch_onnx  # urllib, which a file needs not

    return fetch_onnx(config)
