"""The trade-off of a sweep as a picture: AP over latency, a panel for each frame rate, with the time of one frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.benchmarks.streams.report import SweepReport, SweepRow
from yolox_deploy.charts import line_color, new_figure, style, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

PANEL = (4.8, 4.0)
"""Width and height in hundreds of pixels, without the legend; `LEGEND_LINE` is the height of a line of that."""
LEGEND_LINE = 0.22
TICKS = (1, 2, 5)
INK = "#303030"
ROOM = (24, 12)
"""Of a label, in pixels; `AWAY`: how far above its dot it may stand."""
AWAY = (-18, 18, -30, 30, -42, 42)
DOTS: dict[str, Any] = {"marker": "o", "markersize": 6, "linewidth": 1}
KINDS: dict[str, dict[str, Any]] = {
    "streaming AP, by input size": DOTS,
    "offline AP of the same answers": {**DOTS, "markerfacecolor": "white", "alpha": 0.45},
    "best at that rate": {"marker": "o", "markersize": 14, "markerfacecolor": "none", "linestyle": ""},
    "time of one frame": {"linestyle": "--", "linewidth": 1},
}
"""How each kind of mark looks, by its name in the legend."""
STREAMING, OFFLINE, BEST, ONE_FRAME = KINDS.values()


def draw_sweep(report: SweepReport, path: str | Path) -> Path:
    """Draw offline AP (hollow) and streaming AP (filled) over the median latency, a panel for each frame rate.

    One model on one backend is one colour, its input sizes are joined.

    Args:
        report: of a sweep.
        path: of the picture; its suffix names the format.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rates = list(report.best)
    series = list(dict.fromkeys(_series(report, row) for row in report.rows))
    width, height = PANEL
    lines = math.ceil((len(series) + len(KINDS)) / len(rates))
    figure = new_figure(width * len(rates), height + LEGEND_LINE * lines, "bench")
    panels = figure.subplots(1, len(rates), sharex=True, sharey=True, squeeze=False)[0]
    _scale(panels[0], report)
    panels[0].set_ylabel("AP (%)")
    for axes, rate in zip(panels, rates, strict=True):
        _draw_panel(axes, report, rate, series)
    figure.legend(handles=_marks(series), loc="outside lower center", ncols=len(rates), frameon=False)
    write_figure(Path(path), figure)
    return Path(path)


def _marks(series: Sequence[str]) -> list[Line2D]:
    """What the legend explains: colours, then kinds."""
    from matplotlib.lines import Line2D

    colors = [Line2D([], [], color=line_color(i), label=name, **DOTS) for i, name in enumerate(series)]
    return colors + [Line2D([], [], color=INK, label=name, **kind) for name, kind in KINDS.items()]


def _draw_panel(axes: Axes, report: SweepReport, rate: float, series: Sequence[str]) -> None:
    """One frame rate: of each model on one backend both lines, and its input sizes beside the lower one."""
    style(axes)
    axes.set(title=f"{rate:g} FPS: {1000 / rate:.0f} ms a frame", xlabel="median latency (ms)")
    axes.axvline(1000 / rate, color=INK, **ONE_FRAME)
    labels = []
    rows = report.at(rate)
    for index, name in enumerate(series):
        own = [row for row in rows if _series(report, row) == name]
        own.sort(key=lambda row: _latency(report, row))
        times = [_latency(report, row) for row in own]
        lower = [_percent(row.streaming) for row in own]
        axes.plot(times, [_percent(row.offline) for row in own], color=line_color(index), **OFFLINE)
        axes.plot(times, lower, color=line_color(index), **STREAMING)
        sizes = [report.detectors[row.detector].size for row in own]
        texts = [f"{height}" if height == width else f"{height}x{width}" for height, width in sizes]
        labels += [
            ((time, ap), text, line_color(index)) for time, ap, text in zip(times, lower, texts, strict=True)
        ]
    axes.plot(_latency(report, rows[0]), _percent(rows[0].streaming), color=INK, **BEST)
    _write_labels(axes, labels)


def _write_labels(
    axes: Axes, labels: Sequence[tuple[tuple[float, float], str, tuple[float, float, float]]]
) -> None:
    """Each text below or above its spot (ms, %), where it meets no other spot and no other text."""
    spots = axes.transData.transform([spot for spot, _, _ in labels]).tolist()
    taken = list(spots)
    for (spot, text, color), (x, y) in zip(labels, spots, strict=True):
        width, height = ROOM
        free = (
            away
            for away in AWAY
            if all(abs(x - left) > width or abs(y + away - low) > height for left, low in taken)
        )
        away = next(free, AWAY[0])
        taken.append([x, y + away])
        place: Any = {"xytext": (0, away), "textcoords": "offset pixels", "ha": "center", "va": "center"}
        axes.annotate(text, spot, color=color, fontsize=8, **place)


def _scale(axes: Axes, report: SweepReport) -> None:
    """Of all panels: logarithmic milliseconds that hold every latency and frame, and AP from 0."""
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    times = [_latency(report, row) for row in report.rows] + [1000 / rate for rate in report.best]
    least, most = min(times) / 1.35, max(times) * 1.35
    ticks = [digit * 10.0**power for power in range(-2, 6) for digit in TICKS]
    axes.set_xscale("log")
    axes.set_xticks([tick for tick in ticks if least < tick < most])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlim(least, most)
    top = 5 * math.ceil((max(_percent(row.offline) for row in report.rows) + 1) / 5)
    axes.set_ylim(-0.08 * top, top)  # room for the sizes below 0


def _latency(report: SweepReport, row: SweepRow) -> float:
    """Median milliseconds."""
    return report.detectors[row.detector].latency.p50


def _percent(figures: Mapping[str, float]) -> float:
    return 100 * max(figures["AP"], 0.0)


def _series(report: SweepReport, row: SweepRow) -> str:
    """ "yolox_nano onnxruntime fp32"."""
    detector = report.detectors[row.detector]
    return f"{detector.model} {detector.backend} {detector.precision}"
