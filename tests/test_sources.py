"""Pictures, folders, globs, videos and live streams."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_deploy.benchmarks.studies.loopback import LoopbackCamera
from yolox_deploy.capture import LiveSource
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.sources import Frame, image_paths, is_live, open_source

FRAMES = 30


def picture(path: Path, level: int = 128) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((48, 64, 3), level, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, and things that are none."""
    root = tmp_path / "pictures"
    for name in ("b.png", "a.JPG", "c.bmp", "sub/d.png"):
        picture(root / name)
    (root / "notes.txt").write_text("no picture")
    (root / "folder.png").mkdir()
    return root


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame i of 30 is grey of level 8 i."""
    path = tmp_path_factory.mktemp("video") / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(FRAMES):
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    return path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_means_its_pictures_in_order(folder: Path) -> None:
    assert names(image_paths(folder)) == ["a.JPG", "b.png", "c.bmp"]


def test_a_glob_and_a_file(folder: Path) -> None:
    assert names(image_paths(f"{folder}/[bc].*")) == ["b.png", "c.bmp"]
    assert names(image_paths(f"{folder}/**/d.png")) == ["d.png"]
    assert image_paths(folder / "notes.txt") == [folder / "notes.txt"]  # a named file is taken at its word


def test_a_name_with_brackets_is_a_file_and_no_pattern(tmp_path: Path) -> None:
    path = picture(tmp_path / "photo[1].png")
    assert image_paths(path) == [path]


@pytest.mark.parametrize("name", ["missing.png", "*.tif", "empty"])
def test_no_picture_is_an_error_that_says_what_was_expected(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no picture at .*; expected"):
        image_paths(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "live"),
    [(0, True), ("1", True), ("rtsp://host/stream", True), ("a.mp4", False), (Path("folder"), False)],
)
def test_what_is_live(source: str | int | Path, live: bool) -> None:
    assert is_live(source) is live


def test_frames_of_a_folder_are_numbered_and_named(folder: Path) -> None:
    frames = list(open_source(folder))
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.name for frame in frames] == [
        str(folder / name) for name in ("a.JPG", "b.png", "c.bmp", "sub/d.png")
    ]
    assert frames[0].image.shape == (48, 64, 3)


def test_a_broken_picture_is_named_when_its_turn_comes(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"broken")
    frames = open_source(folder)
    next(frames)
    with pytest.raises(InputError, match=r"b\.png"):
        next(frames)


@pytest.mark.parametrize("name", ["missing.mp4", "missing", "missing-*.png"])
def test_a_missing_source_is_an_error_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="missing"):
        open_source(tmp_path / name)


def test_a_list_is_read_one_after_another_and_counted_through(folder: Path, video: Path) -> None:
    frames = list(open_source([folder / "sub", video, str(folder / "[ab].*")]))
    assert [frame.index for frame in frames] == list(range(FRAMES + 3))
    assert [Path(frame.name).name for frame in frames[:2]] == ["d.png", "grey.avi"]
    assert [Path(frame.name).name for frame in frames[-2:]] == ["a.JPG", "b.png"]


def test_an_endless_iterable_is_read_as_it_goes(folder: Path) -> None:
    asked = []

    def sources() -> Iterator[Path]:
        while True:
            asked.append(1)
            yield folder / "a.JPG"

    frames = open_source(sources())
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    assert len(asked) == 3


def test_a_missing_one_of_a_list_is_an_error_at_once(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no picture or video at missing\.png"):
        open_source([folder, "missing.png"])


@pytest.mark.parametrize("source", [b"bytes", np.zeros((4, 4, 3), np.uint8), None, 1.5])
def test_what_is_no_source_is_told_where_it_goes(source: object) -> None:
    with pytest.raises(UsageError, match="predict_batch"):
        open_source(source)  # type: ignore[arg-type]


def level(frame: Frame) -> int:
    return round(float(frame.image.mean()) / 8)


def test_a_video_yields_every_frame_in_order(video: Path) -> None:
    frames = list(open_source(video))
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [level(frame) for frame in frames] == list(range(FRAMES))


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.mp4"):
        list(open_source(path))


@pytest.fixture
def stream(video: Path) -> Iterator[str]:
    """The video under an address, which makes it a stream; no reading thread may outlive the test."""
    yield video.as_uri()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames of")]


def test_a_live_source_drops_what_came_while_the_caller_was_busy(stream: str) -> None:
    seen = []
    for frame in open_source(stream):
        seen.append(frame.index)
        assert level(frame) == frame.index
        time.sleep(0.1)
    assert seen == sorted(set(seen))
    assert len(seen) < FRAMES
    assert seen[-1] == FRAMES - 1, "the newest frame is never dropped"


def test_closing_a_live_source_early_stops_its_thread(stream: str) -> None:
    frames = open_source(stream)
    next(frames)
    frames.close()  # type: ignore[attr-defined]


def test_a_live_source_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        next(open_source((tmp_path / "nothing.avi").as_uri()))


@pytest.mark.parametrize("user", ["", "anna@", "anna:se:cr@t@"])
def test_passwords_are_not_told(user: str) -> None:
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/x@y\.mjpg cannot be opened"):
        next(open_source(f"http://{user}127.0.0.1:9/x@y.mjpg"))


def test_a_live_source_that_opens_and_gives_nothing_is_an_error(video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: data.index(b"movi") + 4])
    with pytest.raises(InputError, match="was opened but gives no frame"):
        list(open_source(cut.as_uri()))


def jpeg(number: int) -> bytes:
    """Grey of level 8 x number."""
    success, data = cv2.imencode(".jpg", np.full((48, 64, 3), 8 * (number % FRAMES), np.uint8))
    assert success
    return data.tobytes()


@pytest.fixture
def camera() -> Iterator[LoopbackCamera]:
    with LoopbackCamera(jpeg, rate=50) as camera:
        yield camera


def test_a_lost_live_source_comes_back_and_counts_on(camera: LoopbackCamera) -> None:
    live = LiveSource(camera.address, patience=10)
    frames = iter(live)
    before = [next(frames).index for _ in range(5)]
    camera.unplug()
    threading.Timer(0.5, camera.plug).start()
    after = [next(frames) for _ in range(60)]
    assert live.reconnects == 1
    assert before + [frame.index for frame in after] == list(range(65))
    assert [frame.appeared for frame in after] == sorted(frame.appeared for frame in after)


def test_without_patience_a_loss_is_the_end(camera: LoopbackCamera) -> None:
    frames = open_source(camera.address)
    first = next(frames)
    camera.unplug()
    assert all(frame.index > first.index for frame in frames)  # those on their way; then it ends


def test_a_source_that_stays_away_is_given_up_by_name(camera: LoopbackCamera) -> None:
    frames = open_source(camera.address, reconnect=0.3)
    next(frames)
    camera.unplug()
    with pytest.raises(
        InputError, match=r"stream\.mjpg was lost after \d+ frames and did not come back within 0\.3 s"
    ):
        list(frames)


def test_waiting_for_a_lost_source_can_be_ended(camera: LoopbackCamera) -> None:
    live = LiveSource(camera.address, patience=3600)
    frames = iter(live)
    next(frames)
    camera.unplug()
    threading.Timer(0.3, live.stop).start()
    assert [frame for frame in frames if frame.index == 0] == []


def test_a_file_behind_an_address_is_not_read_twice(stream: str) -> None:
    assert len(list(LiveSource(stream, patience=60))) == FRAMES


def test_a_source_that_falls_silent_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolox_deploy.capture.TIMEOUT_SECONDS", 2.0)
    silent, spoken = threading.Event(), threading.Event()

    def picture(number: int) -> bytes:
        if number == 5 and not silent.is_set():
            silent.set()
            spoken.wait(30)
        return jpeg(number)

    with LoopbackCamera(picture, rate=50) as camera:
        live = LiveSource(camera.address, patience=10)
        frames = iter(live)
        assert [next(frames).index for _ in range(20)] == list(range(20))
        assert live.reconnects == 1
        spoken.set()
        live.stop()
        assert len(list(frames)) <= 1


def test_several_live_sources_take_turns_until_all_have_ended() -> None:
    with (
        LoopbackCamera(jpeg, rate=30, count=8) as first,
        LoopbackCamera(jpeg, rate=30, count=20) as second,
    ):
        sources = [first.address, second.address, second.address]
        seen: dict[str, list[int]] = {}
        for frame in open_source(sources):
            seen.setdefault(frame.name, []).append(frame.index)
    assert sorted(seen) == sorted([first.address, second.address, f"{second.address} (2)"])
    assert seen[first.address][-1] == 7
    assert seen[second.address][-1] == 19
    assert all(indices == sorted(set(indices)) for indices in seen.values())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames of")]


def test_of_several_live_sources_all_can_be_opened() -> None:
    with (
        LoopbackCamera(jpeg, rate=30, count=8) as camera,
        pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/x\.mjpg cannot be opened"),
    ):
        next(open_source([camera.address, "http://127.0.0.1:9/x.mjpg"]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes and links, which Windows has not")
def test_links_in_a_circle_are_entered_once(folder: Path) -> None:
    for name in ("one", "two", "three"):
        (folder / "sub" / name).symlink_to(folder)
    assert names(image_paths(f"{folder}/**/*.png")) == ["b.png", "d.png"]
