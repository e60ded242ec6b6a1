"""The public surface of `yolox_deploy.training`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import yolox_deploy.training as training


def test_public_names() -> None:
    assert training.__all__ == [
        *("Assignment", "CheckpointSaved", "EpochFinished", "Evaluated", "Message", "MlflowCallback"),
        *(
            "RunFinished",
            "RunStarted",
            "StepFinished",
            "TrainConfig",
            "TrainResult",
            "Trainer",
            "WandbCallback",
        ),
        *("compute_losses", "recipe", "simota"),
    ]
    for name in training.__all__:
        assert getattr(training, name).__name__ == name
    assert dir(training) == training.__all__


def test_import_is_lazy() -> None:
    code = "import sys, yolox_deploy.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_freed_memory_is_kept() -> None:
    """In a process of its own: a block where a larger one was freed must come without page faults."""
    code = """
import resource, sys, torch
from yolox_deploy.host import keep_freed_memory
if not keep_freed_memory():
    sys.exit(77)
def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3 << 22)
sys.exit(faults(1 << 22) > 100)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False).returncode
    if result == 77:
        pytest.skip("freed memory can only be kept with glibc")
    assert result == 0
