"""This machine's measured matrix-multiply peak: how far a network is from what the hardware gives.

Square products of NumPy (its BLAS) and, where installed, PyTorch, each precision its own; the best counts.
Every measurement has a process of its own, so that no thread pool of it stays in the benchmark's process.
Run as `python -m yolox_deploy.benchmarks.machine.peak [THREADS]`; prints one JSON array.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from yolox_deploy.benchmarks.machine.facts import Peak

SIZES = (1024, 2048)
SECONDS = 0.4
TIMEOUT_SECONDS = 120
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
TORCH_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def measure_peaks(threads: int | None = None) -> tuple[Peak, ...]:
    """The peak of each precision that NumPy or PyTorch has on the CPU, and on CUDA where PyTorch has that.

    Args:
        threads: of the multiplication; None for the library's own choice.

    Returns:
        One peak for each device and precision (a GPU's has `library` "torch cuda"); empty where the process
        failed.
    """
    limits = {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = [sys.executable, "-m", __name__, *([] if threads is None else [str(threads)])]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
            env={**os.environ, **limits},
        )
        return tuple(Peak(**values) for values in json.loads(done.stdout.strip().splitlines()[-1]))
    except (subprocess.SubprocessError, ValueError, IndexError, TypeError):
        return ()


def share(
    gflops_per_second: float | None, peaks: Sequence[Peak], precision: str, threads: int | None, device: str
) -> float | None:
    """The part of the fitting peak that was reached; None where no peak of that precision was measured."""
    if gflops_per_second is None:
        return None
    on_gpu = device.startswith("cuda")
    for peak in peaks:
        fits = (peak.precision, peak.threads) == (precision, threads)
        if fits and peak.library.endswith("cuda") == on_gpu:
            return gflops_per_second / peak.gflops
    return None


def best_rate(multiply: Callable[[], object], size: int, seconds: float = SECONDS) -> float:
    """GFLOP/s (2 size³ operations a product) of the fastest call within `seconds`, the first left out."""
    multiply()
    end = time.perf_counter() + seconds
    fastest = float("inf")
    while time.perf_counter() < end:
        start = time.perf_counter()
        multiply()
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * size**3 / fastest / 1e9


def _numpy_peaks(threads: int | None) -> list[Peak]:
    found = []
    for size in SIZES:
        a = np.random.default_rng(0).random((size, size), np.float32)
        out = np.empty_like(a)
        rate = best_rate(lambda a=a, out=out: np.matmul(a, a, out=out), size)  # type: ignore[misc]
        found.append(Peak(rate, "fp32", size, threads, "numpy"))
    return found


def _torch_peaks(threads: int | None) -> list[Peak]:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    found = []
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        for precision, name in TORCH_PRECISIONS.items():
            if device == "cpu" and not _on_processor(torch, precision):
                continue  # emulated: minutes, and no peak
            for size in SIZES if device == "cpu" else (4096,):
                a = torch.rand(size, size, device=device, dtype=getattr(torch, name))
                rate = best_rate(_torch_product(torch, a, device), size)
                library = "torch cuda" if device == "cuda" else "torch"
                found.append(Peak(rate, precision, size, None if device == "cuda" else threads, library))
    return found


def _on_processor(torch: Any, precision: str) -> bool:
    from yolox_deploy.runtimes.torch_adapter import has_bf16

    return precision == "fp32" or (precision == "bf16" and has_bf16(torch))


def _torch_product(torch: Any, a: Any, device: str) -> Callable[[], object]:
    out = torch.empty_like(a)

    def multiply() -> None:
        torch.matmul(a, a, out=out)
        if device == "cuda":
            torch.cuda.synchronize()

    return multiply


def _best(peaks: Sequence[Peak]) -> list[Peak]:
    """The fastest of each device and precision."""
    best: dict[tuple[str, bool], Peak] = {}
    for peak in sorted(peaks, key=lambda peak: peak.gflops):
        best[peak.precision, peak.library.endswith("cuda")] = peak
    return list(best.values())


def _main(arguments: Sequence[str]) -> None:
    threads = int(arguments[0]) if arguments else None
    peaks = _numpy_peaks(threads)
    if importlib.util.find_spec("torch") is not None:
        peaks += _torch_peaks(threads)
    print(json.dumps([vars(peak) for peak in _best(peaks)]))


if __name__ == "__main__":
    _main(sys.argv[1:])
