"""Turns "not yet run on a GPU" into figures on a machine that has one: `make gpu-acceptance`.

    python -m yolox_deploy.benchmarks.studies.gpu_acceptance [--images DIR --annotations FILE] [--weights DIR]

For each of the seven models, with TensorRT and TensorRT-RTX as installed: FP16 export, load, comparison with
PyTorch, AP where annotations are given, latency at batch 1. Then the other precisions and options on the
smallest model. Without a GPU it builds what can be built (all seven with TensorRT-RTX), says so, and ends
with exit code 4; with a GPU it ends with 5 when a case failed or none was run. The report is written anew after
each case.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from yolox_deploy.benchmarks.pictures import Pictures, load_pictures
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.session import ModelUnderTest, run_session
from yolox_deploy.errors import ArtifactError, GateError, MissingExtraError, YoloxDeployError
from yolox_deploy.exporter.pipeline import Artifact, export
from yolox_deploy.files import write_text
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.models.naming import get_config
from yolox_deploy.models.zoo import ZOO
from yolox_deploy.vendors.gpu import Gpu, cuda_package, find_gpu
from yolox_deploy.vendors.tensorrt_sdk import EXPORT_TARGETS, TITLES, installed_flavors, load_sdk

SMALLEST = "yolox_nano"
VARIANTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"bf16": True},
    {"fp16": True, "batch": None},
    {"fp16": True, "decode": True},
    {"fp16": True, "uint8_input": True},
    {"fp16": True, "nms": True},
    {"int8": True},
)
"""Exports of the smallest model beyond FP16 at batch 1."""


@dataclass(frozen=True)
class Case:
    """One engine to make and try: a model, a flavor and the arguments of `export`."""

    model: str
    flavor: str
    arguments: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Such as "yolox_nano tensorrt fp16 batch=None"."""
        words = [name if value is True else f"{name}={value}" for name, value in self.arguments.items()]
        return " ".join([self.model, self.flavor, *(words or ["fp32"])])


@dataclass(frozen=True)
class Result:
    """What became of a case; `problem` is empty where it passed, milliseconds are None where nothing ran."""

    label: str
    problem: str = ""
    export_s: float = 0.0
    layers: Mapping[str, int] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    host_ms: float | None = None
    device_ms: float | None = None
    published_ms: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """Where things come from and go to."""

    out: Path
    weights: Path | None
    images: Path | None
    annotations: Path | None
    calib: Path | None
    protocol: Protocol


def main(
    out: Annotated[Path, typer.Option(help="Folder for engines and report.")] = Path("gpu_acceptance"),
    weights: Annotated[Path | None, typer.Option(help="Folder of official .pth files; else fetched.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of pictures.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO file of --images: AP too.")] = None,
    calib: Annotated[Path | None, typer.Option(help="Folder of pictures for INT8; else left out.")] = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="Only this one; repeatable.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three seconds for each latency.")] = False,
) -> None:
    """Export, load, prove and time every model on this machine's GPU, and write a report."""
    protocol = Protocol.quick() if quick else Protocol()
    settings = Settings(out, weights, images, annotations, calib, protocol)
    names = [get_config(name).name for name in models] if models else list(ZOO)
    flavors = installed_flavors()
    gpu, reason = _gpu()
    if gpu is None:
        flavors = tuple(flavor for flavor in flavors if flavor == "tensorrt-rtx")
    out.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    write_report(out, _heading(gpu, reason, results), results)
    for case in cases(names, flavors, everything=gpu is not None, calib=calib is not None):
        result = build_only(case, settings) if gpu is None else accept(case, settings)
        typer.echo(describe(result))
        results.append(result)
        # Each time: a later case may take the process with it.
        write_report(out, _heading(gpu, reason, results), results)
    heading = _heading(gpu, reason, results)
    typer.echo(f"\n{heading}\nThe report is {out / 'report.md'}.", err=gpu is None)
    failed = not results or any(result.problem for result in results)
    raise typer.Exit(ArtifactError.exit_code if gpu is None else GateError.exit_code if failed else 0)


def cases(names: list[str], flavors: tuple[str, ...], *, everything: bool, calib: bool) -> Iterator[Case]:
    """FP16 of each model, then (`everything`) the variants of the smallest one that can be made."""
    for flavor in flavors:
        for name in names:
            yield Case(name, flavor, {"fp16": True})
        for arguments in VARIANTS if everything and SMALLEST in names else ():
            rtx_lacks_it = flavor == "tensorrt-rtx" and "nms" in arguments
            if not rtx_lacks_it and (calib or "int8" not in arguments):
                yield Case(SMALLEST, flavor, arguments)


def build_only(case: Case, settings: Settings) -> Result:
    """Build with random weights and run nothing: what a machine without a GPU can show."""
    start = time.perf_counter()
    try:
        artifact = _export(case, settings, weights="random", verify=False)
    except Exception as error:
        return Result(case.label, _problem(error))
    return _result(case, artifact, time.perf_counter() - start)


def accept(case: Case, settings: Settings) -> Result:
    """Export with proof, load and time; a failure becomes the result's `problem`."""
    start = time.perf_counter()
    config = get_config(case.model)
    try:
        artifact = _export(
            case,
            settings,
            weights=_weights(config, settings.weights),
            images=settings.images,
            annotations=settings.annotations,
            calib=settings.calib if "int8" in case.arguments else None,
        )
        seconds = time.perf_counter() - start
        pictures = load_pictures(settings.images, settings.protocol)
        return _timed(case, artifact, seconds, settings.protocol, pictures)
    except Exception as error:  # whatever a vendor raises: the other cases go on
        return Result(case.label, _problem(error))


def describe(result: Result) -> str:
    """One line for the terminal."""
    if result.problem:
        return f"{result.label}: FAILED: {result.problem}"
    layers = ", ".join(f"{count} {kind}" for kind, count in result.layers.items())
    times = "" if result.host_ms is None else f", {result.host_ms:.2f} ms host"
    return f"{result.label}: built in {result.export_s:.1f} s, convolutions: {layers}{times}"


def write_report(out: Path, heading: str, results: list[Result]) -> None:
    """`report.json` with everything and `report.md` to read."""
    content = {"heading": heading, "results": [asdict(result) for result in results]}
    write_text(out / "report.json", json.dumps(content, indent=1, default=str))
    lines = [
        "# GPU acceptance",
        "",
        heading,
        "",
        "Published latencies are the paper's: a V100, FP16, batch 1, without transfers or post-processing.",
        "",
        "| engine | result | convolutions | AP (PyTorch) | host ms | device ms | published ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        layers = ", ".join(f"{count} {kind}" for kind, count in result.layers.items())
        ap = (
            f"{result.parity['ap']:.4f} ({result.parity['ap_reference']:.4f})"
            if "ap" in result.parity
            else "–"
        )
        times = (result.host_ms, result.device_ms, result.published_ms)
        cells = ["–" if value is None else f"{value:.2f}" for value in times]
        verdict = f"failed: {result.problem}" if result.problem else _verdict(result)
        lines.append(f"| {' | '.join([result.label, verdict, layers or '–', ap, *cells])} |")
    write_text(out / "report.md", "\n".join(lines) + "\n")


def _export(case: Case, settings: Settings, **arguments: Any) -> Artifact:
    name = "_".join(case.label.split()).replace("=", "-")
    target = EXPORT_TARGETS[case.flavor]
    return export(case.model, target, out=settings.out / f"{name}.engine", **case.arguments, **arguments)


def _timed(case: Case, artifact: Artifact, seconds: float, protocol: Protocol, pictures: Pictures) -> Result:
    measured = run_session([ModelUnderTest(artifact.path)], protocol, pictures).measured[0]
    device = measured.scopes.get("device")
    return _result(
        case,
        artifact,
        seconds,
        host_ms=measured.scopes["host"].summary.p50,
        device_ms=device.summary.p50 if device is not None else None,
        details=dict(measured.info.details),
    )


def _result(case: Case, artifact: Artifact, seconds: float, **figures: Any) -> Result:
    published = (entry.latency_ms for entry in get_config(case.model).published if entry.latency_ms)
    return Result(
        case.label,
        export_s=seconds,
        layers=artifact.info.details["layers"],
        parity=artifact.parity,
        published_ms=next(published, None),
        **figures,
    )


def _gpu() -> tuple[Gpu | None, str]:
    try:
        return find_gpu(), ""
    except (ArtifactError, MissingExtraError) as error:
        return None, str(error)


def _weights(config: ModelConfig, folder: Path | None) -> Path | None:
    """The official checkpoint in `folder`; None lets the export fetch it."""
    if folder is None or config.weights_url is None:
        return None
    return folder / config.weights_url.rsplit("/", 1)[-1]


def _problem(error: Exception) -> str:
    """Our own message, or the kind and text of a foreign error, on one line."""
    text = str(error) if isinstance(error, YoloxDeployError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _verdict(result: Result) -> str:
    return "passed" if result.parity.get("verified") else "built, not run"


def _heading(gpu: Gpu | None, reason: str, results: Sequence[Result]) -> str:
    versions = ", ".join(f"{TITLES[name]} {load_sdk(name).version}" for name in installed_flavors())
    if gpu is not None and not versions:
        return (
            f"{gpu.name}, compute capability {gpu.capability}; nothing was tested: no TensorRT is installed."
        )
    if gpu is not None:
        return f"{gpu.name}, compute capability {gpu.capability}, {versions}, CUDA through {cuda_package()}."
    built = sum(not result.problem for result in results)
    return (
        f"Stopped before running anything: {reason}. Built without a GPU: {built} engines "
        f"({versions or 'no TensorRT is installed'}); loading, parity, AP and latency were not checked."
    )


if __name__ == "__main__":
    typer.run(main)
