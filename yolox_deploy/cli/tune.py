"""`yolox-deploy tune`: the fastest way to run a model on this machine that is accurate enough."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.bench import choose_protocol
from yolox_deploy.cli.bench_output import show, writer
from yolox_deploy.cli.common import echo, numbers, parse_size, print_json, reporting, split_name


def tune_command(
    files: Annotated[
        list[Path], typer.Argument(help="Model file or name of the zoo, and other exports of the model.")
    ],
    images: options.Images = None,
    annotations: options.Annotations = None,
    data: options.Data = None,
    split: options.SplitName = "val",
    max_ap_drop: options.MaxApDrop = 0.01,
    threads: options.ThreadCounts = None,
    device: options.Device = "auto",
    imgsz: options.Imgsz = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="60 s or 1,000 iterations for each way instead of 3 s.")
    ] = False,
    out: options.Out = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Find the fastest backend, precision and threads. Kept for Detector(FILE, backend="auto")."""
    from yolox_deploy.benchmarks import tune
    from yolox_deploy.models.published import model_path
    from yolox_deploy.tuned import read_tuned

    writers = [writer(path) for path in out or []]
    paths = [model_path(file) for file in files]
    with reporting(lines=True) as progress:
        tuned = tune(
            paths,
            protocol=choose_protocol(quick=not thorough, mlperf=False),
            images=images,
            annotations=annotations,
            data=data,
            split=split_name(split),
            max_ap_drop=max_ap_drop,
            threads=numbers(threads),
            device=device,
            imgsz=parse_size(imgsz),
            report=progress,
        )
    choice = read_tuned(paths[0])
    if as_json and choice is not None:
        print_json({"choice": vars(choice), "written": str(tuned.path)})
    else:
        show(tuned.report, as_json=False)
        echo(f"\nchosen: {tuned.row.subject.label}, for Detector({str(files[0])!r}, backend='auto')")
        echo(f"kept in {tuned.path}")
    for write in writers:
        write(tuned.report)
