"""How well identities are kept: trackers and rates on sequences whose truth is exact, by HOTA, IDF1 and MOTA.

    python -m yolox_deploy.benchmarks.studies.tracking SCENES.onnx [COCO.onnx --images DIR --annotations J]

SCENES.onnx is the package's own model (`yolox-deploy export yolox_nano --weights scenes`): it watches eight scenes of
drawn objects that cross, hide each other and pass behind pillars. COCO.onnx watches photographs under a camera that
pans, zooms and shakes. Frames are 480x640, 30 a second.

Protocol: the detector answers every frame once, down to a score of 0.1; each way links the same answers, and is scored
on the frames that it saw, by the metrics of `trackers.eval` (TrackEval's, overlap 0.5 where there is one) over all
sequences together. Only confirmed identities count; a box of another class matches nothing. Milliseconds are those
of linking alone, a frame, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.detector import Detector
from yolox_deploy.errors import UsageError, require
from yolox_deploy.matching import Boxes, iou_matrix, match
from yolox_deploy.synthetic.moving import MovingOptions, MovingScene
from yolox_deploy.synthetic.sequences import FrameObjects, SequenceFrames, SequenceOptions, seen_at
from yolox_deploy.synthetic.worlds import StillScenes, coco_worlds
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.tracking.association import UNCONFIRMED, TrackConfig
from yolox_deploy.tracking.bytetrack import BUFFER_RATE, ByteTrack
from yolox_deploy.tracking.tracker import Tracker

RATE = 30.0
SCENES = (
    MovingOptions(),
    MovingOptions(pillars=0),
    MovingOptions(pillars=2),
    MovingOptions(classes=("ball",)),
    MovingOptions(classes=("fish", "cup")),
    MovingOptions(objects=10),
    MovingOptions(pillars=2, classes=("star", "ball", "key")),
    MovingOptions(objects=8, speed=0.6),
)
LOW = 0.1
HIDDEN = (0.2, 0.55)
MATCH_IOU = 0.5
NEAREST_IOU = 0.1
"""Least overlap of the nearest box of the frame before."""


@dataclass(frozen=True, eq=False)
class Watched:
    """One frame: when, what is there, and what the detector found down to a low score."""

    seconds: float
    truth: FrameObjects
    found: Detections


Stream = Sequence[Watched]
Way = Callable[[Stream], list[Detections]]


@dataclass(frozen=True)
class Result:
    """A way's figures over all sequences; shares are 0-1.

    `hidden` counts how often an object was not found in the frames of `HIDDEN` seconds and then found again, and `back`
    how often it had its old identity then.
    """

    hota: float
    det_a: float
    ass_a: float
    idf1: float
    mota: float
    switches: int
    back: int
    hidden: int
    milliseconds: float


def main(
    model: Annotated[Path, typer.Argument(help="ONNX file of the package's own model.")],
    coco: Annotated[Path | None, typer.Argument(help="ONNX file of a model of the COCO classes.")] = None,
    images: Annotated[Path | None, typer.Option(help="COCO pictures for a moving camera.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Their instances JSON.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of a sequence.")] = 6.0,
    count: Annotated[int, typer.Option(min=1, help="Sequences of each kind, at most.")] = len(SCENES),
) -> None:
    """Compare ways to link boxes, and rates."""
    with Detector(model, conf=LOW) as detector:
        watched = [
            _watch(detector, MovingScene(options, seed=seed).at, seconds)
            for seed, options in enumerate(SCENES[:count])
        ]
    _print("drawn objects that cross and hide each other", watched)
    if coco is None:
        return
    if images is None or annotations is None:
        raise UsageError("COCO.onnx needs --images and --annotations")
    with Detector(coco, conf=LOW) as detector:
        watched = list(
            _camera_sequences(detector, coco_worlds(annotations, images, 4 * count), seconds, count)
        )
    _print("photographs under a moving camera", watched)


def ways() -> dict[str, tuple[Callable[[Stream], Stream], Way]]:
    """By name: which frames are seen, and what links them."""
    tracker = _tracker(TrackConfig())
    return {
        "nearest boxes, 30 FPS": (_all, nearest),
        "nearest boxes, 10 FPS": (_third, nearest),
        "ByteTrack as published, 30 FPS": (_all, _tracker(TrackConfig(), Published)),
        "Tracker, 30 FPS": (_all, tracker),
        "Tracker, 15 FPS": (_second, tracker),
        "Tracker, 10 FPS": (_third, tracker),
        "Tracker, half dropped at random": (_half, tracker),
        "the same, frames counted": (_half, _tracker(TrackConfig(), timed=False)),
        "Tracker, class-agnostic, 30 FPS": (_all, _tracker(TrackConfig(class_agnostic=True))),
    }


class Published(ByteTrack):
    """The paper's: overlap with a box whose corners go on as they did."""

    def new_linker(self) -> Any:
        return require("trackers", "track").ByteTrackTracker(
            lost_track_buffer=round(self.config.lost_seconds * BUFFER_RATE),
            frame_rate=self.config.frame_rate,
            track_activation_threshold=self.begin,
            high_conf_det_threshold=self.begin,
            minimum_consecutive_frames=self.config.confirm_frames,
        )


def nearest(sequence: Stream) -> list[Detections]:
    """A detector alone: each box is the one of the frame before that it overlaps most, or somebody new."""
    before: Detections | None = None
    known, told = 0, []
    for frame in sequence:
        now = frame.found.filter(conf=Thresholds.conf)
        tracks = np.full(len(now), -1, np.int64)
        if before is not None and before.track_ids is not None:
            left, right, _ = match(_boxes(before), _boxes(now), NEAREST_IOU, same_class_only=True)
            tracks[right] = before.track_ids[left]
        new = np.flatnonzero(tracks < 0)
        tracks[new] = known + 1 + np.arange(len(new))
        known += len(new)
        before = Detections(now.boxes, now.scores, now.class_ids, now.class_names, tracks)
        told.append(before)
    return told


def measure(sequences: Sequence[Stream], seen: Callable[[Stream], Stream], way: Way) -> Result:
    """Link every sequence, and score all of them together."""
    metrics = require("trackers.eval", "track")
    clear, hota, identity = [], [], []
    spent, frames, back, hidden = 0.0, 0, 0, 0
    for sequence in sequences:
        kept = seen(sequence)
        begun = time.perf_counter()
        told = way(kept)
        spent += time.perf_counter() - begun
        frames += len(kept)
        scored = (
            [frame.truth.tracks for frame in kept],
            [found.track_ids for found in told],
            [_similarity(frame.truth, found) for frame, found in zip(kept, told, strict=True)],
        )
        same, both = _comebacks(kept, told)
        back, hidden = back + same, hidden + both
        clear.append(metrics.compute_clear_metrics(*scored))
        hota.append(metrics.compute_hota_metrics(*scored))
        identity.append(metrics.compute_identity_metrics(*scored))
    total, by_clear = metrics.aggregate_hota_metrics(hota), metrics.aggregate_clear_metrics(clear)
    return Result(
        total["HOTA"],
        total["DetA"],
        total["AssA"],
        metrics.aggregate_identity_metrics(identity)["IDF1"],
        by_clear["MOTA"],
        by_clear["IDSW"],
        back,
        hidden,
        1e3 * spent / max(frames, 1),
    )


def _tracker(
    config: TrackConfig, association: Callable[[TrackConfig], ByteTrack] = ByteTrack, *, timed: bool = True
) -> Way:
    def link(sequence: Stream) -> list[Detections]:
        tracker = Tracker(_Answers(), config=config, association=association)
        told = [tracker.follow(frame.found, frame.seconds if timed else None) for frame in sequence]
        return [found[[item.track_id not in (None, UNCONFIRMED) for item in found]] for found in told]

    return link


class _Answers:
    """In place of a detector: what it found is there already."""

    thresholds = Thresholds()

    def predict(self, image: Any, **thresholds: Any) -> Detections:
        raise NotImplementedError


def _watch(
    detector: Detector, at: Callable[[float], tuple[NDArray[np.uint8], FrameObjects]], seconds: float
) -> list[Watched]:
    watched = []
    for index in range(round(seconds * RATE)):
        image, truth = at(index / RATE)
        watched.append(Watched(index / RATE, truth, detector.predict(image)))
    return watched


def _camera_sequences(
    detector: Detector, worlds: StillScenes, seconds: float, count: int
) -> Iterator[list[Watched]]:
    """Pictures without crowds, whose members have no boxes of their own."""
    options = SequenceOptions(frame_rate=RATE, seconds=seconds)
    ids = np.array([detector.class_names.index(name) for name in worlds.class_names])
    chosen = [world for world in worlds.pictures if not world.crowds.any()][:count]
    for number, world in enumerate(chosen):
        frames = SequenceFrames(world, options, number)
        watched = []
        for index in range(len(frames)):
            truth = seen_at(world, options, number, index)
            truth = FrameObjects(truth.boxes, ids[truth.classes], truth.areas, truth.crowds, truth.tracks)
            watched.append(Watched(index / RATE, truth, detector.predict(frames[index])))
        yield watched


def _comebacks(sequence: Stream, told: Sequence[Detections]) -> tuple[int, int]:
    """How often an object came back under its old identity, and at all, after it was hidden for a short while."""
    last: dict[int, tuple[int, float, int]] = {}
    same = both = 0
    for index, (frame, found) in enumerate(zip(sequence, told, strict=True)):
        truth = frame.truth
        there = Boxes(truth.boxes.astype(np.float32), np.ones(len(truth.tracks), np.float32), truth.classes)
        left, right, _ = match(there, _boxes(found), MATCH_IOU, same_class_only=True)
        for row, column in zip(left.tolist(), right.tolist(), strict=True):
            track, identity = int(truth.tracks[row]), found[column].track_ids
            before = last.get(track, (index, frame.seconds, -1))
            last[track] = index, frame.seconds, -1 if identity is None else int(identity[0])
            if index - before[0] > 1 and HIDDEN[0] < frame.seconds - before[1] < HIDDEN[1]:
                both += 1
                same += before[2] == last[track][2]
    return same, both


def _similarity(truth: FrameObjects, found: Detections) -> NDArray[np.float64]:
    same_class = truth.classes[:, None] == found.class_ids[None]
    return np.where(same_class, iou_matrix(truth.boxes.astype(np.float32), found.boxes), 0.0)


def _boxes(found: Detections) -> Boxes:
    return Boxes(found.boxes, found.scores, found.class_ids)


def _all(sequence: Stream) -> Stream:
    return sequence


def _second(sequence: Stream) -> Stream:
    return sequence[::2]


def _third(sequence: Stream) -> Stream:
    return sequence[::3]


def _half(sequence: Stream) -> Stream:
    kept = np.random.default_rng(len(sequence)).random(len(sequence)) < 0.5
    return [frame for frame, taken in zip(sequence, kept, strict=True) if taken]


def _print(title: str, sequences: Sequence[Stream]) -> None:
    typer.echo(f"{title}: {len(sequences)} sequences, {sum(map(len, sequences))} frames")
    typer.echo(f"{'way':33} HOTA  DetA  AssA  IDF1  MOTA  switches  back after 0.2-0.5 s  ms a frame")
    for name, (seen, way) in ways().items():
        result = measure(sequences, seen, way)
        shares = (result.hota, result.det_a, result.ass_a, result.idf1, result.mota)
        back = f"{result.back} of {result.hidden}"
        figures = "  ".join(f"{100 * share:4.1f}" for share in shares)
        typer.echo(f"{name:33} {figures}  {result.switches:8}  {back:>20}  {result.milliseconds:10.2f}")


if __name__ == "__main__":
    typer.run(main)
