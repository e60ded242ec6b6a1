"""Priors of a data set: fitted, written, read, and trained with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from yolox_deploy.benchmarks import row_config
from yolox_deploy.cli.data import priors_command
from yolox_deploy.data import open_dataset
from yolox_deploy.data.priors import fit_to_dataset, letterboxed_shapes, load_priors
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.models.zoo import CLASSIC
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training import Trainer


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 pictures of 64 x 96 to train on and 2 to evaluate."""
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=8, val=2, size=(64, 96))


def test_boxes_are_measured_as_the_network_sees_them(scenes: Path) -> None:
    dataset = open_dataset(scenes, "train")
    source = np.concatenate([dataset.objects(i).boxes for i in range(len(dataset))])
    shapes = letterboxed_shapes(dataset, (128, 128))
    np.testing.assert_allclose(shapes, (source[:, 2:] - source[:, :2]) * (128 / 96), rtol=1e-5)


def test_a_file_gives_back_what_was_fitted(scenes: Path, tmp_path: Path) -> None:
    fitted = fit_to_dataset(open_dataset(scenes, "train"), (64, 64), CLASSIC)
    assert fitted.priors.shape == (3, 3, 2)
    assert fitted.classic_iou < fitted.mean_iou <= 1
    fitted.save(tmp_path / "priors.json")
    np.testing.assert_allclose(load_priors(tmp_path / "priors.json", (64, 64)), fitted.priors, atol=0.005)
    assert [path.name for path in tmp_path.iterdir()] == ["priors.json"]


def test_the_command_prints_and_writes_them(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    priors_command(scenes, "64", 0, tmp_path / "new" / "priors.json", as_json=False)
    out = capsys.readouterr().out
    assert out.count("×") == 9 + 1
    assert "mean best IoU: 0." in out
    assert load_priors(tmp_path / "new" / "priors.json", (64, 64)).shape == (3, 3, 2)
    priors_command(scenes, "64", 0, tmp_path / "priors.json", as_json=True)
    assert json.loads(capsys.readouterr().out)["imgsz"] == [64, 64]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "priors.json"
    with pytest.raises(InputError, match="make them with: yolox-deploy priors DATA"):
        load_priors(file, (64, 64))
    for text in ("{", "[]", '{"priors": [[[1, 2]]]}', '{"priors": [1, [2]], "imgsz": [64, 64]}'):
        file.write_text(text)
        with pytest.raises(InputError):
            load_priors(file, (64, 64))
    file.write_text(json.dumps({"priors": np.zeros((3, 3, 2)).tolist(), "imgsz": [64, 64]}))
    with pytest.raises(InputError, match="all above 0"):
        load_priors(file, (64, 64))
    file.write_text(json.dumps({"priors": CLASSIC, "imgsz": [416, 416]}))
    with pytest.raises(UsageError, match=r"fitted for 416x416 and training is at 64x96.*--imgsz 64x96"):
        load_priors(file, (64, 96))


def test_a_run_trains_with_them_and_keeps_them(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"yolox_darknet53@0\.0625 is anchor-free and takes none"):
        row_config("simota", scenes, width=0.0625, priors=tmp_path / "priors.json")
    file = tmp_path / "priors.json"
    fit_to_dataset(open_dataset(scenes, "train"), (64, 64), CLASSIC).save(file)
    config = row_config(
        "yolov3_baseline",
        scenes,
        width=0.0625,
        **{"imgsz": 64, "batch": 8, "epochs": 1, "workers": 0, "device": "cpu"},
        priors=file,
        out=tmp_path / "run",
    )
    trainer = Trainer(config)
    expected = torch.from_numpy(load_priors(file, (64, 64)))
    assert trainer.learner.model.head.priors is not None
    torch.testing.assert_close(trainer.learner.model.head.priors, expected)
    trainer.fit()
    kept = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    for state in ("model", "raw"):
        torch.testing.assert_close(kept[state]["head.priors"], expected)
    file.unlink()
    resumed = Trainer(config, resume=True)
    assert resumed.learner.model.head.priors is not None
    torch.testing.assert_close(resumed.learner.model.head.priors, expected)
