"""`yolox-deploy stream`: a detector on a video, camera, network stream, folder or annotated sequence."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.cli.common import AsJson, Backend, Classes, Device, Threads
from yolox_deploy.errors import UsageError, require

if TYPE_CHECKING:
    from yolox_deploy.detector import Detector
    from yolox_deploy.streaming.annotated import AnnotatedSequences
    from yolox_deploy.streaming.events import StreamHeader
    from yolox_deploy.streaming.live_feed import LiveFeed

EVERY_FRAME = "every frame"


def stream_command(
    source: Annotated[
        str, typer.Argument(help="Video, folder, camera's number or address.", metavar="SOURCE")
    ],
    model: Annotated[Path, typer.Option(help="Model file; its suffix names the backend.")],
    rate: Annotated[
        float | None,
        typer.Option(
            min=0, help="Frames a second; 0: every frame of a file, one after the other. [default: its own]"
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
    out: Annotated[Path | None, typer.Option(help="Write a video with boxes and figures.")] = None,
    save_events: Annotated[
        Path | None, typer.Option(help="Write each answer and its times, for `streaming_ap`.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.001, help="End after so long.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many frames of the source.")] = None,
    reconnect: Annotated[
        float, typer.Option(min=0, help="Seconds to try to get a lost live source back; 0: end with it.")
    ] = 30.0,
    conf: Annotated[float, typer.Option(min=0, max=1, help="Least score.")] = 0.25,
    iou: Annotated[
        float, typer.Option(min=0, max=1, help="Overlap above which boxes are one object.")
    ] = 0.45,
    classes: Classes = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="The file is from before YOLOX 0.1.1 (RGB, normalised).")
    ] = False,
    backend: Backend = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Detect on a stream as it comes, and say how old the answers are. Ctrl-C ends it and keeps what is written."""
    _quiet_opencv()
    from yolox_deploy.cli.predict import overrides
    from yolox_deploy.detector import Detector
    from yolox_deploy.streaming.live_feed import LiveFeed, open_feed_source, sequence_source
    from yolox_deploy.streaming.policies import parse_policy

    paced = rate != 0
    if annotations is not None and not paced:
        raise UsageError("--annotations needs a rate: at --rate 0 no frame has a time of its own")
    _check_files(source, out, save_events)
    data = _one_sequence(annotations, source, rate or None, sequence) if annotations is not None else None
    if data is not None:
        frames_of = sequence_source(data.sequences[0], data.frame_rate)
    else:
        frames_of = open_feed_source(source, rate=rate or None, reconnect=reconnect)
    feed = LiveFeed(frames_of, parse_policy(policy), paced=paced, frames=frames)
    detector = Detector(
        model,
        backend=backend,
        device=device,
        conf=conf,
        iou=iou,
        threads=threads,
        override=overrides(classes, legacy),
    )
    with detector:
        detector.warmup()
        _run(feed, detector, _Wanted(out, save_events, show, seconds, as_json), data)


@dataclass(frozen=True)
class _Wanted:
    """What is to come of a stream."""

    out: Path | None
    events: Path | None
    show: bool
    seconds: float | None
    as_json: bool


def _run(feed: LiveFeed, detector: Detector, wanted: _Wanted, data: AnnotatedSequences | None) -> None:
    """Run the stream and print its figures, however it ends; an interrupted one is not scored."""
    from yolox_deploy.cli.stream_output import ProgressLine, show_figures
    from yolox_deploy.streaming.live_session import LiveOutputs, run_live
    from yolox_deploy.streaming.live_summary import LiveSummary

    summary, accuracy = LiveSummary(), None
    header = _header(feed, detector)
    with tempfile.TemporaryDirectory(prefix="yolox-deploy-") as folder:
        unasked = Path(folder) / "events.jsonl" if data is not None else None
        events = wanted.events or unasked
        try:
            with ProgressLine() as progress:
                outputs = LiveOutputs(events, wanted.out, wanted.show, progress.update)
                run_live(feed, detector.predict, header, summary, outputs, seconds=wanted.seconds)
            if data is not None and events is not None:
                accuracy = _score(data, events)
        finally:
            if feed.appeared:
                figures = summary.figures(
                    seconds=feed.elapsed, appeared=feed.appeared, reconnects=feed.source.reconnects()
                )
                run = {
                    "source": header.source,
                    "frame_rate": header.frame_rate,
                    "policy": header.policy,
                    "model": dict(header.model),
                    "out": None if wanted.out is None else str(wanted.out),
                    "events": None if wanted.events is None else str(wanted.events),
                }
                show_figures(figures, run, accuracy, as_json=wanted.as_json)


def _header(feed: LiveFeed, detector: Detector) -> StreamHeader:
    """What goes to the head of the record."""
    from yolox_deploy.streaming.events import StreamHeader
    from yolox_deploy.streaming.policies import policy_name

    info, thresholds = detector.info, detector.thresholds
    model = {
        "path": info.path,
        "backend": info.backend,
        "precision": info.precision,
        "device": info.device,
        "input_size": list(info.artifact.input_size),
        "conf": thresholds.conf,
        "iou": thresholds.iou,
    }
    policy = policy_name(feed.policy) if feed.paced else EVERY_FRAME
    return StreamHeader(feed.source.name, feed.source.rate, policy, model, detector.class_names)


def _one_sequence(annotations: Path, source: str, rate: float | None, name: str | None) -> AnnotatedSequences:
    """The annotations of the one sequence to play, in the form of a file that holds no other."""
    from yolox_deploy.streaming.annotated import read_sequences

    require("faster_coco_eval", "eval")  # before the stream, not after it
    data = read_sequences(annotations, source, frame_rate=rate)
    found = [item for item in data.sequences if name in (None, item.name)]
    if len(found) != 1:
        names = ", ".join(item.name for item in data.sequences)
        raise UsageError(
            f"{annotations} holds {len(data.sequences)} sequences; name one by --sequence: {names}"
        )
    images = {frame.image_id for frame in found[0].frames}
    content = {
        **data.content,
        "images": [image for image in data.content["images"] if image["id"] in images],
        "annotations": [item for item in data.content["annotations"] if item["image_id"] in images],
    }
    return replace(data, sequences=(found[0],), content=content)


def _score(data: AnnotatedSequences, events: Path) -> dict[str, float]:
    from yolox_deploy.evaluation.streaming import streaming_ap

    return streaming_ap(data, events)


def _check_files(source: str, *targets: Path | None) -> None:
    """Find out before any work what cannot be written."""
    from yolox_deploy.streaming.writer import check_suffix

    out = targets[0]
    if out is not None:
        check_suffix(out)
    for target in targets:
        if target is None:
            continue
        if target.is_dir():
            raise UsageError(f"{target} is a folder; expected a file's name")
        if Path(source).resolve() == target.resolve():
            raise UsageError(f"{target} is the stream to read; choose another name")


def _quiet_opencv() -> None:
    """To be called before OpenCV is loaded: its own words about a lost connection would break the progress line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
