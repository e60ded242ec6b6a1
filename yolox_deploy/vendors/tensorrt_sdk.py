"""TensorRT and TensorRT-RTX: one API under three module names. Which one is used is decided here only."""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from yolox_deploy.errors import ArtifactError, UsageError, require
from yolox_deploy.vendors.gpu import Gpu

MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
"""Flavor -> modules that carry its API; "tensorrt-rtx" comes with or without its meta-package."""

TITLES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}

EXPORT_TARGETS = {"tensorrt": "trt", "tensorrt-rtx": "trt-rtx"}
"""Flavor -> value of `--to`."""

NOT_YET_RUN = "not yet run on a GPU by the authors; `make gpu-acceptance` checks it on yours"

_VOLTA = (7, 0)
_LAST_FOR_VOLTA = (10, 4)
_FIRST_FOR_RTX = (7, 5)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sdk:
    """One installed flavor.

    Attributes:
        flavor: "tensorrt" or "tensorrt-rtx".
        module: its Python module.
        logger: the `ILogger` that all objects of this module share.
        errors: its latest error messages, oldest first.
    """

    flavor: str
    module: Any
    logger: Any
    errors: deque[str]

    @property
    def title(self) -> str:
        """The product's name."""
        return TITLES[self.flavor]

    @property
    def version(self) -> str:
        """The version of the Python package and of the library it loads."""
        return str(self.module.__version__)

    def take_errors(self) -> str:
        """What the library has complained of since the last time, as one line."""
        messages = list(dict.fromkeys(self.errors))
        self.errors.clear()
        return "; ".join(messages) or "the library gave no reason"


def installed_flavors() -> tuple[str, ...]:
    """The flavors whose module can be found (nothing is imported)."""
    return tuple(flavor for flavor in MODULES if _module_name(flavor) is not None)


@functools.cache  # the libraries keep the first logger that they are given for the life of the process
def load_sdk(flavor: str) -> Sdk:
    """Import a flavor.

    Raises:
        MissingExtraError: it is not installed.
        UsageError: no such flavor.
    """
    if flavor not in MODULES:
        raise UsageError(f"no TensorRT flavor {flavor!r}; expected one of {', '.join(MODULES)}")
    module = require(_module_name(flavor) or MODULES[flavor][0], flavor)
    errors: deque[str] = deque(maxlen=4)
    return Sdk(flavor, module, _make_logger(module, errors), errors)


def check_gpu(sdk: Sdk, gpu: Gpu) -> None:
    """Refuse a GPU that this version does not know any more, or not yet.

    Raises:
        ArtifactError: names the extra or target that serves that GPU.
    """
    if sdk.flavor == "tensorrt-rtx" and gpu.compute_capability < _FIRST_FOR_RTX:
        raise ArtifactError(
            f"TensorRT-RTX needs compute capability 7.5; {gpu.name} has {gpu.capability}. Use --to trt"
        )
    if sdk.flavor == "tensorrt" and gpu.compute_capability <= _VOLTA and _numbers(sdk) > _LAST_FOR_VOLTA:
        raise ArtifactError(
            f"TensorRT {sdk.version} does not support {gpu.name} (compute capability {gpu.capability}); 10.4 "
            "was the last. Get it with: pip uninstall tensorrt && pip install 'yolox-deploy[tensorrt-volta]'"
        )


def _numbers(sdk: Sdk) -> tuple[int, ...]:
    """(major, minor) of the version."""
    return tuple(int(part) for part in re.findall(r"\d+", sdk.version)[:2])


def _module_name(flavor: str) -> str | None:
    return next((name for name in MODULES[flavor] if importlib.util.find_spec(name) is not None), None)


def _make_logger(module: Any, errors: deque[str]) -> Any:
    levels = {0: logging.ERROR, 1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}

    class Logger(module.ILogger):  # type: ignore[misc]  # a class of a module that is known only at run time
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(int(severity), logging.DEBUG)
            if level == logging.ERROR:
                errors.append(" ".join(message.split()))
            # Errors reach the user in an exception, so the log holds all of it one step below.
            _LOG.log(min(level, logging.INFO), message)

    return Logger()
