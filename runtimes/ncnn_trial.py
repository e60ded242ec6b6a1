"""The first run of a pair that nothing vouches for, in a process of its own: a crash there is an error here.

Undefined behaviour may pass there and not here. So shapes are followed first (`ncnn_geometry`); for layers that cannot
be followed, this trial is the only guard.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolox_deploy.errors import ArtifactError
from yolox_deploy.runtimes.ncnn_files import EXPORT_AGAIN, Layer, param_text
from yolox_deploy.runtimes.ncnn_geometry import Geometry

CHILD = Path(__file__).with_name("ncnn_child.py")
SECONDS = 60.0
WORK_A_SECOND = 500_000_000
"""Multiplications of a slow processor: the trial may take so much longer."""
BYTES = 1 << 30
"""Memory that a trial may take beside the weights and blobs, and what NCNN makes of these."""
COPIES = 16
"""How often NCNN may hold weights and blobs: transformed in three ways for convolutions, padded, packed."""
NO_TRIAL = "it was not run in a process of its own first, as there is no Python interpreter to start one with"

UNFOLLOWED = (
    "the sizes of {} and of the layers behind cannot be checked; all that is known is that one run in a process of its "
    "own went well"
)


@dataclass(frozen=True)
class Pair:
    """What is tried: layers and weights; `picture` and `outputs` are names of blobs."""

    path: Path
    layers: Sequence[Layer]
    weights: Path
    picture: str
    outputs: Sequence[str]


def interpreter() -> str | None:
    """The Python to start a process with; None in a frozen or embedding program, which would start itself."""
    name = Path(sys.executable or "").name.lower()
    usable = name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)
    return sys.executable if usable and Path(sys.executable).is_file() and CHILD.is_file() else None


def try_pair(pair: Pair, shape: Sequence[int], geometry: Geometry) -> list[str]:
    """Run `pair` once on a picture of `shape` (channels, height, width), in a process of its own.

    Returns:
        Sentences for people: on layers that were not followed, or where there can be no such process.

    Raises:
        ArtifactError: it crashed, took too long or too much memory, or NCNN refused it; or there can be no trial, and
            there are layers that nobody followed.
    """
    python = interpreter()
    if python is None:
        return [_untried(pair, geometry)]
    seconds = SECONDS + geometry.work / WORK_A_SECOND
    memory = BYTES + COPIES * (pair.weights.stat().st_size + geometry.memory)
    job = {
        "path": [str(Path(entry).resolve()) for entry in sys.path],
        "param": param_text(pair.layers),
        "weights": str(pair.weights.resolve()),
        "input": pair.picture,
        "outputs": list(pair.outputs),
        "shape": shape,
        "memory": memory,
    }
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            [python, "-I", "-W", "ignore", str(CHILD)],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=seconds,
            env={**os.environ, **one_thread},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        raise ArtifactError(_told(pair, shape, f"did not end within {seconds:.0f} s")) from None
    except OSError:
        return [_untried(pair, geometry)]
    lines = done.stdout.decode(errors="replace").splitlines()
    if "began" not in lines:  # the process could not import NCNN: nothing was learned about the file
        return [_untried(pair, geometry)]
    if done.returncode == 0 and lines[-1] == "ran":
        return [UNFOLLOWED.format(", ".join(geometry.unfollowed))] if geometry.unfollowed else []
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    why = said[-1] if said else "it gave no reason"
    if lines[-1] == "refused" and done.returncode == 0:
        raise ArtifactError(f"ncnn refused {pair.path} ({why}); {EXPORT_AGAIN}")
    if done.returncode < 0:
        why = f"ended the process with signal {-done.returncode}"
    elif lines[-1].startswith("failed"):
        why = f"gave no {' with code '.join(lines[-1].split()[1:])}"
    else:
        why = f"ended the process with exit code {done.returncode} ({why})"
    raise ArtifactError(_told(pair, shape, f"{why} (it was allowed {memory:,} bytes of memory)"))


def _untried(pair: Pair, geometry: Geometry) -> str:
    if geometry.unfollowed:
        raise ArtifactError(
            f"{pair.path} holds {', '.join(geometry.unfollowed)}, whose sizes cannot be checked, and {NO_TRIAL}: "
            f"give it the sidecar of its export, or {EXPORT_AGAIN}"
        )
    return NO_TRIAL


def _told(pair: Pair, shape: Sequence[int], what: str) -> str:
    size = f"{shape[1]}x{shape[2]}"
    return (
        f"{pair.path} {what} when it was run at {size} in a process of its own: it is damaged, or needs what this ncnn "
        f"lacks; copy the pair again, or {EXPORT_AGAIN}"
    )
