"""What a feed can be given: a video, folder, camera, network stream, annotated sequence, or pictures of a program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.buffers import distinct, open_live
from yolox_deploy.capture import Frame, LiveSource, video_rate
from yolox_deploy.errors import InputError
from yolox_deploy.images import load_image
from yolox_deploy.sources import VIDEO_SUFFIXES, is_live, open_source
from yolox_deploy.streaming.sequences import AnnotatedSequence

DEFAULT_RATE = 30.0


@dataclass(frozen=True)
class FeedSource:
    """Frames and their pace.

    Attributes:
        name: of the source.
        frames: each when it can be had.
        rate: frames a second: of a live source what it claims, of another what it is played at.
        live: frames come at the source's own pace.
        silence: seconds after which no frame will come any more; None for no limit.
        stop: ends `frames` from another thread.
        reconnects: how often a live source was lost and came back, so far.
    """

    name: str
    frames: Iterable[Frame]
    rate: float
    live: bool = False
    silence: float | None = None
    stop: Callable[[], None] = lambda: None
    reconnects: Callable[[], int] = lambda: 0


def open_feed_sources(
    sources: Sequence[str | int | Path], *, rate: float | None = None, reconnect: float = 0.0
) -> list[FeedSource]:
    """Videos, folders, globs, cameras (their numbers) or addresses; each has a name of its own.

    Args:
        sources: each as `sources.open_source` takes it.
        rate: frames a second; None for what a video or live source says, and 30 where it says nothing.
        reconnect: seconds without a frame after which a lost live source is given up; 0 for at once.

    Raises:
        InputError: one of them cannot be opened.
    """
    # Files first: what a camera sends until it is read would wait, and look new afterwards.
    files = iter([_file_source(source, rate) for source in sources if not is_live(source)])
    live = iter(open_live([source for source in sources if is_live(source)], reconnect))
    found = [_live_source(next(live), rate) if is_live(source) else next(files) for source in sources]
    names = distinct([source.name for source in found])
    return [dataclasses.replace(source, name=name) for source, name in zip(found, names, strict=True)]


def _live_source(live: LiveSource, rate: float | None) -> FeedSource:
    known = rate or live.rate or DEFAULT_RATE
    return FeedSource(live.name, live, known, True, live.longest_silence, live.stop, lambda: live.reconnects)


def _file_source(source: str | int | Path, rate: float | None) -> FeedSource:
    frames = open_source(source)
    path = Path(str(source))
    own = video_rate(path) if path.suffix.lower() in VIDEO_SUFFIXES else None
    return FeedSource(str(source), frames, rate or own or DEFAULT_RATE)


def sequence_source(sequence: AnnotatedSequence, rate: float) -> FeedSource:
    """The pictures of an annotated sequence at `rate`; a frame that is not annotated does not appear."""
    frames = (Frame(load_image(item.path), item.index, str(item.path)) for item in sequence.frames)
    return FeedSource(sequence.name, frames, rate)


def frames_source(
    frames: Sequence[Any], name: str, rate: float, *, silence: float | None = None
) -> FeedSource:
    """Pictures, or whatever else a detector takes, at `rate`; each is asked for when its turn comes.

    One that cannot be had ends the stream by an InputError with its number.
    """

    def in_order() -> Iterator[Frame]:
        for index in range(len(frames)):
            try:
                picture = frames[index]
            except Exception as error:
                raise InputError(f"frame {index} of the stream cannot be read") from error
            yield Frame(picture, index, name)

    return FeedSource(name, in_order(), rate, silence=silence)
