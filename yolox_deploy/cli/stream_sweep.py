"""`yolox-deploy stream --sweep`: models × backends × sizes on streams, and the best trade-off at each frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.cli.bench_output import print_tables, without_samples
from yolox_deploy.cli.common import console, print_json, reporting
from yolox_deploy.errors import InputError, UsageError, require
from yolox_deploy.files import check_place
from yolox_deploy.records import ANNOTATIONS, read

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.streams.report import SweepReport
    from yolox_deploy.streaming.recording import AnnotatedVideo
    from yolox_deploy.synthetic.sequences import SequenceOptions

SCENES = "scenes"
"""A source that is drawn rather than read."""
DEFAULT_RATES = (10.0, 30.0, 60.0)
PICTURE_SUFFIXES = (".png", ".jpg", ".webp")

FASTEST_RATE = 1000.0


def sweep_command(
    source: str,
    models: Sequence[str],
    *,
    annotations: Path | None,
    pictures: int,
    seconds: float,
    rates: tuple[float, ...],
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure, print and write; `options` are further arguments of `sweep`.

    Raises:
        UsageError, InputError, ArtifactError, MissingExtraError: as of `sweep`.
    """
    require("faster_coco_eval", "eval")  # before the detectors answer, not after
    if out is not None:
        require("matplotlib", "bench")
    from yolox_deploy.benchmarks import draw_sweep, sweep
    from yolox_deploy.synthetic.sequences import SequenceOptions

    if out is not None and out.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(
            f"--out {out}: expected the name of a picture, {', '.join(PICTURE_SUFFIXES)}; the figures "
            "are written as JSON beside it"
        )
    if out is not None:
        check_place(out, "--out")
    files = [name for name in models if Path(name).suffix]
    if any(options[name] for name in ("backends", "sizes", "weights")) and len(files) == len(models):
        raise UsageError(
            f"--backend, --imgsz and --weights are for names of the zoo; {files[0]} has its own: name several files"
        )
    rates = rates or DEFAULT_RATES
    if min(rates) == 0:
        raise UsageError("--rate 0: a sweep needs frames a second above 0")
    moving = SequenceOptions(frame_rate=common_rate(rates), seconds=seconds)
    footage = _footage(source, annotations, pictures, moving)
    with reporting(lines=True) as progress:
        report = sweep(footage, models, frame_rates=rates, report=progress, **options)
    _show(report, as_json)
    if out is not None:
        drawn = draw_sweep(report, out)
        console().print(f"out: {drawn} and {report.save(drawn.with_suffix('.json'))}", soft_wrap=True)


def common_rate(rates: tuple[float, ...]) -> float:
    """The least frame rate that gives each of `rates` by leaving frames out; the highest where they are not whole.

    Raises:
        UsageError: it would be above `FASTEST_RATE`.
    """
    if not all(rate == int(rate) for rate in rates):
        return max(rates)
    rate = float(math.lcm(*map(int, rates)))
    if rate > FASTEST_RATE:
        raise UsageError(
            f"--rate {','.join(f'{one:g}' for one in rates)}: footage that gives all of them by leaving frames out "
            f"has {rate:g} frames a second; expected {FASTEST_RATE:g} at most, as for 10,30,60"
        )
    return rate


def _footage(source: str, annotations: Path | None, pictures: int, moving: SequenceOptions) -> AnnotatedVideo:
    """Annotated sequences as they are; still pictures, read or drawn, under a camera that moves."""
    from yolox_deploy.streaming.recording import read_video
    from yolox_deploy.synthetic.sequences import generated_video
    from yolox_deploy.synthetic.worlds import coco_worlds, scene_worlds

    if annotations is None:
        if source != SCENES:
            raise UsageError(
                f"--sweep scores against annotations: name those of {source} by --annotations, or give "
                f"{SCENES!r} as the source, which are drawn"
            )
        return generated_video(scene_worlds(pictures), moving, "generated scenes, moving camera")
    if _has_sequences(annotations):
        return read_video(annotations, source)
    worlds = coco_worlds(annotations, source, pictures)
    return generated_video(worlds, moving, f"{annotations}, moving camera")


def _has_sequences(annotations: Path) -> bool:
    """Whether the images of an annotation file are frames, rather than stills."""
    content = read(annotations, ANNOTATIONS)
    try:
        return "sequences" in content or any("fid" in image for image in content["images"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{annotations} is not a COCO annotation file ({error!r})") from error


def _show(report: SweepReport, as_json: bool) -> None:
    if as_json:
        content: Any = without_samples(report.to_dict())
        print_json({**content, "verdicts": report.verdicts()})
        return
    left_out = [f"left out: {text}" for text in report.skipped]
    print_tables(report.tables(), [f"{report.footage}; {report.machine}", *left_out, *report.verdicts()])
