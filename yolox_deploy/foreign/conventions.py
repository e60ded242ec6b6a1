"""The conventions of a loaded model file: its own description, or what is recognised, with what people state instead.

A file of ours carries its description and is taken at its word. Any other is looked at once, when it is opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.errors import ArtifactError, UsageError, YoloxDeployError
from yolox_deploy.foreign.evidence import outside_unit
from yolox_deploy.foreign.pixels import PIXELS, describe_scaled, first_weight, scalings
from yolox_deploy.foreign.probe import Probe, layout_of
from yolox_deploy.foreign.recognition import describe_outputs
from yolox_deploy.outputs import row_reader
from yolox_deploy.postprocess import anchor_grid
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.settings import changed, typed
from yolox_deploy.types import InputConvention, OutputConvention, TensorSpec, as_size

NOT_STATED = ("format", "origin", "weights_sha256", "versions", "parity", "details")
"""Fields of a description that are facts, not conventions."""


@dataclass(frozen=True)
class Described:
    """A description, and sentences on what was recognised in a file that has none."""

    info: ArtifactInfo
    notes: tuple[str, ...] = ()


def stated_size(override: Mapping[str, Any]) -> tuple[int, int] | None:
    """(H, W) that `override` states, None where it states none.

    Raises:
        UsageError: it is no size.
    """
    sized = {name: value for name, value in override.items() if name == "input_size"}
    return typed(ArtifactInfo, sized, "convention").get("input_size")


def describe(runtime: Runtime, override: Mapping[str, Any]) -> Described:
    """The description of a loaded file: its own or the recognised one, with the fields of `override` replaced.

    Args:
        override: fields of `ArtifactInfo`, those of its input and output by dotted name or as a whole.

    Raises:
        ArtifactError: the file is no detector, nothing tells its conventions, or its description does not fit it.
        UsageError: `override` has an unknown field or an unfit value.
    """
    stated = typed(ArtifactInfo, override, "convention", leave_out=NOT_STATED)
    if runtime.options.imgsz is not None:
        stated = {"input_size": runtime.options.imgsz, **stated}
    if "input_size" in stated:
        stated["input_size"] = as_size(stated["input_size"])
        _check_size(runtime, stated["input_size"])
    if runtime.artifact is not None:
        described = Described(changed(runtime.artifact, stated))
        if runtime.artifact.origin == "inferred":  # a checkpoint, described by its loader
            _check_answers(runtime, described.info)
    else:
        described = recognise(runtime, stated)
    error = UsageError if override else ArtifactError
    info = described.info
    _check_input(runtime, info.input, info.input_size, info.batch, error)
    _check_outputs(info, runtime, error)
    return described


def _check_answers(runtime: Runtime, info: ArtifactInfo) -> None:
    """Raise ArtifactError where a checkpoint answers no scores to a grey picture or a photograph."""
    probe = dataclasses.replace(Probe.of(runtime, info.input_size, {}), convention=info.input)
    for answers in (probe.grey(), probe.photograph(info.input)):
        for rows in row_reader(info, [spec.name for spec in runtime.outputs])(answers, 1):
            if outside_unit(rows[:, 4:]):
                raise ArtifactError(
                    f"{runtime.path}: its scores are not within 0 to 1; it is no YOLOX detector"
                )


def recognise(runtime: Runtime, stated: Mapping[str, Any]) -> Described:
    """Describe a file that does not do so itself; `stated` conventions, by dotted name, are taken as they are.

    Raises:
        ArtifactError: it is no YOLOX detector, or nothing tells which conventions it has.
    """
    inputs = {name: value for name, value in stated.items() if name.startswith("input.")}
    probe = Probe.of(runtime, stated.get("input_size"), inputs)
    _check_input(runtime, probe.convention, probe.size, stated.get("batch", probe.spec.shape[0]), UsageError)
    if any(f"input.{name}" in inputs for name in PIXELS):
        info, told = describe_outputs(probe, stated)[0], True
    else:
        info, told = describe_scaled(probe, stated, first_weight(probe))
    info = changed(info, {name: value for name, value in stated.items() if name not in inputs})
    return Described(info, _notes(info, stated, told))


def _notes(info: ArtifactInfo, stated: Mapping[str, Any], told: bool) -> tuple[str, ...]:
    """One sentence on what sets the file apart from the authors' own, where nobody stated it; none for a right one.

    Args:
        told: whether the photograph tells how pixels are scaled, where there is a question.
    """
    said = [*_of_input(info.input, stated), *_of_outputs(info, stated)]
    if not told:
        said.append(
            "how its pixels are scaled its first weights do not tell for sure, and nothing in a photograph does"
        )
    if not said:
        return ()
    return (f"it does not describe itself; recognised: {'; '.join(said)}",)


def _of_input(found: InputConvention, stated: Mapping[str, Any]) -> list[str]:
    said = []
    if (found.layout, found.dtype) not in (("NCHW", "float32"), ("NCHW", "float16"), ("NHWC", "uint8")):
        said.append(f"it takes {found.layout} {found.dtype}")
    if found.channels != 3:
        said.append(f"it reads {found.channels} channel{'s' * (found.channels > 1)} ({found.color_order})")
    if found.dtype != "uint8" and not any(f"input.{name}" in stated for name in PIXELS):
        legacy, *others = scalings(found)
        if found == legacy:
            said.append(
                "its first weights are made for normalised pixels, as before YOLOX 0.1.1 (RGB, divided by 255, "
                "ImageNet mean and deviation)"
            )
        elif found in others:
            said.append(f"it is made for {found.color_order} pixels divided by 255")
    return said


def _of_outputs(info: ArtifactInfo, stated: Mapping[str, Any]) -> list[str]:
    output = info.output
    if output.finished:
        columns, first, count = ",".join(output.columns), info.class_names[0], len(info.class_names)
        return _unstated(
            stated,
            (
                "output.columns",
                True,
                f"its rows are finished detections ({columns}), suppressed again as asked for",
            ),
            (
                "class_names",
                True,
                f"nothing tells its classes, taken for {count} ({first}, …): name them with --names FILE",
            ),
            ("output.normalized", output.normalized, "its boxes are shares of the input's size"),
        )
    several = len(output.tensors) > 1
    names = ", ".join(output.tensors)
    holds = "objectness" not in output.columns
    return _unstated(
        stated,
        ("output.columns", holds, "its class scores are multiplied by objectness already"),
        ("output.columns", output.columns[-1] == "objectness" and not several, "its objectness comes last"),
        ("boxes", info.boxes == "corners", "its boxes are corners"),
        ("output.normalized", output.normalized, "its boxes are shares of the input's size"),
        ("output.logits", output.logits, "its scores lack the sigmoid, which is applied here"),
        ("output.columns_first", output.columns_first and not several, "its columns come before its rows"),
        ("output.coarse_first", output.coarse_first, "its levels come in the order of stride 32, 16, 8"),
        ("output.tensors", several, f"its predictions come in {len(output.tensors)} tensors ({names})"),
    )


def _unstated(stated: Mapping[str, Any], *phrases: tuple[str, bool, str]) -> list[str]:
    """What is said of each convention (key, whether it is so, phrase) that is so and that nobody stated."""
    return [phrase for key, is_so, phrase in phrases if is_so and key not in stated]


def _check_size(runtime: Runtime, asked: tuple[int, int]) -> None:
    """Refuse to run a file of a fixed size at another one."""
    _, _, fixed = layout_of(runtime, runtime.inputs[0])
    if any(side not in (None, wanted) for side, wanted in zip(fixed, asked, strict=True)):
        takes, wanted = (
            "x".join("any" if side is None else str(side) for side in size) for size in (fixed, asked)
        )
        model = runtime.artifact.model if runtime.artifact is not None else "MODEL"
        raise UsageError(
            f"{runtime.path} takes images of {takes} only (height x width), {wanted} was asked for; leave the size "
            f"out, or make a file of that size: yolox-deploy export {model} --weights FILE --imgsz {wanted}"
        )


def _check_input(
    runtime: Runtime,
    convention: InputConvention,
    size: tuple[int, int],
    batch: int | None,
    error: type[YoloxDeployError],
) -> None:
    """Raise `error` where what is described is not the input of the file."""
    if len(runtime.inputs) != 1:
        raise ArtifactError(f"{runtime.path}: expected one input, found {len(runtime.inputs)}")
    found = runtime.inputs[0]
    shape = (
        (batch, convention.channels, *size)
        if convention.layout == "NCHW"
        else (batch, *size, convention.channels)
    )
    want = TensorSpec(found.name, shape, np.dtype(convention.dtype))
    known = [(a, b) for a, b in zip(want.shape, found.shape, strict=False) if a is not None and b is not None]
    if len(found.shape) != 4 or found.dtype != want.dtype or any(a != b for a, b in known):
        described = f"described as {want.dtype} {shape}"
        raise error(f"{runtime.path}: the input is {found.dtype} {found.shape}, but {described}")


def _check_outputs(info: ArtifactInfo, runtime: Runtime, error: type[YoloxDeployError]) -> None:
    """Raise `error` where the outputs that are described are not those of the file."""
    try:
        row_reader(info, [spec.name for spec in runtime.outputs])
    except ArtifactError as reason:
        raise error(f"{runtime.path}: {reason}") from reason
    if info.output != OutputConvention() or info.suppression == "in_graph":
        return  # read and checked with each answer
    if len(runtime.outputs) != 1:
        raise ArtifactError(
            f"{runtime.path}: expected one output as YOLOX files have, found {len(runtime.outputs)}; name "
            "those to read with --override output.tensors=..."
        )
    *_, rows, columns = (None, None, *runtime.outputs[0].shape)
    expected = len(anchor_grid(info.input_size, priors=info.priors))
    if info.boxes == "raw" and rows not in (None, expected):
        raise error(
            f"{runtime.path}: the output has {rows} rows; input_size {info.input_size} with priors {info.priors} gives "
            f"{expected}"
        )
    if columns is not None and columns != 5 + len(info.class_names):
        raise error(
            f"{runtime.path}: {len(info.class_names)} class names for the {columns - 5} classes of its output"
        )
