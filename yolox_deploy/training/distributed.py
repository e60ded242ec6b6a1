"""One job over several processes, as torchrun starts them: RANK, WORLD_SIZE and LOCAL_RANK in the environment."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from yolox_deploy.errors import TrainingError, UsageError

TIMEOUT_VARIABLE = "YOLOX_DEPLOY_TIMEOUT"
TIMEOUT = 300.0
"""Seconds that a process waits for the others; the environment variable sets another number."""

RUN_ID = "yolox-deploy-"
"""How torchrun's engine calls a job that `--devices` started."""


@dataclass(frozen=True)
class Job:
    """This process and the job that it belongs to; the only one of its job by default."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and talks to people."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """`value` of the main process, in every process."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather(self, values: list[Any]) -> list[Any]:
        """The lists of all processes joined, in the main process; nothing in the others."""
        if self.world == 1:
            return values
        parts: list[list[Any]] | None = [[] for _ in range(self.world)] if self.is_main else None
        dist.gather_object(values, parts, dst=0)
        return [value for part in parts or () for value in part]

    @torch.no_grad()
    def average_statistics(self, *models: nn.Module) -> None:
        """Give every process the mean of all BatchNorm statistics, as the official code does to evaluate."""
        if self.world == 1:
            return
        for buffer in (buffer for model in models for buffer in model.buffers()):
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.world

    def wrap(self, model: nn.Module) -> nn.Module:
        """`model`, with gradients that are the mean over all processes."""
        if self.world == 1:
            return model
        devices = None if self.device.index is None else [self.device.index]
        # Statistics stay with each process until `average_statistics`; PyTorch 2.13 renamed the option.
        known = inspect.signature(DistributedDataParallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {"device_ids": devices, option: False}
        return DistributedDataParallel(model, **options)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Say in plain words that another process is gone: one of the job, or a worker of a loader.

        Raises:
            TrainingError: such a process ended, or did not answer in time.
        """
        try:
            yield
        except (RuntimeError, ConnectionError, EOFError) as error:
            # PyTorch raises plain ones, for a worker at any point of the program: a signal tells of its end. Its
            # connection may be found broken before that.
            if "DataLoader worker" in str(error) or not isinstance(error, RuntimeError):
                raise TrainingError(
                    f"a process that prepares pictures ended ({error}); where memory is short, use fewer workers"
                ) from error
            if self.world == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            raise TrainingError(
                f"another process of this job ended or no longer answers (rank {self.rank} of {self.world} "
                "lost contact); its own message says why. Go on from the last checkpoint with --resume"
            ) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """End the block in every process with an error where one ends it with a `TrainingError`; all come here.

        Raises:
            TrainingError: that of this process, or that another one had one.
        """
        own: TrainingError | None = None
        try:
            yield
        except TrainingError as error:
            own = error
        failed = own is not None
        if self.world > 1:
            flag = torch.tensor(float(failed), device=self.device)
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            failed = bool(flag)
        if own is not None:
            raise own
        if failed:
            raise TrainingError("another process of this job cannot go on; its own message says why")

    def leave(self) -> None:
        """End the contact with the other processes."""
        if self.world > 1:
            dist.destroy_process_group()


def join_job(device: str) -> Job:
    """The job of this process, joined where the environment names one of several processes.

    Args:
        device: "auto", "cpu", "cuda" (the GPU of this process' LOCAL_RANK) or "cuda:N".

    Raises:
        UsageError: no such device, or one GPU for several processes.
        TrainingError: the other processes did not appear in time.
    """
    require_own_gpus(device, int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    world, rank = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", 1), ("RANK", 0)))
    place = find_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    job = Job(place, rank, world)
    if world > 1 and not dist.is_initialized():
        timeout = timedelta(seconds=float(os.environ.get(TIMEOUT_VARIABLE, TIMEOUT)))
        try:
            dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=timeout)
        except RuntimeError as error:
            raise TrainingError(f"rank {rank} of {world} cannot join the job: {error}") from error
    return job


def require_own_gpus(device: str, processes: int) -> None:
    """Refuse one GPU for several `processes` of this machine.

    Raises:
        UsageError: `device` names it.
    """
    if processes > 1 and device.startswith("cuda:"):
        raise UsageError(f"{processes} processes would train on {device}; expected cuda, for one GPU each")


def find_device(name: str, local_rank: int) -> torch.device:
    """The torch device called `name`; "auto" is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or not (index or "0").isdigit():
        raise UsageError(f"the device is {name!r}; expected auto, cpu, cuda or cuda:N")
    wanted, count = int(index or local_rank), torch.cuda.device_count()
    if wanted >= count:
        raise UsageError(f"there is no GPU {wanted} for training; PyTorch sees {count}")
    return torch.device("cuda", wanted)


def is_own_job() -> bool:
    """Whether `run_processes` started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(RUN_ID)


def run_processes(arguments: Sequence[str], count: int, device: str) -> int:
    """Run Python with `arguments` in `count` processes of this machine, by torchrun's engine.

    Returns:
        The exit code of the first process that failed, which is named on standard error; else 0.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from yolox_deploy.host import usable_cores

    require_own_gpus(device, count)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(usable_cores() // count, 1)))
    job = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"{RUN_ID}{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    try:
        elastic_launch(job, sys.executable)(*arguments)
    except SignalException as error:  # the processes got the signal too, saved and ended
        return 128 + error.sigval
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        end = f"by {failure.signal_name()}" if code < 0 else f"with exit code {code}; its message is above"
        print(f"error: rank {rank} of {count} ended first, {end}", file=sys.stderr)
        return code if code >= 0 else 128 - code  # as a shell tells of a signal
    return 0
