"""`yolox-deploy ablate`: a tiny ablation from the first step to the tables, repeated and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import cv2
import pytest
import torch

from yolox_deploy.benchmarks.roadmap.runs import plan_runs, read_result, run_to_end
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training import Trainer

ROWS = "yolov3_baseline,nms_free"
TINY = ("--width", 0.0625, "--imgsz", 64, "--epochs", 2, "--batch", 4, "--threads", 1, "--no-latency")
CHANGES = {"imgsz": (64, 64), "epochs": 2, "batch": 4, "workers": 0}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 pictures to train on and 4 to evaluate."""
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=8, val=4, size=(64, 64))


@pytest.fixture(scope="module")
def done(
    scenes: Path, run: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CompletedProcess[str]]:
    """The folder of an ablation of two rows, and what its process printed."""
    out = tmp_path_factory.mktemp("runs") / "ablation"
    options = ("--rows", ROWS, "--seeds", 0, *TINY, "--fit-priors", "--out", out)
    process = run("ablate", "--data", scenes, *options)
    assert process.returncode == 0, process.stderr
    return out, process


def test_the_table_has_measured_beside_published(done: tuple[Path, CompletedProcess[str]]) -> None:
    out, process = done
    lines = process.stdout.splitlines()
    assert lines[0].startswith("Table 2: the roadmap")
    baseline = next(line for line in lines if line.startswith("YOLOv3 baseline")).split()
    assert baseline[-4:] == ["38.5", "63.0", "157.3", "10.5"]
    assert any(line.startswith("+NMS free (optional)") and line.endswith("13.5") for line in lines)
    assert "not COCO figures" in process.stdout
    assert "2 runs of 4 steps will take about" in process.stderr
    assert "8 pictures" in process.stderr
    assert {path.name for path in out.iterdir()} == {
        *("ablation.json", "ablation.md", "curves.png", "priors.json"),
        *("yolov3_baseline-s0", "nms_free-s0"),
    }


def test_the_files_hold_the_figures_and_the_curves(done: tuple[Path, CompletedProcess[str]]) -> None:
    out, _ = done
    content = json.loads((out / "ablation.json").read_text())
    assert [row["row"] for row in content["rows"]] == ROWS.split(",")
    assert [row["published"]["ap_val"] for row in content["rows"]] == [38.5, 46.5]
    assert [run["curve"][-1][0] for run in content["runs"]] == [2, 2]
    assert content["runs"][0]["settings"]["priors"] == str(out / "priors.json")
    assert content["runs"][1]["settings"]["priors"] is None
    markdown = (out / "ablation.md").read_text()
    assert "| YOLOv3 baseline | " in markdown
    assert "not COCO figures" in markdown
    curves = cv2.imread(str(out / "curves.png"))
    assert curves.shape[1] > 1000
    trained = torch.load(out / "yolov3_baseline-s0" / "last.pth", weights_only=True)
    fitted = json.loads((out / "priors.json").read_text())["priors"]
    torch.testing.assert_close(trained["model"]["head.priors"], torch.tensor(fitted))


def test_what_is_finished_is_not_trained_again(
    done: tuple[Path, CompletedProcess[str]], scenes: Path, run: Any
) -> None:
    out, first = done
    before = (out / "nms_free-s0" / "last.pth").stat().st_mtime_ns
    options = ("--rows", ROWS, "--seeds", 0, *TINY, "--fit-priors", "--out", out)
    again = run("ablate", "--data", scenes, *options)
    assert again.returncode == 0, again.stderr
    assert "2 runs, 2 of them finished" in again.stderr
    assert again.stdout == first.stdout
    assert (out / "nms_free-s0" / "last.pth").stat().st_mtime_ns == before
    other = run("ablate", "--data", scenes, *options, "--batch", 8)
    assert other.returncode == 2
    assert "holds a run whose batch was 4, not 8; name another folder by --out" in other.stderr


def test_an_interrupted_run_goes_on_where_it_was(scenes: Path, tmp_path: Path) -> None:
    ends = []
    for name in ("straight", "interrupted"):
        (one,) = plan_runs(["simota"], [0], scenes, tmp_path / name, width=0.0625, changes=CHANGES)
        if name == "interrupted":
            assert Trainer(one.config, stop=lambda: True).fit().epochs == 1
            assert read_result(one) is None
        result = run_to_end(one)
        assert (result.epochs, result.steps, result.curve[-1][0]) == (2, 4, 2)
        assert read_result(one) == result
        ends.append((result.figures, torch.load(one.last, weights_only=True)["model"]))
    (straight, weights), (interrupted, others) = ends
    assert straight == interrupted
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    # Killed after the last epoch and before its result was written: nothing is trained again.
    one.result_path.unlink()
    assert run_to_end(one).figures == interrupted
    one.result_path.write_text("{}")
    with pytest.raises(InputError, match=r"is no result of a run .* remove it"):
        read_result(one)


def test_seed_0_of_every_row_comes_first_and_rows_that_train_alike_are_one(tmp_path: Path) -> None:
    rows = ["Vanilla-Coupled", "yolov3_baseline", "simota"]
    changes = {**CHANGES, "augmentation.mosaic": 0.5, "augmentation.flip": 0.25, "priors": "priors.json"}
    runs = plan_runs(rows, [0, 1], tmp_path, tmp_path / "out", changes={**changes, "epochs": 40})
    assert [(run.row, run.config.seed) for run in runs] == [
        ("yolov3_baseline", 0),
        ("simota", 0),
        ("yolov3_baseline", 1),
        ("simota", 1),
    ]
    assert [run.config.out.name for run in runs[:2]] == ["yolov3_baseline-s0", "simota-s0"]
    assert [run.config.augmentation.mosaic for run in runs[:2]] == [0.0, 0.5], "a weak row stays weak"
    assert [run.config.augmentation.flip for run in runs[:2]] == [0.25, 0.25]
    assert [run.config.priors for run in runs[:2]] == [Path("priors.json"), None]
    assert {run.config.eval_every for run in runs} == {4}
    with pytest.raises(UsageError, match="nothing to train"):
        plan_runs(rows, [], tmp_path, tmp_path, changes={})


def test_what_cannot_work_is_refused(
    call: Any, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (("--rows", "simotta"), "did you mean 'simota'"),
        (("--tables", "3"), "--tables 3: expected some of 1, 2, 5"),
        (("--report-only",), "no run in runs/ablation is finished"),
    ):
        code, out, err = call("ablate", "--data", scenes, *arguments)
        assert (code, out) == (2, "")
        assert message in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_runs_are_not_ended_early(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="equal budgets"):
        plan_runs(["simota"], [0], scenes, tmp_path, changes={"patience": 3})
