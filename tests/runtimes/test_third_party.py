"""Runtimes that other packages offer under the entry-point group `yolox_deploy.runtimes`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detector
from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.benchmarks.rows import total_bytes
from yolox_deploy.converters import Converted
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.exporter.pipeline import store_info
from yolox_deploy.runtimes.registry import entries, find, present_files
from yolox_deploy.tuned import TunedOpening, read_tuned, write_tuned

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test package, as a package manager would put it on the path."""
    monkeypatch.syspath_prepend(str(PLUGINS))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of two files."""
    answer = np.zeros((1, 84, 7), np.float32)
    answer[..., 5:] = 0.05  # a network gives each class some probability
    answer[0, 10, 4:] = (0.45, 0.5, 0.0)  # anchor point 10 of stride 8: column 2, row 1, a box of 8x8
    np.save(tmp_path / "model.npy", answer)
    np.save(tmp_path / "model.scale.npy", np.float32(2))
    return tmp_path / "model.npy"


@pytest.mark.usefixtures("installed")
def test_a_detector_runs_on_it_by_its_suffix(model: Path) -> None:
    with Detector(model) as detector:
        found = list(detector.predict(np.zeros((64, 64, 3), np.uint8)))
        assert detector.info.backend == "constant"
    assert [item.class_name for item in found] == ["class_0"]
    assert found[0].box == (12.0, 4.0, 20.0, 12.0)


@pytest.mark.usefixtures("installed")
def test_its_second_file_belongs_to_the_model_everywhere(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    scale = tmp_path / "model.scale.npy"
    assert present_files(model) == (model, scale)
    write_tuned(model, TunedOpening(str(model), "constant"))
    store_info(Converted(model, ArtifactInfo("constant", ("thing", "other"), (64, 64))))
    whole = total_bytes(model)
    with Detector(model, backend="auto") as detector:
        assert detector.class_names == ("thing", "other")
    np.save(scale, np.ones((1, 84, 7), np.float32))
    assert total_bytes(model) - whole == 4 * 84 * 7 - 4
    assert read_tuned(model) is None
    with pytest.raises(ArtifactError, match=r"model\.scale\.npy is damaged or was replaced"):
        Detector(model)


@pytest.mark.usefixtures("installed")
def test_its_set_may_be_renamed_together_but_not_be_torn_apart(model: Path, tmp_path: Path) -> None:
    store_info(Converted(model, ArtifactInfo("constant", ("thing", "other"), (64, 64))))
    for file in list(tmp_path.iterdir()):
        file.rename(tmp_path / file.name.replace("model", "door", 1))
    with Detector(tmp_path / "door.npy") as detector:
        assert detector.class_names == ("thing", "other")
    (tmp_path / "door.scale.npy").unlink()
    with pytest.raises(ArtifactError, match=r"needs door\.scale\.npy beside it"):
        Detector(tmp_path / "door.npy")


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
