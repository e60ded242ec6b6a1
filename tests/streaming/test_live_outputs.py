"""What a live stream leaves: the overlay, the video, the record; and that its memory stays flat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import Told
from yolox_deploy import Detector
from yolox_deploy.benchmarks.studies.stream_cameras import stream_apart, stream_together
from yolox_deploy.benchmarks.studies.stream_soak import SETTLING_SECONDS, real_soak, report, simulated_soak
from yolox_deploy.capture import Frame
from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming import read_record
from yolox_deploy.streaming.events import StreamHeader
from yolox_deploy.streaming.feed import LiveFeed
from yolox_deploy.streaming.feed_sources import FeedSource
from yolox_deploy.streaming.live import run_live
from yolox_deploy.streaming.sinks import LiveOutputs
from yolox_deploy.streaming.summary import FeedSummary
from yolox_deploy.streaming.video import CODECS, VideoWriter, draw_overlay

HEADER = StreamHeader("made", 10, "newest", class_names=("cat",))


def grey(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def levels(path: Path) -> list[int]:
    """Mean grey level of each frame of a video, to the nearest ten."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while True:
        success, image = capture.read()
        if not success:
            capture.release()
            return found
        found.append(round(float(image.mean()), -1))


def one_box(image: np.ndarray) -> Detections:
    box = np.array([[10, 10, 30, 30]], np.float32)
    return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), ("cat",))


@pytest.mark.parametrize("size", [(240, 320), (48, 64), (5, 200), (3, 2)])
def test_the_overlay_darkens_the_bottom_of_a_copy(size: tuple[int, int]) -> None:
    image = grey(200, size)
    drawn = draw_overlay(image, Detections.empty(), "30.0 FPS  latency p50 11 p95 13 ms")
    assert drawn.shape == image.shape
    assert (image == 200).all()
    assert (drawn[-1] == 66).all()
    if size[0] > 40:
        assert (drawn[: size[0] // 2] == 200).all()
        assert (drawn[-30:] > 180).any(), "there is text"


def test_an_answer_stays_until_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "held.avi"
    with VideoWriter(path, 10) as video:
        for level, time in ((50, 3.0), (100, 3.3), (150, 3.35), (200, 3.5)):
            video.add(grey(level), time)
        assert not path.exists()
    assert levels(path) in ([50, 50, 50, 100, 150, 200], [50, 50, 50, 150, 150, 200], [50, 50, 50, 150, 200])
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_an_outage_of_an_hour_is_no_hour_of_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "held.avi", 10) as video:
        video.add(grey(50), 0)
        video.add(grey(200), 3600)
    assert levels(tmp_path / "held.avi") == [50] * 20 + [200]


def test_pictures_of_other_sizes_are_fitted_to_the_first(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "sizes.avi", 10) as video:
        for index, size in enumerate([(49, 65), (96, 128), (30, 300)]):
            video.add(grey(250, size), index / 10)
    capture = cv2.VideoCapture(str(tmp_path / "sizes.avi"))
    assert [capture.read()[1].shape for _ in range(3)] == [(48, 64, 3)] * 3
    capture.release()
    first, second, third = levels(tmp_path / "sizes.avi")
    assert (first, second) == (250, 250)
    assert third < 200  # letterboxed


@pytest.mark.parametrize("suffix", CODECS)
def test_every_suffix_gives_a_video_that_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"video{suffix}"
    with VideoWriter(path, 10) as video:
        for index in range(5):
            video.add(grey(40 * index), index / 10)
    assert len(levels(path)) == 5


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("limit", [2_000, 400_000])
def test_a_video_that_did_not_reach_the_disk_replaces_nothing(
    tmp_path: Path, suffix: str, limit: int
) -> None:
    """A limit on the size of files stands for a full disk: the encoder says nothing either way."""
    path = tmp_path / f"video{suffix}"
    path.write_bytes(b"an older video")
    code = f"""
import resource, signal
import numpy as np
from yolox_deploy.streaming.video import VideoWriter
video = VideoWriter({str(path)!r}, 10)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
for index in range(40):
    video.add(np.random.default_rng(index).integers(0, 255, (240, 320, 3), np.uint8), index / 10)
video.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"UsageError" in done.stderr
    assert b"cannot be read back" in done.stderr
    assert path.read_bytes() == b"an older video"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_picture_of_one_pixel_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2x2 pixels"), VideoWriter(tmp_path / "one.mp4", 10) as video:
        video.add(grey(0, (1, 1)), 0)
    assert list(tmp_path.iterdir()) == []


def test_where_no_picture_came_no_video_is_left(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "none.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["video.gif", "video", "file/video.mp4"])
def test_a_video_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"expected a video|cannot be written"):
        VideoWriter(tmp_path / name, 10)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_stream_leaves_whole_files_and_figures(tmp_path: Path) -> None:
    source = FeedSource("made", (Frame(grey(100), index, "made") for index in range(1000)), 10)
    feed = LiveFeed(source, paced=False)
    summary = FeedSummary(feed)

    class Interrupting(Told):
        def step(self, text: str) -> None:
            super().step(text)
            if summary.answered == [5]:
                raise KeyboardInterrupt

    told = Interrupting()
    outputs = LiveOutputs(tmp_path / "events.jsonl", tmp_path / "video.avi", report=told)
    with pytest.raises(KeyboardInterrupt):
        run_live(feed, one_box, [HEADER], summary, outputs)
    record = read_record(tmp_path / "events.jsonl")
    assert [event.frame for event in record.events] == [0, 1, 2, 3, 4]
    assert len(levels(tmp_path / "video.avi")) == 5
    assert sorted(item.name for item in tmp_path.iterdir()) == ["events.jsonl", "video.avi"]
    assert "FPS" in told.steps[-1]


linux = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")


@linux
def test_memory_is_flat_over_simulated_streaming() -> None:
    soak = simulated_soak(0.2, samples=20)
    assert soak.figures.appeared == 0.2 * 3600 * 30
    assert soak.settled[0].seconds >= SETTLING_SECONDS
    assert soak.growth < 2, report(soak)


@linux
@pytest.mark.slow
def test_a_camera_that_is_unplugged_now_and_then(nano_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolox_deploy.benchmarks.studies.stream_soak.OUTAGE_SECONDS", 0.5)
    with Detector(nano_onnx, threads=1) as detector:
        options = {"outage_every": 2, "sample_every": 1, "cameras": 2}
        soak = real_soak(detector, 6, **options, video=".avi", log=lambda line: None)
    assert soak.figures.reconnects >= 1
    assert soak.figures.answered > 10
    assert len(soak.samples) >= 5
    assert "resident memory" in report(soak)


@linux
@pytest.mark.slow
def test_cameras_of_one_process_and_of_several(nano_onnx: Path) -> None:
    together = stream_together(nano_onnx, (5.0, 5.0), 1.5)
    apart = stream_apart(nano_onnx, (5.0, 5.0), 1.5)
    assert [source["error"] for source in together.figures["sources"]] == [None, None]
    assert together.answered > 4
    assert all(run.processor_seconds > 0 and run.mib > 50 for run in (together, *apart))
