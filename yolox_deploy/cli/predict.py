"""`yolox-deploy predict`: pictures in, annotated pictures and JSON out."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import command_line, console, overrides, print_json, progress
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.thresholds import Thresholds

if TYPE_CHECKING:
    from yolox_deploy.detections import Detections


WRITABLE = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))


def predict_command(
    source: Annotated[list[str], typer.Argument(help="Pictures, folders or globs.", metavar="SOURCE...")],
    model: Annotated[
        Path, typer.Option(help="Model file, whose suffix names the backend, or a name of the zoo.")
    ],
    conf: options.Conf = Thresholds.conf,
    iou: options.Iou = Thresholds.iou,
    out: Annotated[Path, typer.Option(help="Folder for the annotated pictures.")] = Path("predictions"),
    save_json: Annotated[Path | None, typer.Option(help="Write all detections to this JSON file.")] = None,
    save_coco: Annotated[
        Path | None, typer.Option(help="Write a COCO file that labelling tools import, to be corrected.")
    ] = None,
    save_txt: Annotated[
        Path | None,
        typer.Option(help="The same as YOLO text: a new folder with images, labels, class names."),
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
    as_json: options.AsJson = False,
) -> None:
    """Detect objects in pictures. Those that cannot be read are named; the others are done all the same."""
    from yolox_deploy.data.prelabels import Prelabelled, to_coco, write_yolo
    from yolox_deploy.detector import Detector
    from yolox_deploy.files import check_writable, new_folder, write_text
    from yolox_deploy.sources import image_paths

    _refuse_swapped(source, model)
    paths = [path for item in source for path in image_paths(item)]
    targets = [None if no_images else out / name for name in output_names(paths)]
    _keep_sources(paths, targets)
    if save_coco is not None:
        check_writable(save_coco, f"--save-coco {save_coco}")
    with (
        new_folder(save_txt) if save_txt is not None else nullcontext() as folder,
        Detector(
            model,
            backend=backend,
            device=device,
            conf=conf,
            iou=iou,
            class_agnostic=class_agnostic,
            max_detections=max_detections,
            threads=threads,
            override=overrides(names, legacy, imgsz, override),
        ) as detector,
    ):
        records, failures, found = [], [], []
        for path, target in progress(list(zip(paths, targets, strict=True)), "detecting"):
            try:
                detections, size = _predict_one(detector, path, target)
            except InputError as error:
                failures.append(str(error))
                continue
            records.append({"image": str(path), **detections.to_dict()})
            found.append(Prelabelled(path, size, detections))
            if not as_json:
                typer.echo(f"{path}: {summary(detections)}")
        if folder is not None:
            write_yolo(folder, found, detector.class_names)
        if save_coco is not None:
            write_text(save_coco, json.dumps(to_coco(found, detector.class_names), indent=1))
    _report(records, failures, save_json, as_json)
    if not no_images and records:
        console().print(f"{len(records)} annotated pictures in {out}")
    if failures:
        raise InputError(f"{len(failures)} of {len(paths)} pictures could not be read: {'; '.join(failures)}")


def _refuse_swapped(source: list[str], model: Path) -> None:
    """Refuse a picture where the model belongs, with the model among the pictures; gives the command meant."""
    if model.suffix.lower() not in WRITABLE:
        return
    from yolox_deploy.runtimes.registry import entries

    suffixes = [suffix for entry in entries() for suffix in entry.suffixes]
    swapped = next((one for one in source if Path(one).suffix in suffixes), None)
    if swapped is not None:
        command = command_line({swapped: [str(model)], str(model): [swapped]})
        raise UsageError(f"{model} is a picture and {swapped} a model file; exchange them: {command}")


def output_names(paths: list[Path]) -> list[str]:
    """A file name for each picture: its own, numbered where two folders hold the same one.

    Formats that OpenCV does not write in colour become PNG.
    """
    names: dict[str, None] = {}
    counts: dict[str, int] = {}
    for path in paths:
        suffix = path.suffix if path.suffix.lower() in WRITABLE else f"{path.suffix}.png"
        first = name = f"{path.stem}{suffix}"
        while name in names:
            counts[first] = counts.get(first, 1) + 1
            name = f"{path.stem}_{counts[first]}{suffix}"
        names[name] = None
    return list(names)


def _keep_sources(paths: list[Path], targets: list[Path | None]) -> None:
    sources = {path.resolve() for path in paths}
    for target in targets:
        if target is not None and target.resolve() in sources:
            raise UsageError(f"{target} is one of the pictures to read; choose another folder with --out")


def summary(detections: Detections) -> str:
    """`2 person, 1 dog`, or `nothing found`."""
    counts: dict[str, int] = {}
    for item in detections:
        counts[item.class_name] = counts.get(item.class_name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found"


def _predict_one(detector: Any, path: Path, target: Path | None) -> tuple[Detections, tuple[int, int]]:
    """What is found in a picture, and its height and width."""
    from yolox_deploy.drawing import write_picture
    from yolox_deploy.images import load_image

    image = load_image(path, detector.info.artifact.input.picture_channels)
    detections: Detections = detector.predict(image)
    if target is not None:
        write_picture(target, detections.plot(load_image(image)))
    return detections, (image.shape[0], image.shape[1])


def _report(records: list[Any], failures: list[str], save_json: Path | None, as_json: bool) -> None:
    from yolox_deploy.files import write_text

    content = {"images": records, "failures": failures}
    if save_json is not None:
        write_text(save_json, json.dumps(content, indent=1))
    if as_json:
        print_json(content)
