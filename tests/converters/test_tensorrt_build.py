"""What a build keeps for the next one; building itself is in `test_tensorrt_target.py`, which needs the library."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from yolox_deploy.converters.tensorrt_build import store_timing_cache

TIMINGS = SimpleNamespace(serialize=lambda: b"timings")


def test_timings_are_kept_in_a_folder_that_is_made(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "tensorrt" / "timing.cache"
    store_timing_cache(TIMINGS, file)
    assert file.read_bytes() == b"timings"
    assert list(file.parent.iterdir()) == [file]


def test_a_cache_that_cannot_be_written_does_not_end_a_finished_build(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    store_timing_cache(TIMINGS, tmp_path / "file" / "tensorrt" / "timing.cache")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
