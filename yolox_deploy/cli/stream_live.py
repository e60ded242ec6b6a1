"""`yolox-deploy stream`: a detector on videos, cameras, network streams, folders or an annotated sequence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.cli.common import console, reporting, whole_videos
from yolox_deploy.cli.stream_figures import SourceRun, show_figures
from yolox_deploy.errors import UsageError, require
from yolox_deploy.files import check_place, temporary_folder, written
from yolox_deploy.thresholds import Thresholds

if TYPE_CHECKING:
    from yolox_deploy.detector import Detector
    from yolox_deploy.streaming.clips import Clip, ClipOptions
    from yolox_deploy.streaming.events import StreamHeader
    from yolox_deploy.streaming.feed import LiveFeed
    from yolox_deploy.streaming.feed_sources import FeedSource
    from yolox_deploy.streaming.sequences import AnnotatedSequences
    from yolox_deploy.streaming.summary import FeedSummary
    from yolox_deploy.tracking import Tracker, Trails


LINE_SECONDS = 60.0
"""Where nobody looks at a terminal, as in the journal of a service, a line of figures comes so often."""


@dataclass(frozen=True)
class ClipArguments:
    """What --clip asks for; `classes` are names or ids, None for any."""

    folder: Path
    classes: tuple[str, ...] | None
    before: float
    after: float

    def options(self, detector: Detector) -> ClipOptions:
        """The same for this model, and what of it is looked for."""
        from yolox_deploy.class_names import class_ids_of
        from yolox_deploy.streaming.clips import ClipOptions

        names, kept = detector.class_names, detector.thresholds.classes
        ids = None if self.classes is None else class_ids_of(self.classes, names)
        for number in ids or ():
            if kept is not None and number not in class_ids_of(kept, names):
                raise UsageError(f"--clip-classes {names[number]}: --only leaves it out; add it there")
        return ClipOptions(self.folder, ids, self.before, self.after)


@dataclass(frozen=True)
class LiveArguments:
    """The command line of a stream, as typed; `detector` are the keywords of `Detector`."""

    sources: Sequence[str]
    model: Path
    rate: float | None
    policy: str
    annotations: Path | None
    sequence: str | None
    forecast: bool
    show: bool
    out: Path | None
    events: Path | None
    clips: ClipArguments | None
    seconds: float | None
    frames: int | None
    reconnect: float
    track: bool
    lost: float
    trail: float
    detector: Mapping[str, Any]
    as_json: bool


def live_command(asked: LiveArguments) -> None:
    """Stream, print and write.

    Raises:
        UsageError, InputError, ArtifactError, MissingExtraError, RuntimeFailure: what cannot work, be read or run.
    """
    from yolox_deploy.detector import Detector
    from yolox_deploy.streaming.feed import LiveFeed
    from yolox_deploy.streaming.policies import parse_policy

    _check(asked)
    data = _one_sequence(asked) if asked.annotations is not None else None
    if asked.track:
        require("trackers", "track")
    policy = parse_policy(asked.policy)
    with Detector(asked.model, **asked.detector) as detector:
        clips = asked.clips.options(detector) if asked.clips is not None else None
        detector.warmup()
        tracker = _tracker(detector, asked) if asked.track else None
        # Opened last: what a camera sends while a model loads would wait, and look new afterwards.
        sources = _open(asked, data)
        paced = asked.rate != 0
        feed = LiveFeed(sources, policy, paced=paced, frames=asked.frames, follower=tracker)
        _run(feed, detector, asked, data, clips)


def _check(asked: LiveArguments) -> None:
    """Find out before any work what cannot work."""
    from yolox_deploy.sources import check_targets
    from yolox_deploy.streaming.sinks import video_paths
    from yolox_deploy.streaming.video import check_suffix

    if asked.annotations is not None and len(asked.sources) > 1:
        raise UsageError(f"--annotations scores one stream, found {len(asked.sources)}; name one source")
    if asked.annotations is not None and asked.rate == 0:
        raise UsageError("--annotations needs a rate: at --rate 0 no frame has a time of its own")
    if asked.annotations is not None and (asked.frames or asked.seconds):
        raise UsageError("--annotations scores the whole sequence; leave --frames and --seconds out")
    if asked.annotations is None and (asked.forecast or asked.sequence):
        raise UsageError("--forecast and --sequence need --annotations: they are about scoring")
    if asked.out is not None:
        check_suffix(asked.out)
    if asked.clips is not None:
        check_place(asked.clips.folder, "--clip", folder=True)
    videos = [] if asked.out is None else video_paths(asked.out, len(asked.sources))
    targets = {f"--out {video}": video for video in videos}
    if asked.events is not None:
        targets[f"--save-events {asked.events}"] = asked.events
    check_targets(targets, asked.sources)
    for target in targets.values():
        if target.is_dir():
            raise UsageError(f"{target} is a folder; expected a file's name")


def _open(asked: LiveArguments, data: AnnotatedSequences | None) -> list[FeedSource]:
    """The sources of the command line, or the annotated sequence."""
    from yolox_deploy.streaming.feed_sources import open_feed_sources, sequence_source

    if data is not None:
        return [sequence_source(data.sequences[0], data.frame_rate)]
    return open_feed_sources(asked.sources, rate=asked.rate or None, reconnect=asked.reconnect)


def _tracker(detector: Detector, asked: LiveArguments) -> Callable[[], Tracker]:
    """Makes the tracker of a source."""
    from yolox_deploy.tracking import TrackConfig, Tracker

    return partial(Tracker, detector, config=TrackConfig(lost_seconds=asked.lost))


def _trails(asked: LiveArguments) -> Callable[[], Trails] | None:
    """Makes what draws the trails of a source."""
    from yolox_deploy.tracking import Trails

    return partial(Trails, asked.trail) if asked.track and asked.trail else None


def _run(
    feed: LiveFeed,
    detector: Detector,
    asked: LiveArguments,
    data: AnnotatedSequences | None,
    clips: ClipOptions | None,
) -> None:
    """Run the stream and print its figures, however it ends; an interrupted one is not scored."""
    from yolox_deploy.evaluation import streaming_ap
    from yolox_deploy.streaming.live import run_live
    from yolox_deploy.streaming.sinks import LiveOutputs
    from yolox_deploy.streaming.summary import FeedSummary

    summary, accuracy, begun = FeedSummary(feed), None, time.time()
    model = _model(detector)
    headers = [channel.header(model, detector.class_names) for channel in feed.channels]
    detect = partial(detector.predict, **feed.thresholds)
    with temporary_folder() as folder:
        unasked = folder / "events.jsonl" if data is not None else None
        events = asked.events or unasked
        try:
            with whole_videos(), reporting(every=LINE_SECONDS) as progress:
                outputs = LiveOutputs(
                    *(events, asked.out, asked.show, _trails(asked), progress),
                    clips=clips,
                    on_clip=_tell_clip,
                )
                run_live(feed, detect, headers, summary, outputs, seconds=asked.seconds)
            if data is not None and events is not None:
                accuracy = streaming_ap(data, events, forecast=asked.forecast)
        finally:
            if feed.appeared:
                show_figures(
                    _runs(feed, summary, headers, asked, begun),
                    summary.figures(),
                    written(asked.events, begun),
                    accuracy,
                    as_json=asked.as_json,
                )


def _tell_clip(clip: Clip) -> None:
    console().print(f"clip: {clip.path}", markup=False, soft_wrap=True)


def _runs(
    feed: LiveFeed, summary: FeedSummary, headers: Sequence[StreamHeader], asked: LiveArguments, begun: float
) -> list[SourceRun]:
    """How each source went."""
    from yolox_deploy.streaming.sinks import video_paths

    count = len(headers)
    videos = [None] * count if asked.out is None else video_paths(asked.out, count)
    return [
        SourceRun(header, summary.figures_of(number), written(video, begun), channel.failure)
        for number, (channel, header, video) in enumerate(zip(feed.channels, headers, videos, strict=True))
    ]


def _model(detector: Detector) -> dict[str, Any]:
    """What the record says of the detector."""
    info, thresholds, usual = detector.info, detector.thresholds, Thresholds()
    rest = ("class_agnostic", "max_detections", "classes", "tiles")
    chosen = {name: getattr(thresholds, name) for name in rest}
    return {
        "path": info.path,
        "backend": info.backend,
        "precision": info.precision,
        "device": info.device,
        "input_size": list(info.artifact.input_size),
        "conf": thresholds.conf,
        "iou": thresholds.iou,
        **{name: value for name, value in chosen.items() if value != getattr(usual, name)},
    }


def _one_sequence(asked: LiveArguments) -> AnnotatedSequences:
    """The annotations of the one sequence to play, in the form of a file that holds no other."""
    from yolox_deploy.streaming.sequences import read_sequences

    require("faster_coco_eval", "eval")  # before the stream, not after it
    data = read_sequences(str(asked.annotations), asked.sources[0], frame_rate=asked.rate)
    found = [item for item in data.sequences if asked.sequence in (None, item.name)]
    if len(found) != 1:
        names = ", ".join(item.name for item in data.sequences)
        raise UsageError(
            f"{asked.annotations} holds {len(data.sequences)} sequences; name one by --sequence: {names}"
        )
    return data.only((found[0],))
