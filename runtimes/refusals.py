"""What a vendor's reason for refusing a model file means, and what mends it; its first bytes looked right."""

from __future__ import annotations

import re
from pathlib import Path

from yolox_deploy.signatures import contradiction

MEANINGS = (
    (
        r"[Pp]rotobuf parsing failed|Model can't be parsed|ModelProto does not have a graph",
        "it is truncated or damaged ({size}): copy or download it again",
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        "it is of ONNX's IR version {0}, this onnxruntime reads up to {1}: update it with: pip install -U onnxruntime",
    ),
    (
        r"Opset (\d+) is under development.*support for domain ai\.onnx is till opset (\d+)",
        "it is of ONNX's opset {0}, this onnxruntime reads up to {1}: update it with: pip install -U onnxruntime",
    ),
    (
        r"In Node, \(\"[^\"]*\", (\w+), \"([^\"]+)\"",
        "it holds {0}, an operator of {1} that this backend does not have: export the model again without it",
    ),
    (
        r"No conversion rule found for operations: ([\w.]+)",
        "it holds {0}, an operator that this backend does not have: export the model again without it",
    ),
    (
        r"Unable to read the model.*(?:Available frontends|check if the model format)",
        "it is truncated or damaged ({size}), or newer than this openvino reads: copy or download it again, or update "
        "with: pip install -U openvino",
    ),
    (
        r"Incorrect weights in bin file",
        "its weights are truncated or of another model ({weights}): copy the set again, or export it again",
    ),
    (
        r"(?:Start-end tags|Error parsing).* at offset (\d+)",
        "it is truncated or damaged from byte {0} on ({size}): copy it again, or export it again",
    ),
)
LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
"""What stands before the name of a file of weights in an ONNX file; the last byte is the name's length."""


def explain(path: Path, reason: str, content: bytes | None = None) -> str:
    """`reason` in words that say what is wrong with the file and what to do, where they are known; else as it is.

    Args:
        content: of a model in memory, whose `path` is its name alone.
    """
    if "external" in reason.lower() and path.suffix == ".onnx" and (told := _weights_beside(path)):
        return told
    for pattern, meaning in MEANINGS:
        if found := re.search(pattern, reason, re.DOTALL):
            size = _size(path) if content is None else f"{len(content):,} bytes"
            return meaning.format(*found.groups(), size=size, weights=_size(path.with_suffix(".bin")))
    return reason


def _weights_beside(path: Path) -> str | None:
    """What is wrong with the files that an ONNX file keeps its weights in; None where it names none."""
    content = path.read_bytes() if path.is_file() else b""
    names = {content[found.end() : found.end() + found[1][0]] for found in LOCATION.finditer(content)}
    files = [path.parent / name.decode("utf-8", "replace") for name in sorted(names)]
    for file in files:
        if not file.resolve().is_relative_to(path.parent.resolve()):
            return f"it names a file outside its folder, {file}, which is not read; export the model again"
        if not file.is_file():
            return f"its weights are in {file.name}, which is missing beside it; copy it too"
        if (wrong := contradiction(file)) is not None:
            return f"its weights are in {file.name}, which {wrong}"
    if not files:
        return None
    told = ", ".join(f"{file.name} ({_size(file)})" for file in files)
    return f"its weights in {told} are truncated or of another model; copy the set again"


def _size(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes" if path.is_file() else "of unknown size"
