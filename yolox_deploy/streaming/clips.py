"""Clips of a stream: some seconds before, while and after chosen classes are seen, as NVRs record them."""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError
from yolox_deploy.files import check_writable, naming
from yolox_deploy.streaming.video import VideoWriter
from yolox_deploy.temporaries import is_begun

if TYPE_CHECKING:
    from yolox_deploy.detections import Detections

INDEX = "clips.jsonl"
"""The file in the folder of the clips with one line a clip."""
SUFFIX = ".mp4"
QUALITY = 95
"""Of the JPEGs in memory."""
CATCH_UP = 2
"""Kept pictures that are written with each new one: all at once would hold up the detector."""
LONGEST_NAME = 60
"""Characters of the source in a file's name."""


@dataclass(frozen=True)
class ClipOptions:
    """What is recorded, and where.

    Attributes:
        folder: of the clips; made where it is missing.
        class_ids: that begin and prolong a clip; None for any.
        before, after: seconds of a clip before the first and after the last of these detections.
        longest: seconds of a clip at most; where the detections go on, so does the next clip.
        most_bytes: of JPEGs that are kept of one source, for `before`; more of them shorten it.

    Raises:
        UsageError: negative seconds, no class at all, or a `longest` that holds no clip.
    """

    folder: Path
    class_ids: tuple[int, ...] | None = None
    before: float = 3.0
    after: float = 5.0
    longest: float = 120.0
    most_bytes: int = 64 * 1024**2

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0:
            raise UsageError(
                f"clips of {self.before:g} s before and {self.after:g} s after; expected seconds from 0 on"
            )
        if not self.before + self.after < self.longest < float("inf"):
            raise UsageError(
                f"clips of {self.before:g} s before and {self.after:g} s after; expected less than "
                f"{self.longest:g} s together, the longest clip"
            )
        if self.class_ids is not None and not self.class_ids:
            raise UsageError("clips of no class; name one at least, or leave the classes out for any")


@dataclass(frozen=True)
class Clip:
    """One that was written. Times are seconds since 1970 (UTC).

    Attributes:
        path: of the video.
        source: name of the stream.
        start, end: of its first and last picture.
        classes: names of the chosen classes that were seen, in the order in which they came.
    """

    path: Path
    source: str
    start: float
    end: float
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A line of `clips.jsonl`: the file's name, and times in ISO 8601."""
        return {
            "file": self.path.name,
            "source": self.source,
            "start": _iso(self.start),
            "end": _iso(self.end),
            "classes": list(self.classes),
        }


class ClipRecorder:
    """Writes the clips of one source. A context manager; closing it finishes the clip under way.

    It is told the pictures that the detector answered, and no others. The last `before` seconds of them are kept as
    JPEGs. A clip has its name once it is whole, `2026-11-30T21-14-03Z_SOURCE_CLASS.mp4`: when and as what the first
    detection was seen. Then `clips.jsonl` gets its line. Two clips never hold the same picture.

    Args:
        options: what is recorded, and where.
        source: name of the stream, in the names of the files.
        rate: frames a second of the videos.
        told: called with each clip that was written.

    Raises:
        UsageError: the folder cannot be written to. Later, from every method: a clip could not be written, as when
            the disk is full; names the file.
    """

    def __init__(
        self,
        options: ClipOptions,
        source: str,
        rate: float,
        told: Callable[[Clip], object] = lambda clip: None,
    ) -> None:
        self.options, self.source, self.rate, self._told = options, source, rate, told
        self._kept: deque[_Kept] = deque()
        self._bytes = 0
        self._open: _OpenClip | None = None
        check_writable(options.folder / INDEX, f"--clip {options.folder}")

    def add(self, image: NDArray[np.uint8], detections: Detections, *, time: float, clock: float) -> None:
        """Take the next answered picture.

        Args:
            image: (H, W, 3) uint8 BGR.
            detections: found in it.
            time: seconds of the stream at which it appeared, ascending.
            clock: the same moment in seconds since 1970.
        """
        self.tick(time)
        seen = self._chosen(detections)
        if self._open is None:
            self._forget(time - self.options.before)
            if seen:
                first = self._kept[0].time if self._kept else time
                path = _free_path(self.options.folder, clock, self.source, seen[0])
                self._open = _OpenClip(path, self.rate, first + self.options.longest)
        if self._open is not None and seen:
            self._open.prolong(seen, time + self.options.after)
        if self._open is not None and not self._kept:
            self._open.write(image, time, clock)
            return
        self._keep(image, time, clock)
        if self._open is not None:
            self._write_kept(self._open, CATCH_UP)

    def tick(self, time: float) -> None:
        """Finish the clip under way if it ends before `time`, in seconds of the stream; for when no picture comes."""
        if self._open is not None and time > self._open.until:
            self.close()

    def close(self) -> None:
        """Finish the clip under way; calling it twice is harmless."""
        if self._open is None:
            return
        clip, self._open = self._open, None
        self._write_kept(clip, len(self._kept))
        written = clip.close(self.source)
        with naming(self.options.folder / INDEX) as index, index.open("a", encoding="utf-8") as file:
            file.write(json.dumps(written.to_dict(), ensure_ascii=False) + "\n")
        self._told(written)

    def __enter__(self) -> ClipRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chosen(self, detections: Detections) -> tuple[str, ...]:
        """Names of the classes that were asked for, each once, the best score first."""
        wanted = self.options.class_ids
        return tuple(
            dict.fromkeys(item.class_name for item in detections if wanted is None or item.class_id in wanted)
        )

    def _keep(self, image: NDArray[np.uint8], time: float, clock: float) -> None:
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self._kept.append(_Kept(jpeg, time, clock))
        self._bytes += jpeg.nbytes
        while self._bytes > self.options.most_bytes:
            if self._open is not None:
                self._write_kept(self._open, 1)
            else:
                self._pop()

    def _forget(self, before: float) -> None:
        while self._kept and self._kept[0].time < before:
            self._pop()

    def _pop(self) -> _Kept:
        kept = self._kept.popleft()
        self._bytes -= kept.jpeg.nbytes
        return kept

    def _write_kept(self, clip: _OpenClip, most: int) -> None:
        for _ in range(min(most, len(self._kept))):
            kept = self._pop()
            clip.write(cv2.imdecode(kept.jpeg, cv2.IMREAD_COLOR), kept.time, kept.clock)


class _Kept(NamedTuple):
    """A picture that may become part of a clip."""

    jpeg: NDArray[np.uint8]
    time: float
    clock: float


class _OpenClip:
    """The clip under way, until `until` (seconds of the stream) unless it is prolonged, and `limit` at most."""

    def __init__(self, path: Path, rate: float, limit: float) -> None:
        self.until = limit
        self._limit, self._video = limit, VideoWriter(path, rate)
        self._classes: dict[str, None] = {}
        self._start = self._end = 0.0

    def prolong(self, classes: Sequence[str], until: float) -> None:
        self._classes |= dict.fromkeys(classes)
        self.until = min(until, self._limit)

    def write(self, image: Any, time: float, clock: float) -> None:
        self._start, self._end = self._start or clock, clock
        self._video.add(image, time)

    def close(self, source: str) -> Clip:
        self._video.close()
        return Clip(self._video.path, source, self._start, self._end, tuple(self._classes))


def _free_path(folder: Path, clock: float, source: str, class_name: str) -> Path:
    """The name of a clip, with a number where there is, or is about to be, one of that name."""
    when = datetime.fromtimestamp(clock, timezone.utc).strftime("%Y-%m-%dT%H-%M-%SZ")
    plain = re.sub(r"^\w+://|[?#].*$", "", source)
    words = (
        re.sub(r"[^\w-]+", "-", text).strip("-").encode()[-LONGEST_NAME:].decode(errors="ignore")
        for text in (plain, class_name)
    )
    stem = "_".join([when, *words])
    for count in itertools.count(1):
        path = folder / f"{stem}{f'_{count}' if count > 1 else ''}{SUFFIX}"
        if not path.exists() and not is_begun(path):
            return path
    raise AssertionError


def _iso(clock: float) -> str:
    return datetime.fromtimestamp(clock, timezone.utc).isoformat(timespec="milliseconds")
