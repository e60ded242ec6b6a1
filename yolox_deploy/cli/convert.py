"""`yolox-deploy convert`: a data set in another format."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import console, echo, print_json, reporting


def convert_command(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Data set as a labelling tool leaves it, or a COCO JSON.")
    ],
    to: Annotated[str, typer.Option(help="coco, yolo or voc.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist, or be empty.")],
    images: Annotated[Path | None, typer.Option(help="The pictures of a JSON. [default: near it]")] = None,
    val: Annotated[
        float | None, typer.Option(help="Share for validation, where there is no split. [default: 0.2]")
    ] = None,
    seed: Annotated[int, typer.Option(help="That chooses the pictures for validation.")] = 0,
    link: Annotated[
        bool, typer.Option("--link", help="Link to the pictures instead of copying them.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a data set in another format. Boxes, classes and crowds stay; what is at fault is told and left out."""
    from yolox_deploy.data.conversion import convert

    with reporting() as progress:
        reports = convert(source, to, out, images=images, val=val, seed=seed, link=link, report=progress)
    for line in (line for report in reports.values() for line in report.to_lines()):
        console().print(line, markup=False, soft_wrap=True)
    if as_json:
        print_json({"out": str(out)} | {str(part): asdict(report) for part, report in reports.items()})
        return
    echo(f"{', '.join(f'{part} {report.pictures}' for part, report in reports.items())} pictures: {out}")
    echo(f"next: yolox-deploy train --model yolox_nano --data {shlex.quote(str(out))}")
