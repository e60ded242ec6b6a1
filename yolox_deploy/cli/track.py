"""`yolox-deploy track`: who is who in a video, on a camera or in a folder of frames."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolox_deploy.cli import options
from yolox_deploy.cli.common import (
    console,
    names_in,
    overrides,
    parse_size,
    print_json,
    print_table,
    quiet_opencv,
    reporting,
    whole_videos,
)
from yolox_deploy.errors import UsageError, require
from yolox_deploy.thresholds import Thresholds

if TYPE_CHECKING:
    from yolox_deploy.capture import Frame
    from yolox_deploy.detections import Detections
    from yolox_deploy.types import Report

UNTIMED_RATE = 30.0
"""Frames a second of a folder of pictures, which have no time of their own."""


def track_command(
    source: Annotated[
        str,
        typer.Argument(help="Video, folder or glob of frames, camera's number or address.", metavar="SOURCE"),
    ],
    model: Annotated[
        Path, typer.Option(help="Model file, whose suffix names the backend, or a name of the zoo.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write a video with boxes, identities and trails: .mp4, .avi, …")
    ] = None,
    save_json: Annotated[
        Path | None, typer.Option(help="Write a line for each frame to this file (.jsonl), as it comes.")
    ] = None,
    conf: options.Conf = Thresholds.conf,
    iou: options.Iou = Thresholds.iou,
    only: options.Only = None,
    tiles: options.Tiles = None,
    overlap: options.Overlap = Thresholds.overlap,
    lost: Annotated[
        float, typer.Option(min=0.01, help="Seconds after which an object that nobody sees is forgotten.")
    ] = 1.0,
    trail: Annotated[
        float, typer.Option(min=0, help="Seconds of the trails in the video; 0 draws none.")
    ] = 2.0,
    reconnect: Annotated[
        float, typer.Option(min=0, help="Seconds to try to get a lost live source back; 0: end with it.")
    ] = 30.0,
    class_agnostic: options.ClassAgnostic = False,
    imgsz: options.Imgsz = None,
    names: options.Names = None,
    legacy: options.Legacy = False,
    override: options.Override = None,
    backend: options.Backend = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Follow objects through a stream. Identities stay from frame to frame; a camera gives its newest frame."""
    quiet_opencv()
    require("trackers", "track")  # before any work
    asked = TrackArguments(source, out, save_json, lost, trail, as_json)
    _check(asked)
    from yolox_deploy.detector import Detector
    from yolox_deploy.sources import open_source
    from yolox_deploy.tracking import TrackConfig, Tracker

    with Detector(
        model,
        backend=backend,
        device=device,
        conf=conf,
        iou=iou,
        class_agnostic=class_agnostic,
        classes=names_in(only),
        tiles=parse_size(tiles),
        overlap=overlap,
        threads=threads,
        override=overrides(names, legacy, imgsz, override),
    ) as detector:
        detector.warmup()
        channels = detector.info.artifact.input.picture_channels
        frames = open_source(source, reconnect=reconnect, channels=channels)
        _run(Tracker(detector, config=TrackConfig(lost_seconds=lost)).update_all(frames), asked)


@dataclass(frozen=True)
class TrackArguments:
    """What of the command line is not about the detector, as typed."""

    source: str
    out: Path | None
    save_json: Path | None
    lost: float
    trail: float
    as_json: bool


def _check(asked: TrackArguments) -> None:
    """Find out before any work what cannot work."""
    from yolox_deploy.files import check_writable
    from yolox_deploy.sources import check_targets
    from yolox_deploy.streaming.video import check_suffix

    if asked.out is not None:
        check_suffix(asked.out)
    if asked.save_json is not None and asked.save_json.suffix.lower() not in (".jsonl", ".ndjson"):
        raise UsageError(f"--save-json {asked.save_json}: a line is written for each frame; name it .jsonl")
    given = {"--out": asked.out, "--save-json": asked.save_json}
    targets = {f"{option} {target}": target for option, target in given.items() if target is not None}
    check_targets(targets, [asked.source])
    for what, target in targets.items():
        check_writable(target, what)


@dataclass
class _Summary:
    """Told each frame; keeps numbers alone, however long the stream is."""

    frames: int = 0
    newest: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    def add(self, detections: Detections) -> None:
        """Identities ascend, so those above the newest are new; each has one class."""
        self.frames += 1
        highest = self.newest
        for item in detections:
            if item.track_id is not None and item.track_id > self.newest:
                self.classes[item.class_name] = self.classes.get(item.class_name, 0) + 1
                highest = max(highest, item.track_id)
        self.newest = highest

    def line(self) -> str:
        rate = self.frames / max(time.monotonic() - self.begun, 1e-9)
        return f"{self.frames} frames, {rate:.1f} a second, {self.newest} identities"


def _run(results: Iterable[tuple[Frame, Detections]], asked: TrackArguments) -> None:
    """Track to the end, and print what was found however that comes about."""
    summary = _Summary()
    try:
        with whole_videos(), reporting("tracking") as report:
            _write(results, asked, summary, report)
    finally:
        if summary.frames:
            _show(summary, asked)


def _write(
    results: Iterable[tuple[Frame, Detections]], asked: TrackArguments, summary: _Summary, report: Report
) -> None:
    from yolox_deploy.images import load_image
    from yolox_deploy.json_lines import LineFile, picture_row
    from yolox_deploy.streaming.video import VideoWriter
    from yolox_deploy.tracking import Trails

    trails, place = None, _Place()
    with ExitStack() as stack:
        video = lines = None
        for frame, detections in results:
            if place.move(frame) and asked.trail:
                trails = Trails(asked.trail)
            if not summary.frames:  # the first one is there, so what was written before may go
                if asked.out is not None:
                    video = stack.enter_context(VideoWriter(asked.out, _rate(asked.source)))
                if asked.save_json is not None:
                    asked.save_json.unlink(missing_ok=True)
                    lines = stack.enter_context(LineFile(asked.save_json))
            if lines is not None:
                timed = None if frame.time is None else replace(frame, index=frame.index - place.first)
                lines.write(picture_row(frame.name, detections, timed))
            if video is not None:
                picture = load_image(frame.image)
                if trails is not None:
                    trails.add(detections, place.seconds)
                    picture = trails.draw(picture)
                video.add(detections.plot(picture), place.seconds)
            summary.add(detections)
            report.step(summary.line())


@dataclass
class _Place:
    """Where a frame is: `first` is the index at which its video began, `seconds` are those of what is written."""

    before: Frame | None = None
    first: int = 0
    begun: float = 0.0
    seconds: float = 0.0

    def move(self, frame: Frame) -> bool:
        """Go on to the next frame; whether it begins another video, which is shown behind the one before."""
        from yolox_deploy.capture import is_cut

        begins = self.before is None or is_cut(self.before, frame)
        if begins and self.before is not None:
            self.first, self.begun = frame.index, self.seconds + 1 / UNTIMED_RATE
        own = (frame.index - self.first) / UNTIMED_RATE if frame.time is None else frame.time
        self.before, self.seconds = frame, self.begun + own
        return begins


def _rate(source: str) -> float:
    """Frames a second of the video to write."""
    from yolox_deploy.capture import video_rate
    from yolox_deploy.sources import VIDEO_SUFFIXES

    path = Path(source)
    own = video_rate(path) if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() else None
    return own or UNTIMED_RATE


def _show(summary: _Summary, asked: TrackArguments) -> None:
    from yolox_deploy.capture import public_name
    from yolox_deploy.files import written

    since = time.time() - (time.monotonic() - summary.begun)
    out, lines = written(asked.out, since), written(asked.save_json, since)
    figures: Mapping[str, Any] = {
        "source": public_name(asked.source),
        "frames": summary.frames,
        "seconds": round(time.monotonic() - summary.begun, 3),
        "identities": summary.newest,
        "classes": summary.classes,
        "out": None if out is None else str(out),
        "save_json": None if lines is None else str(lines),
    }
    if asked.as_json:
        print_json(figures)
        return
    print_table(("class", "identities"), [*summary.classes.items(), ("all", summary.newest)])
    console().print(f"{summary.line()}; {figures['seconds']:.1f} s", markup=False, soft_wrap=True)
    for path in (out, lines):
        if path is not None:
            console().print(f"written: {path}", markup=False, soft_wrap=True)
