"""Detectors in forked and spawned processes, and many one after the other, for each runtime that can run here."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from yolox_deploy.errors import YoloxDeployError
from yolox_deploy.runtimes import open_runtime
from yolox_deploy.runtimes.registry import RuntimeEntry, entries

ENTRIES = entries()
SCRIPT = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forks where threads run
import numpy as np
from yolox_deploy import Detector
from yolox_deploy.errors import UsageError
path, backend, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
inherited = Detector(path, backend=backend, threads=threads, conf=0.01)
expected = inherited.predict(image)
child = os.fork()
if child == 0:
    try:
        assert inherited.predict(image) == expected
    except UsageError as error:
        assert "spawn" in str(error), error
    inherited.close()
    del inherited
    with Detector(path, backend=backend, threads=1, conf=0.01) as fresh:
        found = fresh.predict(image)
        assert len(found) == len(expected)
        assert np.allclose(found.boxes, expected.boxes, atol=0.1)
    sys.exit(0)
status = os.waitpid(child, 0)[1]
assert inherited.predict(image) == expected
print("child", status)
"""
CAMPAIGN = """
import sys
from yolox_deploy.benchmarks.faults.processes import try_one
print(*try_one(sys.argv[3], sys.argv[1], sys.argv[2], "0", 14))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_forked_process_answers_or_says_spawn_and_ends(
    model_file: Any, entry: RuntimeEntry, threads: int
) -> None:
    assert told(SCRIPT, usable(model_file, entry), entry.name, threads) == "child 0"


@pytest.mark.parametrize("name", ["spawn", "dropped"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_spawned_processes_answer_the_same_and_many_detectors_leave_nothing(
    model_file: Any, entry: RuntimeEntry, name: str
) -> None:
    found = told(CAMPAIGN, usable(model_file, entry), entry.name, name)
    assert found.startswith("right"), found


def usable(model_file: Any, entry: RuntimeEntry) -> str:
    """The runtime's file, or the test is skipped."""
    path = model_file(entry).path
    try:
        open_runtime(path, entry.name).close()
    except YoloxDeployError as error:
        pytest.skip(f"{entry.name} cannot run here: {error}")
    return str(path)


def told(script: str, *arguments: object) -> str:
    """What a script prints in a process of its own, which has a minute."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = done.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(done.pid, 9)  # its children too
        pytest.fail("it does not end")
    assert done.returncode == 0, err
    return out.strip()
