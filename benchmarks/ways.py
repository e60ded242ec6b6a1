"""Which ways there are to run a model on this machine: backends, precisions, and the files they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.converters.base import TARGETS
from yolox_deploy.errors import DeviceError, MissingExtraError, UsageError, YoloxDeployError
from yolox_deploy.runtimes.registry import RuntimeEntry, entries, find

DEFAULT_PRECISIONS = ("fp32", "bf16")
GPU_BACKEND, GPU_PRECISIONS = "tensorrt", ("fp16",)
"""On a GPU with TensorRT the paper's protocol: FP16, batch 1, the model's test size."""

CHECKPOINT_SUFFIX = ".pth"


@dataclass(frozen=True)
class Variant:
    """One way to run a model here; `target` None runs the checkpoint itself."""

    backend: str
    precision: str
    target: str | None


def usable_entries(names: Sequence[str] | None = None) -> list[RuntimeEntry]:
    """The runtimes that work on this machine; with `names`, exactly those.

    Raises:
        UsageError: an unknown name.
        MissingExtraError, ArtifactError: a runtime that was named cannot run here.
    """
    known = {entry.name: entry for entry in entries()}
    if names is not None:
        for name in names:
            if name not in known:
                raise UsageError(f"no backend {name!r}; expected one of {', '.join(known)}")
            known[name].load().probe()
        return [known[name] for name in names]
    return [entry for entry in known.values() if entry.installed and _works(entry)]


def variants(backends: Sequence[str] | None = None, precisions: Sequence[str] | None = None) -> list[Variant]:
    """Every way to run a model of the zoo here on the backends named, in the precisions; None: what suits this machine.

    Raises:
        UsageError: a backend is unknown, or none has the precisions asked for.
        MissingExtraError, ArtifactError: a backend that was named cannot run here, or none is installed.
    """
    chosen = usable_entries(backends)
    if not chosen:
        extras = ", ".join(dict.fromkeys(entry.extra for entry in entries()))
        raise MissingExtraError(
            "no backend can run here: pip install 'yolox-deploy[onnxruntime]', or another of the extras "
            f"{extras}; `yolox-deploy doctor` tells what is here"
        )
    if backends is None and any(entry.name == GPU_BACKEND for entry in chosen):
        chosen = [entry for entry in chosen if entry.name == GPU_BACKEND]
    found = []
    for entry in chosen:
        default = GPU_PRECISIONS if entry.name == GPU_BACKEND else DEFAULT_PRECISIONS
        for target, offered in _ways(entry):
            wanted = precisions or default
            found += [Variant(entry.name, one, target) for one in wanted if one in offered]
    if not found:
        raise UsageError(
            f"no way to run a model: backends {[entry.name for entry in chosen]}, precisions "
            f"{list(precisions or DEFAULT_PRECISIONS)}; `yolox-deploy doctor` tells what is installed"
        )
    return found


def check_precision(candidate: ModelUnderTest, way: Variant) -> None:
    """Open it once: a backend says then that this machine does not have the precision, or only emulates it."""
    with candidate.open(Protocol()) as detector:
        if detector.info.details.get("emulated"):
            raise DeviceError(f"this machine has no {way.precision}; {way.backend} only emulates it")


def on_backends(
    files: Sequence[Path],
    backends: Sequence[RuntimeEntry],
    device: str,
    imgsz: tuple[int, int] | None = None,
) -> list[ModelUnderTest]:
    """Each file on each of the backends that opens it; `imgsz` (H, W) where a file leaves it free."""
    return [
        ModelUnderTest(file, entry.name, device=device, runtime_options=sized(imgsz))
        for file in files
        for entry in backends
        if file.suffix in entry.suffixes
    ]


def sized(imgsz: tuple[int, int] | None) -> dict[str, Any] | None:
    """The runtime options that make a file run at a size, where one is asked for."""
    return None if imgsz is None else {"imgsz": imgsz}


def ways(
    files: Sequence[Path], device: str = "auto", imgsz: tuple[int, int] | None = None
) -> list[ModelUnderTest]:
    """Every file on every backend here that opens it, in every precision that the backend sets itself.

    Raises:
        UsageError: no backend opens any of the files.
        MissingExtraError, ArtifactError: the first backend that would open them cannot run here.
    """
    found = on_backends(files, usable_entries(), device, imgsz)
    if not found:
        for entry in entries():
            if any(file.suffix in entry.suffixes for file in files):
                entry.load().probe()  # says why not, and what to install
        raise UsageError(
            f"no backend here opens {', '.join(file.name for file in files) or 'nothing'}; "
            "`yolox-deploy doctor` tells what is installed"
        )
    return [way for candidate in found for way in _precisions(candidate)]


def _works(entry: RuntimeEntry) -> bool:
    try:
        entry.load().probe()
    except YoloxDeployError:
        return False
    return True


def _ways(entry: RuntimeEntry) -> list[tuple[str | None, tuple[str, ...]]]:
    """Targets whose files the runtime is meant for, each with its precisions; None is the checkpoint."""
    if CHECKPOINT_SUFFIX in entry.suffixes:
        return [(None, entry.load().capabilities.precisions)]
    return [(target.name, target.precisions) for target in TARGETS if target.runtime == entry.name]


def _precisions(candidate: ModelUnderTest) -> list[ModelUnderTest]:
    runtime = find(candidate.path, candidate.backend).load()
    if "precision" not in runtime.options_type.__dataclass_fields__:
        return [candidate]
    tried = [candidate]
    for precision in ("bf16", "fp16"):
        options = {**(candidate.runtime_options or {}), "precision": precision}
        variant = replace(candidate, runtime_options=options)
        try:
            variant.open(Protocol()).close()
        except YoloxDeployError:  # this device does not have it
            continue
        tried.append(variant)
    return tried
