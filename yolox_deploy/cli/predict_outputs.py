"""Where the results of `predict` go, each kind in a class of its own; none keeps what it was given."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.cli.predict_sources import Item
from yolox_deploy.errors import UsageError
from yolox_deploy.files import naming, replacing
from yolox_deploy.json_lines import LineFile, error_row, picture_row

if TYPE_CHECKING:
    from yolox_deploy.capture import Frame
    from yolox_deploy.data.prelabels import CocoFile, YoloFolder
    from yolox_deploy.detections import Detections
    from yolox_deploy.streaming.video import VideoWriter

USUAL_RATE = 25.0
"""Frames a second of an annotated video whose source does not say."""
IN_MEMORY = 1 << 20
"""Bytes of failures that a document keeps out of a temporary file."""


class Seen(NamedTuple):
    """A picture, or a frame of a video, and what was found in it.

    Attributes:
        image: (H, W, 3) uint8 BGR, or (H, W, 4) for a model that takes a fourth channel.
        frame: None of a picture.
    """

    item: Item
    image: NDArray[np.uint8]
    found: Detections
    frame: Frame | None = None


class Output:
    """One kind of results.

    Attributes:
        place: the file or folder, for messages.
    """

    place: Path

    def add(self, seen: Seen) -> None:
        """Write what was found."""

    def fail(self, item: Item, error: str) -> None:
        """Write that a picture or video cannot be read."""

    def holds(self, item: Item) -> bool:
        """Whether what belongs to a picture of an earlier run is there, or to a whole video."""
        return True

    def video(self, item: Item) -> AbstractContextManager[object]:
        """Around the frames of a video."""
        return nullcontext()


class Drawn(Output):
    """Annotated pictures and videos in a folder."""

    def __init__(self, folder: Path) -> None:
        self.place, self.pictures, self.videos = folder, 0, 0
        self._video: VideoWriter | None = None
        self._rate = USUAL_RATE

    def add(self, seen: Seen) -> None:
        if seen.frame is not None:
            if self._video is not None:
                self._video.add(seen.found.plot(seen.image), seen.frame.index / self._rate)
            return
        seen.found.save(self._target(seen.item), seen.image)
        self.pictures += 1

    def holds(self, item: Item) -> bool:
        return (self.place / item.name).exists()

    @contextmanager
    def video(self, item: Item) -> Iterator[None]:
        from yolox_deploy.capture import video_rate
        from yolox_deploy.streaming.video import VideoWriter

        target = self._target(item)
        self._rate = video_rate(item.path) or USUAL_RATE
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                replacing(target, suffix=target.suffix) as part,
                VideoWriter(part, self._rate, target) as self._video,
            ):
                yield
        finally:
            self._video = None
        self.videos += 1

    def _target(self, item: Item) -> Path:
        target = self.place / item.name
        if target.exists() and target.samefile(item.path):
            raise UsageError(f"{target} is one of the pictures to read; choose another folder with --out")
        return target


class Crops(Output):
    """Each object as a picture of its own: `CLASS/PLACE_NUMBER.SUFFIX`, the best one of its picture has number 1."""

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.place, self._classes = folder, folder_names(class_names)
        self._begun = folder.exists()

    def add(self, seen: Seen) -> None:
        from yolox_deploy.drawing import write_picture
        from yolox_deploy.images import load_image

        name = seen.item.name
        stem, suffix = name.with_suffix(""), name.suffix
        if seen.frame is not None:
            stem, suffix = name / f"{seen.frame.index:06}", ".jpg"
        crops = seen.found.crops(load_image(seen.image))
        for number, (detection, crop) in enumerate(zip(seen.found, crops, strict=True), start=1):
            folder = self.place / self._classes[detection.class_id]
            write_picture(folder / stem.with_name(f"{stem.name}_{number}{suffix}"), crop)

    def holds(self, item: Item) -> bool:
        return self._begun


class Labels(Output):
    """The pictures and their labels as a data set of YOLO text."""

    def __init__(self, place: Path, folder: YoloFolder) -> None:
        self.place, self._folder = place, folder

    def add(self, seen: Seen) -> None:
        self._folder.add(seen.item.path, seen.item.name, seen.found)

    def holds(self, item: Item) -> bool:
        return self._folder.holds(item.path, item.name)


class Coco(Output):
    """The pictures and their objects in a COCO file."""

    def __init__(self, place: Path, file: CocoFile) -> None:
        self.place, self._file = place, file

    def add(self, seen: Seen) -> None:
        self._file.add(seen.item.path, seen.found)


class Lines(Output):
    """A line for each picture or frame, behind all its other results."""

    def __init__(self, file: LineFile) -> None:
        self.place, self._file = file.path, file

    def add(self, seen: Seen) -> None:
        self._file.write(picture_row(seen.item.path, seen.found, seen.frame))

    def fail(self, item: Item, error: str) -> None:
        self._file.write(error_row(item.path, error))


class Document(Output):
    """One JSON document of all, written to a temporary file and moved, or printed, when the block ends well.

    Args:
        path: where it goes; None for nowhere.
        printed: whether it goes to standard output, too.
    """

    def __init__(self, path: Path | None, printed: bool) -> None:
        self._path, self._printed, self._rows = path, printed, 0
        self.place = path or Path(tempfile.gettempdir())

    def __enter__(self) -> Document:
        folder = None
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            folder = self._path.parent
        with naming(self.place):
            self._file: IO[str] = tempfile.TemporaryFile("w+", dir=folder)  # closed in __exit__
        self._failures: IO[str] = tempfile.SpooledTemporaryFile(IN_MEMORY, "w+")
        self._file.write('{"images": [')
        return self

    def add(self, seen: Seen) -> None:
        row = picture_row(seen.item.path, seen.found, seen.frame)
        self._file.write((",\n" if self._rows else "\n") + json.dumps(row))
        self._rows += 1

    def fail(self, item: Item, error: str) -> None:
        self._failures.write((",\n" if self._failures.tell() else "\n") + json.dumps(error))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for file in (self._file, self._failures):
                with suppress(OSError):  # what ended the work is the one to tell
                    file.close()
            return
        with naming(self.place), self._file, self._failures:
            self._file.write('],\n"failures": [')
            self._failures.seek(0)
            shutil.copyfileobj(self._failures, self._file)
            self._file.write("]}\n")
            if self._path is not None:
                with replacing(self._path) as part, part.open("w", encoding="utf-8") as file:
                    self._copy(file)
            if self._printed:
                self._copy(sys.stdout)

    def _copy(self, file: IO[str]) -> None:
        self._file.seek(0)
        shutil.copyfileobj(self._file, file)


def folder_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """A folder's name for each class, which any disk takes and no other class has."""
    given: list[str] = []
    taken: set[str] = set()
    for class_id, class_name in enumerate(class_names):
        plain = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", class_name)
        short = plain.encode(errors="replace")[:100].decode(errors="ignore")  # disks count bytes
        name = short.strip(" .") or f"class_{class_id}"
        while name.lower() in taken:
            name = f"{name}_{class_id}"
        taken.add(name.lower())
        given.append(name)
    return tuple(given)


def summary(detections: Any) -> str:
    """`2 person, 1 dog`, or `nothing found`."""
    counts: dict[str, int] = {}
    for item in detections:
        counts[item.class_name] = counts.get(item.class_name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found"


def named(item: Item, frame: Frame | None) -> str:
    """What a result is called on the terminal."""
    return str(item.path) if frame is None else f"{item.path} frame {frame.index}"
