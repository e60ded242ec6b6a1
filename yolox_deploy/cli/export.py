"""`yolox-deploy export`: a checkpoint becomes a model file that is proven equal to it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import (
    command_line,
    echo,
    parse_size,
    print_json,
    print_table,
    read_class_names,
    reporting,
    split_name,
)
from yolox_deploy.errors import UsageError
from yolox_deploy.thresholds import Thresholds

if TYPE_CHECKING:
    from yolox_deploy.models.model_config import Activation

DEFAULT_MODEL = "yolox_l"
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".tar")


def export_command(
    model: Annotated[
        str | None,
        typer.Argument(help=f"Name in the zoo [default: {DEFAULT_MODEL}, or what --weights holds]."),
    ] = None,
    to: Annotated[str, typer.Option(help="onnx, openvino, ncnn, trt or trt-rtx.")] = "onnx",
    weights: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint; official weights are fetched without it; 'random' to time, 'scenes' to try."
        ),
    ] = None,
    depth: Annotated[
        float | None, typer.Option(help="Depth factor, YOLOX-L's is 1. [default: as --weights]")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Width factor, YOLOX-L's is 1. [default: as --weights]")
    ] = None,
    depthwise: Annotated[
        bool | None, typer.Option(help="Kind of convolutions. [default: as --weights]")
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help="silu, lrelu or relu; no weights tell it. [default: the model's, or as recorded]"),
    ] = None,
    legacy: Annotated[
        bool | None, typer.Option(help="Weights from before YOLOX 0.1.1. [default: as noticed]")
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision.")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit integers; needs --calib or --data.")] = False,
    imgsz: Annotated[
        str | None, typer.Option(help="N or HxW, multiples of 32. [default: as trained]")
    ] = None,
    batch: Annotated[str, typer.Option(help="Images at a time, or 'dynamic'.")] = "1",
    out: Annotated[
        Path | None, typer.Option(help="File to write [default: MODEL[_PRECISION].SUFFIX].")
    ] = None,
    calib: options.Calib = None,
    names: options.Names = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode boxes in the graph.")] = False,
    nms: Annotated[bool, typer.Option("--nms", help="Suppress in the graph.")] = False,
    conf: Annotated[float, typer.Option(min=0, max=1, help="Least score of --nms.")] = Thresholds.conf,
    iou: Annotated[float, typer.Option(min=0, max=1, help="Overlap limit of --nms.")] = Thresholds.iou,
    uint8_input: Annotated[
        bool, typer.Option("--uint8-input", help="Take H×W×3 uint8 and convert it in the graph.")
    ] = False,
    max_batch: Annotated[int, typer.Option(min=1, help="TensorRT: most images of a dynamic batch.")] = 8,
    size_range: Annotated[
        str | None, typer.Option(help="TensorRT: smallest and largest size, 320x320:640x640.")
    ] = None,
    workspace_mib: Annotated[int | None, typer.Option(min=1, help="TensorRT: scratch memory.")] = None,
    compute_capability: Annotated[
        str | None, typer.Option(help="TensorRT-RTX: GPU to build for, such as 8.6.")
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Skip the proof; the file says so.")] = False,
    images: Annotated[Path | None, typer.Option(help="Folder of pictures to compare on.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO file of --images: compare AP too.")] = None,
    data: options.Data = None,
    split: options.SplitName = "val",
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Export a model and prove the file equal to PyTorch. It gets its name only then."""
    from yolox_deploy.exporter.pipeline import export

    if model is not None and weights is None and Path(model).suffix:
        _refuse_file(model)
    with reporting("exporting") as progress:
        artifact = export(
            model or (None if weights or depth or width else DEFAULT_MODEL),
            to,
            weights=weights,
            depth=depth,
            width=width,
            depthwise=depthwise,
            activation=cast("Activation | None", activation),
            legacy=legacy,
            fp16=fp16,
            bf16=bf16,
            int8=int8,
            imgsz=parse_size(imgsz),
            batch=_parse_batch(batch),
            out=out,
            class_names=read_class_names(names),
            calib=calib,
            verify=not no_verify,
            images=images,
            annotations=annotations,
            data=data,
            split=split_name(split),
            report=progress,
            decode=decode,
            nms=nms,
            conf=conf,
            iou=iou,
            uint8_input=uint8_input,
            max_batch=max_batch,
            size_range=_parse_range(size_range),
            workspace_mib=workspace_mib,
            compute_capability=_parse_capability(compute_capability),
        )
    if as_json:
        print_json({"path": str(artifact.path), "parity": dict(artifact.parity)})
        return
    info = artifact.info
    size, batch_text = "x".join(map(str, info.input_size)), "dynamic" if info.batch is None else info.batch
    echo(f"{artifact.path}: {info.model}, {info.format} {info.precision}, {size}, batch {batch_text}")
    if "class_names" in info.details:
        echo(f"class names: {info.details['class_names']}; --names FILE gives others")
    print_table(("proof", "found", "limit"), parity_rows(artifact.parity))


def _refuse_file(model: str) -> None:
    """Say where a file belongs that stands where the name of a model does; a width factor is no suffix.

    Raises:
        UsageError: it is a checkpoint, or a model file, which is exported already.
    """
    from yolox_deploy.runtimes.registry import entries

    suffix = Path(model).suffix
    if suffix in CHECKPOINT_SUFFIXES:
        command = command_line({model: ["--weights", model]})
        raise UsageError(
            f"{model} is a file, where the name of a model is expected. For a checkpoint: {command}"
        )
    if any(suffix in entry.suffixes for entry in entries()):
        raise UsageError(
            f"{model} is a model file, and files are exported from checkpoints (.pth): yolox-deploy export --weights "
            f"FILE. As it is, it runs by: yolox-deploy predict PICTURE --model {shlex.quote(model)}"
        )


def parity_rows(parity: Mapping[str, Any]) -> list[tuple[str, object, object]]:
    """The comparison with PyTorch as table rows: what, found, limit."""
    if not parity.get("verified"):
        rows: list[tuple[str, object, object]] = [
            ("not compared", parity.get("reason", "not recorded"), None)
        ]
        typed_onnx = parity.get("typed_onnx")
        return (
            [*rows, ("its typed ONNX graph:", None, None), *parity_rows(typed_onnx)] if typed_onnx else rows
        )
    limits = parity["limits"]
    compared = f"{parity['photographs']} photographs on {parity['backend']} ({parity['device']})"
    rows = [("compared with PyTorch float32", compared, None)]
    if parity["kind"] == "numbers":
        rows += [row for part in ("boxes", "scores") for row in _largest_errors(parity, part)]
    else:
        rows += [
            ("detections in PyTorch", parity["detections"], None),
            (
                f"matched at IoU {limits['match_iou']}",
                f"{parity['share_matched']:.3f}",
                f"≥ {limits['share']}",
            ),
            ("mean IoU of the matched", f"{parity['mean_matched_iou']:.4f}", f"≥ {limits['mean_iou']}"),
            ("same class", f"{parity['class_agreement']:.3f}", f"≥ {limits['classes']}"),
            ("mean score difference", f"{parity['mean_score_difference']:.4f}", f"≤ {limits['score']}"),
        ]
    if "ap" in parity:
        least = parity["ap_reference"] - parity["ap_limit"]
        rows.append((f"AP (PyTorch {parity['ap_reference']:.4f})", f"{parity['ap']:.4f}", f"≥ {least:.4f}"))
    return rows


def _largest_errors(parity: Mapping[str, Any], part: str) -> Iterator[tuple[str, object, object]]:
    name, usual = f"max_error_{part}", parity["limits"]["max_error"]
    limit = parity["limits"].get(name, usual)
    yield f"largest error, {part}", f"{parity[name]:.1e}", usual if limit == usual else f"{limit:.2g}"
    if limit > usual:
        yield f"rounding of PyTorch, {part}", f"{parity[f'rounding_{part}']:.1e}", None


def _parse_batch(text: str) -> int | None:
    if text in ("dynamic", "0"):
        return None
    if not re.fullmatch(r"\d{1,9}", text):
        raise UsageError(f"the batch is {text!r}; expected a number from 1, or 'dynamic'")
    return int(text)


def _parse_range(text: str | None) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """`320x320:640x640` to the smallest and the largest (H, W)."""
    if text is None:
        return None
    smallest, _, largest = text.partition(":")
    low, high = parse_size(smallest), parse_size(largest or None)
    if low is None or high is None:
        raise UsageError(f"the range of sizes is {text!r}; expected HxW:HxW, such as 320x320:640x640")
    return low, high


def _parse_capability(text: str | None) -> tuple[int, int] | None:
    """`8.6` to (8, 6)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text)
    if match is None:
        raise UsageError(f"the compute capability is {text!r}; expected MAJOR.MINOR, such as 8.6")
    return int(match[1]), int(match[2])
