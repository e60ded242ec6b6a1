"""Streaming AP: accuracy and latency as one figure (Li, Wang, Ramanan, "Towards Streaming Perception", ECCV 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, UsageError, require
from yolox_deploy.evaluation.coco import restricted, score
from yolox_deploy.streaming.clocks import NEWEST, Clock
from yolox_deploy.streaming.forecasting import Forecast, Forecaster
from yolox_deploy.streaming.policies import ROUNDING, Policy
from yolox_deploy.streaming.record import StreamRecord, read_record
from yolox_deploy.streaming.recording import StreamPredictor, record_sequences
from yolox_deploy.streaming.sequences import AnnotatedSequence, AnnotatedSequences, read_sequences

Record = StreamRecord | str | Path
Answers = Record | Sequence[Record] | Mapping[str, Record] | StreamPredictor


def streaming_ap(
    annotations: AnnotatedSequences | str | Path,
    answers: Answers,
    *,
    images_dir: str | Path | None = None,
    clock: Clock | None = None,
    policy: Policy = NEWEST,
    frame_rate: float | None = None,
    forecast: bool | Forecast = False,
    conf: float = 0.01,
    iou: float = 0.65,
) -> dict[str, float]:
    """Average precision of the newest answer that was there when each frame appeared.

    At every annotated frame's time t = index / frame rate the answer with the latest `end <= t` is scored against
    the objects at t. An answer that is there at the very moment counts (to a nanosecond), so a detector that takes
    no time has its offline AP; before the first answer there are no detections. Answers are used until the next one.

    Args:
        annotations: JSON of annotated sequences (`streaming.sequences` tells the layout), or what was read of it.
        answers: a record or its file; several, which name their sequence by `source`; a mapping of sequence to
            record; a folder with SEQUENCE.jsonl for each; or a Detector, which then answers the pictures now.
        images_dir: of the pictures, for a file of annotations and a Detector; as of `read_sequences`.
        clock: for a Detector: `SimulatedClock` or `RealClock`.
        policy: for a Detector: which frames it takes.
        frame_rate: frames a second, for a file of annotations that does not say or says another.
        forecast: move each answer's boxes from when its frame was captured to t; `True` for the default settings.
        conf, iou: thresholds of a Detector.

    Returns:
        `AP`, `AP50`, `AP75`, `APs`, `APm`, `APl` as of `coco_ap`; `frames`, how many were scored, and `answered`, for
        how many of them any answer was there.

    Raises:
        InputError: the annotations, a record or a picture cannot be read.
        UsageError: records and sequences do not belong together, a Detector without a clock, classes that differ.
        MissingExtraError: faster-coco-eval is not installed.
    """
    require("faster_coco_eval", "eval")
    if not isinstance(annotations, AnnotatedSequences):
        annotations = read_sequences(annotations, images_dir, frame_rate=frame_rate)
    if not isinstance(answers, StreamRecord | str | Path | Sequence | Mapping):
        if clock is None:
            raise UsageError("a Detector needs a clock: SimulatedClock.fixed(seconds), or RealClock()")
        answers = record_sequences(
            answers, annotations, clock, policy=policy, conf=conf, iou=iou, max_detections=None
        )
    truth = _truth(annotations.content)
    records = _by_sequence(answers, annotations.sequences)
    options = forecast if isinstance(forecast, Forecast) else Forecast() if forecast else None
    sizes = {int(image["id"]): _size(image) for image in annotations.content["images"]}
    rows: list[dict[str, Any]] = []
    known: set[int | None] = set()
    answered = 0
    for sequence in annotations.sequences:
        record = records[sequence.name]
        _check_rate(record, annotations.frame_rate)
        categories = annotations.categories_of(record.class_names) if record.events else ()
        known |= set(categories)
        for image_id, found in _answers(record, sequence, annotations.frame_rate, options, sizes):
            answered += 1
            rows += found.to_coco(image_id, categories)
    truth = restricted(truth, known) if known else truth
    return {**score(truth, rows), "frames": len(annotations), "answered": answered}


def answers_at(record: StreamRecord, times: Sequence[float]) -> list[int]:
    """Index of the newest answer that is there at each of the times (seconds), -1 where there is none yet."""
    ends = [event.end for event in record.events]
    found: list[int] = (np.searchsorted(ends, np.asarray(times) + ROUNDING, side="right") - 1).tolist()
    return found


def _truth(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is scored against; the pictures need not be there."""
    from yolox_deploy.data.coco_format import dataset_from_coco
    from yolox_deploy.data.report import require_whole

    images = [{"file_name": image.get("name"), **image} for image in content["images"]]
    data = dataset_from_coco({**content, "images": images}, source=Path("annotations"), folders=[Path()])
    require_whole(data.source, data.problems)
    return data.to_coco()


def _answers(
    record: StreamRecord,
    sequence: AnnotatedSequence,
    frame_rate: float,
    options: Forecast | None,
    sizes: Mapping[int, tuple[int, int] | None],
) -> Iterator[tuple[int, Detections]]:
    """(image id, detections) of each frame that has an answer."""
    times = [frame.index / frame_rate for frame in sequence.frames]
    forecaster, taken = Forecaster(options) if options else None, 0
    for frame, time, newest in zip(sequence.frames, times, answers_at(record, times), strict=True):
        if newest < 0:
            continue
        if forecaster is None:
            yield frame.image_id, record.events[newest].detections
            continue
        for event in record.events[taken : newest + 1]:
            forecaster.update(event)
        taken = newest + 1
        yield frame.image_id, forecaster.at(time, sizes[frame.image_id])


def _by_sequence(answers: Any, sequences: Sequence[AnnotatedSequence]) -> dict[str, StreamRecord]:
    """The record of each sequence."""
    names = [sequence.name for sequence in sequences]
    if isinstance(answers, str | Path) and Path(answers).is_dir():
        answers = {name: Path(answers) / f"{name}.jsonl" for name in names}
    if isinstance(answers, Mapping):
        records = {name: _record(answers[name]) for name in names if name in answers}
    elif isinstance(answers, StreamRecord | str | Path) and len(names) == 1:
        records = {names[0]: _record(answers)}
    else:
        several = [answers] if isinstance(answers, StreamRecord | str | Path) else answers
        records = {record.source: record for record in map(_record, several)}
    missing = [name for name in names if name not in records]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(names)} sequences have no record, the first is {missing[0]!r}; there are "
            f"records of {', '.join(map(repr, records)) or 'none'}"
        )
    return records


def _record(answers: Record) -> StreamRecord:
    return answers if isinstance(answers, StreamRecord) else read_record(answers)


def _check_rate(record: StreamRecord, frame_rate: float) -> None:
    if abs(record.frame_rate - frame_rate) > 1e-3 * frame_rate:
        raise UsageError(
            f"{record.source!r} was recorded at {record.frame_rate:g} frames a second, the annotations are for "
            f"{frame_rate:g}; name the right one with frame_rate="
        )


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        return int(image["height"]), int(image["width"])
    except (KeyError, TypeError, ValueError) as error:
        if "height" in image:
            raise InputError(f"image {image['id']}: height or width is no number ({error})") from error
        return None
