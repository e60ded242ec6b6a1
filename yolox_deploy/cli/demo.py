"""`yolox-deploy demo`: the main job from end to end on this machine."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli.common import console, print_table
from yolox_deploy.cli.export import parity_rows
from yolox_deploy.cli.predict import save_image, summary
from yolox_deploy.errors import ArtifactError

if TYPE_CHECKING:
    from yolox_deploy.exporter import Artifact

MODEL = "yolox_nano"
REPEATS = 20
NO_WEIGHTS = """
No detections were made: the official weights of {model} could not be had.
  {reason}
The export, its proof and the timing above are real, with random weights. To see boxes, fetch the file from
  {url}
and run: yolox-deploy demo --weights {file}   (or: make demo WEIGHTS=path/to/{file})
"""


def demo_command(
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint of yolox_nano instead of a download.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the model file and the pictures.")] = Path("demo"),
) -> None:
    """Export YOLOX-Nano, prove the file, detect in three photographs, draw them and time it."""
    from yolox_deploy.cache import fetch_weights
    from yolox_deploy.models.zoo import get_config

    config, reason = get_config(MODEL), None
    try:
        chosen: Path | str = weights or fetch_weights(config)
    except ArtifactError as error:
        chosen, reason = "random", str(error)
    artifact = _export(chosen, out)
    _detect(artifact, out, draw=reason is None)
    if reason is not None:
        url = str(config.weights_url)
        typer.echo(NO_WEIGHTS.format(model=MODEL, reason=reason, url=url, file=url.rsplit("/", 1)[-1]))


def _export(weights: Path | str, out: Path) -> Artifact:
    from yolox_deploy.exporter import export

    with console().status("exporting") as spinner:
        artifact = export(MODEL, "onnx", weights=weights, out=out / f"{MODEL}.onnx", report=spinner.update)
    typer.echo(f"exported {artifact.path}")
    print_table(("proof", "found", "limit"), parity_rows(artifact.parity))
    return artifact


def _detect(artifact: Artifact, out: Path, *, draw: bool) -> None:
    from yolox_deploy.detector import Detector
    from yolox_deploy.images import load_image
    from yolox_deploy.verify import packaged_photographs

    rows = []
    with Detector(artifact.path) as detector:
        detector.warmup()
        for path in packaged_photographs():
            image = load_image(path)
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                detections = detector.predict(image)
                times.append((time.perf_counter() - start) * 1e3)
            found = "–"
            if draw:
                save_image(out / path.name, detections.plot(image))
                found = summary(detections)
            rows.append((path.name, found, f"{statistics.median(times):.1f}"))
        info = detector.info
    typer.echo("")
    print_table(("photograph", "found", "ms end to end"), rows)
    where = f"{info.backend} on {info.device}, {info.precision}"
    typer.echo(f"{where}: median of {REPEATS}; `yolox-deploy bench` measures properly")
    if draw:
        typer.echo(f"annotated photographs: {out}")
