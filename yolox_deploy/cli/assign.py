"""`yolox-deploy assign`: which anchor points each label assigner makes positive, drawn side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import console, parse_size, progress
from yolox_deploy.errors import InputError, UsageError, require
from yolox_deploy.files import check_place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from yolox_deploy.data.dataset import Objects
    from yolox_deploy.training.assign.inspection import Inspected
    from yolox_deploy.training.assign.types import Assigner

ONE_TO_ONE = "one_to_one"
ANCHOR_BASED, ANCHOR_FREE = ("yolov3",), ("center", "center3x3")
"""Assigners for one kind of head only."""


def assign_command(
    source: Annotated[list[str], typer.Argument(help="Pictures, folders or globs.", metavar="IMAGE...")],
    weights: Annotated[Path, typer.Option(help="Checkpoint whose predictions the assigners judge.")],
    annotations: Annotated[
        Path | None, typer.Option(help="COCO instances JSON that knows the pictures.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS,X1,Y1,X2,Y2", help="An object of a single picture, in pixels; repeatable."
        ),
    ] = None,
    assigner: Annotated[
        list[str] | None, typer.Option(help="Assigner to draw; repeatable. [default: all that fit the head]")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model; recognised if not given.")] = None,
    imgsz: Annotated[str | None, typer.Option(help="N or HxW. [default: the size it was trained at]")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the drawings.")] = Path("assignments"),
    quiet: options.Quiet = False,
) -> None:
    """Draw the positive anchor points of pictures. One tile an assigner."""
    require("torch", "train")
    from yolox_deploy.exporter.source_model import load_source_model
    from yolox_deploy.images import load_image
    from yolox_deploy.sources import image_paths
    from yolox_deploy.training.assign.inspection import inspect_picture
    from yolox_deploy.training.drawings import draw_assignments

    check_place(out, "--out", folder=True)
    paths = [path for item in source for path in image_paths(item)]
    truths = annotated(paths, annotations, box or [])
    subject = load_source_model(model, weights, None)
    network, size = subject.network, parse_size(imgsz) or subject.input_size
    assigners = fitting_assigners(network.head.priors is not None, assigner or [])
    for path, objects in progress(list(zip(paths, truths, strict=True)), "assigning"):
        if (objects.classes >= network.num_classes).any():
            raise UsageError(
                f"{path} has an object of class {objects.classes.max()}; "
                f"the model has {network.num_classes} classes, numbered from 0"
            )
        seen = inspect_picture(network, load_image(path), objects, size)
        draw_assignments(
            seen.canvas,
            corners(seen),
            {name: positives(seen, one) for name, one in assigners.items()},
            out / f"{path.stem}.jpg",
        )
    console().print(f"{len(paths)} pictures in {out}")


def fitting_assigners(anchor_based: bool, names: Sequence[str]) -> dict[str, Assigner]:
    """The assigners of these names, or without names all that work with such a head.

    Raises:
        UsageError: no such assigner.
    """
    from yolox_deploy.training.assign import ASSIGNERS
    from yolox_deploy.training.assign.one_to_one import one_to_one

    known = {**ASSIGNERS, ONE_TO_ONE: one_to_one}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"there is no assigner {unknown[0]!r}; expected some of {', '.join(known)}")
    excluded = ANCHOR_FREE if anchor_based else ANCHOR_BASED
    return {name: known[name] for name in names or known if names or name not in excluded}


def annotated(paths: Sequence[Path], annotations: Path | None, boxes: Sequence[str]) -> list[Objects]:
    """The objects of each picture, from a COCO file or from `boxes` of a single picture.

    Raises:
        UsageError: both or neither are given, or a box is malformed.
        InputError: a picture that the file does not know.
    """
    if (annotations is None) == (not boxes):
        raise UsageError(
            "the objects are not known; give either --annotations FILE or --box CLASS,X1,Y1,X2,Y2"
        )
    if annotations is None:
        if len(paths) != 1:
            raise UsageError(
                f"--box describes one picture; found {len(paths)}. Give --annotations FILE for several"
            )
        return [parse_boxes(boxes)]
    from yolox_deploy.data.coco_format import read_coco
    from yolox_deploy.data.report import require_whole

    dataset = read_coco(annotations, paths[0].parent)
    require_whole(dataset.source, dataset.problems)
    numbers = {dataset.path(index).name: index for index in range(len(dataset))}
    strangers = [path for path in paths if path.name not in numbers]
    if strangers:
        raise InputError(f"{annotations} has no picture called {strangers[0].name}")
    return [dataset.objects(numbers[path.name]) for path in paths]


def parse_boxes(boxes: Sequence[str]) -> Objects:
    """`CLASS,X1,Y1,X2,Y2` texts as objects.

    Raises:
        UsageError: a text that is no such box, or one without area.
    """
    import numpy as np

    from yolox_deploy.data.dataset import Objects

    rows = []
    for text in boxes:
        try:
            label, x1, y1, x2, y2 = map(float, text.split(","))
        except ValueError as error:
            raise UsageError(f"the box is {text!r}; expected CLASS,X1,Y1,X2,Y2") from error
        if not (label >= 0 and label.is_integer() and x1 < x2 and y1 < y2):
            raise UsageError(f"the box is {text!r}; expected a class number from 0, X1 < X2 and Y1 < Y2")
        rows.append((label, x1, y1, x2, y2))
    table = np.array(rows)
    return Objects(table[:, 1:].astype(np.float32), table[:, 0].astype(np.int64), ((),) * len(rows))


def positives(seen: Inspected, assigner: Assigner) -> NDArray[np.float32]:
    """(p, 4) float32 x, y, stride in pixels, and the row of the ground truth."""
    import torch

    found = assigner(seen.predictions, seen.anchors, seen.targets)
    used = found.positive[0]
    index, gt = found.index[0, used], found.gt[0, used]
    columns = (seen.anchors.points[index], seen.anchors.strides[index, None], gt[:, None].float())
    rows: NDArray[np.float32] = torch.cat(columns, dim=1).numpy()
    return rows


def corners(seen: Inspected) -> NDArray[np.float32]:
    """(n, 4) float32 x1, y1, x2, y2 of the ground truths in pixels of the canvas."""
    import torch

    centre, size = seen.targets.boxes[0].chunk(2, dim=1)
    rows: NDArray[np.float32] = torch.cat((centre - size / 2, centre + size / 2), dim=1).numpy()
    return rows
