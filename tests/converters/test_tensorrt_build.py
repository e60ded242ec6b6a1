"""What a build keeps for the next one; building itself is in `test_tensorrt_target.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.converters.tensorrt_build import load_timing_cache, store_timing_cache
from yolox_deploy.vendors.tensorrt_sdk import load_sdk

pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")
# TensorRT-RTX has the calls of TensorRT and a cache that stays empty, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")


@pytest.fixture(scope="module")
def config() -> Any:
    trt = load_sdk("tensorrt-rtx").module
    return trt.Builder(trt.Logger(trt.Logger.ERROR)).create_builder_config()


def test_timings_are_kept_in_a_folder_that_is_made(config: Any, tmp_path: Path) -> None:
    file = tmp_path / "cache" / "tensorrt" / "timing.cache"
    cache = load_timing_cache(config, file)
    store_timing_cache(cache, file)
    assert file.read_bytes() == bytes(cache.serialize())
    assert list(file.parent.iterdir()) == [file]
    assert bytes(load_timing_cache(config, file).serialize()) == file.read_bytes()


def test_a_cache_that_cannot_be_written_does_not_end_a_finished_build(config: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    file = tmp_path / "file" / "tensorrt" / "timing.cache"
    store_timing_cache(load_timing_cache(config, file), file)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
