"""`yolox-deploy predict`: pictures and videos in, annotated ones, JSON, labels and crops out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import command_line, console, names_in, overrides, parse_size, quiet_opencv
from yolox_deploy.errors import UsageError
from yolox_deploy.thresholds import Thresholds


def predict_command(
    source: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, videos, folders with all below them, globs; - for paths on standard input.",
            metavar="SOURCE...",
        ),
    ],
    model: Annotated[
        Path, typer.Option(help="Model file, whose suffix names the backend, or a name of the zoo.")
    ],
    conf: options.Conf = Thresholds.conf,
    iou: options.Iou = Thresholds.iou,
    only: options.Only = None,
    tiles: options.Tiles = None,
    overlap: options.Overlap = Thresholds.overlap,
    out: Annotated[Path, typer.Option(help="Folder for the annotated pictures and videos.")] = Path(
        "predictions"
    ),
    save_json: Annotated[
        Path | None,
        typer.Option(help="Write all detections to this file: .json at the end, .jsonl line by line."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on behind the last line of --save-json FILE.jsonl.")
    ] = False,
    save_coco: Annotated[
        Path | None, typer.Option(help="Write a COCO file that labelling tools import, to be corrected.")
    ] = None,
    save_txt: Annotated[
        Path | None,
        typer.Option(help="The same as YOLO text: a new folder with images, labels, class names."),
    ] = None,
    save_crops: Annotated[
        Path | None, typer.Option(help="Folder for a picture of each object, by class.")
    ] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Draw no pictures.")] = False,
    class_agnostic: options.ClassAgnostic = False,
    max_detections: Annotated[int, typer.Option(min=1, help="Most detections a picture.")] = 300,
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
    """Detect objects in pictures and videos. Those that cannot be read are named; the others are done all the same."""
    from yolox_deploy.cli.predict_arguments import PredictArguments, check
    from yolox_deploy.cli.predict_run import run
    from yolox_deploy.cli.predict_sources import survey

    quiet_opencv()
    _refuse_swapped(source, model)
    # They decide about the boxes, so a run that is resumed needs the same.
    deciding = {
        "conf": conf,
        "iou": iou,
        "class_agnostic": class_agnostic,
        "max_detections": max_detections,
        "classes": names_in(only),
        "tiles": parse_size(tiles),
        "overlap": overlap,
        "override": overrides(names, legacy, imgsz, override),
    }
    asked = PredictArguments(
        sources=tuple(source),
        model=model,
        drawn=None if no_images else out,
        save_json=save_json,
        save_coco=save_coco,
        save_txt=save_txt,
        save_crops=save_crops,
        resume=resume,
        as_json=as_json,
        detector={**deciding, "backend": backend, "device": device, "threads": threads},
        options=deciding,
    )
    found = survey(asked.sources, asked.folders, count_all=console().is_terminal)
    check(asked, found)
    run(asked, found)


def _refuse_swapped(source: list[str], model: Path) -> None:
    """Refuse a picture where the model belongs, with the model among the pictures; gives the command meant."""
    from yolox_deploy.cli.predict_sources import WRITABLE
    from yolox_deploy.runtimes.registry import entries

    if model.suffix.lower() not in WRITABLE:
        return
    suffixes = [suffix for entry in entries() for suffix in entry.suffixes]
    swapped = next((one for one in source if Path(one).suffix in suffixes), None)
    if swapped is not None:
        command = command_line({swapped: [str(model)], str(model): [swapped]})
        raise UsageError(f"{model} is a picture and {swapped} a model file; exchange them: {command}")
