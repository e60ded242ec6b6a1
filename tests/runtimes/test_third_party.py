"""Runtimes that other packages offer under the entry-point group `yolox_deploy.runtimes`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detector
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.runtimes.registry import entries, find

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test package, as a package manager would put it on the path."""
    monkeypatch.syspath_prepend(str(PLUGINS))


@pytest.mark.usefixtures("installed")
def test_a_detector_runs_on_it_by_its_suffix(tmp_path: Path) -> None:
    answer = np.zeros((1, 84, 7), np.float32)
    answer[0, 10, 4:] = (0.9, 1.0, 0.0)  # anchor point 10 of stride 8: column 2, row 1, a box of 8x8
    np.save(tmp_path / "model.npy", answer)
    with Detector(tmp_path / "model.npy") as detector:
        found = list(detector.predict(np.zeros((64, 64, 3), np.uint8)))
        assert detector.info.backend == "constant"
    assert [item.class_name for item in found] == ["class_0"]
    assert found[0].box == (12.0, 4.0, 20.0, 12.0)


@pytest.mark.usefixtures("installed")
def test_it_stands_in_the_table_with_its_package() -> None:
    entry = next(entry for entry in entries() if entry.name == "constant")
    assert (entry.suffixes, entry.package, entry.installed) == ((".npy",), "yolox_deploy_constant", True)


def test_without_the_package_the_suffix_is_unknown() -> None:
    with pytest.raises(ArtifactError, match=r"no backend opens '\.npy'"):
        find(Path("model.npy"))
    with pytest.raises(UsageError, match="no backend 'constant'"):
        find(Path("model.npy"), "constant")


def test_a_broken_package_is_named_and_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    (folder / "entry_points.txt").write_text(
        "[yolox_deploy.runtimes]\nnone = no_such_module:Runtime\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(UserWarning, match="'none' of broken cannot be imported"):
        assert find(Path("model.onnx")).name == "onnxruntime"
