"""Batches of augmented pictures: which ones, in which order, and the processes that prepare them.

The order is a function of (seed, epoch) and a sample one of (seed, epoch, index). So neither depends on the
number of workers, on how many processes train, or on where a run was interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.training.augment.pipeline import Augmenter, Sample
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.interrupts import ENDING

SIGNAL_SECONDS = 1.0
MAX_WORKERS = 8
EVALUATIONS = 20
"""In a run, where the settings do not say."""
MOST_EPOCHS_BETWEEN = 10
"""Evaluations, as the authors have it."""
EVALUATED_FOR_TRAINED = 2
"""Pictures that are evaluated at most for each that is trained on."""
Item: TypeAlias = tuple[int, int, bool]
"""(epoch, index of the picture, strong augmentation)."""


class Batch(NamedTuple):
    """The share of one process in a step: `images` (B, 3, H, W) uint8 BGR, `targets` (B, M, 5) float32 class,
    cx, cy, w, h in their pixels, rows of zeros being padding.
    """

    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class EpochPlan:
    """Which pictures each step takes.

    An epoch is a permutation of all pictures, cut into steps of at most `config.batch` pictures and as equal as
    possible: no small batch is left over. Process `rank` of `world` takes every `world`-th picture of a step.
    Where that many pictures a step would leave a process without any, the epoch has fewer and larger steps.

    Epochs and steps are indices here, from 0: samples were drawn by them before anything counted what is finished.

    Raises:
        UsageError: fewer pictures than processes, or a batch smaller than their number.
    """

    config: TrainConfig
    pictures: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        for name, count in (("pictures", self.pictures), ("a batch", self.config.batch)):
            if count < self.world:
                raise UsageError(f"{self.world} processes train, with {count} {name}; expected one for each")

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return min(-(-self.pictures // self.config.batch), self.pictures // self.world)

    def is_plain(self, epoch: int) -> bool:
        """Whether `epoch` (from 0) is one of the last, without mosaic and MixUp and with the L1 loss."""
        return epoch >= self.config.epochs - self.config.plain

    def eval_every(self, val_pictures: int) -> int:
        """Epochs between evaluations on so many pictures, the plain epochs left out, which have one each.

        `config.eval_every`, or for None each epoch of fewer than 20, else a twentieth of the run, up to each tenth. An
        evaluated picture takes about half the time of one to train on (measured on a CPU: 0.49 to 0.59), so in longer
        runs evaluations read at most twice as many pictures as the epochs between them, and take no longer.
        """
        if self.config.eval_every is not None:
            return self.config.eval_every
        if self.config.epochs < EVALUATIONS:
            return 1
        wanted = min(max(self.config.epochs // EVALUATIONS, 1), MOST_EPOCHS_BETWEEN)
        return max(wanted, -(-val_pictures // (EVALUATED_FOR_TRAINED * self.pictures)))

    def shares(self, epoch: int) -> list[NDArray[np.int64]]:
        """For each step of `epoch`, the pictures of this process."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.pictures)
        return [part[self.rank :: self.world] for part in np.array_split(order, self.steps)]

    def remaining(self, step: int) -> Iterator[list[Item]]:
        """The batches of this process from `step` of the run to its end."""
        for epoch in range(step // self.steps, self.config.epochs):
            first = max(step - epoch * self.steps, 0)
            for share in self.shares(epoch)[first:]:
                yield [(epoch, index, not self.is_plain(epoch)) for index in share.tolist()]


class Samples(Dataset[Sample | InputError]):
    """The sample of an item, or the error that came of it: an exception would lose its text on the way."""

    def __init__(self, prepare: Augmenter, seed: int) -> None:
        self.prepare, self.seed = prepare, seed

    def __getitem__(self, item: Item) -> Sample | InputError:
        epoch, index, strong = item
        try:
            return self.prepare(index, np.random.default_rng([self.seed, epoch, index]), strong=strong)
        except InputError as error:
            return error
        except Exception as error:
            return InputError(
                f"{self.prepare.dataset.path(index)} cannot be prepared for training: {error!r}"
            )


def collate(samples: Sequence[Sample | InputError]) -> Batch | InputError:
    """Stack samples into a batch; one error stands for all."""
    sound = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        sound.append(sample)
    images, targets = (np.stack(part) for part in zip(*sound, strict=True))
    return Batch(torch.from_numpy(images), torch.from_numpy(targets))


def stream(
    samples: Samples, plan: EpochPlan, *, step: int, workers: int, pin_memory: bool
) -> Generator[Batch, None, None]:
    """Every batch of this process from `step` to the end of the run; the workers live as long as this generator.

    Raises:
        InputError: a picture could not be prepared; names it.
    """
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=plan.remaining(step),
        collate_fn=collate,
        pin_memory=pin_memory,
        **worker_options(workers),
    )
    try:
        for batch in loader:
            if isinstance(batch, InputError):
                raise batch
            yield batch
    except (ConnectionError, EOFError):
        # A worker that is killed breaks its connection before the system tells of its end. PyTorch raises that wherever
        # the signal finds the program: better here than while the loader is cleared away.
        time.sleep(SIGNAL_SECONDS)
        raise


def worker_options(workers: int) -> dict[str, Any]:
    """Options of a `DataLoader` with so many worker processes, each of one thread, as there are of them as cores.

    Forked processes share the arrays of the data set. The generator of its own leaves torch's as it is.
    """
    return {
        "num_workers": workers,
        "worker_init_fn": _start_worker,
        "generator": torch.Generator(),
        "multiprocessing_context": "fork" if workers and sys.platform == "linux" else None,
    }


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    # Sent to all processes, they end a worker without a word: one that seems killed would break the step in progress.
    for number in set(ENDING) - {signal.SIGINT}:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(0))


def worker_count(wanted: int | None, device: torch.device) -> int:
    """Worker processes for one training process: as `wanted`, or for None one a core, at most 8, on CUDA.

    A CPU that trains has no core to spare: there it is one, to prepare the next batch while a step waits.
    """
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(share, MAX_WORKERS)) if device.type == "cuda" else int(share > 1)
