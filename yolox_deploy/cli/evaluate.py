"""`yolox-deploy eval`: COCO average precision of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import overrides, print_json, print_table, reporting
from yolox_deploy.thresholds import Thresholds

EVALUATION = Thresholds.evaluation()


def eval_command(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    annotations: Annotated[Path, typer.Option(help="COCO instances JSON.")],
    conf: options.Conf = EVALUATION.conf,
    iou: options.Iou = EVALUATION.iou,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Every class of an anchor point that reaches --conf counts.")
    ] = False,
    class_agnostic: options.ClassAgnostic = False,
    classes: options.Classes = None,
    legacy: options.Legacy = False,
    override: options.Override = None,
    backend: options.Backend = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate a model file on a COCO-format data set."""
    from yolox_deploy.detector import Detector
    from yolox_deploy.evaluation import coco_ap

    with Detector(
        model,
        backend=backend,
        device=device,
        threads=threads,
        multi_label=multi_label,
        class_agnostic=class_agnostic,
        override=overrides(classes, legacy, override),
    ) as detector:
        with reporting() as progress:
            figures = coco_ap(detector, images, annotations, conf=conf, iou=iou, report=progress)
        info = detector.info
    if as_json:
        print_json({**figures, "model": str(model), "backend": info.backend, "precision": info.precision})
        return
    title = f"{model} on {info.backend} ({info.device}, {info.precision}), conf {conf}, IoU {iou}"
    print_table(tuple(figures), [[f"{value:.4f}" for value in figures.values()]], title)
