"""The model in the package: small, named for what it is, and as good as it is said to be on scenes it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolox_deploy import Detector
from yolox_deploy.evaluation import coco_ap
from yolox_deploy.exporter.source_model import load_source_model
from yolox_deploy.files import embedded_checkpoint
from yolox_deploy.models import read_checkpoint
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.synthetic.scenes import CLASS_NAMES

LEAST_AP = 0.80
LARGEST_BYTES = 2_500_000
UNSEEN_SEED = 77
"""The training and validation scenes of the embedded model have seed 0."""


def test_it_is_small_and_named_for_what_it_is() -> None:
    path = embedded_checkpoint()
    checkpoint = read_checkpoint(path)
    assert path.stat().st_size <= LARGEST_BYTES
    assert (checkpoint.model_name, checkpoint.class_names) == ("yolox_nano", CLASS_NAMES)
    assert checkpoint.input_size == (480, 640)
    assert "scenes" in path.name


def test_weights_called_scenes_are_the_embedded_ones() -> None:
    subject = load_source_model(None, "scenes", None)
    assert subject.network.config.name == "yolox_nano"
    assert subject.class_names == CLASS_NAMES
    images = np.full((1, 3, 96, 96), 114, np.float32)
    assert np.isfinite(subject.run(images)).all()


@pytest.mark.slow
def test_it_reaches_its_accuracy_on_unseen_scenes(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "scenes", train=1, val=100, seed=UNSEEN_SEED)
    with Detector(embedded_checkpoint()) as detector:
        found = coco_ap(detector, folder / "val", folder / "annotations" / "instances_val.json")
    assert found["AP"] >= LEAST_AP
