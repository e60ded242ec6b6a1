"""A model and everything that changes with it: averaged weights, optimiser, loss scaling, the size of its pictures.

One size holds for every process and all pictures of ten steps (paper, section 2.1).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel as DDP

from yolox_deploy.errors import UsageError
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.models.zoo import SIZE_DIVISOR
from yolox_deploy.training.assign import ASSIGNERS
from yolox_deploy.training.config import Precision, TrainConfig
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.loader import Batch
from yolox_deploy.training.losses import Losses, LossOptions, losses_from_predictions
from yolox_deploy.training.optimization import ModelEMA, build_optimizer, set_learning_rate

LOSS_NAMES = tuple(field.name for field in fields(Losses))

STEPS_PER_SIZE = 10
BACKBONE, NECK = "backbone.backbone.", "backbone."
"""How the names of their parameters begin; the neck's are what is left of the second."""


class Learner:
    """Trains `model` as `config` says, together with the other processes of `job`.

    The model goes to the device of the job; `ema` holds the averaged weights, which are evaluated and exported.

    Raises:
        UsageError: a precision that the device does not train in.
    """

    def __init__(self, model: YOLOX, config: TrainConfig, job: Job) -> None:
        self.config = config
        self.device = job.device
        self.precision = resolve_precision(config.precision, job.device)
        self.model = model.to(job.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in self._frozen():
            part.requires_grad_(False)
        self.ema = ModelEMA(self.model, decay=config.ema_decay, short=config.ema_ramp == "short")
        self.optimizer = build_optimizer(
            self.model,
            kind=config.optimizer,
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            rates={BACKBONE: config.backbone_rate, NECK: config.neck_rate},
        )
        self.assigner = ASSIGNERS[config.assigner]
        self.options = LossOptions(config.box_loss, config.iou_aware)
        self.scaler = torch.amp.GradScaler(job.device.type, enabled=self.precision == "fp16")
        self.network = job.wrap(self.model)

    def train(self) -> None:
        """Training mode; frozen parts keep their BatchNorm statistics too, and all layers where these are frozen."""
        self.network.train()
        for part in self._frozen():
            part.eval()
        if self.config.batchnorm == "frozen":
            for norm in (module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)):
                norm.eval()

    def backward(self, batch: Batch, size: tuple[int, int], *, use_l1: bool) -> Tensor:
        """Add the gradients of the mean loss over the parts of `batch`, trained at `size` (height, width).

        Returns:
            (7,) float32 on the device: `LOSS_NAMES`, the mean over the parts.
        """
        count = min(self.config.accumulate, len(batch.images))
        parts = zip(batch.images.tensor_split(count), batch.targets.tensor_split(count), strict=True)
        values = []
        for number, (part, boxes) in enumerate(parts, start=1):
            images, targets = to_input(part, boxes, size, self.device)
            # Parts keep their gradients to this process; the last one shares the sum.
            network = self.network
            with network.no_sync() if number < count and isinstance(network, DDP) else nullcontext():
                dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
                with torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32"):
                    raw = self.network(images)
                losses = losses_from_predictions(
                    raw,
                    size,
                    targets,
                    assigner=self.assigner,
                    use_l1=use_l1,
                    priors=self.model.head.priors,
                    selector=self.model.config.selector,
                    options=self.options,
                )
                torch.autograd.backward(self.scaler.scale(losses.total / count))
            values.append(torch.stack([getattr(losses, name).detach().float() for name in LOSS_NAMES]))
        return torch.stack(values).mean(dim=0)

    def update(self, rate: float) -> None:
        """Step the optimiser with the learning rate `rate`, then the averaged weights."""
        set_learning_rate(self.optimizer, rate)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update()

    def is_finite(self) -> bool:
        """Whether no weight and no statistic is NaN or infinite, of the model and of the averaged one."""
        states = [*self.model.state_dict().values(), *self.ema.model.state_dict().values()]
        return bool(torch.stack([value.isfinite().all() for value in states]).all())

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; `model` are the averaged weights."""
        return {
            "model": self.ema.model.state_dict(),
            "raw": self.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.ema.model.load_state_dict(state["model"])
        self.model.load_state_dict(state["raw"])
        self.ema.updates = state["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"])

    def _frozen(self) -> list[nn.Module]:
        """The modules that the settings keep as they are."""
        trunk = dict(self.model.backbone.named_children())
        backbone = trunk.pop("backbone")
        frozen = [backbone] if self.config.freeze_backbone else []
        return [*frozen, *trunk.values()] if self.config.freeze_neck else frozen


def resolve_precision(wanted: Precision | None, device: torch.device) -> Precision:
    """`wanted`, or for None fp16 on CUDA, bf16 on a CPU with instructions for it, else fp32.

    Raises:
        UsageError: fp16 on a CPU.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("a CPU does not train in fp16; expected the precision bf16 or fp32")
    if wanted is not None:
        return wanted
    if device.type == "cuda":
        return "fp16"
    return "bf16" if cpu_has_bfloat16() else "fp32"


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware: elsewhere it is slower than float32.

    Asked by private names of torch, which a version may lack.
    """
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def size_of_step(
    step: int, size: tuple[int, int], heights: tuple[int, int] | None, seed: int
) -> tuple[int, int]:
    """The (height, width) of training in `step`; a function of its arguments, so that all processes agree.

    Args:
        step: optimiser steps since the beginning of the run.
        size: (height, width) of the pictures before.
        heights: least and greatest height, multiples of 32; None for `size` always.
        seed: of the run.
    """
    if heights is None:
        return size
    rng = np.random.default_rng([seed, step // STEPS_PER_SIZE])
    rows = int(rng.integers(heights[0] // SIZE_DIVISOR, heights[1] // SIZE_DIVISOR, endpoint=True))
    return SIZE_DIVISOR * rows, SIZE_DIVISOR * max(int(rows * size[1] / size[0]), 1)


def to_input(
    images: Tensor, targets: Tensor, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """What the network and the losses read, at `size` (height, width).

    Args:
        images: (B, 3, H, W) uint8, BGR.
        targets: (B, M, 5) class, cx, cy, w, h in pixels of `images`.

    Returns:
        (B, 3, *size) float32 0-255 on `device`, channels last; and targets in its pixels, where they were.
    """
    height, width = images.shape[-2:]
    pixels = images.to(device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
    if (height, width) == size:
        return pixels, targets
    scale = torch.tensor([1.0, size[1] / width, size[0] / height, size[1] / width, size[0] / height])
    pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    return pixels.contiguous(memory_format=torch.channels_last), targets * scale
