"""The HTML page: complete and escaped as text, and laid out and filtered by a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import MakeReport, MakeRow
from tests.benchmarks.reporting import NASTY, rich_report
from yolox_deploy.benchmarks import BenchReport
from yolox_deploy.benchmarks.report.page import html_page, write_html
from yolox_deploy.benchmarks.report.scatter import place

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESKTOP = 390, 1280
PNG = b"\x89PNG"

PROBE = """
const page = frame.contentDocument, view = frame.contentWindow;
const count = (query) => page.querySelectorAll(query).length;
const box = page.querySelector('input[value=BACKEND]');
const shown = () => page.getElementById("shown").textContent;
const found = {
  wide: page.documentElement.scrollWidth, rows: count("tbody tr[data-backend]"), figures: count("figure"),
  measured: count(".measured"), hollow: count(".hollow"), published: count(".published .point"),
  struck: view.getComputedStyle(page.querySelector("tr.struck s")).textDecorationLine,
  scripts: count("script"), before: shown(), text: page.querySelector(".scatter text").getBoundingClientRect().height,
};
box.click();
found.after = shown();
found.visible = [...page.querySelectorAll("[data-backend=BACKEND]")].filter((e) => e.getClientRects().length).length;
page.querySelector(".measured .point").dispatchEvent(new view.Event("focus"));
found.told = page.getElementById("told").textContent;
"""
Browse = Callable[..., bytes]


@pytest.fixture
def report(make_row: MakeRow, make_report: MakeReport) -> BenchReport:
    return rich_report(make_row, make_report)


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Runs Chromium on an address with further flags and returns its standard output."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")

    def run(address: str, *flags: str) -> bytes:
        command = [program, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, address]
        return subprocess.run(command, capture_output=True, timeout=90, check=True).stdout

    return run


def probe(page: str, width: int, folder: Path) -> Path:
    """A page that holds `page` in a frame of `width` pixels, looks at it and uses it, and says what it saw."""
    outer = folder / f"probe_{width}.html"
    frame = f'<iframe style="width:{width}px;height:2000px;border:0" srcdoc="{escape(page)}"></iframe>'
    code = PROBE.replace("BACKEND", "ncnn")
    outer.write_text(
        f"<!doctype html><meta charset=utf-8>{frame}<pre id=found></pre><script>addEventListener('load', () => {{"
        f"const frame = document.querySelector('iframe');{code}"
        "document.getElementById('found').textContent = JSON.stringify(found); });</script>",
        encoding="utf-8",
    )
    return outer


class Reader(HTMLParser):
    """Collects tags, all text and every address that a browser could load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_is_one_file_that_loads_nothing(report: BenchReport, tmp_path: Path) -> None:
    path = write_html(report, tmp_path / "new" / "report.html")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    page = path.read_text(encoding="utf-8")
    assert parsed(page).addresses == ["data:,"]
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_every_text_is_escaped(report: BenchReport) -> None:
    content = parsed(html_page(report))
    assert content.tags.count("script") == 1
    shown = [text for text in content.text if NASTY in text]
    assert len(shown) >= 6, "command, warnings, tables, caption, list under the chart"


def test_warnings_and_gates_are_in_front(report: BenchReport) -> None:
    page = html_page(report)
    alerts = page[page.index('class="alerts"') : page.index('id="h-chart"')]
    assert "throttled during the run: power cap" in alerts
    assert "struck out: yolox_nano ncnn fp16" in alerts
    assert "yolox_s openvino bf16 (unsteady)" in page


def test_a_report_without_warnings_has_no_empty_box(make_row: MakeRow, make_report: MakeReport) -> None:
    assert 'class="alerts"' not in html_page(make_report(make_row()))
    assert "Environment" in html_page(make_report())


def test_nothing_stands_in_the_chart_with_an_ap_that_is_not_its_own(report: BenchReport) -> None:
    points, left_out = place(report.rows)
    assert [(p.row.subject.label, p.ap, p.ap_measured) for p in points] == [
        ("yolox_nano onnxruntime fp32", pytest.approx(25.4), True),
        ("yolox_s openvino bf16", 40.5, False),
    ]
    assert [text.split(":")[0] for text in left_out] == [
        "yolox_nano ncnn fp16",
        "yolox_s openvino int8",
        NASTY,
    ]


@pytest.mark.parametrize("change", [{"weights": "random"}, {"input_size": (320, 320)}, {"model": "unknown"}])
def test_published_ap_is_for_the_official_weights_at_their_size(
    report: BenchReport, change: dict[str, Any]
) -> None:
    row = report.rows[1]
    assert place([replace(row, subject=replace(row.subject, **change))])[0] == []


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_browser_shows_and_filters_it(
    report: BenchReport, browse: Browse, tmp_path: Path, width: int
) -> None:
    outer = probe(html_page(report), width, tmp_path)
    dom = browse(outer.as_uri(), f"--window-size={DESKTOP + 100},2000", "--dump-dom").decode()
    match = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert match is not None
    found = json.loads(unescape(match[1]))
    assert found["wide"] <= width, "it scrolls sideways"
    assert (found["rows"], found["figures"], found["scripts"]) == (5 * 3 + 1, 5, 1)
    assert (found["measured"], found["hollow"]) == (2, 1)
    assert found["published"] >= 17
    assert found["struck"] == "line-through"
    assert (found["before"], found["after"], found["visible"]) == (
        "5 of 5 rows shown",
        "4 of 5 rows shown",
        0,
    )
    assert found["told"].startswith("yolox_nano onnxruntime fp32: 12.0")
    assert found["text"] >= 10, "labels of the chart are too small to read"


def test_a_shared_address_opens_filtered(report: BenchReport, browse: Browse, tmp_path: Path) -> None:
    path = write_html(report, tmp_path / "report.html")
    dom = browse(path.as_uri() + "#backend=openvino&precision=bf16,fp32", "--dump-dom").decode()
    assert "1 of 5 rows shown" in dom


def test_it_can_be_pictured_and_printed(report: BenchReport, browse: Browse, tmp_path: Path) -> None:
    path = write_html(report, tmp_path / "report.html")
    picture, paper = tmp_path / "report.png", tmp_path / "report.pdf"
    browse(path.as_uri(), f"--window-size={DESKTOP},2000", f"--screenshot={picture}")
    browse(path.as_uri(), "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    assert picture.read_bytes().startswith(PNG)
    assert paper.read_bytes().startswith(b"%PDF")
