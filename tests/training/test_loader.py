"""Batches: every picture once an epoch, and the same samples however they are prepared."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from yolox_deploy.errors import InputError, TrainingError, UsageError
from yolox_deploy.training import TrainConfig
from yolox_deploy.training.augment.pipeline import Sample
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.loader import Batch, EpochPlan, Samples, stream, worker_count

CPU = torch.device("cpu")


class Drawn:
    """Pictures of one random colour each; `broken` cannot be read, `deadly` ends its process."""

    def __init__(self, count: int, broken: int = -1, deadly: int = -1) -> None:
        self.count, self.broken, self.deadly = count, broken, deadly
        self.dataset = self

    def __len__(self) -> int:
        return self.count

    def path(self, index: int) -> Path:
        return Path(f"drawn/{index}.png")

    def __call__(self, index: int, rng: np.random.Generator, *, strong: bool = True) -> Sample:
        if index == self.broken:
            raise cv2.error(f"picture {index} is no picture")
        if index == self.deadly:
            os._exit(1)
        image = np.full((3, 8, 8), rng.integers(256), np.uint8)
        return Sample(image, np.full((2, 5), [index, strong, 1, 1, 1], np.float32))


def plan(pictures: int, batch: int, *, rank: int = 0, world: int = 1, plain: int = 1) -> EpochPlan:
    config = TrainConfig("yolox_nano", Path("data"), epochs=3, batch=batch, plain_epochs=plain, seed=5)
    return EpochPlan(config, pictures, rank, world)


def batches(pictures: Drawn, of: EpochPlan, step: int = 0, workers: int = 0) -> list[Batch]:
    return list(stream(Samples(pictures, of.config.seed), of, step=step, workers=workers, pin_memory=False))


@pytest.mark.parametrize(
    ("pictures", "batch", "world"),
    [
        (64, 16, 1),
        (65, 16, 1),
        (65, 16, 4),
        (7, 8, 1),
        (7, 16, 7),
        (5, 4, 4),
        (17, 4, 4),
        (9, 2, 2),
        (3, 1, 1),
    ],
)
def test_every_picture_once_an_epoch(pictures: int, batch: int, world: int) -> None:
    ranks = [plan(pictures, batch, rank=rank, world=world) for rank in range(world)]
    assert len({each.steps for each in ranks}) == 1
    for epoch in range(2):
        shares = [each.shares(epoch) for each in ranks]
        assert all(len(steps) == ranks[0].steps for steps in shares)
        assert all(len(share) > 0 for steps in shares for share in steps)
        seen = np.concatenate([share for steps in shares for share in steps])
        assert sorted(seen.tolist()) == list(range(pictures))
        sizes = [sum(len(steps[step]) for steps in shares) for step in range(ranks[0].steps)]
        assert max(sizes) - min(sizes) <= 1


def test_no_step_is_larger_than_the_batch() -> None:
    of = plan(65, 16)
    assert of.steps == 5
    assert max(map(len, of.shares(0))) == 13


def test_order_changes_with_the_epoch() -> None:
    of = plan(64, 16)
    assert not np.array_equal(np.concatenate(of.shares(0)), np.concatenate(of.shares(1)))


def test_last_epochs_are_plain() -> None:
    items = list(itertools.chain.from_iterable(plan(8, 4, plain=2).remaining(0)))
    assert [strong for _, _, strong in items] == [True] * 8 + [False] * 16


def test_the_release_has_one_plain_epoch_more() -> None:
    of = plan(8, 4, plain=1)
    of = replace(of, config=replace(of.config, last_phase="release"))
    assert [of.is_plain(epoch) for epoch in range(3)] == [False, True, True]


@pytest.mark.parametrize("step", [0, 1, 3, 4, 11, 12])
def test_the_rest_of_a_run_is_its_end(step: int) -> None:
    of = plan(16, 4)
    assert list(of.remaining(step)) == list(of.remaining(0))[step:]


@pytest.mark.parametrize(
    ("epochs", "stated", "val_pictures", "expected"),
    [
        *((epochs, None, 100, 1) for epochs in (1, 19, 39)),
        *((100, None, 100, 5), (300, None, 100, 10), (1000, None, 100, 10)),
        *(
            (19, None, 5000, 1),
            (20, None, 200, 1),
            (20, None, 201, 2),
            (20, None, 5000, 25),
            (300, None, 5000, 25),
        ),
        *((10, 3, 5000, 3), (300, 1, 100, 1)),
    ],
)
def test_evaluations_are_frequent_and_take_no_longer_than_training(
    epochs: int, stated: int | None, val_pictures: int, expected: int
) -> None:
    config = TrainConfig("yolox_nano", Path("data"), epochs=epochs, batch=8, eval_every=stated)
    assert EpochPlan(config, 100).eval_every(val_pictures) == expected


def test_too_few_pictures() -> None:
    with pytest.raises(UsageError, match="4 processes train, with 3 pictures"):
        plan(3, 8, world=4)
    with pytest.raises(UsageError, match="4 processes train, with 2 a batch"):
        plan(8, 2, world=4)


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create 2 worker processes"
)  # on a machine of one core
@pytest.mark.parametrize(("step", "workers"), [(0, 2), (3, 0), (3, 2)])
def test_samples_do_not_depend_on_workers_or_resuming(step: int, workers: int) -> None:
    of, pictures = plan(10, 3), Drawn(10)
    expected = batches(pictures, of)[step:]
    found = batches(pictures, of, step, workers)
    assert len(found) == len(expected) == 3 * of.steps - step
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
    assert one.images.dtype == torch.uint8
    assert len({int(value) for batch in expected for value in batch.images[:, 0, 0, 0]}) > 5


def test_samples_do_not_depend_on_the_processes() -> None:
    alone = {}
    for of in (plan(10, 4), plan(10, 4, rank=1, world=2)):
        for batch in batches(Drawn(10), of)[: of.steps]:
            for image, targets in zip(batch.images, batch.targets, strict=True):
                key = int(targets[0, 0])
                assert torch.equal(alone.setdefault(key, image), image)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_is_named(workers: int) -> None:
    with pytest.raises(InputError, match=r"drawn/4\.png cannot be prepared .*picture 4 is no picture"):
        batches(Drawn(6, broken=4), plan(6, 2), workers=workers)


def test_a_dead_worker() -> None:
    with (
        pytest.raises(TrainingError, match=r"prepares pictures ended .*worker.*use fewer workers"),
        Job(CPU).guard(),
    ):
        batches(Drawn(6, deadly=4), plan(6, 2), workers=1)


def test_torch_keeps_its_random_state() -> None:
    before = torch.get_rng_state()
    batches(Drawn(6), plan(6, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(32), raising=False)
    assert worker_count(3, CPU) == 3
    assert worker_count(0, torch.device("cuda")) == 0
    assert worker_count(None, torch.device("cuda")) == 8
    assert worker_count(None, CPU) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert worker_count(None, torch.device("cuda")) == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "32")
    assert worker_count(None, CPU) == 0
    assert worker_count(None, torch.device("cuda")) == 1
