"""The pictures that a run leaves: labels before it, a report of `best.pth` after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import yolox_deploy
from yolox_deploy.files import embedded_checkpoint
from yolox_deploy.synthetic.scenes import CLASS_NAMES, write_scenes
from yolox_deploy.training.events import Event, RunFinished, TrainResult


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("reports")
    write_scenes(found / "data", train=3, val=2, size=(96, 96))
    return found


def run(folder: Path, name: str, **settings: object) -> TrainResult:
    return yolox_deploy.train(
        folder / "data", "yolox_nano", out=folder / name, imgsz=64, epochs=1, workers=0, **settings
    )


def test_a_run_ends_with_the_report_of_its_best(folder: Path) -> None:
    events: list[Event] = []
    result = run(folder, "told", weights=embedded_checkpoint(), callbacks=[events.append])
    found = json.loads((folder / "told/report/report.json").read_text())
    assert found["AP"] == pytest.approx(result.figures["AP"], abs=1e-3)
    assert {row["name"] for row in found["per_class"]} == set(CLASS_NAMES)
    assert (folder / "told/labels.png").is_file()
    assert (folder / "told/report/index.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert isinstance(events[-1], RunFinished)


def test_report_false_leaves_it_out(folder: Path) -> None:
    run(folder, "bare", report=False)
    assert not (folder / "bare/report").exists()
    assert not (folder / "bare/labels.png").exists()
