"""`yolox-deploy stream`: the command line of live streams and of their comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import names_in, numbers, overrides, parse_size, quiet_opencv
from yolox_deploy.cli.stream_live import ClipArguments, LiveArguments, live_command
from yolox_deploy.cli.stream_sweep import FASTEST_RATE, sweep_command
from yolox_deploy.errors import UsageError
from yolox_deploy.thresholds import Thresholds

CLIP_BEFORE, CLIP_AFTER = 3.0, 5.0
EVALUATION = Thresholds.evaluation()
SWEEP_SECONDS = 2.0
USUAL_LOST, USUAL_TRAIL = 1.0, 2.0
"""Seconds."""


def stream_command(
    source: Annotated[
        list[str],
        typer.Argument(help="Videos, folders, cameras' numbers or addresses.", metavar="SOURCE"),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            help="Model file, whose suffix names the backend, or a name of the zoo; for --sweep several."
        ),
    ],
    rate: Annotated[
        str | None,
        typer.Option(
            help="Frames a second; 0: every frame of a file, one after the other; several for --sweep: 10,30,60. "
            "[default: the source's own]"
        ),
    ] = None,
    policy: Annotated[
        str, typer.Option(help="Which frame is taken next: newest, queue:N or shrinking-tail.")
    ] = "newest",
    annotations: Annotated[
        Path | None,
        typer.Option(help="Annotated sequences whose pictures are in SOURCE: scores the answers."),
    ] = None,
    sequence: Annotated[str | None, typer.Option(help="Which of several annotated sequences.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the stream in a window; q closes it.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a video with boxes and figures, of several sources OUT_1, OUT_2, …; for --sweep a picture, and "
            "JSON beside it."
        ),
    ] = None,
    save_events: Annotated[
        Path | None, typer.Option(help="Write each answer and its times, for `streaming_ap`.")
    ] = None,
    clip: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write clips: some seconds of video around what is seen."),
    ] = None,
    clip_classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="What a clip is made of: person,car. [default: whatever is found]"
        ),
    ] = None,
    clip_before: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds of a clip before it is seen first. [default: 3]"),
    ] = None,
    clip_after: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds of a clip after it is seen last. [default: 5]"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="End after so long; for --sweep the length of a sequence, 2 by default."
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="End each source after so many frames.")] = None,
    reconnect: Annotated[
        float, typer.Option(min=0, help="Seconds to try to get a lost live source back; 0: end with it.")
    ] = 30.0,
    track: Annotated[
        bool, typer.Option("--track", help="Give objects identities, in events and drawings.")
    ] = False,
    lost: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="For --track: seconds after which an object that nobody sees is forgotten. [default: 1]",
        ),
    ] = None,
    trail: Annotated[
        float | None,
        typer.Option(min=0, help="For --track: seconds of the trails; 0 draws none. [default: 2]"),
    ] = None,
    forecast: Annotated[
        bool,
        typer.Option("--forecast", help="Score answers whose boxes are moved on to the time of the query."),
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Compare models × backends × sizes by streaming AP, in simulated time."),
    ] = False,
    imgsz: Annotated[
        str | None,
        typer.Option(
            help="N or HxW for a file that leaves its size free; for --sweep with zoo names several: 224,320,416."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="For --sweep with one zoo name: its checkpoint. [default: official]")
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=1, help="For --sweep: still pictures that a camera moves over.")
    ] = 10,
    conf: Annotated[
        float, typer.Option(min=0, max=1, help=f"Least score (--sweep: {EVALUATION.conf}).")
    ] = Thresholds.conf,
    iou: Annotated[
        float,
        typer.Option(
            min=0, max=1, help=f"Overlap above which boxes are one object (--sweep: {EVALUATION.iou})."
        ),
    ] = Thresholds.iou,
    only: options.Only = None,
    tiles: options.Tiles = None,
    overlap: options.Overlap = Thresholds.overlap,
    class_agnostic: options.ClassAgnostic = False,
    max_detections: Annotated[int, typer.Option(min=1, help="Most detections a picture.")] = 300,
    names: options.Names = None,
    legacy: options.Legacy = False,
    override: options.Override = None,
    backend: options.Backend = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Detect on streams as they come, and say how old the answers are. Ctrl-C ends them and keeps what is written.

    Several take turns on one model: the newest frame of each.

    --sweep needs no camera: every detector answers every frame of annotated sequences, or of `scenes`, which are
    drawn; streams are then replayed with the measured latencies.
    """
    from yolox_deploy.streaming.policies import parse_policy

    rates = _rates(rate)
    quiet_opencv()
    if sweep:
        live = {"--show": show, "--save-events": save_events, "--frames": frames, "--sequence": sequence}
        live |= {"--track": track, "--clip": clip}
        choice = {"--only": only, "--tiles": tiles, "--class-agnostic": class_agnostic}
        _refuse(
            {**live, **choice, "--names": names, "--legacy": legacy}, "is for a live stream, not for --sweep"
        )
        if len(source) > 1:
            raise UsageError(f"--sweep replays the pictures of one source, found {len(source)}")
        sweep_command(
            source[0],
            model,
            annotations=annotations,
            pictures=pictures,
            seconds=seconds or SWEEP_SECONDS,
            rates=rates,
            out=out,
            as_json=as_json,
            backends=backend and backend.split(","),
            sizes=numbers(imgsz),
            weights=weights,
            policy=parse_policy(policy),
            forecast=forecast,
            threads=threads,
            device=device,
        )
        return
    _refuse({"--weights": weights}, "is for --sweep; a model file has its weights")
    if not track:
        _refuse({"--lost": lost is not None, "--trail": trail is not None}, "needs --track")
    if len(model) > 1 or len(rates) > 1:
        raise UsageError("one stream has one model and one rate; compare several by --sweep")
    live_command(
        LiveArguments(
            sources=source,
            model=Path(model[0]),
            rate=rates[0] if rates else None,
            policy=policy,
            annotations=annotations,
            sequence=sequence,
            forecast=forecast,
            show=show,
            out=out,
            events=save_events,
            clips=_clips(clip, clip_classes, clip_before, clip_after),
            seconds=seconds,
            frames=frames,
            reconnect=reconnect,
            track=track,
            lost=USUAL_LOST if lost is None else lost,
            trail=USUAL_TRAIL if trail is None else trail,
            detector={
                "backend": backend,
                "device": device,
                "conf": conf,
                "iou": iou,
                "class_agnostic": class_agnostic,
                "max_detections": max_detections,
                "classes": names_in(only),
                "tiles": parse_size(tiles),
                "overlap": overlap,
                "threads": threads,
                "override": overrides(names, legacy, imgsz, override),
            },
            as_json=as_json,
        )
    )


def _clips(
    folder: Path | None, classes: str | None, before: float | None, after: float | None
) -> ClipArguments | None:
    if folder is None:
        given = {"--clip-classes": classes, "--clip-before": before, "--clip-after": after}
        _refuse(
            {name: value is not None for name, value in given.items()},
            "needs a folder for the clips: --clip DIR",
        )
        return None
    return ClipArguments(
        folder,
        names_in(classes),
        CLIP_BEFORE if before is None else before,
        CLIP_AFTER if after is None else after,
    )


def _rates(text: str | None) -> tuple[float, ...]:
    """`30` or `10,30,60` to numbers; nothing to none."""
    try:
        rates = tuple(dict.fromkeys(float(part) for part in text.split(","))) if text else ()
    except ValueError:
        rates = (math.nan,)
    if not all(0 <= rate <= FASTEST_RATE for rate in rates):
        raise UsageError(
            f"--rate {text}: expected frames a second up to {FASTEST_RATE:.0f}, such as 30, or several for --sweep: "
            "10,30,60"
        )
    return rates


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Raise UsageError for the first of the options that is given."""
    for name, value in options.items():
        if value:
            raise UsageError(f"{name} {reason}")
