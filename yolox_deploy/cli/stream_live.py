"""`yolox-deploy stream`: a detector on a video, camera, network stream, folder or annotated sequence."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.cli.common import console, print_json, print_table, reporting
from yolox_deploy.errors import UsageError, require

if TYPE_CHECKING:
    from yolox_deploy.detector import Detector
    from yolox_deploy.streaming.feed import LiveFeed
    from yolox_deploy.streaming.record import StreamHeader
    from yolox_deploy.streaming.sequences import AnnotatedSequences
    from yolox_deploy.streaming.summary import LiveFigures

EVERY_FRAME = "every frame"
"""What a record calls the policy of a stream that is not played at its rate."""


@dataclass(frozen=True)
class LiveArguments:
    """The command line of one stream, as typed; `detector` are the keywords of `Detector`."""

    source: str
    model: Path
    rate: float | None
    policy: str
    annotations: Path | None
    sequence: str | None
    forecast: bool
    show: bool
    out: Path | None
    events: Path | None
    seconds: float | None
    frames: int | None
    reconnect: float
    detector: Mapping[str, Any]
    as_json: bool


def live_command(asked: LiveArguments) -> None:
    """Stream, print and write.

    Raises:
        UsageError, InputError, ArtifactError, MissingExtraError, RuntimeFailure: what cannot work, be read or run.
    """
    from yolox_deploy.detector import Detector
    from yolox_deploy.streaming.feed import LiveFeed, open_feed_source, sequence_source
    from yolox_deploy.streaming.policies import parse_policy

    _check(asked)
    data = _one_sequence(asked) if asked.annotations is not None else None
    policy, rate = parse_policy(asked.policy), asked.rate or None
    with Detector(asked.model, **asked.detector) as detector:
        detector.warmup()
        # Opened last: what a camera sends while a model loads would wait, and look new afterwards.
        source = (
            open_feed_source(asked.source, rate=rate, reconnect=asked.reconnect)
            if data is None
            else sequence_source(data.sequences[0], data.frame_rate)
        )
        _run(LiveFeed(source, policy, paced=asked.rate != 0, frames=asked.frames), detector, asked, data)


def _check(asked: LiveArguments) -> None:
    """Find out before any work what cannot work."""
    from yolox_deploy.streaming.video import check_suffix

    if asked.annotations is not None and asked.rate == 0:
        raise UsageError("--annotations needs a rate: at --rate 0 no frame has a time of its own")
    if asked.annotations is not None and (asked.frames or asked.seconds):
        raise UsageError("--annotations scores the whole sequence; leave --frames and --seconds out")
    if asked.annotations is None and (asked.forecast or asked.sequence):
        raise UsageError("--forecast and --sequence need --annotations: they are about scoring")
    if asked.out is not None:
        check_suffix(asked.out)
    for target in (asked.out, asked.events):
        if target is not None and target.is_dir():
            raise UsageError(f"{target} is a folder; expected a file's name")
        if target is not None and target.resolve() == Path(asked.source).resolve():
            raise UsageError(f"{target} is the stream to read; choose another name")


def _run(feed: LiveFeed, detector: Detector, asked: LiveArguments, data: AnnotatedSequences | None) -> None:
    """Run the stream and print its figures, however it ends; an interrupted one is not scored."""
    from yolox_deploy.evaluation import streaming_ap
    from yolox_deploy.streaming.live import LiveOutputs, run_live
    from yolox_deploy.streaming.summary import LiveSummary

    summary, accuracy, begun = LiveSummary(), None, time.time()
    header = _header(feed, detector)
    with tempfile.TemporaryDirectory(prefix="yolox-deploy-") as folder:
        unasked = Path(folder) / "events.jsonl" if data is not None else None
        events = asked.events or unasked
        try:
            with reporting() as progress:
                outputs = LiveOutputs(events, asked.out, asked.show, progress)
                run_live(feed, detector.predict, header, summary, outputs, seconds=asked.seconds)
            if data is not None and events is not None:
                accuracy = streaming_ap(data, events, forecast=asked.forecast)
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
                    "out": _written(asked.out, begun),
                    "events": _written(asked.events, begun),
                }
                show_figures(figures, run, accuracy, as_json=asked.as_json)


def _written(path: Path | None, since: float) -> str | None:
    """`path` if it was written after `since` (seconds of `time.time`): a failed one leaves an older file."""
    return str(path) if path is not None and path.is_file() and path.stat().st_mtime >= since else None


def _header(feed: LiveFeed, detector: Detector) -> StreamHeader:
    """What goes to the head of the record."""
    from yolox_deploy.streaming.policies import policy_name
    from yolox_deploy.streaming.record import StreamHeader

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


def _one_sequence(asked: LiveArguments) -> AnnotatedSequences:
    """The annotations of the one sequence to play, in the form of a file that holds no other."""
    from yolox_deploy.streaming.sequences import read_sequences

    require("faster_coco_eval", "eval")  # before the stream, not after it
    data = read_sequences(str(asked.annotations), asked.source, frame_rate=asked.rate)
    found = [item for item in data.sequences if asked.sequence in (None, item.name)]
    if len(found) != 1:
        names = ", ".join(item.name for item in data.sequences)
        raise UsageError(
            f"{asked.annotations} holds {len(data.sequences)} sequences; name one by --sequence: {names}"
        )
    return data.only((found[0],))


def show_figures(
    figures: LiveFigures, run: Mapping[str, Any], accuracy: Mapping[str, float] | None, *, as_json: bool
) -> None:
    """Print how a stream went.

    Args:
        figures: of the stream.
        run: what was run on what, and the files that were written.
        accuracy: of `streaming_ap`, where the frames are annotated.
        as_json: one JSON document in place of tables.
    """
    if as_json:
        scored = {} if accuracy is None else {"streaming_ap": dict(accuracy)}
        print_json({**run, **figures.to_dict(), **scored})
        return
    latency, age = figures.latency, figures.age
    rows: list[tuple[object, ...]] = [
        ("frames appeared", figures.appeared),
        ("frames answered", figures.answered),
        ("frames dropped", figures.dropped),
        ("answers a second", f"{figures.fps:.2f}"),
        ("latency p50 / p90 / p95 / p99, ms", _joined(latency.values())),
        ("age of the answer p50 / p95, ms", _joined(age.values())),
        ("reconnects", figures.reconnects),
    ]
    if accuracy is not None:
        rows.append(("streaming AP / AP50", f"{accuracy['AP']:.4f} / {accuracy['AP50']:.4f}"))
    print_table((run["source"], f"{figures.seconds:.1f} s, {run['policy']}"), rows)
    for name in ("out", "events"):
        if run.get(name) is not None:
            console().print(f"{name}: {run[name]}", markup=False, soft_wrap=True)


def _joined(values: Any) -> str:
    return " / ".join("–" if value is None else f"{value:.1f}" for value in values)
