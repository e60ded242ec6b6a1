"""`yolox-deploy scenes`: a generated data set, for a first training without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli.common import parse_size, progress
from yolox_deploy.errors import UsageError


def scenes_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not exist, or be empty.")],
    train: Annotated[int, typer.Option(min=1, help="Pictures to train on.")] = 2000,
    val: Annotated[int, typer.Option(min=1, help="Pictures to evaluate on.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    size: Annotated[str, typer.Option(help="N or HxW of the pictures, in pixels.")] = "480x640",
    objects: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Short sides of the objects, shares of the picture's.")
    ] = "0.05,0.6",
) -> None:
    """Generate a data set of drawn objects with exact boxes and masks, in COCO layout."""
    from yolox_deploy.synthetic.scenes import CLASS_NAMES, write_scenes

    try:
        low, high = map(float, objects.split(","))
    except ValueError as error:
        raise UsageError(f"--objects {objects}: expected LOW,HIGH, such as 0.05,0.6") from error
    written = write_scenes(
        folder,
        train=train,
        val=val,
        seed=seed,
        size=parse_size(size) or (480, 640),
        size_range=(low, high),
        track=lambda numbers: progress(numbers, "drawing"),
    )
    typer.echo(f"{train} + {val} pictures of {', '.join(CLASS_NAMES)}: {written}")
    typer.echo(f"next: yolox-deploy train --model yolox_nano --data {folder}")
