"""Clips of a stream: what is in them, how long they are, what they are called, and what is left when one fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.clips import INDEX, Clip, ClipOptions, ClipRecorder

NAMES = ("person", "traffic light")
NOON = 1_796_040_000.0  # 2026-11-30T12:00:00Z
RATE = 10.0


def found(*class_ids: int) -> Detections:
    """A box of each class, the first the best."""
    count = len(class_ids)
    boxes = np.tile(np.array([[1, 1, 20, 20]], np.float32), (count, 1))
    return Detections(
        boxes, np.linspace(0.9, 0.5, count, dtype=np.float32), np.array(class_ids, np.int64), NAMES
    )


def grey(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def levels(path: Path) -> list[int]:
    """Mean grey level of each frame of a video, to the nearest ten."""
    capture = cv2.VideoCapture(str(path))
    seen = []
    while True:
        success, image = capture.read()
        if not success:
            capture.release()
            return seen
        seen.append(int(round(float(image.mean()), -1)))


def watch(recorder: ClipRecorder, seen: Iterable[Detections], first: int = 0) -> None:
    """One picture a tenth of a second, each ten lighter than the one before, beginning anew after the 20th."""
    for index, detections in enumerate(seen, start=first):
        time = index / RATE
        recorder.add(grey(10 * (index % 20) + 20), detections, time=time, clock=NOON + time)


def shades(indices: Iterable[int]) -> list[int]:
    return [10 * (index % 20) + 20 for index in indices]


def options(folder: Path, **changed: object) -> ClipOptions:
    return ClipOptions(**{"folder": folder, "before": 0.3, "after": 0.5, "longest": 2.0, **changed})  # type: ignore[arg-type]


def videos(folder: Path) -> list[Path]:
    return sorted(folder.glob("20*.mp4"))


def test_a_clip_holds_what_was_before_while_and_after(tmp_path: Path) -> None:
    told: list[Clip] = []
    with ClipRecorder(options(tmp_path / "clips"), "camera", RATE, told.append) as recorder:
        watch(recorder, [*[found()] * 6, found(0), found(), found(1, 0), *[found()] * 8])
        assert videos(tmp_path / "clips") != []  # whole as soon as it ends, not when the stream does
    (clip,) = told
    assert levels(clip.path) == shades(range(3, 14))
    assert clip.path == tmp_path / "clips" / "2026-11-30T12-00-00Z_camera_person.mp4"
    assert clip.classes == ("person", "traffic light")
    assert (clip.start, clip.end) == pytest.approx((NOON + 0.3, NOON + 1.3))
    assert json.loads((tmp_path / "clips" / INDEX).read_text()) == {
        "file": clip.path.name,
        "source": "camera",
        "start": "2026-11-30T12:00:00.300+00:00",
        "end": "2026-11-30T12:00:01.300+00:00",
        "classes": ["person", "traffic light"],
    }
    assert sorted(path.name for path in clip.path.parent.iterdir()) == [clip.path.name, INDEX]


def test_only_chosen_classes_begin_and_prolong_a_clip(tmp_path: Path) -> None:
    told: list[Clip] = []
    with ClipRecorder(options(tmp_path, class_ids=(1,)), "camera", RATE, told.append) as recorder:
        watch(recorder, [found(0), found(0, 1), *[found(0)] * 9])
    (clip,) = told
    assert levels(clip.path) == shades(range(7))
    assert clip.classes == ("traffic light",)
    assert clip.path.name == "2026-11-30T12-00-00Z_camera_traffic-light.mp4"


def test_what_goes_on_is_cut_at_the_longest_and_no_picture_is_twice(tmp_path: Path) -> None:
    told: list[Clip] = []
    with ClipRecorder(options(tmp_path), "camera", RATE, told.append) as recorder:
        watch(recorder, [found(), *[found(0)] * 45])
    assert [len(levels(clip.path)) for clip in told] == [21, 21, 4]
    assert [shade for clip in told for shade in levels(clip.path)] == shades(range(46))
    assert all(1.9 < clip.end - clip.start <= 2.0 for clip in told[:2])


def test_clips_of_the_same_second_have_names_of_their_own(tmp_path: Path) -> None:
    told: list[Clip] = []
    again = [found(0), *[found()] * 3]
    with ClipRecorder(options(tmp_path, before=0, after=0.1), "camera", RATE, told.append) as recorder:
        watch(recorder, [*again, *again])
    stem = "2026-11-30T12-00-00Z_camera_person"
    assert [clip.path.name for clip in told] == [f"{stem}.mp4", f"{stem}_2.mp4"]
    assert [levels(clip.path) for clip in told] == [shades([0, 1]), shades([4, 5])]
    assert len((tmp_path / INDEX).read_text().splitlines()) == 2


def test_two_sources_of_one_name_do_not_write_into_each_other(tmp_path: Path) -> None:
    with (
        ClipRecorder(options(tmp_path), "rtsp://one.local/main?token=secret", RATE) as one,
        ClipRecorder(options(tmp_path), "rtsp://one.local/main?token=other", RATE) as other,
    ):
        watch(one, [found(0)] * 5)
        watch(other, [found(0)] * 7)
    stem = "2026-11-30T12-00-00Z_one-local-main_person"
    assert {path.name: len(levels(path)) for path in videos(tmp_path)} == {
        f"{stem}.mp4": 5,
        f"{stem}_2.mp4": 7,
    }


def test_a_clip_ends_by_the_clock_where_no_picture_comes(tmp_path: Path) -> None:
    """A camera that was lost for an hour leaves a whole clip now, not in an hour."""
    recorder = ClipRecorder(options(tmp_path), "camera", RATE)
    watch(recorder, [found(0), found()])
    recorder.tick(0.5)
    assert videos(tmp_path) == []
    recorder.tick(0.51)
    assert [levels(path) for path in videos(tmp_path)] == [shades([0, 1])]


def test_memory_is_bounded_by_bytes_too_and_a_running_clip_loses_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    size = len(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    told: list[Clip] = []
    limits = options(tmp_path, before=1.4, most_bytes=4 * size)
    with ClipRecorder(limits, "camera", RATE, told.append) as recorder:
        for index in range(16):
            recorder.add(noise, found(*[0] * (index >= 10)), time=index / RATE, clock=NOON)
            assert sum(kept.jpeg.nbytes for kept in recorder._kept) <= limits.most_bytes
    (clip,) = told
    assert len(levels(clip.path)) == 4 + 6


def test_an_exception_leaves_a_whole_clip(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Detections]:
        yield from [*[found()] * 3, found(0)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ClipRecorder(options(tmp_path), "camera", RATE) as recorder:
        watch(recorder, interrupted())
    assert [levels(path) for path in videos(tmp_path)] == [shades(range(4))]


def test_where_nothing_chosen_is_seen_nothing_is_written(tmp_path: Path) -> None:
    with ClipRecorder(options(tmp_path, class_ids=(1,)), "camera", RATE) as recorder:
        watch(recorder, [found(0)] * 20)
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.streaming.test_clips import *
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with ClipRecorder(options(Path(sys.argv[1])), "camera", RATE) as recorder:
        watch(recorder, [found(0)] * 5)
except UsageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit of a file's size is POSIX's")
def test_a_full_disk_is_an_error_that_names_the_clip(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert f"{tmp_path / '2026-11-30T12-00-00Z_camera_person.mp4'} was not written" in done.stdout
    assert "as if the disk were full" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"before": -1}, "-1 s before"),
        ({"before": 1, "after": 1}, "less than 2 s together"),
        ({"class_ids": ()}, "no class"),
    ],
)
def test_what_cannot_be_recorded_is_refused(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(tmp_path, **changed)


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is a file; expected a folder"):
        ClipRecorder(options(tmp_path / "file"), "camera", RATE)
