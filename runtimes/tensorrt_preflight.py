"""What is checked before an engine is read: product, version and GPU it was built for, from its sidecar.

TensorRT itself would only say that it cannot deserialise; here the message names what the engine was built
with, what is here, and the command that makes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import CLASS_NAMES
from yolox_deploy.errors import ArtifactError, DeviceError, MissingExtraError
from yolox_deploy.vendors.gpu import Gpu
from yolox_deploy.vendors.tensorrt_sdk import EXPORT_TARGETS, TITLES, Sdk, installed_flavors


def flavor_of(path: Path, info: ArtifactInfo | None) -> str:
    """Which product runs the engine: the one in its sidecar; without one, TensorRT if installed, else -RTX.

    Raises:
        ArtifactError: the sidecar describes a file of another backend.
    """
    if info is None:
        return next(iter(installed_flavors()), "tensorrt")
    if info.format not in TITLES:
        raise ArtifactError(
            f"{path} is described as {info.format} in its sidecar; expected a TensorRT engine"
        )
    return info.format


def check_flavor(path: Path, info: ArtifactInfo | None, flavor: str) -> None:
    """Say what an engine needs when that product is not installed but its sibling may be.

    Raises:
        MissingExtraError: names the product that built it and its extra.
    """
    if flavor not in installed_flavors():
        found = ", ".join(TITLES[name] for name in installed_flavors()) or "neither TensorRT nor TensorRT-RTX"
        built = f"was built with {_built_with(info)}" if info is not None else f"needs {TITLES[flavor]}"
        raise MissingExtraError(
            f"{path} {built}, found {found}. Install it with: pip install 'yolox-deploy[{flavor}]'"
        )


def check_version(path: Path, info: ArtifactInfo | None, sdk: Sdk) -> None:
    """Engines are bound to the version that built them.

    Raises:
        ArtifactError: built with X, found Y, rebuild with Z.
    """
    if info is not None and info.details.get("tensorrt", sdk.version) != sdk.version:
        raise _mismatch(path, info, f"{sdk.title} {sdk.version}")


def check_capability(path: Path, info: ArtifactInfo | None, gpu: Gpu) -> None:
    """Engines are bound to the compute capability they were built for.

    Raises:
        ArtifactError: built for X, found Y, rebuild with Z.
    """
    built_for = info.details.get("compute_capability") if info is not None else None
    if info is not None and built_for and not runs_on(built_for, gpu.compute_capability):
        raise _mismatch(path, info, f"{gpu.name} (compute capability {gpu.capability})", DeviceError)


def runs_on(built_for: Sequence[str], found: tuple[int, int]) -> bool:
    """Whether a GPU is among ("8.6", "8.9"), or from 8.0 on where "8.0+" stands."""
    for text in built_for:
        major, minor = (int(part) for part in text.rstrip("+").split("."))
        if found == (major, minor) or (text.endswith("+") and found > (major, minor)):
            return True
    return False


def rebuild_command(path: Path, info: ArtifactInfo) -> str:
    """The command that makes this engine again on this machine."""
    parts = ["yolox-deploy export", info.model, f"--to {EXPORT_TARGETS[info.format]}"]
    if info.class_names != CLASS_NAMES:  # not the published weights
        parts.append("--weights FILE")
    if info.precision != "fp32":
        parts.append(f"--{info.precision}")
    if info.precision == "int8":
        parts.append("--calib DIR")
    parts.append("--imgsz {}x{}".format(*info.input_size))
    if info.batch != 1:
        parts.append(f"--batch {info.batch or 'dynamic'}")
    return " ".join([*parts, f"--out {path}"])


def _mismatch(
    path: Path, info: ArtifactInfo, found: str, kind: type[ArtifactError] = ArtifactError
) -> ArtifactError:
    return kind(
        f"{path} was built with {_built_with(info)}, found {found}; "
        f"rebuild with: {rebuild_command(path, info)}"
    )


def _built_with(info: ArtifactInfo) -> str:
    capability = ", ".join(info.details.get("compute_capability", ())) or "unknown"
    gpu = f"{info.details['gpu']}, " if info.details.get("gpu") else ""
    version = info.details.get("tensorrt", "of unknown version")
    return f"{TITLES[info.format]} {version} for {gpu}compute capability {capability}"
