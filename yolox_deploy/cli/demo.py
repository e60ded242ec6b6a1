"""`yolox-deploy demo`: the main job from end to end on this machine, with a model that comes with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import echo, print_table, reporting
from yolox_deploy.errors import GateError, YoloxDeployError

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.session import ModelUnderTest

MODEL = "yolox_nano"
SCENES = 6
SCENE_SEED = 20_210_718
"""Neither the training nor the validation scenes of the embedded model are drawn from it."""

CONF = 0.5


def demo_command(
    weights: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of yolox_nano, for three photographs instead of generated scenes."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the model files and the pictures.")] = Path("demo"),
    quiet: options.Quiet = False,
) -> None:
    """Export a small model to every backend here. Proves each file, detects, draws and times."""
    from yolox_deploy.exporter.source_model import EMBEDDED_WEIGHTS
    from yolox_deploy.files import check_place, embedded_checkpoint, packaged_photographs

    check_place(out, "--out", folder=True)
    pictures = packaged_photographs() if weights is not None else _write_scenes(out / "scenes")
    rows, files, unequal = _export_everywhere(weights or EMBEDDED_WEIGHTS, out)
    checkpoint = weights or embedded_checkpoint()
    candidates = _models_under_test({**files, "torch": checkpoint})
    echo(f"exported to {out}, compared with PyTorch float32:")
    print_table(("backend", "file", "compared on", "largest error"), rows)
    echo("")
    _detect(candidates[0], pictures, out)
    _time(candidates, pictures)
    if weights is None:
        echo(
            f"\nThe model is a YOLOX-Nano trained on generated scenes alone: it knows {_classes()}, and nothing of the "
            "real world. Official weights: yolox-deploy demo --weights yolox_nano.pth"
        )
    if unequal:
        raise GateError("; ".join(unequal))


def _write_scenes(folder: Path) -> list[Path]:
    """Scenes that the embedded model has never seen, as PNG files."""
    from yolox_deploy.drawing import write_picture
    from yolox_deploy.synthetic.scenes import draw_scene

    paths = []
    for index in range(SCENES):
        scene = draw_scene(np.random.default_rng([SCENE_SEED, index]))
        paths.append(folder / f"scene_{index + 1}.png")
        write_picture(paths[-1], scene.image)
    return paths


def _export_everywhere(
    weights: Path | str, out: Path
) -> tuple[list[tuple[str, str, str, str]], dict[str, Path], list[str]]:
    """A file for each backend that works here: rows of the proof table, backend -> path, failed proofs."""
    from yolox_deploy.benchmarks.ways import usable_entries
    from yolox_deploy.converters.base import TARGETS
    from yolox_deploy.exporter.pipeline import export

    rows: list[tuple[str, str, str, str]] = []
    files: dict[str, Path] = {}
    unequal: list[str] = []
    usable = {entry.name for entry in usable_entries()}
    with reporting("exporting") as progress:
        for target in TARGETS:
            if target.runtime not in usable:
                continue
            path = out / target.name / f"{MODEL}{target.suffix}"
            try:
                artifact = export(MODEL, target.name, weights=weights, out=path, report=progress)
            except YoloxDeployError as error:
                if isinstance(error, GateError):
                    unequal.append(str(error))
                rows.append((target.runtime, target.name, f"left out: {error}", "–"))
                continue
            files[target.runtime] = artifact.path
            rows.append((target.runtime, str(artifact.path.relative_to(out)), *_proof(artifact.parity)))
    return rows, files, unequal


def _proof(parity: Mapping[str, Any]) -> tuple[str, str]:
    if not parity.get("verified"):
        return f"not compared: {parity.get('reason', 'not recorded')}", "–"
    worst = max(parity["max_error_boxes"], parity["max_error_scores"])
    limit = max(parity["limits"].values())
    return f"{parity['photographs']} photographs, noise", f"{worst:.1e} < {limit:g}"


def _models_under_test(files: Mapping[str, Path]) -> list[ModelUnderTest]:
    from yolox_deploy.benchmarks.session import ModelUnderTest

    return [ModelUnderTest(path, backend) for backend, path in files.items()]


def _detect(candidate: ModelUnderTest, pictures: Sequence[Path], out: Path) -> None:
    from yolox_deploy.cli.predict_outputs import summary
    from yolox_deploy.detector import Detector
    from yolox_deploy.drawing import write_picture
    from yolox_deploy.images import load_image

    rows = []
    with Detector(candidate.path, backend=candidate.backend, conf=CONF) as detector:
        for path in pictures:
            image = load_image(path)
            detections = detector.predict(image)
            write_picture(out / f"{path.stem}.jpg", detections.plot(image))
            rows.append((path.name, summary(detections)))
    print_table(("picture", f"found by {candidate.backend}"), rows)
    echo(f"annotated pictures: {out}\n")


def _time(candidates: Sequence[ModelUnderTest], pictures: Sequence[Path]) -> None:
    """The latency tables of a short benchmark in which the backends take turns."""
    from yolox_deploy.benchmarks.measuring import BenchOptions, measure
    from yolox_deploy.benchmarks.plan import BenchPlan
    from yolox_deploy.benchmarks.protocol import Protocol
    from yolox_deploy.benchmarks.report.tables import tables
    from yolox_deploy.cli.bench_output import print_tables

    protocol = Protocol(name="quick", seconds=1.0, rounds=12, images=len(pictures))
    options = BenchOptions(protocol, images=pictures[0].parent, startup=False, peaks=False)
    with reporting("timing") as progress:
        report = measure(BenchPlan(tuple(candidates)), options, report=progress)
    print_tables([table for table in tables(report) if "ms" in table.columns], ())
    echo("one second each: a first look; `yolox-deploy bench` measures properly")


def _classes() -> str:
    from yolox_deploy.synthetic.scenes import CLASS_NAMES

    return ", ".join(CLASS_NAMES)
