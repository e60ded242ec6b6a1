"""When a frame is to be seen: by the file of a video, by the clock of a camera."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.capture import BrokenVideoWarning, LiveSource, video_frames
from yolox_deploy.errors import InputError
from yolox_deploy.sources import open_source
from yolox_deploy.synthetic import MovingScene

VARIED = (0, 40, 80, 400, 440, 1500, 1540)
"""Milliseconds."""


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")])
def test_frames_of_a_video_have_their_times(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"video{suffix}"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 12.5, (64, 48))
    for level in range(6):
        video.write(np.full((48, 64, 3), 40 * level, np.uint8))
    video.release()
    frames = list(video_frames(path))
    assert [frame.time for frame in frames] == pytest.approx([i / 12.5 for i in range(6)], abs=1e-3)
    assert [frame.time for frame in open_source(path)] == [frame.time for frame in frames]


def test_a_rate_that_varies_is_the_one_of_the_file(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="writes videos of a varied rate; comes with the extra track")
    path = tmp_path / "varied.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, at in enumerate(VARIED):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 * index, np.uint8), format="bgr24")
            frame.pts, frame.time_base = at, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    times = [frame.time for frame in video_frames(path)]
    assert times == pytest.approx([at / 1000 for at in VARIED], abs=2e-3)


def test_a_video_that_breaks_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    MovingScene(seed=1).write(path, seconds=3, frame_rate=10)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"video\.avi breaks off after (\d+) frames: 1\.\d s before its end"):
        frames = list(video_frames(path))
    assert 10 < len(frames) < 20


WRITERS = {
    "index.avi": ("mpeg4", {}),
    "end.mkv": ("libx264", {}),
    "end.webm": ("libvpx", {}),
    "first.mp4": ("libx264", {"movflags": "faststart"}),
    "parts.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "packets.mpg": ("mpeg2video", {}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_video_that_was_cut_anywhere_is_told_or_refused(tmp_path: Path, name: str) -> None:
    av = pytest.importorskip("av", reason="writes videos of all containers; comes with the extra track")
    path, (codec, options) = tmp_path / name, WRITERS[name]
    noise = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=20)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(40):
            picture = cv2.GaussianBlur(np.roll(noise, 3 * index, axis=1), (5, 5), 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(video_frames(path))) == 40
    content, cut = path.read_bytes(), tmp_path / f"cut{path.suffix}"
    for share in (0.2, 0.45, 0.7, 0.95):
        cut.write_bytes(content[: int(len(content) * share) | 1])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                frames = len(list(video_frames(cut)))
            except InputError:
                continue
        told = [str(item.message) for item in caught if item.category is BrokenVideoWarning]
        assert frames == 40 or (told and f"breaks off after {frames} frames" in told[0])


def test_frames_of_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "video.avi"
    MovingScene(seed=1).write(path, seconds=1, frame_rate=10)
    monkeypatch.setenv("YOLOX_DEPLOY_MAX_PIXELS", "1000")
    for read in (video_frames, open_source, LiveSource):
        with pytest.raises(InputError, match=r"video\.avi has \d+ x \d+ pixels .*YOLOX_DEPLOY_MAX_PIXELS"):
            list(read(path))


def test_a_cut_file_behind_an_address_is_told(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    MovingScene(seed=1).write(path, seconds=3, frame_rate=10)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(BrokenVideoWarning, match=r"breaks off after \d+ frames: 1\.\d s before its end"):
        list(LiveSource(path.as_uri()))


def test_a_file_behind_an_address_has_the_times_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 2.0, (64, 48))
    for level in range(4):
        video.write(np.full((48, 64, 3), 40 * level, np.uint8))
    video.release()
    assert [frame.time for frame in LiveSource(path.as_uri())] == pytest.approx([0, 0.5, 1, 1.5])


def test_pictures_have_no_time(picture: Path) -> None:
    assert [frame.time for frame in open_source(picture)] == [None]
