"""`train --devices N`: the same command line in several processes of this machine."""

from __future__ import annotations

import os
import sys

import typer

COMMAND = "from yolox_deploy.cli import main; main()"
RUN_ID = "yolox-deploy-"
"""How torchrun's engine calls a job that `--devices` started."""


def is_own_job() -> bool:
    """Whether `run_processes` started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(RUN_ID)


def run_processes(count: int, device: str) -> int:
    """Run this command line in `count` processes by torchrun's engine; the exit code of the first that failed."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from yolox_deploy.benchmarks.machine.processor import usable_cores
    from yolox_deploy.training.distributed import require_own_gpus

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
        elastic_launch(job, sys.executable)("-c", COMMAND, *sys.argv[1:])
    except SignalException as error:  # the processes got the signal too, saved and ended
        return 128 + error.sigval
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        end = f"by {failure.signal_name()}" if code < 0 else f"with exit code {code}; its message is above"
        typer.echo(f"error: rank {rank} of {count} ended first, {end}", err=True)
        return code if code >= 0 else 128 - code  # as a shell tells of a signal
    return 0
