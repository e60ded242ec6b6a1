"""Streaming AP: cases worked out by hand, pairings checked against a second reading, layouts and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.evaluation import coco_ap, streaming_ap
from yolox_deploy.evaluation.coco import score
from yolox_deploy.evaluation.streaming import answers_at
from yolox_deploy.streaming import (
    Newest,
    Queue,
    RealClock,
    ShrinkingTail,
    SimulatedClock,
    StreamRecord,
    read_sequences,
)
from yolox_deploy.streaming.clocks import NEWEST
from yolox_deploy.streaming.events import StreamEvent
from yolox_deploy.streaming.policies import Policy
from yolox_deploy.streaming.sequences import AnnotatedSequences, sequences_from_coco

NAMES = ("person", "traffic light", "cat")
CATEGORIES = [{"id": 5, "name": "traffic_light"}, {"id": 9, "name": "person"}]
SIZE = (120, 1000)
RATE = 30.0
FRAMES = 40


def boxes_at(frame: int, speed: float = 10.0) -> list[tuple[int, float, float, float, float]]:
    """(category, x1, y1, x2, y2): a person of 100 x 50 going right, a traffic light of 20 x 60 going left."""
    return [(9, speed * frame, 20, 100 + speed * frame, 70), (5, 900 - 4 * frame, 40, 920 - 4 * frame, 100)]


def content(frames: int = FRAMES, objects: int = 2, sequences: int = 1, **changes: Any) -> dict[str, Any]:
    """Annotations in the layout of Argoverse-HD; every sequence is the same."""
    images, annotations = [], []
    for sid in range(sequences):
        for fid in range(frames):
            key = 1000 * (sid + 1) + fid
            size = {"height": SIZE[0], "width": SIZE[1]}
            images.append({"id": key, "sid": sid, "fid": fid, "name": f"{fid:06d}.png", **size})
            for category, x1, y1, x2, y2 in boxes_at(fid)[:objects]:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": key, "category_id": category, **box}
                )
    names = [f"s{sid}" for sid in range(sequences)]
    return {
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES,
        "sequences": names,
        "seq_dirs": [f"val/{name}/ring" for name in names],
        **changes,
    }


def sequences(**changes: Any) -> AnnotatedSequences:
    return sequences_from_coco(content(**changes), Path("none"))


def oracle(frame: int, objects: int = 2) -> Detections:
    """What there is, and a cat that the data set does not know."""
    rows = [*boxes_at(frame)[:objects], (0, 10, 10, 40, 40)]
    boxes = np.array([row[1:] for row in rows], np.float32)
    classes = np.array([{9: 0, 5: 1, 0: 2}[row[0]] for row in rows], np.int64)
    return Detections(boxes, np.linspace(0.9, 0.5, len(rows)).astype(np.float32), classes, NAMES)


def noisy(frame: int) -> Detections:
    """Finds most, shifts all, and sees ghosts: an AP between 0 and 1, each frame another."""
    rng = np.random.default_rng(frame)
    found = oracle(frame)
    boxes = np.concatenate([found.boxes, rng.uniform(0, 100, (2, 4)).astype(np.float32)])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 5)
    boxes += rng.normal(0, 4, boxes.shape).astype(np.float32)
    scores = np.sort(rng.uniform(0.1, 1, 5).astype(np.float32))[::-1].copy()
    order = rng.permutation(5)
    return Detections(boxes[order], scores, np.array([0, 1, 2, 0, 1])[order], NAMES)


def record(
    detect: Callable[[int], Detections],
    latency: float,
    policy: Policy = NEWEST,
    frames: int = FRAMES,
    source: str = "s0",
) -> StreamRecord:
    """Latency in frames."""
    clock = SimulatedClock.fixed(latency / RATE)
    return clock.run(range(frames), detect, frame_rate=RATE, policy=policy, source=source)


def scored(detect: Callable[[int], Detections], pairs: dict[int, int], **changes: Any) -> dict[str, float]:
    """COCO figures where frame `key` is answered by the detections of frame `value`: a plain second reading."""
    rows: list[dict[str, Any]] = []
    for asked, answered in pairs.items():
        for item in detect(answered):
            category = {"person": 9, "traffic light": 5}.get(item.class_name)
            if category is not None:
                x1, y1, x2, y2 = item.box
                box = [x1, y1, x2 - x1, y2 - y1]
                rows.append(
                    {"image_id": 1000 + asked, "category_id": category, "bbox": box, "score": item.score}
                )
    return score(content(**changes), rows)


def test_an_instant_detector_has_its_offline_ap_exactly() -> None:
    offline = scored(noisy, {frame: frame for frame in range(FRAMES)})
    assert 0.1 < offline["AP"] < 0.9
    for policy in (Newest(), Queue(4), ShrinkingTail()):
        found = streaming_ap(sequences(), record(noisy, 0, policy))
        assert found == {**offline, "frames": FRAMES, "answered": FRAMES}
        assert streaming_ap(sequences(), record(noisy, 0, policy), forecast=True) == found


def test_an_answer_within_the_frame_is_already_one_frame_old_when_it_is_read() -> None:
    late = streaming_ap(sequences(), record(noisy, 0.4))
    assert late == streaming_ap(sequences(), record(noisy, 1.0))
    assert late["answered"] == FRAMES - 1


def test_one_frame_late_is_exactly_the_ap_of_boxes_shifted_by_one_frame() -> None:
    pairs = {frame: frame - 1 for frame in range(1, FRAMES)}
    expected = {**scored(noisy, pairs), "frames": FRAMES, "answered": FRAMES - 1}
    assert streaming_ap(sequences(), record(noisy, 1.0)) == expected


def test_one_frame_late_by_hand() -> None:
    """The person's box of 100 moved by 10 overlaps itself by 90/110 = 0.818: right at 7 of the 10 thresholds.

    One frame in ten has no answer, so recall ends at 0.9: 91 of the 101 points of the curve.
    """
    found = streaming_ap(
        sequences(frames=10, objects=1), record(lambda i: oracle(i, objects=1), 1.0, frames=10)
    )
    assert found["AP50"] == pytest.approx(91 / 101)
    assert found["AP75"] == pytest.approx(91 / 101)
    assert found["AP"] == pytest.approx(0.7 * 91 / 101)
    two = streaming_ap(
        sequences(frames=10, objects=1), record(lambda i: oracle(i, objects=1), 2.0, frames=10)
    )
    assert two["AP"] < 0.4  # 80/120 and 70/130 by turns
    assert two["answered"] == 8


def test_a_detector_slower_than_the_stream_scores_its_newest_answers_only() -> None:
    """Two and a half frames an answer: begun 0, 2, 5, 7, ... there at 2.5, 5, 7.5, 10, ..."""
    pairs = {3: 0, 4: 0, 5: 2, 6: 2, 7: 2, 8: 5, 9: 5, 10: 7, 11: 7}
    found = streaming_ap(sequences(frames=12), record(noisy, 2.5, frames=12))
    assert found == {**scored(noisy, pairs, frames=12), "frames": 12, "answered": 9}


def test_no_answer_in_time_is_an_ap_of_0() -> None:
    found = streaming_ap(sequences(), record(oracle, 1000))
    assert (found["AP"], found["answered"], found["frames"]) == (0, 0, FRAMES)
    nothing = StreamRecord("s0", RATE, 0, 0, "newest", {}, (), ())
    assert streaming_ap(sequences(), nothing)["AP"] == 0


def test_the_very_moment_counts_and_a_microsecond_later_does_not() -> None:
    answers = tuple(StreamEvent(i, i / RATE, i / RATE, (i + 1) / RATE, oracle(i)) for i in range(5))
    exact = StreamRecord("s0", RATE, 5, 0, "newest", {}, NAMES, answers)
    assert answers_at(exact, [i / RATE for i in range(6)]) == [-1, 0, 1, 2, 3, 4]
    assert answers_at(exact, [i / RATE - 1e-6 for i in range(6)]) == [-1, -1, 0, 1, 2, 3]


def test_a_queue_reads_older_answers_than_the_newest_frame_does() -> None:
    """Behind by ever more until the queue is full: its gain is negative when the detector cannot keep up."""
    figures = [
        streaming_ap(sequences(), record(oracle, 1.5, policy))["AP"] for policy in (Newest(), Queue(8))
    ]
    assert figures[0] > figures[1] + 0.1


def test_the_shrinking_tail_gains_on_taking_the_newest() -> None:
    """At 1.75 frames an answer it reads ages of 2 and 3, where the newest policy reads 2, 3, 3, 4, 3, 2, 3."""
    figures = [
        streaming_ap(sequences(), record(oracle, 1.75, policy))["AP50"]
        for policy in (Newest(), ShrinkingTail())
    ]
    assert figures[1] > figures[0] + 0.02


def test_forecasting_recovers_a_linear_motion() -> None:
    instant = streaming_ap(sequences(), record(oracle, 0))["AP"]
    assert instant == pytest.approx(1)
    for latency in (1.0, 1.75, 3.0):
        late = record(oracle, latency)
        stale, moved = (streaming_ap(sequences(), late, forecast=choice)["AP"] for choice in (False, True))
        assert stale < 0.65
        assert moved > stale + 0.2
    answered = FRAMES - 1  # nearly: two answers are needed to know a velocity
    one = streaming_ap(sequences(), record(oracle, 1.0), forecast=True)["AP"]
    assert one > 0.93 * answered / FRAMES


def test_every_sequence_has_its_record(tmp_path: Path) -> None:
    data = sequences(sequences=2)
    first, second = (record(noisy, 1.2, source=name) for name in ("s0", "s1"))
    expected = streaming_ap(data, [first, second])
    assert expected["frames"] == 2 * FRAMES
    assert expected == streaming_ap(data, {"s1": second, "s0": first})
    assert expected == streaming_ap(data, [second.save(tmp_path / "s1.jsonl"), first])
    first.save(tmp_path / "s0.jsonl")
    assert expected == streaming_ap(data, tmp_path)
    with pytest.raises(UsageError, match="1 of 2 sequences have no record, the first is 's1'"):
        streaming_ap(data, [first])
    with pytest.raises(InputError, match="no record of a stream at"):
        streaming_ap(data, tmp_path / "none")


def test_one_record_is_taken_for_one_sequence_whatever_its_source(tmp_path: Path) -> None:
    named = record(noisy, 1.0, source="camera 3").save(tmp_path / "a.jsonl")
    assert streaming_ap(sequences(), named) == streaming_ap(sequences(), record(noisy, 1.0))


def test_frames_between_annotated_ones_are_not_scored() -> None:
    sparse = content()
    sparse["images"] = [image for image in sparse["images"] if image["fid"] % 3 == 0]
    kept = {image["id"] for image in sparse["images"]}
    sparse["annotations"] = [row for row in sparse["annotations"] if row["image_id"] in kept]
    data = sequences_from_coco(sparse, Path("none"))
    found = streaming_ap(data, record(oracle, 0))
    assert (found["AP"], found["frames"]) == (pytest.approx(1), 14)


def test_a_record_of_another_rate_is_refused_unless_it_is_the_right_one(tmp_path: Path) -> None:
    other = SimulatedClock.fixed(0.0).run(range(FRAMES), oracle, frame_rate=10, source="s0")
    with pytest.raises(UsageError, match="recorded at 10 frames a second, the annotations are for 30"):
        streaming_ap(sequences(), other)
    file = tmp_path / "val.json"
    file.write_text(json.dumps(content()))
    assert streaming_ap(file, other, frame_rate=10)["AP"] == pytest.approx(1)
    file.write_text(json.dumps(content(info={"frame_rate": 10})))
    assert streaming_ap(file, other)["AP"] == pytest.approx(1)


class Oracle:
    """Knows the pictures by their grey."""

    class_names = NAMES

    def predict(self, image: Any, **thresholds: Any) -> Detections:
        pixels = image if isinstance(image, np.ndarray) else cv2.imread(str(image))
        assert thresholds == {"conf": 0.01, "iou": 0.65, "max_detections": None}
        return noisy(int(pixels[0, 0, 0]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = 12
    ring = tmp_path / "val" / "s0" / "ring"
    ring.mkdir(parents=True)
    for frame in range(frames):
        cv2.imwrite(str(ring / f"{frame:06d}.png"), np.full((12, 100, 3), frame, np.uint8))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "val.json").write_text(json.dumps(content(frames=frames)))
    return tmp_path


def test_a_detector_runs_on_the_pictures_under_a_simulated_clock(folder: Path) -> None:
    file = folder / "annotations" / "val.json"
    found = streaming_ap(file, Oracle(), clock=SimulatedClock.fixed(0.0))
    assert found["AP"] == pytest.approx(score(content(frames=12), _offline_rows())["AP"], abs=0)
    late = streaming_ap(file, Oracle(), clock=SimulatedClock.fixed(2.5 / RATE), policy=Queue(2))
    assert late == streaming_ap(file, record(noisy, 2.5, Queue(2), frames=12))


def _offline_rows() -> list[dict[str, Any]]:
    rows = []
    for frame in range(12):
        for row in noisy(frame).to_coco(1000 + frame, (9, 5, -1)):
            rows += [row] if row["category_id"] > 0 else []
    return rows


def test_a_detector_runs_on_the_pictures_in_real_time(folder: Path) -> None:
    """How many answers come in time is the machine's affair; that they are there and scored is not."""
    file = folder / "annotations" / "val.json"
    found = streaming_ap(file, Oracle(), clock=RealClock(), frame_rate=20, policy=Queue(12))
    assert found["answered"] >= 1
    assert found["frames"] == 12


def test_the_ap_of_an_instant_detector_is_that_of_coco_ap(folder: Path) -> None:
    """The same pictures as a plain COCO folder, and a model of the same classes."""
    plain = content(
        frames=12, images=[{**image, "file_name": image["name"]} for image in content(12)["images"]]
    )
    plain["categories"] = [*CATEGORIES, {"id": 2, "name": "cat"}]
    file = folder / "plain.json"
    renamed = [{**item, "name": str(item["name"]).replace("_", " ")} for item in plain["categories"]]
    file.write_text(json.dumps({**plain, "categories": renamed}))
    offline = coco_ap(Oracle(), folder / "val" / "s0" / "ring", file)
    assert {**offline, "frames": 12, "answered": 12} == streaming_ap(
        file, Oracle(), images_dir=folder, clock=SimulatedClock.fixed(0.0)
    )


def test_a_detector_without_a_clock_or_pictures_is_refused(folder: Path) -> None:
    file = folder / "annotations" / "val.json"
    with pytest.raises(UsageError, match="a Detector needs a clock"):
        streaming_ap(file, Oracle())
    with pytest.raises(InputError, match=r"12 of its 12 pictures are missing, the first is .*000000\.png"):
        streaming_ap(file, Oracle(), images_dir=folder / "annotations", clock=RealClock())
    gaps = content(frames=12)
    gaps["images"].pop(3)
    with pytest.raises(UsageError, match="has gaps"):
        streaming_ap(sequences_from_coco(gaps, folder), Oracle(), clock=RealClock())


def test_annotations_with_ids_from_0_and_without_areas_are_scored_as_they_are() -> None:
    plain = content()
    plain["annotations"] = [
        {**{key: row[key] for key in ("image_id", "category_id", "bbox")}, "id": number // 2}
        for number, row in enumerate(plain["annotations"])
    ]
    found = streaming_ap(sequences_from_coco(plain, Path("none")), record(noisy, 0.4))
    assert found == streaming_ap(sequences(), record(noisy, 0.4))
    plain["annotations"][3]["bbox"] = None
    with pytest.raises(InputError, match=r"(?s)annotations has faults:.*id 1: bbox None is not x, y, w, h"):
        streaming_ap(sequences_from_coco(plain, Path("none")), record(noisy, 0.4))


def test_classes_are_matched_by_name_else_by_order() -> None:
    data = sequences()
    assert data.categories_of(NAMES) == (9, 5, None)
    with pytest.warns(UserWarning, match="does not name its classes.*'class_0' to 'traffic_light'"):
        assert data.categories_of(("class_0", "class_1")) == (5, 9)
    with pytest.warns(UserWarning, match="no class 'traffic_light'.*'cat' to 'traffic_light'"):
        assert data.categories_of(("cat", "dog")) == (5, 9)
    with pytest.warns(
        UserWarning, match="1 of the data set's 2 categories; objects of 'person' are left out"
    ):
        assert data.categories_of(("cat", "dog", "traffic light")) == (None, None, 5)
    with pytest.raises(UsageError, match="no name is in both: there is no 'traffic_light'"):
        data.categories_of(("cat", "dog", "bird"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[]", "is not a COCO annotation file with sequences"),
        ("{}", "is not a COCO annotation file with sequences"),
        (json.dumps(content(images=[])), "expected at least one frame"),
        (json.dumps(content(sequences=2, seq_dirs=["a"])), "is not a COCO annotation file with sequences"),
        (json.dumps(content(images=[{"id": 1, "fid": 0, "name": "a"}] * 2)), "each index .fid. once"),
        (
            json.dumps(content(images=[{"id": "x", "name": "a"}])),
            "is not a COCO annotation file with sequences",
        ),
        (json.dumps(content(categories=5)), "is not a COCO annotation file with sequences"),
    ],
)
def test_a_file_that_has_no_sequences_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "val.json"
    file.write_text(text)
    with pytest.raises(InputError, match=rf"val\.json.*{message}"):
        read_sequences(file)


def test_missing_annotations_and_impossible_rates_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotation file at"):
        streaming_ap(tmp_path / "none.json", record(oracle, 0))
    with pytest.raises(UsageError, match="frame rate -5"):
        sequences_from_coco(content(), tmp_path, frame_rate=-5)
