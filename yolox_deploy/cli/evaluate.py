"""`yolox-deploy eval`: what a model file finds in annotated pictures, what it gets wrong, and whether it got worse."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import (
    echo,
    overrides,
    parse_size,
    print_json,
    print_table,
    reporting,
    split_name,
)
from yolox_deploy.errors import UsageError, require
from yolox_deploy.files import check_place, check_writable
from yolox_deploy.thresholds import Thresholds

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset
    from yolox_deploy.evaluation import EvaluationReport
    from yolox_deploy.evaluation.baseline import Baseline, Held

EVALUATION = Thresholds.evaluation()


def eval_command(
    model: Annotated[Path, typer.Argument(help="Model file, or a name of the zoo.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of a COCO, VOC or YOLO data set, or its data.yaml.")
    ] = None,
    split: options.SplitName = "val",
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures of --annotations.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO instances JSON.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page with charts and the worst pictures.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="F", help="report.json or --json of an earlier run, or a model: exit 6 where AP fell."
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, max=1, help="AP (0-1) that may be lost against --baseline.")
    ] = 0.005,
    per_class: Annotated[bool, typer.Option("--per-class", help="Print a row a class too.")] = False,
    conf: options.Conf = EVALUATION.conf,
    iou: options.Iou = EVALUATION.iou,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Every class of an anchor point that reaches --conf counts.")
    ] = False,
    class_agnostic: options.ClassAgnostic = False,
    tiles: options.Tiles = None,
    overlap: options.Overlap = Thresholds.overlap,
    imgsz: options.Imgsz = None,
    names: options.Names = None,
    legacy: options.Legacy = False,
    override: options.Override = None,
    backend: options.Backend = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate a model file on annotated pictures."""
    from yolox_deploy.detector import Detector
    from yolox_deploy.evaluation import evaluate
    from yolox_deploy.evaluation.annotated import annotated
    from yolox_deploy.evaluation.baseline import Baseline, hold, is_report, read_baseline

    part = split_name(split)
    if data is None and annotations is None:
        raise UsageError("name what to evaluate on: --data DIR, or --images DIR with --annotations FILE")

    @cache
    def dataset() -> DetectionDataset | None:
        """Opened once, and after the model, whose errors come first."""
        return annotated(images, annotations, data, part)

    if report is not None:
        check_place(report, "--report", folder=True)
        require("matplotlib", "report")

    def evaluated(file: Path, **opened: Any) -> EvaluationReport:
        with Detector(
            file,
            device=device,
            threads=threads,
            multi_label=multi_label,
            class_agnostic=class_agnostic,
            tiles=parse_size(tiles),
            overlap=overlap,
            **opened,
        ) as detector:
            if report is not None:
                check_writable(report / "index.html", f"--report {report}")
            pictures = dataset()
            assert pictures is not None
            with reporting() as progress:
                return evaluate(detector, pictures, conf=conf, iou=iou, report=progress)

    known: Baseline | None = None
    if baseline is not None:
        earlier = is_report(baseline)
        known = (
            read_baseline(baseline) if earlier else Baseline.of(evaluated(baseline).summary(), str(baseline))
        )
    found = evaluated(model, backend=backend, override=overrides(names, legacy, imgsz, override))
    if report is not None:
        found.save(report)
    held = None if known is None else hold(found, known)
    if as_json:
        print_json({**found.summary(), "model": str(model), **({"baseline": asdict(held)} if held else {})})
    else:
        _print(found, model, held, per_class)
        if report is not None:
            echo(f"report: {report / 'index.html'}")
    if held is not None:
        held.check(max_drop)


def _print(found: EvaluationReport, model: Path, held: Held | None, per_class: bool) -> None:
    about = found.about
    where = f" on {about['backend']} ({about['precision']})" if "backend" in about else ""
    where += f" in tiles of {about['tiles']}" if "tiles" in about else ""
    title = f"{model}{where}, conf {found.conf}, IoU {found.iou}"
    print_table(tuple(found.figures), [[f"{value:.4f}" for value in found.figures.values()]], title)
    if per_class:
        print_table(
            ("class", "objects", "AP", "AP50", "precision", "recall", "F1", "at score"),
            [
                (
                    one.name,
                    one.objects,
                    *map(_text, (one.AP, one.AP50, one.precision, one.recall, one.f1, one.threshold)),
                )
                for one in found.per_class
            ],
        )
    if held is not None:
        echo(f"AP {held.AP:.4f}, {held.baseline} {held.before:.4f}: {held.AP - held.before:+.4f}")


def _text(value: float | None) -> str | None:
    return None if value is None or value < 0 else f"{value:.4f}"
