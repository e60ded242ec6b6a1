"""MLflow and Weights & Biases for real and without network: a local database, files for a later `wandb sync`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import yolox_deploy
from yolox_deploy.errors import MissingExtraError
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training import MlflowCallback, StepFinished, WandbCallback
from yolox_deploy.training.events import Event

TINY: dict[str, Any] = {"batch": 4, "imgsz": 64, "workers": 0, "device": "cpu", "precision": "fp32"}
# Of their own insides: SQLAlchemy and protobuf move on.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "data", train=8, val=2, size=(64, 64))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That of a person who set nothing; artefacts of a local database lie in the working folder."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "to be removed")  # so that what a callback sets does not outlive the test
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def train(scenes: Path, callback: Any, *more: Any, **settings: Any) -> None:
    yolox_deploy.train(
        scenes,
        "yolox_nano@0.0625",
        epochs=2,
        out=Path("runs/first"),
        callbacks=[callback, *more],
        **{**TINY, **settings},
    )


def interrupt(event: Event) -> None:
    if isinstance(event, StepFinished) and event.step == 3:
        raise KeyboardInterrupt


@pytest.mark.parametrize("store", ["mlruns", pytest.param("sqlite:///mlflow.db", marks=pytest.mark.slow)])
def test_mlflow_gets_settings_metrics_and_checkpoints_and_goes_on_with_its_run(
    scenes: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is what MLflow takes by default; its tables are made in seconds, files at once."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with pytest.raises(KeyboardInterrupt):
        train(scenes, MlflowCallback(tracking_uri=store), interrupt)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("yolox-deploy")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("first", "KILLED")
    assert run.data.params["augmentation.mosaic"] == "0.5"
    assert (run.data.params["batch"], run.data.params["pictures"]) == ("4", "8")
    train(scenes, MlflowCallback(tracking_uri=store, checkpoints=True), resume="auto")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "val/AP")
    assert [item.step for item in history] == [1, 2]
    assert [item.step for item in client.get_metric_history(run.info.run_id, "train/total")] == [1, 2]
    assert "val/APl" not in run.data.metrics, "there is no large object in 64x64"
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"best.pth", "last.pth"}
    assert not [thread for thread in threading.enumerate() if "elemetry" in thread.name]


@pytest.fixture
def wandb() -> Iterator[Any]:
    """The module; its service process is ended after the test."""
    module = pytest.importorskip("wandb")
    yield module
    module.teardown()


def test_wandb_writes_a_run_offline(scenes: Path, wandb: Any) -> None:
    train(scenes, WandbCallback(mode="offline", checkpoints=True))
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    wandb.teardown()  # its service writes what is left, as at the end of a program
    (file,) = Path("runs/first/wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()
    for part in (b"val/AP", b"train/total", b"augmentation.mosaic", b"best.pth"):
        assert part in content
    assert not list(file.parent.rglob("requirements.txt")), "nothing of the machine"
    found = Path("runs/first/wandb_run.txt").read_text().strip()
    assert found in file.name
    assert wandb.run is None
    train(scenes, WandbCallback(mode="offline"), resume=True)
    assert Path("runs/first/wandb_run.txt").read_text().strip() == found


@pytest.mark.parametrize(("callback", "module"), [(MlflowCallback, "mlflow"), (WandbCallback, "wandb")])
def test_without_the_extra_the_command_that_mends_it_is_said(
    callback: Any, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'yolox-deploy\[{module}\]'"):
        callback()
