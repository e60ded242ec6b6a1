"""PyTorch: runs a checkpoint as it is. The reference that every exported file is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import default_class_names
from yolox_deploy.errors import UsageError, require
from yolox_deploy.models.model_config import Activation, Architecture
from yolox_deploy.runtimes import forks
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
from yolox_deploy.types import TensorSpec

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class TorchOptions(RuntimeOptions):
    """Options of PyTorch; `threads` and `tf32` hold for the whole process, as PyTorch has no other way.

    Attributes:
        precision: "fp32", "bf16" or (on a GPU) "fp16": the type of weights and arithmetic.
        channels_last: memory layout of the convolutions; faster on CPUs.
        fused: fold BatchNorm and Focus into convolutions.
        activation: "silu", "lrelu" or "relu", where a checkpoint does not tell it and was trained with another one
            than its model commonly has.
        tf32: let a GPU round float32 convolutions to TF32's 10 bits, as PyTorch does unless told otherwise.
    """

    precision: str = "fp32"
    channels_last: bool = True
    fused: bool = True
    tf32: bool = False
    activation: Activation | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision not in DTYPES:
            raise UsageError(f"precision is {self.precision!r}; expected one of {', '.join(DTYPES)}")
        Architecture(activation=self.activation)


class TorchRuntime(Runtime):
    """Runs the checkpoints of every YOLOX that is recognised. Calls may run in several threads at once."""

    name = "torch"
    capabilities = Capabilities(
        suffixes=(".pth", ".pt"),
        devices=("cpu", "cuda", "mps"),
        precisions=("fp32", "bf16", "fp16"),
        dynamic_batch=True,
        concurrent=True,
        in_memory=(".pth", ".pt"),
    )
    options_type = TorchOptions
    options: TorchOptions

    @classmethod
    def probe(cls) -> dict[str, str]:
        torch = require("torch", "export")
        devices = [name for name in cls.capabilities.devices if _available(torch, name)]
        return {"version": torch.__version__, "devices": ", ".join(devices)}

    def _load(self, path: Path) -> Loaded:
        torch = require("torch", "export")
        from yolox_deploy import models
        from yolox_deploy.models import safe_load
        from yolox_deploy.models.fusion import fuse

        device = choose_device(torch, self.options.device)
        forks.check_pool(self.options.threads)
        if self.options.threads is not None:
            torch.set_num_threads(self.options.threads)
        if self.options.precision == "fp16" and device == "cpu":
            raise UsageError("fp16 on the CPU is slower than float32 and less exact; use precision='bf16'")
        checkpoint = models.read_checkpoint(path, self.content)
        config = checkpoint.architecture(None, Architecture(activation=self.options.activation))
        network = models.build_model(config, checkpoint.num_classes or 80)
        network.load_state_dict(checkpoint.state_dict)
        if device.startswith("cuda"):
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.options.tf32
        network = fuse(network) if self.options.fused else network.eval()
        size = self.options.imgsz or checkpoint.input_size or (config.test_size,) * 2
        self._dtype = getattr(torch, DTYPES[self.options.precision])
        self._layout = torch.channels_last if self.options.channels_last else torch.contiguous_format
        placed: Any = network.to(device=device, dtype=self._dtype)
        self._network = placed.to(memory_format=self._layout)
        self._torch, self._device = torch, device
        if torch.get_num_threads() > 1:
            forks.started_pool()
        artifact = ArtifactInfo(
            model=config.name,
            class_names=checkpoint.class_names or default_class_names(network.num_classes),
            input_size=size,
            batch=None,
            input=config.input(legacy=checkpoint.is_legacy),
            precision=self.options.precision,
            format="torch",
            origin="inferred",
            weights_sha256=checkpoint.sha256,
            versions={"torch": torch.__version__},
            **config.output_form(),
        )
        float32 = np.dtype(np.float32)
        return Loaded(
            inputs=(TensorSpec("images", (None, config.channels, *size), float32),),
            outputs=(TensorSpec("output", (None, None, 5 + network.num_classes), float32),),
            device=device,
            precision=self.options.precision,
            details={
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "emulated": device == "cpu" and self.options.precision == "bf16" and not has_bf16(torch),
            },
            artifact=artifact,
            survives_fork=torch.get_num_threads() == 1,
            checked="crc32" if safe_load.is_archive(path, self.content) else None,
            notes=(*checkpoint.notes, *checkpoint.doubts),
        )

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        torch = self._torch
        with torch.inference_mode():
            # PyTorch warns of read-only memory, though nothing here writes to it.
            images = torch.from_numpy(np.require(inputs["images"], requirements="W"))
            images = images.to(device=self._device, dtype=self._dtype, memory_format=self._layout)
            output = self._network(images).float().cpu().numpy()
        return {"output": output}

    def _close(self) -> None:
        del self._network


def choose_device(torch: Any, device: str) -> str:
    """The device to use, "auto" meaning CUDA, else MPS, else the CPU.

    Raises:
        UsageError: unknown, or not on this machine.
    """
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if _available(torch, name))
    match = re.fullmatch(r"(cpu|cuda|mps)(?::\d+)?", device)
    if match is None:
        raise UsageError(f"device is {device!r}; torch takes auto, cpu, cuda, cuda:N and mps")
    if not _available(torch, match[1]):
        raise UsageError(f"device {device!r} was asked for; torch {torch.__version__} finds none here")
    return device


def has_bf16(torch: Any) -> bool:
    """Whether this processor computes bfloat16 itself; elsewhere PyTorch emulates it, many times slower."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _available(torch: Any, name: str) -> bool:
    return name == "cpu" or bool(getattr(torch, name).is_available())
