"""Two processes on a CPU train as one, and end as one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from yolox_deploy.errors import TrainingError, UsageError
from yolox_deploy.models import build_model
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training import TrainConfig
from yolox_deploy.training.distributed import TIMEOUT, Job, find_device, join_job
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.loader import Batch
from yolox_deploy.training.restoring import is_folded
from yolox_deploy.training.trainer import Trainer

COMMON = """
import os, sys, torch
from pathlib import Path
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.distributed import join_job
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
"""
GRADIENTS = """
from yolox_deploy.models import build_model
from yolox_deploy.training.learner import Learner
from yolox_deploy.training.loader import Batch
given = torch.load(folder / "given.pt", weights_only=True)
job = join_job("cpu")
for accumulate in (1, 2):
    torch.manual_seed(rank)
    model = build_model("yolox_nano", 2)
    if job.is_main:
        model.load_state_dict(given["weights"])
    config = TrainConfig("yolox_nano", folder, imgsz=(64, 64), precision="fp32", accumulate=accumulate)
    learner = Learner(model, config, job)
    learner.train()
    batch = Batch(given["images"][rank::2], given["targets"][rank::2])
    learner.backward(batch, (64, 64), use_l1=True)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    own = {name: b.clone() for name, b in model.named_buffers()}
    job.average_statistics(model)
    found = {"grads": grads, "own": own, "buffers": dict(model.named_buffers())}
    shared = job.share(f"from rank {rank}"), job.gather([rank, rank])
    torch.save({**found, "shared": shared}, folder / f"found{accumulate}{rank}.pt")
job.leave()
"""
RUN = """
from yolox_deploy.training import loader
from yolox_deploy.training.trainer import Trainer
items, prepare = [], loader.Samples.__getitem__
def getitem(self, item):
    items.append(item)
    if (rank, len(items)) == (1, int(sys.argv[2])):
        os._exit(9)
    return prepare(self, item)
loader.Samples.__getitem__ = getitem
config = TrainConfig("yolox_nano", folder / "data", folder / "run", epochs=2, batch=4, imgsz=(64, 64),
                     multiscale=(32, 96), workers=0, precision="fp32", plain_epochs=1)
trainer = Trainer(config)
backward, steps = trainer.learner.backward, []
def spoiling(*arguments, **options):
    steps.append(backward(*arguments, **options))
    return steps[-1] * (float("nan") if (rank, len(steps)) == (1, int(sys.argv[3])) else 1.0)
trainer.learner.backward = spoiling
result = trainer.fit()
state = trainer.learner.state()
torch.save({"items": items, "figures": result.figures, "model": state["model"], "raw": state["raw"]},
           folder / f"end{rank}.pt")
"""

RESTORED = """
from yolox_deploy.training.trainer import Trainer
config = TrainConfig("yolox_nano", folder / "data", folder / f"restored{os.environ['WORLD_SIZE']}", imgsz=(64, 64),
                     weights=folder / "folded.pth", epochs=1, batch=4, precision="fp32", workers=0)
state = Trainer(config).learner.state()
torch.save({"model": state["model"], "raw": state["raw"]}, folder / f"restored{os.environ['WORLD_SIZE']}{rank}.pt")
"""


def start(code: str, *arguments: object) -> list[subprocess.Popen[str]]:
    """Two processes as torchrun would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", COMMON + code, *map(str, arguments)],
            env={**environment(), **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit code and standard error of each."""
    try:
        ended = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [(process.returncode, text) for process, text in zip(processes, ended, strict=True)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    write_scenes(folder / "data", train=9, val=3, size=(64, 64))
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A batch and weights, and in `folder` what two processes made of them."""
    rng = torch.Generator().manual_seed(1)
    targets = torch.zeros(8, 10, 5)
    targets[:, :2] = torch.tensor([[0.0, 20, 20, 24, 24], [1, 40, 44, 30, 20]])
    images = torch.randint(0, 256, (8, 3, 64, 64), generator=rng, dtype=torch.uint8)
    batch = {"images": images, "targets": targets, "weights": build_model("yolox_nano", 2).state_dict()}
    folder = tmp_path_factory.mktemp("gradients")
    torch.save(batch, folder / "given.pt")
    for code, text in finish(start(GRADIENTS, folder)):
        assert code == 0, text
    return {**batch, "folder": folder}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the processes have: another number rounds otherwise, and a single assignment that flips is no rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.usefixtures("one_thread")
def test_gradients_are_the_mean_of_the_halves(given: dict[str, Any], accumulate: int) -> None:
    one, other = (
        torch.load(given["folder"] / f"found{accumulate}{rank}.pt", weights_only=True) for rank in range(2)
    )
    halves = [_gradients(given, rank, accumulate) for rank in range(2)]
    for name, gradient in one["grads"].items():
        assert torch.equal(gradient, other["grads"][name])
        mean = (halves[0][name] + halves[1][name]) / 2
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)
    for name, value in one["buffers"].items():
        assert torch.equal(value, other["buffers"][name])
        if value.is_floating_point():
            assert not torch.equal(one["own"][name], other["own"][name])
            torch.testing.assert_close(value, (one["own"][name] + other["own"][name]) / 2)
    assert one["shared"] == ("from rank 0", [0, 0, 1, 1])
    assert other["shared"] == ("from rank 0", [])


def _gradients(given: dict[str, Any], rank: int, accumulate: int) -> dict[str, torch.Tensor]:
    """Of one half, computed alone."""
    model = build_model("yolox_nano", 2)
    model.load_state_dict(given["weights"])
    settings = {"imgsz": (64, 64), "precision": "fp32", "accumulate": accumulate}
    learner = Learner(model, TrainConfig("yolox_nano", Path("data"), **settings), Job(torch.device("cpu")))
    learner.train()
    learner.backward(Batch(given["images"][rank::2], given["targets"][rank::2]), (64, 64), use_l1=True)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_a_run_of_two_processes(scenes: Path) -> None:
    for code, text in finish(start(RUN, scenes, 0, 0)):
        assert code == 0, text
    one, other = (torch.load(scenes / f"end{rank}.pt", weights_only=True) for rank in range(2))
    for key in ("model", "raw"):
        assert all(torch.equal(value, other[key][name]) for name, value in one[key].items())
    assert one["figures"] == other["figures"]
    for epoch in range(2):
        seen = sorted(index for run in (one, other) for at, index, _ in run["items"] if at == epoch)
        assert seen == list(range(9))
    kept = torch.load(scenes / "run" / "last.pth", weights_only=True)
    assert all(torch.equal(value, kept["raw"][name]) for name, value in one["raw"].items())
    assert (kept["epoch"], kept["step"]) == (2, 6)


def test_a_dead_process_ends_the_job(scenes: Path) -> None:
    """Long before the time is up that a process waits for another."""
    processes = start(RUN, scenes, 4, 0)
    assert processes[1].wait(timeout=240) == 9
    died = time.monotonic()
    (code, text), _ = finish(processes)
    assert code == 1
    assert time.monotonic() - died < 0.5 * TIMEOUT
    assert "TrainingError: another process of this job ended or no longer answers (rank 0 of 2" in text


@pytest.mark.usefixtures("one_thread")
def test_batch_norm_is_restored_alike_in_all_processes(scenes: Path) -> None:
    """As one process would, and no other way; the averaged weights, too."""
    state = build_model("yolox_nano", 6).state_dict()
    for name in (name for name in state if name.endswith("bn.bias")):
        state[name] += 0.1
    torch.save({"model": state}, scenes / "folded.pth")
    for code, text in finish(start(RESTORED, scenes)):
        assert code == 0, text
    config = TrainConfig(
        "yolox_nano", scenes / "data", scenes / "alone", imgsz=(64, 64), weights=scenes / "folded.pth"
    )
    expected = Trainer(replace(config, epochs=1, batch=4, precision="fp32", workers=0)).learner.state()["raw"]
    assert not is_folded(expected)
    for rank in range(2):
        found = torch.load(scenes / f"restored2{rank}.pt", weights_only=True)
        for key in ("model", "raw"):
            assert all(torch.equal(value, found[key][name]) for name, value in expected.items())


@pytest.mark.slow
def test_a_loss_that_is_lost_in_one_process_ends_all(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(scenes / "data")
    (code, text), (other_code, other) = finish(start(RUN, tmp_path, 0, 2))
    assert (code, other_code) == (1, 1)
    assert "TrainingError: another process of this job cannot go on; its own message says why" in text
    assert "NonFiniteLossError: the loss is nan in step 2 (epoch 1)" in other
    assert {path.name for path in (tmp_path / "run").glob("*.pt*")} == {"nonfinite_batch_rank1.pt"}


def test_a_process_alone_is_a_job_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    job = join_job("cpu")
    assert job == Job(torch.device("cpu"))
    assert job.is_main
    assert job.share(3) == 3
    assert job.gather([1]) == [1]
    model = torch.nn.BatchNorm2d(2)
    assert job.wrap(model) is model
    with pytest.raises(RuntimeError, match="unrelated"), job.guard():
        raise RuntimeError("unrelated")
    with pytest.raises(TrainingError, match=r"prepares pictures ended .*reset by peer"), job.guard():
        raise ConnectionResetError(
            104, "Connection reset by peer"
        )  # a worker was killed while it sent a batch


def test_the_others_do_not_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in {**values, "YOLOX_DEPLOY_TIMEOUT": "0.5"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="rank 1 of 2 cannot join the job"):
        join_job("cpu")


def test_two_processes_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"2 processes would train on cuda:0; expected cuda"):
        join_job("cuda:0")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cuda:99"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UsageError):
        find_device(name, 0)
