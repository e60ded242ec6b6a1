"""What `import yolox_deploy` and `yolox-deploy --help` load: no toolkit of any vendor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = {
    *("cv2", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "ncnn", "pnnx"),
    *("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "cuda", "pycuda", "scipy", "PIL", "supervision"),
    *("faster_coco_eval", "pycocotools", "matplotlib", "pandas", "polygraphy", "psutil", "safetensors"),
    *("mlflow", "wandb", "trackers"),
}
TERMINAL = {"rich", "typer", "click", "platformdirs"}

REPORT = """
import json, os, sys
before = dict(os.environ)
{code}
changed = sorted(k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k))
modules = sorted(set(m.partition(".")[0] for m in sys.modules))
ours = sorted(m for m in sys.modules if m.startswith("yolox_deploy."))
print(json.dumps({{"modules": modules, "ours": ours, "changed": changed}}))
"""

BY_OPENCV = {"LD_LIBRARY_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"}
"""Variables that cv2's own wheel sets when it is imported."""


def loaded(code: str) -> dict[str, Any]:
    """What `code` loads in a fresh process, top-level names and our modules, and the environment it changes."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT.format(code=code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.parametrize("code", ["import yolox_deploy", "from yolox_deploy.cli import main"])
def test_importing_the_package_loads_nothing_else(code: str) -> None:
    """The command line begins by it, too: what takes long, Ctrl-C would end with a traceback."""
    report = loaded(code)
    assert not (HEAVY | TERMINAL | {"numpy"}) & set(report["modules"])
    assert set(report["ours"]) <= {"yolox_deploy._version", "yolox_deploy.cli"}
    assert report["changed"] == []


def test_the_names_are_there_without_loading_what_they_need() -> None:
    report = loaded("import yolox_deploy; dir(yolox_deploy); yolox_deploy.Detections")
    assert not (HEAVY | TERMINAL) & set(report["modules"])


def test_the_detector_loads_opencv_and_no_toolkit() -> None:
    report = loaded("from yolox_deploy import Detector")
    assert "cv2" in report["modules"]
    assert not (HEAVY - {"cv2"} | TERMINAL) & set(report["modules"])
    assert set(report["changed"]) <= BY_OPENCV


def test_the_tables_of_runtimes_and_targets_load_no_toolkit() -> None:
    code = """
from yolox_deploy.converters.base import TARGETS
from yolox_deploy.runtimes.registry import entries
for entry in entries():
    entry.installed, entry.load()
"""
    report = loaded(code)
    assert not (HEAVY - {"cv2"}) & set(report["modules"])
    assert set(report["changed"]) <= BY_OPENCV


def test_evaluation_and_streaming_load_numpy_only() -> None:
    report = loaded(
        "from yolox_deploy.evaluation import coco_ap, streaming_ap; import yolox_deploy.streaming.clocks"
    )
    assert not (HEAVY | TERMINAL) & set(report["modules"])


def test_a_report_of_the_benchmark_is_read_with_numpy_only() -> None:
    report = loaded("from yolox_deploy.benchmarks import BenchReport, Protocol, compare")
    assert not (HEAVY | TERMINAL) & set(report["modules"])


def test_evaluation_of_images_loads_nothing_of_streams() -> None:
    ours = loaded("import yolox_deploy.evaluation; yolox_deploy.evaluation.coco_ap")["ours"]
    assert "yolox_deploy.evaluation.coco" in ours
    assert not [name for name in ours if "streaming" in name]


def test_the_zoo_is_listed_without_torch() -> None:
    assert "torch" not in loaded("from yolox_deploy.models import ZOO, get_config")["modules"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["export", "--help"], ["predict", "--help"]]
)
def test_help_loads_no_toolkit(arguments: list[str]) -> None:
    code = f"""
import contextlib
sys.argv = ["yolox-deploy", *{arguments!r}]
from yolox_deploy.cli import main
with contextlib.suppress(SystemExit):
    main()
"""
    report = loaded(code)
    assert not HEAVY & set(report["modules"])
    assert report["changed"] == []


def fastest(code: str, repeats: int = 3) -> float:
    """CPU seconds of the quickest of a few fresh processes, which a busy machine changes little."""
    timed = f"import time; start = time.process_time()\n{code}\nprint(time.process_time() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, timeout=60, check=True)
        for _ in range(repeats)
    ]
    return min(float(run.stdout.split()[-1]) for run in runs)


@pytest.mark.parametrize(
    ("measure", "limit"),
    [
        (
            lambda: fastest("import numpy; start = time.process_time()\nfrom yolox_deploy import Detections"),
            0.15,
        ),
        (lambda: fastest("from yolox_deploy.cli.program import run"), 0.4),
    ],
    ids=["import", "command line"],
)
def test_starting_is_quick(measure: Callable[[], float], limit: float) -> None:
    assert measure() < limit


def test_the_package_sets_no_environment_variable_at_import() -> None:
    """Read from the sources: what a runtime needs it sets when it is loaded."""
    root = Path(__file__).resolve().parents[1]
    folders = ("yolox_deploy", "converters", "runtimes", "benchmarks")
    files = [file for folder in folders for file in (root / folder).rglob("*.py")]
    assert len(files) > 20
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            assert not line.startswith(("os.environ", "os.putenv")), f"{file}: {line}"


def test_a_module_may_be_run_from_any_folder(tmp_path: Path) -> None:
    """The package must not depend on the folder it is started in, where `converters` and the rest lie."""
    code = "import sys, yolox_deploy.converters.base; print('converters' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
