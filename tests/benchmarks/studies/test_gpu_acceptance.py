"""The acceptance run: which cases it makes, and that it ends clearly where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from yolox_deploy.benchmarks.studies import gpu_acceptance
from yolox_deploy.benchmarks.studies.gpu_acceptance import Result, cases, describe, write_report
from yolox_deploy.errors import ArtifactError, GateError, YoloxDeployError
from yolox_deploy.models import ZOO
from yolox_deploy.vendors.gpu import Gpu


def test_seven_models_and_the_variants_of_the_smallest() -> None:
    labels = [case.label for case in cases(list(ZOO), ("tensorrt",), everything=True, calib=True)]
    assert labels[:7] == [f"{name} tensorrt fp16" for name in ZOO]
    assert len(set(labels)) == len(labels)
    assert "yolox_nano tensorrt fp32" in labels
    assert "yolox_nano tensorrt fp16 batch=None" in labels
    assert "yolox_nano tensorrt int8" in labels


def test_what_cannot_be_made_is_left_out() -> None:
    rtx = list(cases(["yolox_nano"], ("tensorrt-rtx",), everything=True, calib=False))
    assert len(rtx) > 1
    assert not [case for case in rtx if {"nms", "int8"} & set(case.arguments)]
    without_gpu = list(cases(list(ZOO), ("tensorrt-rtx",), everything=False, calib=True))
    assert len(without_gpu) == len(ZOO)


def test_without_a_gpu_it_says_so_and_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")

    def none(*_: Any) -> Gpu:
        raise ArtifactError("no NVIDIA GPU can be used on this machine (no driver)")

    def refuse(*_: Any, **__: Any) -> Any:
        raise YoloxDeployError("not built in this test")

    monkeypatch.setattr(gpu_acceptance, "find_gpu", none)
    monkeypatch.setattr(gpu_acceptance, "export", refuse)
    monkeypatch.setattr(gpu_acceptance, "installed_flavors", lambda: ("tensorrt-rtx",))
    app = typer.Typer()
    app.command()(gpu_acceptance.main)
    result = CliRunner().invoke(app, ["--out", str(tmp_path), "--model", "yolox-nano"])
    assert result.exit_code == ArtifactError.exit_code
    assert "Stopped before running anything: no NVIDIA GPU" in result.output
    assert "yolox_nano tensorrt-rtx fp16: FAILED: not built in this test" in result.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert "Built without a GPU: 0 engines" in report["heading"]
    assert [row["problem"] for row in report["results"]] == ["not built in this test"]


def test_report_shows_what_ran_and_what_did_not(tmp_path: Path) -> None:
    passed = Result(
        "yolox_s tensorrt fp16",
        export_s=61.2,
        layers={"HALF": 83},
        parity={"verified": True, "ap": 0.405, "ap_reference": 0.4052},
        host_ms=3.25,
        device_ms=2.5,
        published_ms=9.8,
    )
    built = Result("yolox_m tensorrt-rtx fp16", layers={"HALF": 100}, parity={"verified": False})
    write_report(tmp_path, "A GPU.", [passed, built, Result("yolox_l tensorrt fp16", "out of memory")])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| yolox_s tensorrt fp16 | passed | 83 HALF | 0.4050 (0.4052) | 3.25 | 2.50 | 9.80 |" in text
    assert "| yolox_m tensorrt-rtx fp16 | built, not run | 100 HALF | – | – | – | – |" in text
    assert "| yolox_l tensorrt fp16 | failed: out of memory |" in text
    assert describe(passed) == ("yolox_s tensorrt fp16: built in 61.2 s, convolutions: 83 HALF, 3.25 ms host")


def test_one_crash_does_not_lose_the_other_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign exception is the case's problem; Ctrl-C in the third leaves the report of the first two."""
    raised = iter([RuntimeError("CUDA error 700\nillegal access"), ValueError("odd"), KeyboardInterrupt()])

    def crash(*_: Any, **__: Any) -> Any:
        raise next(raised)

    monkeypatch.setattr(gpu_acceptance, "find_gpu", lambda: Gpu(0, "V100", (7, 0)))
    monkeypatch.setattr(gpu_acceptance, "export", crash)
    monkeypatch.setattr(gpu_acceptance, "installed_flavors", lambda: ("tensorrt",))
    monkeypatch.setattr(gpu_acceptance, "_heading", lambda *_: "A GPU.")
    app = typer.Typer()
    app.command()(gpu_acceptance.main)
    CliRunner().invoke(app, ["--out", str(tmp_path), "--weights", str(tmp_path)])
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    problems = [row["problem"] for row in report["results"]]
    assert problems == ["RuntimeError: CUDA error 700 illegal access", "ValueError: odd"]


def test_a_gpu_without_tensorrt_is_not_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_acceptance, "find_gpu", lambda: Gpu(0, "V100", (7, 0)))
    monkeypatch.setattr(gpu_acceptance, "installed_flavors", lambda: ())
    app = typer.Typer()
    app.command()(gpu_acceptance.main)
    result = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert result.exit_code == GateError.exit_code
    assert "nothing was tested: no TensorRT is installed" in result.output
