"""Opens a pair in NCNN and runs it once: a program of its own, for `ncnn_trial` to start.

It imports nothing of yolox-deploy, which keeps it fast. It reads a job as JSON on its standard input, and ends with 0
after an answer of NCNN; its last line then says which. Anything else is a crash.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def main(job: dict[str, Any]) -> None:
    """Take `job`: "path" of modules, "param" text, "weights" file, "input", "outputs", "shape", "memory" in bytes."""
    sys.path.extend(entry for entry in job["path"] if entry not in sys.path)
    numpy, ncnn = importlib.import_module("numpy"), importlib.import_module("ncnn")
    _limit(job["memory"])
    print("began", flush=True)
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = net.opt.use_vulkan_compute = False
    if net.load_param_mem(job["param"]) != 0 or net.load_model(job["weights"]) != 0:
        print("refused")
        return
    picture = numpy.full(job["shape"], 114, numpy.float32)
    extractor = net.create_extractor()
    extractor.input(job["input"], ncnn.Mat(picture).clone())
    for name in job["outputs"]:
        code, result = extractor.extract(name)
        if code != 0 or result.empty():
            print(f"failed {name} {code}")
            return
        float(numpy.array(result, dtype=numpy.float32).sum())  # reads each value
    print("ran")


def _limit(memory: int) -> None:
    """Hold the process to `memory` bytes beyond what it has; Windows has no such limit."""
    try:
        resource: Any = importlib.import_module("resource")
        with open("/proc/self/statm", encoding="ascii") as status:
            held = int(status.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main(json.load(sys.stdin))
