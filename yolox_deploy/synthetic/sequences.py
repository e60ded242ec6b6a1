"""Test sequences of our own: a camera that moves over still pictures whose objects are known.

The objects of every frame are exact, since they are the picture's own under the camera's view; sequences are made at
any rate and length, and are the same for the same seed. They stand in for an annotated video where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.drawing import write_picture
from yolox_deploy.errors import UsageError
from yolox_deploy.files import new_folder
from yolox_deploy.streaming.recording import AnnotatedVideo
from yolox_deploy.streaming.sequences import sequences_from_coco
from yolox_deploy.synthetic.camera import Motion, View, view_at
from yolox_deploy.synthetic.worlds import StillScene, StillScenes
from yolox_deploy.types import SILENT, Report

Boxes = NDArray[np.float64]

LEAST_SIDE = 2.0
"""Objects narrower or flatter than this many pixels are not annotated."""
JPEG_QUALITY = 95


@dataclass(frozen=True)
class SequenceOptions:
    """What to make of each picture.

    Attributes:
        frame_rate: frames a second.
        seconds: length of each sequence.
        size: (H, W) of the frames, in pixels.
        motion: of the camera.
        least_visible: objects of which less than this share of the box is in the frame are not annotated.
        seed: of the paths.
    """

    frame_rate: float = 30.0
    seconds: float = 2.0
    size: tuple[int, int] = (480, 640)
    motion: Motion = field(default_factory=Motion)
    least_visible: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.frame_rate < float("inf") or self.frames < 1:
            raise UsageError(
                f"{self.seconds} s at {self.frame_rate} frames a second; expected at least one frame"
            )
        if min(self.size) < 32 or not 0 < self.least_visible <= 1 or self.seed < 0:
            raise UsageError(
                f"size {self.size}, least_visible {self.least_visible}, seed {self.seed}; expected at least 32 "
                "pixels a side, a share above 0, a seed from 0"
            )

    @property
    def frames(self) -> int:
        """Frames of each sequence."""
        return round(self.seconds * self.frame_rate)


@dataclass(frozen=True, eq=False)
class FrameObjects:
    """What is in a frame, as in `StillScene`; `tracks` are the rows of the world's arrays."""

    boxes: Boxes
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    tracks: NDArray[np.int64]


def objects_at(world: StillScene, view: View, size: tuple[int, int], least_visible: float) -> FrameObjects:
    """The objects that a view shows in a frame of (H, W) = `size`: moved, clipped, dropped where too little is left."""
    shift = np.array([view.left, view.top] * 2)
    whole = (world.boxes - shift) * view.scale
    boxes = whole.clip(0, [size[1], size[0]] * 2)
    sides = boxes[:, 2:] - boxes[:, :2]
    visible = sides.prod(axis=1) / (whole[:, 2:] - whole[:, :2]).prod(axis=1)
    tracks = np.flatnonzero((visible >= least_visible) & (sides >= LEAST_SIDE).all(axis=1))
    areas = world.areas * visible * view.scale**2
    return FrameObjects(boxes[tracks], world.classes[tracks], areas[tracks], world.crowds[tracks], tracks)


def seen_at(world: StillScene, options: SequenceOptions, number: int, frame: int) -> FrameObjects:
    """What frame `frame` of sequence `number` shows, as `SequenceFrames` draws it."""
    return objects_at(world, _view(world, options, number, frame), options.size, options.least_visible)


class SequenceFrames(Sequence[NDArray[np.uint8]]):
    """The frames of one sequence, (H, W, 3) uint8 BGR, each drawn when it is asked for and not kept."""

    def __init__(self, world: StillScene, options: SequenceOptions, number: int) -> None:
        self._world, self._options, self._number = world, options, number
        self._picture = world.load()
        self._indices = range(options.frames)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        view = _view(self._world, self._options, self._number, self._indices[index])
        # OpenCV counts from the middle of a pixel, boxes from its edge.
        half = 0.5 * view.scale - 0.5
        matrix = np.array(
            [[view.scale, 0, half - view.left * view.scale], [0, view.scale, half - view.top * view.scale]]
        )
        height, width = self._options.size
        drawn = cv2.warpAffine(
            self._picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(drawn, np.uint8)


def sequence_annotations(worlds: StillScenes, options: SequenceOptions) -> dict[str, Any]:
    """The annotations of all sequences in the layout of Argoverse-HD (`streaming.sequences`)."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for sid, world in enumerate(worlds.pictures):
        for fid in range(options.frames):
            key = len(images) + 1
            height, width = options.size
            place = {"id": key, "sid": sid, "fid": fid, "name": f"{fid:06d}.jpg"}
            images.append({**place, "height": height, "width": width})
            annotations += _rows(seen_at(world, options, sid, fid), key, len(annotations) + 1)
    names = [f"{sid:06d}" for sid in range(len(worlds.pictures))]
    return {
        "info": {"frame_rate": options.frame_rate},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(worlds.class_names, start=1)],
        "sequences": names,
        "seq_dirs": [f"frames/{name}" for name in names],
    }


def write_sequences(
    folder: str | Path,
    worlds: StillScenes,
    options: SequenceOptions = SequenceOptions(),
    *,
    report: Report = SILENT,
) -> Path:
    """Write the sequences: annotations/sequences.json and frames/SEQUENCE/FRAME.jpg.

    The folder appears complete or not at all.

    Args:
        folder: must not exist, or be empty.
        worlds: the pictures.
        options: what to make of them.
        report: told of each sequence.

    Returns:
        The annotation file.

    Raises:
        UsageError: the folder holds something, or cannot be made.
        InputError: a picture cannot be read.
    """
    folder = Path(folder).resolve()
    with new_folder(folder) as built:
        content = sequence_annotations(worlds, options)
        (built / "annotations").mkdir()
        (built / "annotations" / "sequences.json").write_text(json.dumps(content), encoding="utf-8")
        report.step("drawing")
        for sid, world in enumerate(worlds.pictures):
            target = built / str(content["seq_dirs"][sid])
            target.mkdir(parents=True)
            for fid, image in enumerate(SequenceFrames(world, options, sid)):
                path = target / f"{fid:06d}.jpg"
                write_picture(path, image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
            report.advance(sid + 1, len(worlds.pictures))
    return folder / "annotations" / "sequences.json"


def _view(world: StillScene, options: SequenceOptions, number: int, frame: int) -> View:
    seed = options.seed * 100_003 + number
    return view_at(frame / options.frame_rate, options.motion, world.size, options.size, seed)


def _rows(found: FrameObjects, image_id: int, first_id: int) -> list[dict[str, Any]]:
    columns = zip(
        *(found.boxes.tolist(), found.classes.tolist(), found.areas.tolist()),
        *(found.crowds.tolist(), found.tracks.tolist()),
        strict=True,
    )
    return [
        {
            "id": key,
            "image_id": image_id,
            "category_id": class_id + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
            "track": track,
        }
        for key, ((x1, y1, x2, y2), class_id, area, crowd, track) in enumerate(columns, start=first_id)
    ]


def generated_video(worlds: StillScenes, options: SequenceOptions, name: str) -> AnnotatedVideo:
    """Sequences of a moving camera, drawn frame by frame and never written."""
    data = sequences_from_coco(sequence_annotations(worlds, options), Path())
    frames = tuple(SequenceFrames(world, options, i) for i, world in enumerate(worlds.pictures))
    return AnnotatedVideo(data, frames, name)
