"""Pairs that nothing vouches for are run in a process of their own first; what ends it is an error here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy.artifact import ArtifactInfo, write_sidecar
from yolox_deploy.errors import ArtifactError
from yolox_deploy.runtimes import ncnn_trial
from yolox_deploy.runtimes.ncnn_adapter import NcnnOptions, NcnnRuntime

ONE_THREAD = NcnnOptions(threads=1)
TILE = "Tile many 1 1 images output 0=0 1={}"
"""A layer whose sizes nobody follows here."""


def write(folder: Path, layers: str, size: str = " 0=64 1=32 2=3") -> Path:
    path = folder / "model.param"
    lines = ["7767517", f"{1 + len(layers.splitlines())} 9", f"Input in 0 1 images{size}", layers]
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".bin").write_bytes(b"")
    return path


def run(path: Path, size: tuple[int, int] = (32, 64)) -> tuple[int, ...]:
    with NcnnRuntime(path, ONE_THREAD) as runtime:
        return runtime.infer({"images": np.zeros((1, 3, *size), np.float32)})["output"].shape


def test_a_layer_that_cannot_be_followed_is_tried_and_told_of(tmp_path: Path) -> None:
    path = write(tmp_path, TILE.format(2))
    with NcnnRuntime(path, ONE_THREAD) as runtime:
        (note,) = runtime.loaded.notes
        assert "sizes of Tile and of the layers behind cannot be checked" in note
    assert run(path) == (1, 6, 32, 64)
    assert NcnnRuntime(write(tmp_path, "Swish act 1 1 images output"), ONE_THREAD).loaded.notes == ()


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            "Eltwise sum 1 1 images output 0=0",
            r"ended the process with .* at 32x64 in a process of its own",
        ),  # reads a second input
        (TILE.format(1_000_000), r"gave no output .*allowed [\d,]+ bytes of memory"),
        ("PixelShuffle shuffle 1 1 images output 0=0", r"ncnn refused .*shuffle failed"),
    ],
)
def test_what_ends_the_trial_is_an_error_here(layer: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=says):
        NcnnRuntime(write(tmp_path, layer), ONE_THREAD)


def test_a_trial_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncnn_trial, "SECONDS", 0.0)
    with pytest.raises(ArtifactError, match="did not end within 0 s"):
        NcnnRuntime(write(tmp_path, "Swish act 1 1 images output"), ONE_THREAD)


def test_a_sidecar_with_checksums_spares_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "Swish act 1 1 images output")
    write_sidecar(path, ArtifactInfo("toy", ("a",), (32, 64), format="ncnn"), [path.with_suffix(".bin")])
    monkeypatch.setattr(ncnn_trial, "SECONDS", 0.0)
    assert run(path) == (1, 3, 32, 64)


def test_a_program_without_a_python_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = write(tmp_path, "Swish act 1 1 images output")
    for executable in ("", "/usr/bin/env", str(tmp_path / "python3")):
        monkeypatch.setattr(sys, "executable", executable)
        with NcnnRuntime(followed, ONE_THREAD) as runtime:
            assert runtime.loaded.notes == (ncnn_trial.NO_TRIAL,)
    with pytest.raises(ArtifactError, match="holds Tile, whose sizes cannot be checked, and it was not run"):
        NcnnRuntime(write(tmp_path, TILE.format(2)), ONE_THREAD)


def test_a_file_of_any_size_is_tried_again_at_a_new_one_where_it_cannot_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed, unfollowed = tmp_path / "followed", tmp_path / "unfollowed"
    for folder in (followed, unfollowed):
        folder.mkdir()
    with (
        NcnnRuntime(write(followed, "Swish act 1 1 images output", ""), ONE_THREAD) as one,
        NcnnRuntime(write(unfollowed, TILE.format(2), ""), ONE_THREAD) as other,
    ):
        monkeypatch.setattr(ncnn_trial, "SECONDS", 0.0)
        image = np.zeros((1, 3, 64, 96), np.float32)
        assert one.infer({"images": image})["output"].shape == image.shape
        with pytest.raises(ArtifactError, match="at 64x96"):
            other.infer({"images": image})
