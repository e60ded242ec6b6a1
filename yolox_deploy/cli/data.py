"""Commands about data sets: `yolox-deploy scenes` generates one, `priors` fits anchor boxes to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import echo, parse_size, print_json, print_table, reporting
from yolox_deploy.errors import UsageError
from yolox_deploy.files import check_place


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
    """Generate a data set of drawn objects. In COCO layout, with exact boxes and masks."""
    from yolox_deploy.synthetic.scenes import CLASS_NAMES, write_scenes

    try:
        low, high = map(float, objects.split(","))
    except ValueError as error:
        raise UsageError(f"--objects {objects}: expected LOW,HIGH, such as 0.05,0.6") from error
    shape = parse_size(size) or (480, 640)
    with reporting() as progress:
        written = write_scenes(
            folder, train=train, val=val, seed=seed, size=shape, size_range=(low, high), report=progress
        )
    echo(f"{train} + {val} pictures of {', '.join(CLASS_NAMES)}: {written}")
    echo(f"next: yolox-deploy train --model yolox_nano --data {folder}")


def priors_command(
    data: Annotated[Path, typer.Argument(help="Data set: COCO, VOC or YOLO text.")],
    imgsz: Annotated[str, typer.Option(help="N or HxW that the network is trained at.")] = "640",
    seed: Annotated[int, typer.Option(min=0, help="Of the first centres.")] = 0,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("priors.json"),
    as_json: options.AsJson = False,
) -> None:
    """Fit nine priors to the boxes of a data set. By k-means with 1 - IoU."""
    from yolox_deploy.data.layouts import open_dataset
    from yolox_deploy.data.priors import fit_to_dataset
    from yolox_deploy.models.zoo import CLASSIC, STRIDES, check_input_size

    check_place(out, "--out")
    size = check_input_size(parse_size(imgsz) or (640, 640))
    fitted = fit_to_dataset(open_dataset(data, "train"), size, CLASSIC, seed=seed)
    fitted.save(out)
    levels = fitted.priors.tolist()
    if as_json:
        figures = {"boxes": fitted.boxes, "mean_iou": fitted.mean_iou, "classic_iou": fitted.classic_iou}
        print_json({"priors": levels, "imgsz": size, **figures, "file": str(out)})
        return
    rows = [
        (f"stride {stride}", *(f"{w:.1f} × {h:.1f}" for w, h in level))
        for stride, level in zip(STRIDES, levels, strict=True)
    ]
    title = f"{fitted.boxes} boxes at {size[0]}x{size[1]}: width × height in pixels"
    print_table(("level", "small", "medium", "large"), rows, title)
    echo(f"mean best IoU: {fitted.mean_iou:.3f}; with the classic priors {fitted.classic_iou:.3f}")
    echo(f"train with them: yolox-deploy train --model yolov3_baseline --set priors={out} …")
