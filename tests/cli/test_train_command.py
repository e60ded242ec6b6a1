"""`yolox-deploy train`: what it refuses, and tiny runs from the first step to an exported file."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy import Detector, cli, export
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.synthetic.scenes import CLASS_NAMES

TINY = ("--model", "yolox-nano", "--batch", 4, "--imgsz", 64, "--workers", 0, "--device", "cpu")
ALONE = {"OMP_NUM_THREADS": "1"}
FILES = {"best.pth", "last.pth", "steps.csv", "epochs.csv", "curves.png", "train_batch_1.jpg"}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `yolox-deploy train ARGUMENTS` in this process: (exit code, standard output, standard error)."""

    def start(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["yolox-deploy", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return start


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 generated pictures to train on and 4 to evaluate."""
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=12, val=4, size=(96, 128))


@pytest.fixture(scope="module")
def finished(scenes: Path, run: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a run of 2 epochs, and what its process printed."""
    out = tmp_path_factory.mktemp("runs") / "finished run"
    done = run("train", *TINY, "--data", scenes, "--epochs", 2, "--out", out, **ALONE)
    assert done.returncode == 0, done.stderr
    return out, done


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--model and --data not given"),
        (("--model", "yolox_s"), "--data not given"),
        (("--model", "yolox_q", "--data", "."), "known models"),
        (("--imgsz", 100), "100x100"),
        (("--imgsz", "wide"), "the size is 'wide'"),
        (("--epochs", 0), "epochs is 0; expected"),
        (("--batch", 10, "--accumulate", 3), "accumulate is 3; expected a divisor of the batch 10"),
        (("--precision", "fp8"), "precision is fp8"),
        (("--set", "epochs"), "--set epochs: expected KEY=VALUE"),
        (("--set", "augmentation.mosiac=1"), "did you mean augmentation.mosaic?"),
        (("--set", "flip=2"), "did you mean augmentation.flip?"),
        (("--set", "augmentation.flip=2"), "flip is 2.0; expected 0 to 1"),
        (("--config", "nothing.toml"), "nothing.toml cannot be read"),
        (("--resume", "run/best.pth"), "resumed from its last.pth; found run/best.pth"),
        (("--data", "nothing"), "no data set folder at nothing"),
        (("--devices", 0), "--devices"),
        (("--log", "notebook"), "--log notebook: expected mlflow or wandb"),
        (("--recipe", "finetune"), "the recipe finetune is for a run from weights"),
        (("--recipe", "best"), "recipe is best; expected auto, paper or finetune"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ("--model", "yolox_s", "--data", ".") if arguments and "--model" not in arguments else ()
    code, out, err = call(*named, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_short_run_from_weights_is_fine_tuned(
    call: Call, scenes: Path, nameless_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("--data", scenes, "--weights", nameless_weights, "--epochs", 1, "--out", out)
    code, _, err = call(*TINY, *arguments, "--set", "learning_rate=0.002", "--set", "optimizer=adamw")
    assert code == 0, err
    assert "recipe finetune: the run starts from weights, with 3 steps of 4 (1 epochs of 12 pictures)" in err
    assert "learning_rate=0.002 (stated), scale_rate=false, weight_decay" in err
    assert "are taken over by name: cup. New are ball" in err
    kept = safe_load(out / "last.pth")
    assert (kept["config"]["recipe"], kept["config"]["optimizer"]) == ("finetune", "adamw")
    assert len(kept["optimizer"]["param_groups"]) == 3
    for more in ((), ("--recipe", "auto")):
        code, _, err = call("--resume", out, "--epochs", 1, *more)
        assert code == 0, err
        assert "recipe" not in err
    code, _, err = call("--resume", out, "--recipe", "paper")
    assert code == 2
    assert "recipe was 'finetune' and is 'paper' now" in err


def test_a_run_from_nothing_takes_the_papers_recipe(finished: tuple[Path, Any]) -> None:
    assert "recipe paper: the run starts from random weights" in finished[1].stderr
    assert "  epochs=2 (stated), batch=4 (stated), " in finished[1].stderr
    assert "  optimizer=sgd, learning_rate=0.01, " in finished[1].stderr


def test_a_run_that_is_not_there_cannot_be_resumed(call: Call, tmp_path: Path) -> None:
    code, _, err = call("--resume", tmp_path / "nothing")
    assert code == 4
    assert str(tmp_path / "nothing" / "last.pth") in err


def test_checking_names_what_is_wrong_and_trains_nothing(call: Call, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, _, err = call("--model", "yolox_s", "--data", scenes, "--out", out, "--check-only")
    assert code == 0
    assert "12 pictures" in err
    assert "4 pictures" in err
    broken = tmp_path / "broken"
    shutil.copytree(scenes, broken)
    (broken / "train" / "000003.jpg").unlink()
    for more in (("--check-only",), ()):
        code, _, err = call("--model", "yolox_s", "--data", broken, "--out", out, *more)
        assert code == 2
        assert "error: 1 pictures are missing" in err
    assert not out.exists()


def test_checking_needs_no_model_and_reports_as_json(call: Call, scenes: Path) -> None:
    code, out, err = call("--data", scenes, "--check-only", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert [report[split]["pictures"] for split in ("train", "val")] == [12, 4]
    assert report["train"]["problems"] == []
    code, out, err = call("--check-only")
    assert (code, out) == (2, "")
    assert "error: --data not given" in err


def test_checking_checks_in_a_process_of_a_job_too(
    call: Call, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    broken = tmp_path / "broken"
    shutil.copytree(scenes, broken)
    (broken / "train" / "000003.jpg").unlink()
    for more in (("--check-only", "--json"), ("--out", tmp_path / "run")):
        code, _, err = call(*TINY, "--data", broken, *more)
        assert code == 2
        assert "error: 1 pictures are missing" in err
    assert not (tmp_path / "run").exists()


def test_several_processes_want_several_gpus(call: Call, scenes: Path, tmp_path: Path) -> None:
    arguments = ("--model", "yolox_s", "--data", scenes, "--devices", 2, "--device", "cuda:0")
    code, _, err = call(*arguments, "--out", tmp_path / "run")
    assert code == 2
    assert "2 processes would train on cuda:0; expected cuda" in err


def test_a_machine_without_the_checkpoint_is_told_to_share_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    code, _, err = call("--resume", tmp_path)
    assert code == 2
    assert f"rank 3 finds no {tmp_path / 'last.pth'}; machines that train together have to share" in err


def test_checking_compares_the_classes_of_both_splits(call: Call, scenes: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(scenes, other)
    file = other / "annotations" / "instances_val.json"
    file.write_text(file.read_text().replace('"cup"', '"mug"'))
    code, _, err = call("--model", "yolox_s", "--data", other, "--check-only")
    assert code == 2
    assert "are not in" in err
    assert "(mug)" in err


def test_a_run_leaves_checkpoints_logs_and_pictures(finished: tuple[Path, Any]) -> None:
    out, done = finished
    assert {path.name for path in out.iterdir()} >= FILES
    assert len((out / "epochs.csv").read_text().splitlines()) == 3
    assert "12 pictures" in done.stderr
    assert "epoch 2/2  total " in done.stderr
    assert "AP50" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        f"export it with: yolox-deploy export yolox_nano --weights '{out / 'best.pth'}' --to onnx --imgsz 64x64"
    )


def test_what_was_trained_is_exported_with_its_class_names(
    finished: tuple[Path, Any], scenes: Path, tmp_path: Path
) -> None:
    weights = finished[0] / "best.pth"
    target = tmp_path / "model.onnx"
    artifact = export("yolox_nano", weights=weights, imgsz=(64, 64), out=target, images=scenes / "val")
    assert artifact.parity["passed"] is True
    with Detector(artifact.path) as detector:
        assert detector.class_names == CLASS_NAMES
        assert detector.predict(scenes / "val" / "000001.jpg").class_names == CLASS_NAMES


def test_another_run_is_not_overwritten(call: Call, finished: tuple[Path, Any], scenes: Path) -> None:
    code, _, err = call(*TINY, "--data", scenes, "--out", finished[0])
    assert code == 2
    assert f"go on with it by --resume {finished[0]}" in err


def test_a_run_goes_on_with_more_epochs_from_its_own_settings(
    finished: tuple[Path, Any], call: Call, tmp_path: Path
) -> None:
    """Its folder may have moved in the meantime."""
    out = tmp_path / "moved"
    shutil.copytree(finished[0], out)
    code, printed, err = call("--resume", out / "last.pth", "--epochs", 3, "--set", "eval_every=1", "--json")
    assert code == 0, err
    figures = json.loads(printed)
    assert (figures["epochs"], figures["best"]) == (3, str(out / "best.pth"))
    assert 0 <= figures["AP"] <= figures["AP50"] <= 1
    assert "epoch 3/3" in err
    assert "epoch 2/3" not in err
    assert [line.split(",")[0] for line in (out / "epochs.csv").read_text().splitlines()] == [
        "epoch",
        "1",
        "2",
        "3",
    ]


def test_resume_auto_goes_on_with_the_same_settings_alone(
    finished: tuple[Path, Any], call: Call, scenes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    shutil.copytree(finished[0], out)
    arguments = (*TINY, "--data", scenes, "--epochs", 2, "--out", out, "--resume", "auto")
    code, printed, err = call(*arguments)
    assert code == 0, err
    assert "best of 2 epochs" in printed
    assert f"the run in {out} is finished: it has its 2 epochs" in err
    code, _, err = call(*arguments, "--seed", 1)
    assert code == 2
    assert "cannot be resumed: seed was 0 and is 1 now" in err
    assert call(*TINY, "--data", scenes, "--epochs", 1, "--out", tmp_path / "new", "--resume", "auto")[0] == 0


def test_the_summary_names_the_untouched_weights_where_no_epoch_beat_them(
    call: Call, scenes: Path, nano_weights: Path, tmp_path: Path
) -> None:
    options = ("--weights", nano_weights, "--epochs", 1, "--set", "learning_rate=3", "--cache")
    code, out, err = call(*TINY, "--data", scenes, "--imgsz", "96x128", *options, "--out", tmp_path / "run")
    assert code == 0, err
    start = re.search(r"untouched weights: AP ([\d.]+)", err)
    assert start is not None
    assert "the untouched weights" in out
    assert f"no epoch beat the weights it started from (AP {start[1]}): best.pth is these, untouched" in out
    assert "16 pictures are in memory: " in err
    with (tmp_path / "run" / "epochs.csv").open() as file:
        header, *rows = (line.split(",") for line in file.read().splitlines())
    assert header[:3] == ["epoch", "step", "total"]
    assert "selector" not in header
    assert [row[:2] for row in rows] == [["0", "0"], ["1", "3"]]


def test_a_file_called_stop_ends_the_run_after_the_epoch(call: Call, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    code, out, err = call(*TINY, "--data", scenes, "--epochs", 500, "--out", tmp_path)
    assert code == 0, err
    assert "best of 1 epochs" in out
    assert f"ended before epoch 500; go on with: yolox-deploy train --resume {tmp_path}" in out
    assert not (tmp_path / "stop").exists()
    assert (tmp_path / "best.pth").is_file()


def test_settings_of_a_file_are_used_and_options_win(
    call: Call, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    """Read from the message of a run that cannot be resumed with them."""
    file = tmp_path / "run.toml"
    file.write_text("seed = 3\nepochs = 9\n[augmentation]\nflip = 0.25\n")
    arguments = ("--resume", finished[0], "--config", file)
    code, _, err = call(*arguments)
    assert code == 2
    assert "seed was 0 and is 3 now" in err
    code, _, err = call(*arguments, "--seed", 0)
    assert "'flip': 0.25" in err
    code, _, err = call(*arguments, "--seed", 0, "--set", "augmentation.flip=0.125")
    assert "'flip': 0.125" in err


def start(out: Path, *arguments: object) -> subprocess.Popen[str]:
    """A run that lasts; returns once it has made a few steps."""
    command = [sys.executable, "-c", "from yolox_deploy.cli import main; main()", "train", *TINY, *arguments]
    environment = {**os.environ, **ALONE}
    process = subprocess.Popen(
        [*map(str, command), "--epochs", "500", "--out", str(out)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not (out / "steps.csv").is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no step was made"
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_saves_and_says_how_to_go_on(
    scenes: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    process = start(out, "--data", scenes)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert f"saved in {out}/last.pth; go on with: yolox-deploy train --resume {out}" in err
    assert "Traceback" not in err
    assert (out / "last.pth").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_saves_too(
    scenes: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """As Ctrl-C in a terminal, or a container that is stopped: the workers get it as well."""
    out = tmp_path / "run"
    process = start(out, "--data", scenes, "--workers", 1)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert f"saved in {out}/last.pth" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
def test_a_worker_that_is_killed_ends_the_run_in_plain_words(scenes: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "run", "--data", scenes, "--workers", 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)  # as the system does when memory is short
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "error: a process that prepares pictures ended" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_two_processes_train_together_and_end_together(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "--data", scenes, "--devices", 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.count("12 pictures") == 1
    assert err.count("saved in") == 1
    assert (out / "last.pth").is_file()


@pytest.mark.slow
def test_the_exit_code_of_a_process_is_that_of_the_command(scenes: Path, tmp_path: Path, run: Any) -> None:
    weights = tmp_path / "broken.pth"
    weights.write_bytes(b"nothing")
    arguments = ("--data", scenes, "--weights", weights, "--devices", 2, "--out", tmp_path / "run")
    before = run("train", *TINY, *arguments, **ALONE)  # the recipe asks what the weights know
    assert before.returncode == 4, before.stderr
    assert "rank" not in before.stderr
    done = run("train", *TINY, *arguments, "--recipe", "paper", **ALONE)
    assert done.returncode == 4, done.stderr
    assert "broken.pth" in done.stderr
    assert re.search(
        r"error: rank [01] of 2 ended first, with exit code 4; its message is above", done.stderr
    )
