"""Options that several commands share, each declared once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli.common import LOG

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, …")]
Backend = Annotated[str | None, typer.Option(help="Runtime instead of the suffix's default; auto: as tuned.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of one inference.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]
Names = Annotated[
    Path | None,
    typer.Option("--names", "--classes", help="Text file with one class name a line, in the model's order."),
]


def _be_quiet(wanted: bool) -> bool:
    if wanted:
        LOG.setLevel(logging.ERROR)
    return wanted


Quiet = Annotated[
    bool,
    typer.Option("--quiet", callback=_be_quiet, help="Tell errors alone: no progress, notes or warnings."),
]
"""Takes effect by itself: what is told to people looks at the level of `common.LOG`."""

Conf = Annotated[float, typer.Option(min=0, max=1, help="Least score.")]
Iou = Annotated[float, typer.Option(min=0, max=1, help="Overlap above which boxes are one object.")]
ClassAgnostic = Annotated[
    bool, typer.Option("--class-agnostic", help="Let different classes suppress each other.")
]
Only = Annotated[
    str | None, typer.Option(help="Classes to keep, by name or id: person,car.", metavar="NAME,...")
]
Tiles = Annotated[
    str | None,
    typer.Option(help="Detect in tiles of N or HxW pixels too, for small objects in large pictures."),
]
Overlap = Annotated[
    float, typer.Option(min=0, max=0.9, help="Share of a tile that it has in common with the next one.")
]
Legacy = Annotated[
    bool, typer.Option("--legacy", help="The file is from before YOLOX 0.1.1 (RGB, normalised).")
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE", help="A convention of the file, such as boxes=corners or input.scale=1/255."
    ),
]
Calib = Annotated[Path | None, typer.Option(help="Folder of pictures for INT8 calibration.")]
Imgsz = Annotated[
    str | None, typer.Option(help="N or HxW for a file that leaves its size free, and for a checkpoint.")
]
InputSize = Annotated[str | None, typer.Option(help="N or HxW, multiples of 32.")]
Images = Annotated[Path | None, typer.Option(help="Folder of pictures [default: generated ones].")]
Annotations = Annotated[
    Path | None, typer.Option(help="COCO file of --images: AP of the same file in the same row.")
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of a COCO, VOC or YOLO data set, or its data.yaml, in their place."),
]
SplitName = Annotated[
    str, typer.Option("--split", help="Of --data: train, val, test; all, of one without splits.")
]
MaxApDrop = Annotated[
    float, typer.Option(min=0, max=1, help="AP (0-1) a row may lose against its model's float32 row.")
]
ThreadCounts = Annotated[
    str | None, typer.Option("--threads", help="CPU threads of one inference; several to sweep: 1,2,4.")
]
Out = Annotated[
    list[Path] | None, typer.Option(help="Write the report; the suffix says how: .json .csv .md .html.")
]
