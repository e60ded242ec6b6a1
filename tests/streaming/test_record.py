"""Records of streams: written answer by answer, read back without loss, whole or broken off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.streaming import StreamRecord, read_record
from yolox_deploy.streaming.event_writer import EventWriter
from yolox_deploy.streaming.events import StreamEvent, StreamHeader

NAMES = ("cat", "dog")
HEADER = StreamHeader("door", 30.0, "newest", {"backend": "onnxruntime", "imgsz": [416, 416]}, NAMES)


def detections(count: int = 2, seed: int = 0) -> Detections:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 600, (count, 4)).astype(np.float32)
    scores = np.sort(rng.uniform(0, 1, count).astype(np.float32))[::-1].copy()
    return Detections(boxes, scores, rng.integers(0, 2, count), NAMES)


def event(frame: int, count: int = 2) -> StreamEvent:
    return StreamEvent(frame, frame / 30, frame / 30 + 0.001, frame / 30 + 0.02, detections(count, frame))


def record(*events: StreamEvent, frames: int = 9, dropped: int = 6) -> StreamRecord:
    return StreamRecord("door", 30.0, frames, dropped, "newest", HEADER.model, NAMES, events)


def test_a_record_comes_back_bit_by_bit(tmp_path: Path) -> None:
    written = record(event(0), event(3, count=0), event(7, count=50))
    found = read_record(written.save(tmp_path / "new folder" / "door.jsonl"))
    assert found.header == written.header == HEADER
    assert (found.frames, found.dropped) == (9, 6)
    for ours, theirs in zip(found.events, written.events, strict=True):
        assert (ours.frame, ours.captured, ours.start, ours.end) == (
            *(theirs.frame, theirs.captured),
            *(theirs.start, theirs.end),
        )
        for name in ("boxes", "scores", "class_ids"):
            assert np.array_equal(getattr(ours.detections, name), getattr(theirs.detections, name))
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["door.jsonl"]


def test_no_record_stands_under_its_name_before_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "door.jsonl"
    with EventWriter(path, HEADER) as writer:
        writer.add(event(0))
        assert not path.exists()
        writer.finish(5, 4)
    writer.close()
    assert (read_record(path).frames, read_record(path).dropped) == (5, 4)


def test_ctrl_c_leaves_a_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "door.jsonl"

    def interrupted() -> None:
        with EventWriter(path, HEADER) as writer:
            writer.add(event(0))
            writer.add(event(4))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    found = read_record(path)
    assert [item.frame for item in found.events] == [0, 4]
    assert (found.frames, found.dropped) == (5, 3)


def test_what_a_killed_process_leaves_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = record(event(0), event(3), event(7)).save(tmp_path / "door.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    part = tmp_path / "door.jsonl.part"
    part.write_text("".join(lines[:3]) + lines[3][:40])
    found = read_record(part)
    assert [item.frame for item in found.events] == [0, 3]
    assert (found.frames, found.dropped) == (4, 2)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "yolox-deploy/bench"}', "no JSON", "\x00\xff"])
def test_a_foreign_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"foreign\.jsonl is no record of a stream"):
        read_record(path)


def test_missing_and_newer_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record of a stream at"):
        read_record(tmp_path / "none.jsonl")
    path = record(event(0)).save(tmp_path / "door.jsonl")
    path.write_text(path.read_text().replace('"schema_version":1', '"schema_version":3'))
    with pytest.raises(InputError, match="schema version 3, this yolox-deploy reads 2"):
        read_record(path)


@pytest.mark.parametrize(
    "change",
    [{"frame": "x"}, {"start": 9.0}, {"detections": {"boxes": [], "scores": [1.0], "class_ids": []}}],
)
def test_a_damaged_line_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = record(event(0), event(3)).save(tmp_path / "door.jsonl")
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"door\.jsonl, line 2: "):
        read_record(path)


def test_times_must_be_in_order(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 0 <= captured <= start <= end"):
        StreamEvent(0, 0.2, 0.1, 0.3, detections())
    with pytest.raises(UsageError, match="not in the order of their end"):
        record(event(3), event(0))
    with EventWriter(tmp_path / "door.jsonl", HEADER) as writer:
        writer.add(event(3))
        with pytest.raises(UsageError, match="after one that ended"):
            writer.add(event(0))
    with pytest.raises(UsageError, match="frame rate 0"):
        StreamHeader("door", 0, "newest")


def test_a_record_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        EventWriter(tmp_path / "file" / "door.jsonl", HEADER)
