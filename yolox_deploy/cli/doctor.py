"""`yolox-deploy doctor`: what is installed, what it can do on this machine, and how to get the rest."""

from __future__ import annotations

import importlib
import platform
from importlib import metadata
from typing import Any

from yolox_deploy.cli import options
from yolox_deploy.cli.common import print_json, print_table
from yolox_deploy.errors import YoloxDeployError

LIBRARY_ADVICE = (
    "OpenCV needs it from the system: apt-get install -y libgl1 libglib2.0-0, or use the build that does not: "
    "pip uninstall -y opencv-python && pip install opencv-python-headless"
)
CONFLICT = ("onnxruntime", "onnxruntime-gpu")
TOOLS = (
    ("torch", "export"),
    ("onnx", "export"),
    ("onnxscript", "export"),
    ("pnnx", "export"),
    ("nncf", "openvino-int8"),
    ("faster-coco-eval", "eval"),
    ("pillow", "eval"),
    ("psutil", "bench"),
    ("matplotlib", "report"),
    ("supervision", "supervision"),
)


def doctor_command(as_json: options.AsJson = False) -> None:
    """Report what is installed and can run here. Names the command that brings what is not."""
    backends, tools, warnings = _backends(), _tools(), _warnings()
    system = {"python": platform.python_version(), "system": platform.platform(), "cpu": platform.machine()}
    if as_json:
        print_json({"system": system, "backends": backends, "tools": tools, "warnings": warnings})
        return
    print_table(
        ("backend", "opens", "state", "here"),
        [(b["name"], " ".join(b["suffixes"]), b["state"], b["here"]) for b in backends],
        f"Python {system['python']} on {system['system']}",
    )
    print()
    print_table(("tool", "version", "how to get it"), [(t["name"], t["version"], t["get"]) for t in tools])
    for warning in warnings:
        print(f"\nwarning: {warning}")
    print("\na model file with strange boxes, or none: yolox-deploy inspect FILE --images DIR")


def _backends() -> list[dict[str, Any]]:
    from yolox_deploy.runtimes.registry import entries

    rows = []
    for entry in entries():
        state, here = "not installed", f"pip install 'yolox-deploy[{entry.extra}]'"
        if entry.installed:
            try:
                here = "; ".join(f"{key}: {value}" for key, value in entry.load().probe().items())
                state = "ready"
            except YoloxDeployError as error:
                state, here = "cannot run", str(error)
        rows.append({"name": entry.name, "suffixes": entry.suffixes, "state": state, "here": here})
    return rows


def _tools() -> list[dict[str, str]]:
    rows = []
    for name, extra in TOOLS:
        version = _version(name)
        get = "installed" if version else f"pip install 'yolox-deploy[{extra}]'"
        rows.append({"name": name, "version": version or "–", "get": get})
    return rows


def _warnings() -> list[str]:
    warnings = []
    try:
        importlib.import_module("cv2")
    except ImportError as error:
        warnings.append(f"OpenCV cannot be loaded, without which nothing runs: {error}. {LIBRARY_ADVICE}")
    if all(_version(name) for name in CONFLICT):
        warnings.append(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; keep one: "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'yolox-deploy[onnxruntime-gpu]'"
        )
    return warnings


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
