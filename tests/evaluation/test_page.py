"""The folder of a report: one page that loads nothing, charts beside it, and a browser that shows it on a phone."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.evaluation.conftest import Canned, MakeData
from yolox_deploy.errors import MissingExtraError, UsageError
from yolox_deploy.evaluation import EvaluationReport, evaluate

CHARTS = ["calibration.png", "confusion.png", "f1_curve.png", "per_class.png", "pr_curve.png"]
NASTY = 'a <b>"cat"</b> & $x_1$ 猫, of a name that does not end soon'
A, B = (10, 10, 40, 40), (80, 10, 40, 40)
PHONE, DESKTOP = 390, 1280
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


class Reader(HTMLParser):
    """Collects tags, text and every address that a browser could load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture
def report(make_data: MakeData) -> EvaluationReport:
    things = {"one.png": [(NASTY, A), ("dog", B)], "two.png": [(NASTY, A)], "three.png": [("dog", A)]}
    answers = {"one.png": [(NASTY, 0.9, A), (NASTY, 0.8, B)], "two.png": [("dog", 0.7, B)]}
    names = (NASTY, "dog")
    return evaluate(Canned(answers, names), make_data(things, names), threshold=0.5)


def test_the_folder_holds_the_page_its_pictures_and_the_numbers(
    report: EvaluationReport, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "report"
    assert report.save(folder) == folder / "index.html"
    names = sorted(path.name for path in folder.iterdir())
    worst = [f"worst_0{place}.jpg" for place in (1, 2, 3)]
    assert names == sorted(["index.html", "report.json", *CHARTS, *worst])
    assert json.loads((folder / "report.json").read_text())["AP"] == report.figures["AP"]
    for name in (*CHARTS, *worst):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert np.ptp(picture) > 100, f"{name} is blank"


def test_the_page_is_one_file_that_loads_nothing(report: EvaluationReport, tmp_path: Path) -> None:
    page = parsed(report.save(tmp_path / "report"))
    embedded = [address for address in page.addresses if address.startswith("data:image/")]
    assert len(embedded) == len(CHARTS) + 3
    assert [address for address in page.addresses if address not in embedded] == ["data:,"]
    for address in embedded:
        assert base64.b64decode(address.partition("base64,")[2])[:2] in (b"\x89P", b"\xff\xd8")
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(|<script", text)


def test_every_text_is_escaped_and_said(report: EvaluationReport, tmp_path: Path) -> None:
    page = parsed(report.save(tmp_path / "report"))
    assert "b" in page.tags
    assert not [text for text in page.text if text == '"cat"']
    told = " ".join(page.text)
    assert NASTY in told
    for part in ("What stands out", "F1 of all classes together", f"dog (found as {NASTY})", "nothing there"):
        assert part in told


def test_a_report_in_the_same_folder_leaves_nothing_of_the_last(
    report: EvaluationReport, make_data: MakeData, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    report.save(folder)
    (folder / "mine.txt").write_text("kept")
    shutil.rmtree(tmp_path / "data")
    evaluate(Canned({"a.png": [("cat", 0.9, A)]}), make_data({"a.png": [("cat", A)]})).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["index.html", "mine.txt", "report.json", *CHARTS]
    )
    assert "There is no mistake." in (folder / "index.html").read_text()


@pytest.mark.parametrize("answers", [{}, {"a.png": [("cat", 0.9, A)]}], ids=["finds nothing", "finds a cat"])
@pytest.mark.parametrize("objects", [[], [("cat", B)]], ids=["no objects", "one object"])
def test_there_is_a_page_where_there_is_nothing_to_draw(
    make_data: MakeData, tmp_path: Path, answers: Any, objects: Any
) -> None:
    report = evaluate(Canned(answers), make_data({"a.png": objects}))
    page = parsed(report.save(tmp_path / "report"))
    assert page.tags.count("img") == len(CHARTS) + len(report.worst)
    assert "nan" not in " ".join(page.text).split()


def test_without_matplotlib_the_extra_is_named(
    report: EvaluationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'yolox-deploy\[report\]'"):
        report.save(tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(report: EvaluationReport, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("")
    with pytest.raises(UsageError, match="report is a file; expected a folder"):
        report.save(tmp_path / "report")


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_browser_shows_it_without_scrolling_sideways(
    report: EvaluationReport, tmp_path: Path, width: int
) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    page = report.save(tmp_path / "report").read_text(encoding="utf-8")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<!doctype html><meta charset=utf-8><iframe style="width:{width}px;height:2000px;border:0" '
        f'srcdoc="{escape(page)}"></iframe><pre id=found></pre><script>addEventListener("load", () => {{'
        "const page = document.querySelector('iframe').contentDocument;"
        "const images = [...page.querySelectorAll('img')];"
        "document.getElementById('found').textContent = JSON.stringify({wide: page.documentElement.scrollWidth,"
        "shown: images.filter((image) => image.naturalWidth > 0 && image.getBoundingClientRect().width > 200).length,"
        "images: images.length}); });</script>",
        encoding="utf-8",
    )
    command = [
        program,
        *FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={DESKTOP + 100},2000",
    ]
    done = subprocess.run(
        [*command, "--dump-dom", outer.as_uri()], capture_output=True, timeout=90, check=True
    )
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert match is not None
    found = json.loads(unescape(match[1]))
    assert found["wide"] <= width, "it scrolls sideways"
    assert found["shown"] == found["images"] == len(CHARTS) + 3
