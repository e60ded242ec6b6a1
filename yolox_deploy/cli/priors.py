"""`yolox-deploy priors`: anchor boxes for an anchor-based head, fitted to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli.common import AsJson, parse_size, print_json, print_table


def priors_command(
    data: Annotated[Path, typer.Argument(help="Data set: COCO, VOC or YOLO text.")],
    imgsz: Annotated[str, typer.Option(help="N or HxW that the network is trained at.")] = "640",
    seed: Annotated[int, typer.Option(min=0, help="Of the first centres.")] = 0,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("priors.json"),
    as_json: AsJson = False,
) -> None:
    """Fit nine priors to the training boxes of a data set (k-means with 1 - IoU)."""
    from yolox_deploy.data.layouts import open_dataset
    from yolox_deploy.data.priors import fit_to_dataset
    from yolox_deploy.models.priors import CLASSIC
    from yolox_deploy.models.zoo import STRIDES, check_size

    size = check_size(parse_size(imgsz) or (640, 640))
    fitted = fit_to_dataset(open_dataset(data, "train"), size, CLASSIC, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
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
    typer.echo(f"mean best IoU: {fitted.mean_iou:.3f}; with the classic priors {fitted.classic_iou:.3f}")
    typer.echo(f"train with them: yolox-deploy train --model yolov3_baseline --set priors={out} …")
