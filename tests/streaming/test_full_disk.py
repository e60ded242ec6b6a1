"""A disk without room ends a video at once, by an error that names it, and leaves what was there before."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.clips import Clip, ClipOptions, ClipRecorder
from yolox_deploy.streaming.video import VideoWriter


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount a disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_full_disk_is_noticed_while_a_video_is_written(
    small_disk: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path, frames = small_disk / f"video{suffix}", iter(range(1000))
    path.write_bytes(b"an older video")
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    video = VideoWriter(path, 10)

    def write() -> None:
        with video:
            for index in frames:
                video.add(np.roll(noise, index, axis=1), index / 10)

    with pytest.raises(UsageError, match=rf"video\{suffix} cannot be written further \(No space left"):
        write()
    assert next(frames) < 200
    assert path.read_bytes() == b"an older video"
    assert [item.name for item in small_disk.iterdir()] == [path.name]
    for again in (lambda: video.add(noise, 200.0), video.close):
        with pytest.raises(UsageError, match="cannot be written further"):
            again()
    assert [item.name for item in small_disk.iterdir()] == [path.name]
    capfd.readouterr()  # FFmpeg tells of it, too


def test_a_clip_that_a_full_disk_ends_is_named_and_not_listed(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    found = Detections(
        np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("person",)
    )
    clips: list[Clip] = []

    def record() -> None:
        with ClipRecorder(ClipOptions(small_disk, before=0), "cam", 10, clips.append) as recorder:
            for index in range(1000):
                recorder.add(np.roll(noise, index, axis=1), found, time=index / 10, clock=index / 10)

    with pytest.raises(UsageError, match=r"_cam_person\.mp4 cannot be written further \(No space left"):
        record()
    assert clips == list(small_disk.iterdir()) == []
    capfd.readouterr()


def test_a_file_that_grows_no_more_is_noticed_while_it_is_written(tmp_path: Path) -> None:
    """As behind a limit that the disk itself does not have."""
    path = tmp_path / "video.mp4"
    code = f"""
import itertools, resource
import numpy as np
from yolox_deploy.streaming.video import VideoWriter
with VideoWriter({str(path)!r}, 30) as video:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for index in range(80_000):
        video.add(np.zeros((16, 16, 3), np.uint8), index / 30)
    print("not noticed")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert "video.mp4 cannot be written further (the file grows no more)" in done.stderr
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])
