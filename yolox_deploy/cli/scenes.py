"""`yolox-deploy scenes`: a generated data set, for a first training without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli.common import parse_size, progress


def scenes_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not exist, or be empty.")],
    train: Annotated[int, typer.Option(min=1, help="Pictures to train on.")] = 2000,
    val: Annotated[int, typer.Option(min=1, help="Pictures to evaluate on.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    size: Annotated[str, typer.Option(help="N or HxW of the pictures, in pixels.")] = "480x640",
) -> None:
    """Generate a data set of drawn objects with exact boxes and masks, in COCO layout."""
    from yolox_deploy.data.scenes import CLASS_NAMES, write_scenes

    written = write_scenes(
        folder,
        train=train,
        val=val,
        seed=seed,
        size=parse_size(size) or (480, 640),
        track=lambda numbers: progress(numbers, "drawing"),
    )
    typer.echo(f"{train} + {val} pictures of {', '.join(CLASS_NAMES)}: {written}")
    typer.echo(f"next: yolox-deploy train --model yolox_nano --data {folder}")
