"""`yolox-deploy inspect`: what a model file of another tool is, and what opens it right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import console, echo, overrides, print_json, print_table, reporting, split_name
from yolox_deploy.errors import ArtifactError
from yolox_deploy.files import check_place
from yolox_deploy.settings import text

if TYPE_CHECKING:
    from yolox_deploy.inspection import Inspection

MOST_DRAWN = 8
"""Pictures that are drawn."""


def inspect_command(
    model: Annotated[Path, typer.Argument(help="Model file, or a name of the zoo.")],
    images: Annotated[
        Path | None, typer.Option(help="Pictures to try it on [default: three of the package].")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO file of --images: compare by AP.")] = None,
    data: options.Data = None,
    split: options.SplitName = "val",
    save: Annotated[
        bool,
        typer.Option("--save", help="Keep the best in MODEL.json, so that every command opens it right."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for pictures with the best boxes.")] = Path("inspection"),
    no_images: Annotated[bool, typer.Option("--no-images", help="Draw no pictures.")] = False,
    imgsz: options.Imgsz = None,
    names: options.Names = None,
    override: options.Override = None,
    backend: options.Backend = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Tell what a model file is. Tries the plausible conventions on pictures, and keeps the best."""
    from yolox_deploy.inspection import inspect

    if not no_images:
        check_place(out, "--out", folder=True)
    with reporting() as progress:
        found = inspect(
            model,
            images,
            annotations=annotations,
            data=data,
            split=split_name(split),
            backend=backend,
            override=overrides(names, imgsz=imgsz, settings=override),
            report=progress,
        )
    if as_json:
        print_json(found.to_dict())
    else:
        print_inspection(found)
    if found.info is None:
        raise ArtifactError(f"{model}: no convention opens it: {found.seems}")
    if not no_images:
        drawn = draw_best(found, _pictures(images, data, split), out)
        console().print(f"{drawn} pictures with the best boxes in {out}", soft_wrap=True)
    if save:
        console().print(f"kept in {found.save()}; every command opens {model} so from now on", soft_wrap=True)


def print_inspection(found: Inspection) -> None:
    """The tensors, what the file seems to be, and the table of what was tried."""
    rows = [
        (
            kind,
            spec.name,
            str(spec.dtype),
            " x ".join("free" if side is None else str(side) for side in spec.shape),
        )
        for kind, specs in (("input", found.inputs), ("output", found.outputs))
        for spec in specs
    ]
    print_table(("tensor", "name", "dtype", "shape"), rows, f"{found.path} on {found.backend}")
    echo(f"checksum: {found.checked}")
    opens = found.info is not None and not found.guessed
    echo(f"\nIt seems to be {found.seems}\n" if opens else f"\nIt does not open by itself: {found.seems}\n")
    if not found.trials:
        return
    table = [
        (
            trial.name,
            trial.detections,
            None if trial.plausible is None else f"{100 * trial.plausible:.0f} %",
            f"{trial.scores:.2f}",
            trial.in_grey,
            None if trial.ap is None else f"{trial.ap:.4f}",
        )
        for trial in found.trials
    ]
    head = ("convention", "boxes", "plausible", "scores", "in grey", "AP")
    print_table(head, table, f"tried on {found.pictures} pictures, the one to use first")
    given = " ".join(f"--override {name}={text(value)}" for name, value in found.override.items())
    echo(
        "\nboxes: in all pictures; plausible: of the size and shape of an object; scores: their sum, a picture; "
        "in grey: boxes in a plain grey picture, where nothing is"
    )
    echo(f"open it with: {given or 'no option'}; --save keeps that beside the file")


def _pictures(images: Path | None, data: Path | None, split: str) -> Sequence[Path]:
    """Those that are drawn of what was tried."""
    from yolox_deploy.data.layouts import open_dataset
    from yolox_deploy.evaluation.annotated import picture_paths
    from yolox_deploy.files import packaged_photographs
    from yolox_deploy.sources import image_paths

    if data is not None:
        return picture_paths(open_dataset(data, split_name(split)), MOST_DRAWN)
    return (image_paths(images) if images is not None else packaged_photographs())[:MOST_DRAWN]


def draw_best(found: Inspection, paths: Sequence[Path], folder: Path) -> int:
    """Write pictures with what the best convention finds; returns how many."""
    import warnings

    from yolox_deploy.detector import Detector
    from yolox_deploy.drawing import write_picture
    from yolox_deploy.images import load_image

    assert found.info is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with Detector(
            found.path, backend=found.backend, override=found.override, runtime_options={"verify": False}
        ) as detector:
            for path in paths:
                image = load_image(path)
                write_picture(folder / f"{path.stem}.jpg", detector.predict(image).plot(image))
    return len(paths)
