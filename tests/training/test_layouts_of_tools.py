"""A run on each layout that labelling tools leave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.data import layouts_of_tools as tools
from yolox_deploy.training import Trainer
from yolox_deploy.training.recipes import recipe


@pytest.fixture(scope="module")
def shots(shared: Path) -> tools.Shots:
    return tools.take_shots(shared / "real/coco_mini", 6)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Pictures of 64 pixels are too small for several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TRAINED = [
    "COCO", "Roboflow COCO", "Roboflow YOLO", "Roboflow VOC", "Ultralytics YOLO", "CVAT COCO",
    "CVAT COCO, train and validation", "Label Studio COCO", "Label Studio YOLO", "labelImg VOC",
    "VOC without ImageSets", "images and annots",
]  # fmt: skip


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("layout", TRAINED)
def test_it_trains(shots: tools.Shots, tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "data"
    tools.LAYOUTS[layout](folder, shots)
    config = recipe(
        "yolox_nano", folder, out=tmp_path / "run", epochs=1, batch=4, imgsz=(64, 64), multiscale=None,
        workers=0, device="cpu", precision="fp32",
    )  # fmt: skip
    result = Trainer(config).fit()
    assert result.epochs == 1
    assert result.best.is_file()
