"""What a command says while it works: one line on a terminal, elsewhere nothing or the steps."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.cli.common import LOG, console, progress, reporting, warnings_told
from yolox_deploy.types import Report


def tell(report: Report) -> None:
    report.step("reading [a].png")
    report.advance(1, 3)
    report.advance(2, 3)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_the_step_how_far_it_is_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reporting("starting") as report:
        assert "starting" in capsys.readouterr().err
        tell(report)
    assert "reading [a].png 2/3, 0:00:00 left" in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_a_new_step_and_a_first_part_have_no_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting() as report:
        tell(report)
        report.step("writing")
        report.advance(5, 6)
    _, found = capsys.readouterr().err.rsplit("writing", 1)
    assert " 5/6" in found
    assert "left" not in found


@pytest.mark.usefixtures("terminal")
def test_a_list_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress("abc", "spelling")) == ["a", "b", "c"]
    assert "spelling 3/3" in capsys.readouterr().err


@pytest.mark.parametrize(("lines", "said"), [(False, ""), (True, "reading [a].png\n")])
def test_elsewhere_only_steps_are_printed(capsys: pytest.CaptureFixture[str], lines: bool, said: str) -> None:
    with reporting(lines=lines) as report:
        tell(report)
    assert capsys.readouterr() == ("", said)


def test_what_runs_for_days_prints_a_step_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(every=0.05) as report:
        report.step("too early")
        time.sleep(0.06)
        report.step("first")
        report.step("too early again")
    assert capsys.readouterr() == ("", "first\n")


@pytest.fixture
def quiet() -> Iterator[None]:
    before = LOG.level
    LOG.setLevel(logging.ERROR)
    yield
    LOG.setLevel(before)


@pytest.mark.usefixtures("terminal", "quiet")
def test_quiet_tells_people_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(lines=True) as report:
        tell(report)
    console().print("a note")
    with warnings_told():
        warnings.warn("something", stacklevel=1)
    assert capsys.readouterr() == ("", "")


def test_quiet_lasts_as_long_as_its_command(run: Any, toy_model: Any, picture: Path, tmp_path: Path) -> None:
    model = toy_model(tmp_path / "toy.onnx")
    for words, told in (((), True), (("--quiet",), False)):
        done = run("inspect", model, "--images", picture, "--out", tmp_path / "out", *words)
        assert done.returncode == 0, done.stderr
        assert ("pictures with the best boxes" in done.stderr) == told
    failed = run("inspect", tmp_path / "none.onnx", "--quiet")
    assert (failed.returncode, failed.stderr.startswith("error: ")) == (4, True)
