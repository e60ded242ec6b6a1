"""Annotated sequences: COCO annotations whose images tell their sequence and their frame in it.

The layout is that of Argoverse-HD (Li, Wang, Ramanan, ECCV 2020): beside COCO's lists there are `sequences` (names)
and `seq_dirs` (folders of the pictures), and each image has `sid` (index of its sequence), `fid` (index of its frame)
and `name` (of its picture in the sequence's folder). Also taken: `file_name` in place of `name`; images without
`sid`, which are one sequence; images without `fid`, which are frames in the order given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yolox_deploy.class_names import match_classes
from yolox_deploy.errors import InputError, UsageError, reason_of
from yolox_deploy.records import ANNOTATIONS, read

ARGOVERSE_RATE = 30.0
"""Frames a second where the file does not say."""


@dataclass(frozen=True, order=True)
class AnnotatedFrame:
    """One annotated picture: it appears `index / frame_rate` seconds after its sequence began."""

    index: int
    image_id: int
    path: Path


@dataclass(frozen=True)
class AnnotatedSequence:
    """Frames of one stream by ascending index; some indices may be missing (not annotated)."""

    name: str
    frames: tuple[AnnotatedFrame, ...]


@dataclass(frozen=True)
class AnnotatedSequences:
    """An annotation file, checked.

    Attributes:
        content: a COCO dictionary for `evaluation.coco.score`.
        frame_rate: frames a second.
        sequences: in the order of the file.
        class_names: of the categories, by ascending id; `category_ids` are the ids.
    """

    content: dict[str, Any] = field(repr=False)
    frame_rate: float
    sequences: tuple[AnnotatedSequence, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]

    def __len__(self) -> int:
        """How many frames are annotated."""
        return sum(len(sequence.frames) for sequence in self.sequences)

    def only(self, sequences: tuple[AnnotatedSequence, ...]) -> AnnotatedSequences:
        """The annotations of these frames, in the form of a file that holds no others."""
        kept = {frame.image_id for sequence in sequences for frame in sequence.frames}
        content = {
            **self.content,
            "images": [image for image in self.content["images"] if image["id"] in kept],
            "annotations": [item for item in self.content["annotations"] if item["image_id"] in kept],
        }
        return replace(self, sequences=sequences, content=content)

    def categories_of(self, class_names: Sequence[str]) -> tuple[int | None, ...]:
        """The category id of each of a model's classes, None for a class that the data set does not have.

        By name, else by order (`class_names.match_classes`).

        Raises:
            UsageError: neither works.
        """
        matched = match_classes(class_names, self.class_names)
        return tuple(None if index is None else self.category_ids[index] for index in matched)


def read_sequences(
    annotations: str | Path, images_dir: str | Path | None = None, *, frame_rate: float | None = None
) -> AnnotatedSequences:
    """Read annotated sequences.

    Args:
        annotations: the JSON file.
        images_dir: what `seq_dirs` and file names are relative to; None for the annotation file's folder or, where
            that is called "annotations", the one above. Whether the pictures are there is not checked.
        frame_rate: frames a second; None for the file's own `info.frame_rate`, else 30, Argoverse-HD's.

    Raises:
        InputError: the file is missing or of another format.
        UsageError: the frame rate cannot work.
    """
    file = Path(annotations)
    content = read(file, ANNOTATIONS)
    folder = Path(images_dir) if images_dir is not None else _folder_of(file)
    try:
        return sequences_from_coco(content, folder, frame_rate=frame_rate)
    except (UsageError, MemoryError):
        raise
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except Exception as error:
        raise InputError(
            f"{file} is not a COCO annotation file with sequences ({reason_of(error)})"
        ) from error


def sequences_from_coco(
    content: dict[str, Any], images_dir: Path, *, frame_rate: float | None = None
) -> AnnotatedSequences:
    """The same from a dictionary, which is kept; `read_sequences` tells the format.

    Raises:
        InputError: there is no image, or two are the same frame.
        UsageError: the frame rate cannot work.
    """
    rate = frame_rate or float(content.get("info", {}).get("frame_rate", ARGOVERSE_RATE))
    if not 0 < rate < float("inf"):
        raise UsageError(f"frame rate {rate}; expected frames a second, above 0")
    names = [str(name) for name in content.get("sequences", ["sequence"])]
    folders = [images_dir / folder for folder in content.get("seq_dirs", [""] * len(names))]
    frames: list[list[AnnotatedFrame]] = [[] for _ in names]
    for image in content["images"]:
        sid = int(image.get("sid", 0))
        if not 0 <= sid < len(names):
            raise InputError(f"an image has the sequence (sid) {sid}; there are {len(names)}")
        index = int(image.get("fid", len(frames[sid])))
        path = folders[sid] / str(image["name"] if "name" in image else image["file_name"])
        frames[sid].append(AnnotatedFrame(index, int(image["id"]), path))
    sequences = tuple(
        AnnotatedSequence(name, tuple(sorted(part))) for name, part in zip(names, frames, strict=True)
    )
    for sequence in sequences:
        indices = [frame.index for frame in sequence.frames]
        if len(set(indices)) < len(indices) or not indices or indices[0] < 0:
            raise InputError(
                f"sequence {sequence.name!r}: expected at least one frame, and each index (fid) once"
            )
    categories = {int(item["id"]): str(item["name"]) for item in content["categories"]}
    content["annotations"]
    ids = tuple(sorted(categories))
    return AnnotatedSequences(content, rate, sequences, tuple(categories[key] for key in ids), ids)


def _folder_of(file: Path) -> Path:
    return file.parent.parent if file.parent.name == "annotations" else file.parent
