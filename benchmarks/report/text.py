"""A benchmark report as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from yolox_deploy.benchmarks.protocol import PHASES, SCOPES
from yolox_deploy.benchmarks.report.results import BenchReport, MeasuredModel, Row, Startup, ThroughputRow
from yolox_deploy.benchmarks.report.tables import Table, environment_tables, notes, tables
from yolox_deploy.files import write_text

FORMULA = ("=", "+", "-", "@", "\t", "\r")
AP_KEYS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def write_markdown(report: BenchReport, path: str | Path) -> Path:
    """Write the tables, notes and environment as GitHub Markdown; returns the file."""
    parts = [f"# Benchmark of {_markdown(report.created)}", _code(report.command)]
    calls = alerts(report)
    if calls:
        parts.append("\n".join(f"- **{_markdown(text)}**" for text in calls))
    parts += [markdown_table(table) for table in tables(report)]
    parts.append("\n".join(f"- {_markdown(text)}" for text in remarks(report)))
    parts += [markdown_table(table) for table in environment_tables(report.environment)]
    write_text(Path(path), "\n\n".join(parts) + "\n")
    return Path(path)


def write_csv(report: BenchReport, path: str | Path) -> Path:
    """Write one line for each row and scope, times in milliseconds, AP 0-1, empty where not measured.

    Throughput is never beside latency: it goes to `NAME.throughput.csv` next to `path`, where there is any.

    Returns:
        `path`.
    """
    target = Path(path)
    if report.throughput:
        lines = [_throughput_line(report, row) for row in report.throughput]
        write_text(target.with_suffix(f".throughput{target.suffix}"), _csv(lines))
    found = [
        _latency_line(report, row, scope) for row in report.rows for scope in SCOPES if scope in row.scopes
    ]
    write_text(target, _csv(found))
    return target


def alerts(report: BenchReport) -> list[str]:
    """Warnings and why rows are struck out."""
    return [str(note) for note in notes(report) if note.kind != "protocol"]


def remarks(report: BenchReport) -> list[str]:
    """The notes that are no alerts."""
    return [note.text for note in notes(report) if note.kind == "protocol"]


def _markdown(text: str) -> str:
    """`text` with everything that Markdown or HTML would take for markup escaped, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Verbatim lines; indented, so that no fence inside `text` can end them."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def markdown_table(table: Table) -> str:
    """`table` under its title, cells escaped."""
    head = [_markdown(name) for name in table.columns]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for index, row in enumerate(table.rows):
        mark = "~~" if index in table.struck else ""
        lines.append([f"{mark}{_markdown(cell)}{mark}" for cell in row])
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {_markdown(table.title)}\n\n{drawn}"


def _latency_line(report: BenchReport, row: Row, scope: str) -> dict[str, Any]:
    samples, ratio = row.scopes[scope], row.ratios.get(scope)
    phases = row.phases if scope == "e2e" else {}
    accuracy = row.accuracy
    return {
        **_subject(row.subject),
        "scope": scope,
        **samples.summary.supported(),
        "p90_early_stopping": samples.early_stopping_p90,
        "round_low": samples.round_range.low,
        "round_high": samples.round_range.high,
        **{f"{phase}_p50": phases[phase].summary.p50 if phase in phases else None for phase in PHASES},
        "ratio": ratio.value if ratio else None,
        "ratio_low": ratio.interval.low if ratio else None,
        "ratio_high": ratio.interval.high if ratio else None,
        "ratio_significant": ratio.significant if ratio else None,
        "ratio_to": row.ratio_to,
        "steady": row.steady,
        "struck_out": row.rejected,
        "parity_passed": row.parity_passed,
        **{key: accuracy.figures.get(key) if accuracy else None for key in AP_KEYS},
        "ap_images": accuracy.images if accuracy else None,
        "ap_least": accuracy.least if accuracy else None,
        "achieved_gflops": row.achieved_gflops,
        "peak_share": row.peak_share,
        **{f.name: getattr(row.startup, f.name) for f in fields(Startup)},
        "warnings": "; ".join(row.warnings),
        **_run(report),
    }


def _throughput_line(report: BenchReport, row: ThroughputRow) -> dict[str, Any]:
    return {
        **_subject(row.subject),
        "mode": row.mode,
        "batch": row.batch,
        "streams": row.streams,
        "images_per_second": row.images_per_second,
        "seconds": row.seconds,
        "images_done": row.count,
        **{f"inference_{name}": value for name, value in row.samples.summary.supported().items()},
        **_run(report),
    }


def _subject(subject: MeasuredModel) -> dict[str, Any]:
    plain = {f.name: getattr(subject, f.name) for f in fields(MeasuredModel)}
    del plain["details"]
    height, width = plain.pop("input_size")
    return {**plain, "height": height, "width": width}


def _run(report: BenchReport) -> dict[str, Any]:
    gpus = "; ".join(gpu.name for gpu in report.environment.gpus)
    return {
        "created": report.created,
        "protocol": report.protocol.name,
        "cpu": report.environment.cpu,
        "gpus": gpus,
    }


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe, as spreadsheets do it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _csv(lines: Iterable[Mapping[str, Any]]) -> str:
    lines = list(lines)
    out = io.StringIO(newline="")
    if lines:
        table = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return out.getvalue()
