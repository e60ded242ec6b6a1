"""A benchmark report as one self-contained HTML page: no network, no third-party code, readable without JavaScript.

`report.html`, `report.css` and `report.js` beside this module are its frame. Every text of the report is
escaped, and the page's own policy (CSP) forbids it to load anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from yolox_deploy.benchmarks.protocol import SCOPES
from yolox_deploy.benchmarks.report.paper import paper_notes, paper_tables, published
from yolox_deploy.benchmarks.report.results import BenchReport, MeasuredModel, Row
from yolox_deploy.benchmarks.report.scatter import histogram, place, scatter, shape, shown_percentiles
from yolox_deploy.benchmarks.report.tables import Table, environment_tables, tables
from yolox_deploy.benchmarks.report.text import alerts, remarks
from yolox_deploy.files import write_text

COLOURS = 8
"""Colours of backends in `report.css`."""


def write_html(report: BenchReport, path: str | Path) -> Path:
    """Write the page; returns the file."""
    write_text(Path(path), html_page(report))
    return Path(path)


def html_page(report: BenchReport) -> str:
    """The whole page as text."""
    latency, several = replace(report, throughput=()), replace(report, rows=())
    subjects = [row.subject for row in report.rows]
    drawn = [_table(table, subjects) for table in tables(latency)]
    drawn += [_table(table, [row.subject for row in report.throughput]) for table in tables(several)]
    return Template(_frame("report.html")).substitute(
        css=_frame("report.css"),
        js=_frame("report.js"),
        created=escape(report.created),
        command=escape(report.command),
        protocol=escape(report.protocol.name),
        alerts=_alerts(report),
        filters=_filters([*subjects, *(row.subject for row in report.throughput)]),
        chart=_chart(report),
        source=escape(published()[0]),
        tables="".join(drawn),
        histograms="".join(_histograms(row, subjects) for row in report.rows),
        paper="".join(_table(table) for table in paper_tables(report)),
        paper_notes=_list(paper_notes(report)),
        environment="".join(_table(table, kind="text") for table in environment_tables(report.environment)),
        notes=_list(remarks(report)),
    )


def _frame(name: str) -> str:
    return (resources.files("yolox_deploy.benchmarks.report") / name).read_text(encoding="utf-8")


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>" if texts else ""


def _alerts(report: BenchReport) -> str:
    found = alerts(report)
    if not found:
        return ""
    return f'<section class="alerts" aria-labelledby="h-alerts"><h2 id="h-alerts">Warnings</h2>{_list(found)}</section>'


def _backends(subjects: Sequence[MeasuredModel]) -> list[str]:
    return list(dict.fromkeys(subject.backend for subject in subjects))


def _style(subject: MeasuredModel, subjects: Sequence[MeasuredModel]) -> str:
    return f"--own:var(--c{_backends(subjects).index(subject.backend) % COLOURS})"


def _keys(subject: MeasuredModel) -> str:
    return f'data-backend="{escape(subject.backend)}" data-precision="{escape(subject.precision)}"'


def _filters(subjects: Sequence[MeasuredModel]) -> str:
    """Checkboxes that are the legend too: colours of backends, marks of precisions."""
    backends = _backends(subjects)
    precisions = list(dict.fromkeys(subject.precision for subject in subjects))
    dots = {name: f'style="--own:var(--c{index % COLOURS})"' for index, name in enumerate(backends)}
    return _fieldset("backend", backends, dots) + _fieldset("precision", precisions, {})


def _fieldset(key: str, names: Sequence[str], styles: dict[str, str]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" name="{key}" value="{escape(name)}" autocomplete="off" checked>'
        f'<svg class="swatch" {styles.get(name, "")} viewBox="-6 -6 12 12" aria-hidden="true">'
        f'<path d="{shape("fp16" if styles else name)}"/></svg>{escape(name)}</label>'
        for name in names
    )
    return f"<fieldset><legend>{key}</legend>{boxes}</fieldset>"


def _chart(report: BenchReport) -> str:
    points, left_out = place(report.rows)
    styles = [_style(point.row.subject, [row.subject for row in report.rows]) for point in points]
    missing = f"<p>Not in the chart:</p>{_list(left_out)}" if left_out else ""
    return scatter(points, styles) + f'<div class="quiet">{missing}</div>'


def _table(table: Table, subjects: Sequence[MeasuredModel] = (), kind: str = "figures") -> str:
    """The table in a box that scrolls by itself; its rows belong to `subjects`, where there are any."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    lines = []
    for index, row in enumerate(table.rows):
        struck = index in table.struck
        first, *rest = (f"<s>{escape(cell)}</s>" if struck else escape(cell) for cell in row)
        keys = f" {_keys(subjects[index])}" if subjects else ""
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        lines.append(f'<tr{keys}{" class=struck" if struck else ""}><th scope="row">{first}</th>{cells}</tr>')
    title = escape(table.title)
    return (
        f'<h3>{title}</h3><div class="scroll {kind}" tabindex="0" role="region" aria-label="{title}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _histograms(row: Row, subjects: Sequence[MeasuredModel]) -> str:
    subject = row.subject
    marks = "" if row.steady else " (unsteady)"
    name = escape(subject.label)
    caption = f"<s>{name}</s> (struck out)" if row.rejected else name
    drawn = "".join(
        f"<div><p>{scope}: {shown_percentiles(row.scopes[scope])}</p>"
        f"{histogram(row.scopes[scope], f'{subject.label}, {scope}')}</div>"
        for scope in SCOPES
        if scope in row.scopes
    )
    return (
        f'<figure {_keys(subject)} style="{_style(subject, subjects)}">'
        f"<figcaption>{caption}{marks}</figcaption>{drawn}</figure>"
    )
