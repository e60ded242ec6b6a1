"""Loading time, cold first inference and peak memory of one model file, each in a process of its own.

Run as `python -m yolox_deploy.benchmarks.startup '{"path": …}'`; prints one JSON object.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from yolox_deploy.benchmarks.report.results import Startup

TIMEOUT_SECONDS = 600


def measure_startup(
    path: Path, backend: str | None, device: str, threads: int | None, runtime_options: dict[str, Any]
) -> Startup:
    """Open the file in a fresh process and detect once in a grey picture; empty where that process fails."""
    asked = {"path": str(path), "backend": backend, "device": device, "threads": threads}
    command = [sys.executable, "-m", __name__, json.dumps({**asked, "runtime_options": runtime_options})]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
        ).stdout
        return Startup(**json.loads(done.strip().splitlines()[-1]))
    except (subprocess.SubprocessError, ValueError, IndexError):
        return Startup()


def peak_memory_mib() -> float | None:
    """The largest resident memory of this process so far.

    On Linux from VmHWM: `getrusage` would count the memory of the parent at the time of the fork.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / unit


def _run(asked: dict[str, Any]) -> dict[str, float | None]:
    start = time.perf_counter()
    import numpy as np

    from yolox_deploy.detector import Detector
    from yolox_deploy.runtimes.registry import find

    path = Path(asked.pop("path"))
    importlib.import_module(find(path, asked["backend"]).package)
    imported, baseline = time.perf_counter(), peak_memory_mib()
    picture = np.full((480, 640, 3), 114, np.uint8)
    before = time.perf_counter()
    with Detector(path, **asked) as detector:
        loaded = time.perf_counter()
        detector.predict(picture)
        ended = time.perf_counter()
    return {
        "import_ms": (imported - start) * 1000,
        "load_ms": (loaded - before) * 1000,
        "first_ms": (ended - loaded) * 1000,
        "peak_memory_mib": peak_memory_mib(),
        "baseline_mib": baseline,
    }


if __name__ == "__main__":
    print(json.dumps(_run(json.loads(sys.argv[1]))))
