"""What a training run will cost, measured on its first steps."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice, pairwise

from yolox_deploy.data.opening import open_splits
from yolox_deploy.training.config import TrainConfig

TIMED_STEPS = 4
"""The first one warms up."""


def seconds_per_step(config: TrainConfig) -> float:
    """Seconds of one step of a run: the fastest of a few first ones, pictures prepared in this process.

    Raises:
        YoloxDeployError: what `Trainer` raises.
    """
    import torch

    from yolox_deploy.models import build_model
    from yolox_deploy.training.augment.pipeline import Augmenter
    from yolox_deploy.training.distributed import join_job
    from yolox_deploy.training.learner import Learner
    from yolox_deploy.training.loader import EpochPlan, Samples, stream

    job = join_job(config.device)
    dataset, _ = open_splits(**config.data_options)
    plan = EpochPlan(config, len(dataset))
    samples = Samples(Augmenter(dataset, config.size, config.augmentation), config.seed)
    batches = stream(samples, plan, step=0, workers=0, pin_memory=False)
    with torch.random.fork_rng(devices=[]), closing(batches):
        learner = Learner(build_model(config.model, len(dataset.class_names)), config, job)
        learner.train()
        clock = [time.perf_counter()]
        for batch in islice(batches, TIMED_STEPS):
            # Reading a loss waits for a GPU.
            learner.backward(batch, config.size, use_l1=False).tolist()
            learner.update(0.0)
            clock.append(time.perf_counter())
    return min(end - start for start, end in pairwise(clock))


def count_steps(config: TrainConfig) -> int:
    """Optimiser steps of a whole run."""
    from yolox_deploy.training.loader import EpochPlan

    return config.epochs * EpochPlan(config, len(open_splits(**config.data_options)[0])).steps
