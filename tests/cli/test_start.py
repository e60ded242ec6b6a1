"""Ctrl-C from the first moment of a command on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

MOMENTS = [0.03 * number for number in range(20)]
PROGRAM = [sys.executable, "-c", "from yolox_deploy.cli import main; print('started', flush=True); main()"]
"""Python's own start, before its first line of ours, is nobody's to catch."""


def interrupted(arguments: list[str], moment: float, folder: Path) -> tuple[int, str, str]:
    """Send Ctrl-C so many seconds after the first line of ours: exit code, output, standard error."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "export"])
def test_ctrl_c_in_the_first_moments_ends_a_command_without_a_traceback(
    command: str, toy_model: Any, photographs: list[Path], tmp_path: Path
) -> None:
    model = toy_model(tmp_path / "toy.onnx")
    arguments = {
        "predict": [
            *map(str, photographs),
            *[str(photographs[0])] * 3000,
            "--model",
            str(model),
            "--no-images",
        ],
        "export": ["yolox_nano", "--weights", "random", "--imgsz", "64"],
    }[command]
    before = sorted(tmp_path.iterdir())
    for moment in MOMENTS:
        code, _, err = interrupted([command, *arguments], moment, tmp_path)
        assert code == 130, (moment, err)
        assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_during_help_ends_without_a_traceback(tmp_path: Path) -> None:
    for moment in MOMENTS:
        code, out, err = interrupted(["--help"], moment, tmp_path)
        assert "Traceback" not in err
        # Once Python has begun to leave, the system ends it, which a shell calls 130 as well; all is printed then.
        assert code == 130 or (code in (0, -signal.SIGINT) and "Exit codes:" in out), (moment, code, err)


LOST = """
import signal, time
from yolox_deploy.cli.interrupts import ending_cleanly

class Dying:
    def __del__(self):
        signal.raise_signal(signal.{name})
        time.sleep(0)

with ending_cleanly():
    try:
        Dying()
        time.sleep(20)
    finally:
        print("finished", flush=True)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 143)])
def test_a_signal_inside_a_destructor_is_not_lost(name: str, code: int) -> None:
    """Python itself drops it with a traceback, and the program goes on."""
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(name=name)],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "finished\n")
    assert "Exception ignored" not in done.stderr


SWALLOWED = """
import pathlib, sys
from yolox_deploy.cli.interrupts import ending_cleanly

pathlib.Path("careless.py").write_text('''
import signal
try:
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):
        pass
except BaseException:
    pass
''')
sys.path.insert(0, "")
with ending_cleanly():
    import careless, time
    time.sleep(20)
"""


def test_a_signal_waits_for_the_end_of_an_import_that_would_swallow_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], capture_output=True, timeout=10, check=False, cwd=tmp_path
    )
    assert done.returncode == -signal.SIGINT, done.stderr
