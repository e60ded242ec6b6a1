"""The sweep: measured once, replayed for each frame rate, the best trade-off named, table, JSON and picture."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ToyModel
from yolox_deploy import Detections
from yolox_deploy.benchmarks import draw_sweep, sweep
from yolox_deploy.benchmarks.streams.report import MeasuredDetector
from yolox_deploy.benchmarks.streams.sweep import SweepOptions, score_detectors
from yolox_deploy.errors import MissingExtraError, UsageError
from yolox_deploy.streaming import ShrinkingTail, read_video
from yolox_deploy.streaming.recording import AnnotatedVideo, every, stride_of
from yolox_deploy.synthetic import Motion, SequenceOptions, scene_worlds, write_sequences
from yolox_deploy.synthetic.sequences import generated_video

WORLDS = scene_worlds(3, seed=4, size=(240, 320))
OPTIONS = SequenceOptions(frame_rate=60, seconds=1, size=(120, 160), motion=Motion(speed=0.5))


@pytest.fixture(scope="module")
def footage() -> AnnotatedVideo:
    return generated_video(WORLDS, OPTIONS, "scenes")


def detector(footage: AnnotatedVideo, size: int, milliseconds: float, share: float) -> MeasuredDetector:
    """Knows the first `share` of the objects of each frame, and answers that in so many milliseconds."""
    data = footage.data
    truth: dict[int, list[list[float]]] = {image["id"]: [] for image in data.content["images"]}
    for row in data.content["annotations"]:
        x, y, width, height = row["bbox"]
        truth[row["image_id"]].append([row["category_id"] - 1, x, y, x + width, y + height])
    answers = []
    for sequence in data.sequences:
        found = []
        for frame in sequence.frames:
            rows = truth[frame.image_id]
            known = np.array(rows[: round(share * len(rows) + 0.499)], np.float64).reshape(-1, 5)
            scores = np.linspace(0.9, 0.8, len(known)).astype(np.float32)
            boxes, classes = known[:, 1:].astype(np.float32), known[:, 0].astype(np.int64)
            found.append(Detections(boxes, scores, classes, data.class_names))
        answers.append(tuple(found))
    times = tuple(milliseconds * factor for factor in (0.98, 1.0, 1.02))
    return MeasuredDetector("toy", "none", "fp32", (size, size), f"{size}.onnx", times, tuple(answers))


@pytest.fixture(scope="module")
def detectors(footage: AnnotatedVideo) -> list[MeasuredDetector]:
    """A quick weak one and a slow strong one, which is slower than 30 frames a second and quicker than 10."""
    return [detector(footage, 224, 8.0, 0.4), detector(footage, 640, 90.0, 1.0)]


def test_the_strong_one_wins_where_it_keeps_up_and_the_quick_one_where_it_does_not(
    footage: AnnotatedVideo, detectors: list[MeasuredDetector]
) -> None:
    report = score_detectors(detectors, SweepOptions(footage, frame_rates=(10.0, 60.0)))
    sizes = {rate: report.detectors[row.detector].size[0] for rate, row in report.best.items()}
    assert sizes == {10.0: 640, 60.0: 224}
    for row in report.rows:
        assert row.streaming["AP"] < row.offline["AP"]
        assert row.answered < row.frames == {10.0: 30, 60.0: 180}[row.frame_rate]
    slow = next(row for row in report.rows if row.detector == 1 and row.frame_rate == 60)
    assert 0.1 < slow.taken < 0.25
    assert 90 < slow.age_ms < 200
    assert "60 FPS: toy none fp32 224" in report.verdicts()[1]
    assert "toy none fp32 640 has the best offline AP" in report.verdicts()[1]
    assert report.verdicts()[0].endswith("it has the best offline AP too")


def test_the_same_samples_and_seed_are_the_same_figures(
    footage: AnnotatedVideo, detectors: list[MeasuredDetector]
) -> None:
    options = SweepOptions(footage, frame_rates=(30.0,))
    first, again, other = (score_detectors(detectors, replace(options, seed=seed)).rows for seed in (0, 0, 1))
    assert first == again
    assert [row.offline for row in first] == [row.offline for row in other]


def test_forecasting_and_policies_reach_the_replay(
    footage: AnnotatedVideo, detectors: list[MeasuredDetector]
) -> None:
    options = SweepOptions(footage, frame_rates=(30.0,))
    plain = score_detectors(detectors, options)
    moved = score_detectors(detectors, replace(options, forecast=True, policy=ShrinkingTail()))
    assert moved.policy == "shrinking-tail"
    assert moved.rows[1].streaming["AP"] > plain.rows[1].streaming["AP"] + 0.05


def test_what_was_found_is_told_as_json_table_and_picture(
    footage: AnnotatedVideo, detectors: list[MeasuredDetector], tmp_path: Path
) -> None:
    report = score_detectors(detectors, SweepOptions(footage, frame_rates=(10.0, 60.0)))
    plain = json.loads(report.save(tmp_path / "new" / "sweep.json").read_text())
    assert plain == json.loads(report.to_json())
    assert plain["schema_version"] == 1
    assert plain["best"] == {"10": "toy none fp32 640", "60": "toy none fp32 224"}
    assert plain["detectors"][0]["milliseconds"] == pytest.approx([7.84, 8.0, 8.16])
    assert "answers" not in plain["detectors"][0]
    first, second = report.tables()
    assert first.title == "10 frames a second (100 ms a frame)"
    assert [len(row) for row in (*first.rows, *second.rows)] == [len(first.columns)] * 4
    assert second.rows[0][0] == "toy none fp32 224"
    image = cv2.imread(str(draw_sweep(report, tmp_path / "new" / "sweep.png")))
    assert image.shape[1] > image.shape[0] > 300
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["sweep.json", "sweep.png"]


def test_a_picture_needs_matplotlib_and_names_the_extra(
    footage: AnnotatedVideo,
    detectors: list[MeasuredDetector],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = score_detectors(detectors, SweepOptions(footage, frame_rates=(10.0,)))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"yolox-deploy\[bench\]"):
        draw_sweep(report, tmp_path / "sweep.png")


def test_lower_rates_are_every_so_many_th_frame(footage: AnnotatedVideo) -> None:
    data = every(footage.data, 6)
    assert data.frame_rate == 10
    assert [len(sequence.frames) for sequence in data.sequences] == [10, 10, 10]
    assert [frame.index for frame in data.sequences[1].frames] == list(range(10))
    assert data.sequences[1].frames[3].image_id == footage.data.sequences[1].frames[18].image_id
    assert every(footage.data, 1) is footage.data
    assert [stride_of(rate, 60) for rate in (60, 30, 20, 10, 0.5)] == [1, 2, 3, 6, 120]
    for rate in (25, 120, 0, -1):
        with pytest.raises(UsageError, match="cannot be taken from 60"):
            stride_of(rate, 60)


def test_footage_is_read_from_disk(tmp_path: Path) -> None:
    options = replace(OPTIONS, seconds=0.1)
    file = write_sequences(tmp_path / "made", WORLDS, options)
    footage = read_video(file)
    assert [len(frames) for frames in footage.frames] == [6, 6, 6]
    assert footage.frames[2][5].shape == (120, 160, 3)
    assert footage.data.frame_rate == 60


def test_real_files_are_measured_and_scored(
    toy_model: ToyModel, footage: AnnotatedVideo, tmp_path: Path
) -> None:
    """A runtime, its times and its answers: the replay of an instant clock is the detector's own AP."""
    model = toy_model(
        tmp_path / "toy.onnx",
        [(5, (0.5, 0.5, 1.2, 1.0, 0.9, 0.1, 0.9))],
        classes=len(footage.data.class_names),
    )
    small = generated_video(WORLDS, replace(OPTIONS, seconds=0.2), "scenes")
    with pytest.warns(UserWarning, match="does not name its classes"):
        report = sweep(small, model, frame_rates=(30.0,), threads=1)
    [found] = report.detectors
    assert (found.model, found.backend, found.size) == ("toy", "onnxruntime", (64, 96))
    assert len(found.milliseconds) == 36
    assert [len(answers) for answers in found.answers] == [12, 12, 12]
    assert "3 sequences, 36 frames at 60 FPS" in report.footage


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_rates": (25.0,)}, "cannot be taken from 60"),
        ({"models": ()}, "no model is named"),
        ({"models": ("nano.pth",)}, r"nano\.pth is a checkpoint"),
        ({"models": ("yolox_pico",)}, "yolox_pico"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    footage: AnnotatedVideo, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sweep(footage, **changes)  # type: ignore[arg-type]
