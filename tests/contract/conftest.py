"""One model file a runtime, made from the same network by the target that writes for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yolox_deploy.converters import Converted, ExportOptions, Source
from yolox_deploy.converters.base import TARGETS
from yolox_deploy.errors import MissingExtraError, UsageError
from yolox_deploy.exporter.pipeline import store_info
from yolox_deploy.exporter.source_model import load_source_model
from yolox_deploy.models import build_model
from yolox_deploy.models.fusion import fuse
from yolox_deploy.runtimes import open_runtime
from yolox_deploy.runtimes.registry import RuntimeEntry

if TYPE_CHECKING:
    from yolox_deploy import Artifact

CAPABILITY = (8, 6)  # engines for another machine's GPU can be built here, if not run


@dataclass(frozen=True)
class ModelFile:
    """A model file with everything that belongs to it, alone in a folder."""

    path: Path

    @property
    def siblings(self) -> list[Path]:
        """The other files of the set, the sidecar not among them."""
        sidecar = self.path.name + ".json"
        return sorted(p for p in self.path.parent.iterdir() if p != self.path and p.name != sidecar)

    @property
    def sidecar(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def copy(self, folder: Path) -> ModelFile:
        """The whole set in another folder, to be damaged there."""
        shutil.copytree(self.path.parent, folder)
        return ModelFile(folder / self.path.name)


ModelFiles = Callable[[RuntimeEntry], ModelFile]


def _convert(
    entry: RuntimeEntry, source: Source, options: ExportOptions, flags: set[str], folder: Path
) -> Path:
    """Write a file for `entry` by the first target that can, or skip the test with each one's reason."""
    reasons = []
    for target in TARGETS:
        if target.runtime != entry.name or not flags <= set(target.flags):
            continue
        path = folder / target.name / f"nano{target.suffix}"
        path.parent.mkdir(parents=True)
        try:
            converted: Converted = target.load()(source, path, options)
        except (MissingExtraError, UsageError) as error:
            reasons.append(f"{target.name}: {error}")
            continue
        store_info(converted)
        return converted.path
    pytest.skip(f"no file for {entry.name}: {'; '.join(reasons) or 'no target writes for it'}")


@pytest.fixture(scope="session")
def model_file(
    nano_artifact: Artifact, nano_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> ModelFiles:
    """The file of the package's yolox_nano for a runtime; for one that opens checkpoints, the checkpoint itself."""
    return _model_files(nano_artifact, nano_weights, tmp_path_factory)


@pytest.fixture(scope="session")
def coco_model_file(
    coco_nano_artifact: Artifact, coco_nano_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> ModelFiles:
    """The file of the official yolox_nano for a runtime, as `model_file`."""
    return _model_files(coco_nano_artifact, coco_nano_weights, tmp_path_factory)


def _model_files(artifact: Artifact, weights: Path, folders: pytest.TempPathFactory) -> ModelFiles:
    made: dict[str, Path] = {}

    def make(entry: RuntimeEntry) -> Path:
        folder = folders.mktemp(entry.name)
        if weights.suffix in entry.suffixes:
            return Path(shutil.copy(weights, folder))
        network = fuse(load_source_model("yolox_nano", weights, None).network)
        source = Source(network, artifact.path, artifact.info)
        return _convert(entry, source, ExportOptions(compute_capability=CAPABILITY), set(), folder)

    def get(entry: RuntimeEntry) -> ModelFile:
        if entry.name not in made:
            made[entry.name] = make(entry)
        return ModelFile(made[entry.name])

    return get


@pytest.fixture(scope="session")
def free_batch_file(flexible_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A file with a free batch for a runtime, of yolox_nano with random weights at 64x96."""

    def get(entry: RuntimeEntry) -> ModelFile:
        with open_runtime(flexible_onnx, "onnxruntime") as runtime:
            info = runtime.artifact
        assert info is not None
        source = Source(fuse(build_model("yolox_nano", 3).eval()), flexible_onnx, info)
        options = ExportOptions(
            imgsz=(64, 96), batch=None, decode=True, uint8_input=True, compute_capability=CAPABILITY
        )
        folder = tmp_path_factory.mktemp(entry.name)
        return ModelFile(_convert(entry, source, options, {"dynamic_batch", "decode", "uint8_input"}, folder))

    return get
