"""What becomes of a Detector in forked processes, for each runtime that can run here."""

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_forked_process_answers_or_says_spawn_and_ends(
    model_file: Any, entry: RuntimeEntry, threads: int
) -> None:
    path = model_file(entry).path
    try:
        open_runtime(path, entry.name).close()
    except YoloxDeployError as error:
        pytest.skip(f"{entry.name} cannot run here: {error}")
    command = [sys.executable, "-c", SCRIPT, str(path), entry.name, str(threads)]
    done = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = done.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(done.pid, 9)  # the forked process too
        pytest.fail("the forked process does not end")
    assert (done.returncode, out) == (0, "child 0\n"), err
