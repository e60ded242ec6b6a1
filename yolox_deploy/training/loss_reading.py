"""The losses of the steps, read now and then: on a GPU each look waits for it."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from yolox_deploy.errors import NonFiniteLossError
from yolox_deploy.models import get_config
from yolox_deploy.training.learner import LOSS_NAMES, size_of_step
from yolox_deploy.training.loader import EpochPlan, Samples, stream
from yolox_deploy.training.run import write_torch


class LossReader:
    """Keeps what `Learner.backward` returns, on its device, until somebody wants to know.

    Args:
        plan, samples: of the run, to prepare the batch of a bad step again.

    Attributes:
        names: of the losses that are told: a model without a selector has none of it.
    """

    def __init__(self, plan: EpochPlan, samples: Samples) -> None:
        self.plan, self.samples = plan, samples
        has_selector = get_config(plan.config.model).selector
        self.names = tuple(name for name in LOSS_NAMES if has_selector or name != "selector")
        self._unread: dict[int, Tensor] = {}

    def add(self, step: int, values: Tensor) -> None:
        """Take in the losses of the step of the run after which `step` are finished."""
        self._unread[step] = values

    def read(self) -> dict[str, float]:
        """The mean losses of the steps since the last look; nothing where there were none.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite; its first step is named, and the file with the batch.
        """
        if not self._unread:
            return {}
        rows = torch.stack(list(self._unread.values()))
        steps = dict(zip(self._unread, rows.tolist(), strict=True))
        self._unread.clear()
        for step, row in steps.items():
            losses = dict(zip(LOSS_NAMES, row, strict=True))
            if not math.isfinite(losses["total"]):
                raise NonFiniteLossError(
                    f"the loss is {losses['total']} in step {step} (epoch {self._epoch(step)}): {losses}. The "
                    f"batch is in {self._keep_batch(step, losses)}; look at its targets, or lower the learning rate"
                )
        means = dict(zip(LOSS_NAMES, rows.mean(dim=0).tolist(), strict=True))
        return {name: means[name] for name in self.names}

    def _epoch(self, step: int) -> int:
        return -(-step // self.plan.steps)

    def _keep_batch(self, step: int, losses: dict[str, float]) -> Path:
        """Write the batch of `step` as it was trained on."""
        config, rank = self.plan.config, self.plan.rank
        before = step - 1
        with closing(stream(self.samples, self.plan, step=before, workers=0, pin_memory=False)) as batches:
            batch = next(batches)
        size = size_of_step(before, config.size, config.multiscale, config.seed)
        about = {"epoch": self._epoch(step), "step": step, "size": size, "losses": losses}
        path = config.out / f"nonfinite_batch{f'_rank{rank}' if rank else ''}.pt"
        write_torch(path, {**batch._asdict(), **about, "model_name": config.model})
        return path
