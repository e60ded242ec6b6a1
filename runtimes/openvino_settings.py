"""What OpenVINO is asked for: device, precision, hint and the folder for compiled models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.runtimes.base import RuntimeOptions

PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}
DEFAULT_CACHE = "auto"


@dataclass(frozen=True)
class OpenVinoOptions(RuntimeOptions):
    """Options of OpenVINO.

    Attributes:
        device: "auto" (the CPU), "cpu", "gpu", "gpu:1", "npu".
        precision: "fp32", "fp16" or "bf16" for the layers that are not INT8. "auto" is float32, except
            bfloat16 for a file exported in it, and FP16 for an FP16 file on a GPU or NPU.
        hint: "latency" (one inference as fast as possible) or "throughput" (several at once).
        cache_dir: folder for compiled models, which load faster; "auto" for `openvino` in the cache folder of
            yolox-deploy, None for no cache.
    """

    precision: str = "auto"
    hint: str = "latency"
    cache_dir: str | Path | None = DEFAULT_CACHE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("precision", ("auto", *PRECISIONS)), ("hint", tuple(HINTS))):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} is {getattr(self, name)!r}; openvino takes {', '.join(known)}")

    def config(self, precision: str, cache: Path | None) -> dict[str, Any]:
        """Properties for `Core.compile_model`."""
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": HINTS[self.hint],
        }
        if self.threads is not None:
            config["INFERENCE_NUM_THREADS"] = self.threads
        if cache is not None:
            config["CACHE_DIR"] = str(cache)
        return config


def choose_device(asked: str, core: Any) -> str:
    """OpenVINO's name of the device: "CPU", "GPU", "GPU.1", "NPU".

    Raises:
        UsageError: there is no such kind of device, or not on this machine.
    """
    match = re.fullmatch(r"auto|cpu|npu|gpu(?::(\d+))?", asked)
    if match is None:
        raise UsageError(f"device {asked!r}: openvino takes auto, cpu, gpu, gpu:N and npu")
    if asked in ("auto", "cpu"):
        return "CPU"  # not OpenVINO's own AUTO, which would pick precision along with the device
    device = asked.upper().replace(":", ".")
    available = core.available_devices
    if not any(found == device or found.startswith(f"{device}.") for found in available):
        raise UsageError(
            f"device {asked!r} was asked for; OpenVINO finds {', '.join(available)} here. Use device='cpu', "
            "or install the device's driver"
        )
    return device


def choose_precision(asked: str, exported: str, device: str, offered: Sequence[str]) -> str:
    """The precision for floating-point layers, never left to OpenVINO; see `OpenVinoOptions.precision`.

    Args:
        asked: the option.
        exported: precision of the file.
        device: OpenVINO's name of the device.
        offered: what the device can do, in OpenVINO's words ("FP32", "BF16", …).

    Raises:
        UsageError: the device does not have the precision asked for.
        ArtifactError: the device does not have the precision that the file was exported for.
    """
    wanted = asked
    if asked == "auto":
        follows = exported == "bf16" or (exported == "fp16" and device != "CPU")
        wanted = exported if follows else "fp32"
    if wanted.upper() not in offered:
        others = " or ".join(f"precision={name!r}" for name in PRECISIONS if name.upper() in offered)
        whose = "the file was exported for" if asked == "auto" else "the precision asked for is"
        kind = ArtifactError if asked == "auto" else UsageError
        raise kind(f"{whose} {wanted}, which this {device} does not have; pass {others}")
    return wanted


def check_precision(wanted: str, hint_in_force: str, device: str) -> str:
    """`wanted`, confirmed by the compiled model: OpenVINO may put another type in its place.

    Raises:
        ArtifactError: it did.
    """
    if PRECISIONS[wanted] != hint_in_force:
        obtained = next((name for name, kind in PRECISIONS.items() if kind == hint_in_force), hint_in_force)
        raise ArtifactError(
            f"{wanted} was wanted, OpenVINO runs {obtained} on this {device}; if that will do, pass "
            f"precision={obtained!r}"
        )
    return wanted


def prepare_cache(asked: str | Path | None) -> Path | None:
    """The folder for compiled models, made where it does not exist; None for no cache.

    Raises:
        UsageError: the folder named cannot be made (the default one is done without).
    """
    if asked is None:
        return None
    from yolox_deploy.models.weights import cache_dir

    folder = cache_dir() / "openvino" if asked == DEFAULT_CACHE else Path(asked)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if asked == DEFAULT_CACHE:
            return None
        raise UsageError(f"cache_dir {folder} cannot be made ({error}); pass cache_dir=None") from error
    return folder
