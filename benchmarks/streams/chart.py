"""The trade-off of a sweep as a picture: AP over latency, a panel for each frame rate, with the time of one frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.benchmarks.streams.report import SweepReport, SweepRow
from yolox_deploy.drawing import class_color, put_text, write_picture

Picture = NDArray[np.uint8]

HEIGHT, WIDTH = 330, 400
"""Of a panel's axes, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 40, 44
LEGEND_LINE = 18
GRID, INK, LINE = (228, 228, 228), (90, 90, 90), (60, 60, 200)
TICKS = (1, 2, 3, 5)
NOTE = (
    "filled: streaming AP; hollow: offline AP of the same answers; numbers: input size; ring: best at that rate; "
    "dashes: time of one frame"
)


@dataclass(frozen=True)
class _Axes:
    """Scales shared by all panels: logarithmic milliseconds, AP from 0 in percent."""

    least_ms: float
    most_ms: float
    top: float

    def x(self, ms: float) -> int:
        share = math.log(ms / self.least_ms) / math.log(self.most_ms / self.least_ms)
        return LEFT + round(share * WIDTH)

    def y(self, ap: float) -> int:
        return TOP + round((1 - ap / self.top) * HEIGHT)


def draw_sweep(report: SweepReport, path: str | Path) -> Path:
    """Draw offline AP (hollow) and streaming AP (filled) over the median latency, joined by a line.

    One model on one backend is one colour, its input sizes are joined; the vertical line is the time of one frame,
    the ring marks the best streaming AP.

    Args:
        report: of a sweep.
        path: of the picture; its suffix names the format.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = _axes(report)
    series = list(dict.fromkeys(_series(report, row) for row in report.rows))
    panels = [_panel(report, rate, axes, series) for rate in report.best]
    body = np.hstack(panels)
    write_picture(path, np.vstack([body, _legend(series, body.shape[1])]))
    return path


def _axes(report: SweepReport) -> _Axes:
    times = [detector.latency.p50 for detector in report.detectors]
    times += [1000 / rate for rate in report.best]
    best = max(100 * row.offline["AP"] for row in report.rows)
    return _Axes(min(times) / 1.35, max(times) * 1.35, max(5 * math.ceil((best + 1) / 5), 5))


def _panel(report: SweepReport, rate: float, axes: _Axes, series: Sequence[tuple[str, str]]) -> Picture:
    canvas = np.full((TOP + HEIGHT + BOTTOM, LEFT + WIDTH + RIGHT, 3), 255, np.uint8)
    _frame(canvas, axes)
    put_text(canvas, f"{rate:g} FPS", (LEFT, TOP - 16), (30, 30, 30))
    _dashes(canvas, axes.x(1000 / rate))
    put_text(canvas, f"{1000 / rate:.0f} ms", (axes.x(1000 / rate) - 18, TOP - 4), LINE)
    rows = report.at(rate)
    upper = _series(report, rows[0])
    for index, name in enumerate(series):
        own = [row for row in rows if _series(report, row) == name]
        own.sort(key=lambda row: report.detectors[row.detector].latency.p50)
        _draw_series(canvas, report, own, axes, _color(index), -10 if name == upper else 18)
    best = rows[0]
    spot = _spot(report, best, axes, best.streaming["AP"])
    cv2.circle(canvas, spot, 10, (30, 30, 30), 2, cv2.LINE_AA)
    return canvas


def _draw_series(
    canvas: Picture,
    report: SweepReport,
    rows: Sequence[SweepRow],
    axes: _Axes,
    color: tuple[int, int, int],
    label_down: int,
) -> None:
    """Both lines of one model on one backend, with its sizes so many pixels below the lower one."""
    pale = tuple(round(255 - 0.45 * (255 - value)) for value in color)
    offline = [_spot(report, row, axes, row.offline["AP"]) for row in rows]
    streaming = [_spot(report, row, axes, row.streaming["AP"]) for row in rows]
    for line, tone in ((offline, pale), (streaming, color)):
        cv2.polylines(canvas, [np.array(line, np.int32).reshape(-1, 1, 2)], False, tone, 1, cv2.LINE_AA)
    for row, upper, lower in zip(rows, offline, streaming, strict=True):
        cv2.circle(canvas, upper, 4, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, upper, 4, pale, 1, cv2.LINE_AA)
        cv2.circle(canvas, lower, 5, color, cv2.FILLED, cv2.LINE_AA)
        height, width = report.detectors[row.detector].size
        label = f"{height}" if height == width else f"{height}x{width}"
        put_text(canvas, label, (lower[0] - 12, lower[1] + label_down), color)


def _spot(report: SweepReport, row: SweepRow, axes: _Axes, ap: float) -> tuple[int, int]:
    return axes.x(report.detectors[row.detector].latency.p50), axes.y(100 * max(ap, 0.0))


def _frame(canvas: Picture, axes: _Axes) -> None:
    """Grid and numbers of both axes."""
    for ap in range(0, round(axes.top) + 1, 5):
        cv2.line(canvas, (LEFT, axes.y(ap)), (LEFT + WIDTH, axes.y(ap)), GRID, 1)
        put_text(canvas, str(ap), (LEFT - 24, axes.y(ap) + 4))
    for power in range(-2, 6):
        for tick in (digit * 10.0**power for digit in TICKS):
            if axes.least_ms < tick < axes.most_ms:
                cv2.line(canvas, (axes.x(tick), TOP), (axes.x(tick), TOP + HEIGHT), GRID, 1)
                put_text(canvas, f"{tick:g}", (axes.x(tick) - 8, TOP + HEIGHT + 16))
    put_text(canvas, "median latency, ms", (LEFT + WIDTH // 2 - 60, TOP + HEIGHT + 36))
    put_text(canvas, "AP, %", (4, TOP - 16))


def _dashes(canvas: Picture, x: int) -> None:
    for y in range(TOP, TOP + HEIGHT, 10):
        cv2.line(canvas, (x, y), (x, y + 5), LINE, 1)


def _legend(series: Sequence[tuple[str, str]], width: int) -> Picture:
    canvas = np.full((LEGEND_LINE * (len(series) + 1) + 12, width, 3), 255, np.uint8)
    for index, name in enumerate(series):
        y = LEGEND_LINE * (index + 1)
        cv2.circle(canvas, (LEFT + 4, y - 4), 5, _color(index), cv2.FILLED, cv2.LINE_AA)
        put_text(canvas, " ".join(name), (LEFT + 18, y), INK)
    put_text(canvas, NOTE, (LEFT, LEGEND_LINE * (len(series) + 1)), INK)
    return canvas


def _series(report: SweepReport, row: SweepRow) -> tuple[str, str]:
    detector = report.detectors[row.detector]
    return detector.model, f"{detector.backend} {detector.precision}"


def _color(index: int) -> tuple[int, int, int]:
    blue, green, red = class_color(index)
    return round(0.75 * blue), round(0.75 * green), round(0.75 * red)
