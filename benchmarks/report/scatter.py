"""The paper's Figure 1 with the measured points in it, as SVG text for the HTML page.

It is drawn here rather than in the browser, so that it prints and shows without JavaScript. What belongs to
a row carries `data-backend` and `data-precision`, by which the page filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np

from yolox_deploy.benchmarks.report.paper import PublishedPoint, figure_points
from yolox_deploy.benchmarks.report.results import MeasuredModel, Row, Samples
from yolox_deploy.benchmarks.report.tables import by_reason
from yolox_deploy.models.zoo import ZOO

WIDTH, HEIGHT = 400, 330
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 10, 36
SHAPES = {
    "fp32": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "fp16": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "bf16": "M0,-4.6L4.4,3.4H-4.4z",
    "int8": "M0,-5L5,0L0,5L-5,0z",
}
"""Marks of 8 units around 0,0: a precision is never told by colour alone."""

GAP = 6.0
SIDES = "right left above below"
Box = tuple[float, float, float, float]
BINS = 40

CHARACTER_WIDTH, TEXT_HEIGHT = 5.0, 9.0
"""Extent of text in units of the chart, at the largest size that the page's style gives it."""


@dataclass(frozen=True)
class MeasuredPoint:
    """A row in the scatter: mean host latency in ms, AP in percent, and whether that AP was measured."""

    row: Row
    latency_ms: float
    ap: float
    ap_measured: bool


@dataclass(frozen=True)
class _Axes:
    """Scales of the scatter: logarithmic milliseconds, linear AP."""

    left_ms: float
    right_ms: float
    low_ap: float
    high_ap: float

    def x(self, ms: float) -> float:
        share = math.log(ms / self.left_ms) / math.log(self.right_ms / self.left_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, ap: float) -> float:
        share = (ap - self.low_ap) / (self.high_ap - self.low_ap)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def place(rows: Sequence[Row]) -> tuple[list[MeasuredPoint], list[str]]:
    """The rows that can stand in the scatter, and sentences that say why the others cannot.

    A row without AP stands at the AP published for the very weights it ran, when they are the official ones
    at their own size and not quantised; anything else would claim an accuracy that nobody measured.
    """
    points: list[MeasuredPoint] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        label, ms = row.subject.label, row.headline.summary.mean
        ap = _released_ap(row)
        if row.rejected:
            left_out.append((label, "struck out"))
        elif row.accuracy is not None:
            points.append(MeasuredPoint(row, ms, 100 * row.accuracy.figures["AP"], True))
        elif ap is not None:
            points.append(MeasuredPoint(row, ms, ap, False))
        else:
            reason = f"AP was not measured, and none is published for {_ran(row.subject)}"
            left_out.append((label, reason))
    return points, by_reason(left_out)


def scatter(points: Sequence[MeasuredPoint], styles: Sequence[str]) -> str:
    """AP over latency: published V100 points by series in grey, measured ones in the colours of `styles`."""
    published = figure_points()
    axes = _axes(published, points)
    marks: list[PublishedPoint | MeasuredPoint] = [*published, *points]
    labels = Labels([(axes.x(mark.latency_ms), axes.y(mark.ap)) for mark in marks], (LEFT, WIDTH))
    parts = [_frame(axes)]
    for series, group in groupby(published, key=lambda point: point.series):
        parts.append(_series(series, list(group), axes, labels))
    parts += [_mark(point, style, axes, labels) for point, style in zip(points, styles, strict=True)]
    title = "COCO AP over latency: published V100 points and points measured in this run"
    return (
        f'<svg class="scatter" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{title}">'
        f"{''.join(parts)}</svg>"
    )


def shape(precision: str) -> str:
    """The path of the mark of `precision`."""
    return SHAPES.get(precision, SHAPES["fp32"])


def _released_ap(row: Row) -> float | None:
    subject, config = row.subject, ZOO.get(row.subject.model)
    if config is None or subject.weights != "official" or subject.precision == "int8" or not config.published:
        return None
    return config.published[0].ap_val if subject.input_size == (config.test_size,) * 2 else None


def _ran(subject: MeasuredModel) -> str:
    size = "x".join(map(str, subject.input_size))
    return f"{subject.model} at {size} in {subject.precision} with weights: {subject.weights}"


def _axes(published: Sequence[PublishedPoint], points: Sequence[MeasuredPoint]) -> _Axes:
    times = [point.latency_ms for point in published] + [point.latency_ms for point in points]
    aps = [point.ap for point in published] + [point.ap for point in points]
    low, high = 5 * math.floor(min(aps) / 5), 5 * math.ceil(max(aps) / 5)
    return _Axes(min(times) / 2.4, max(times) * 1.35, low, high)


def _frame(axes: _Axes) -> str:
    decades = range(math.floor(math.log10(axes.left_ms)), math.ceil(math.log10(axes.right_ms)) + 1)
    ticks = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    parts = []
    for ms in (ms for ms in ticks if axes.left_ms <= ms <= axes.right_ms):
        x = axes.x(ms)
        parts.append(f'<path class="grid" d="M{x:.1f},{TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{ms:g}</text>')
    for ap in range(int(axes.low_ap), int(axes.high_ap) + 1, 5):
        y = axes.y(ap)
        parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 3.5:.1f}" text-anchor="end">{ap}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        "latency at batch 1 (ms, logarithmic)</text>"
    )
    parts.append(
        f'<text transform="translate(10 {middle}) rotate(-90)" text-anchor="middle">COCO AP (%)</text>'
    )
    return "".join(parts)


def _series(name: str, points: Sequence[PublishedPoint], axes: _Axes, labels: Labels) -> str:
    places = [(axes.x(point.latency_ms), axes.y(point.ap)) for point in points]
    line = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        _button(
            f"{p.method}, published: {p.latency_ms:.1f} ms on a V100, AP {p.ap} % (Table {p.table})",
            x,
            y,
            '<circle r="2.6"/>',
        )
        for p, (x, y) in zip(points, places, strict=True)
    )
    label = labels.draw(name, *places[0], sides="left right above below")
    return (
        f'<g class="published" data-series="{escape(name)}"><path class="line" d="{line}"/>{label}{dots}</g>'
    )


def _mark(point: MeasuredPoint, style: str, axes: _Axes, labels: Labels) -> str:
    subject = point.row.subject
    origin = "measured" if point.ap_measured else "published for these weights, not measured here"
    text = f"{subject.label}: {point.latency_ms:.2f} ms mean (host), AP {point.ap:.1f} % ({origin})"
    kind = "measured" if point.ap_measured else "measured hollow"
    x, y = axes.x(point.latency_ms), axes.y(point.ap)
    drawn = _button(text, x, y, f'<path d="{shape(subject.precision)}"/>')
    drawn += labels.draw(subject.model.removeprefix("yolox_").replace("darknet", "d"), x, y)
    keys = f'data-backend="{escape(subject.backend)}" data-precision="{escape(subject.precision)}"'
    return f'<g class="{kind}" style="{style}" {keys}>{drawn}</g>'


def _button(text: str, x: float, y: float, inner: str) -> str:
    """A mark at x, y that tells `text` when it is pointed at, tapped or reached by the keyboard."""
    told = escape(text)
    return (
        f'<g class="point" tabindex="0" role="img" aria-label="{told}" transform="translate({x:.1f} {y:.1f})">'
        f'<title>{told}</title><circle class="reach" r="9"/>{inner}</g>'
    )


class Labels:
    """Keeps the boxes (left, top, right, bottom) of `marks` (centres) and of all names put so far.

    Names stay between the two x of `within`.
    """

    def __init__(self, marks: Sequence[tuple[float, float]], within: tuple[float, float]) -> None:
        self._within = within
        self._taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in marks]

    def draw(self, name: str, x: float, y: float, sides: str = SIDES) -> str:
        """The name as SVG text beside x, y on the first free side; "" where none is free."""
        wide = CHARACTER_WIDTH * len(name)
        places = {
            "right": ("start", x + GAP, x + GAP, y - TEXT_HEIGHT / 2),
            "left": ("end", x - GAP, x - GAP - wide, y - TEXT_HEIGHT / 2),
            "above": ("middle", x, x - wide / 2, y - GAP - TEXT_HEIGHT),
            "below": ("middle", x, x - wide / 2, y + GAP),
        }
        for side in sides.split():
            anchor, at, left, top = places[side]
            box = (left, top, left + wide, top + TEXT_HEIGHT)
            if self._is_free(box):
                self._taken.append(box)
                base = top + TEXT_HEIGHT - 2
                return f'<text x="{at:.1f}" y="{base:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
        return ""

    def _is_free(self, box: Box) -> bool:
        inside = self._within[0] <= box[0] and box[2] <= self._within[1]
        return inside and not any(_overlap(box, other) for other in self._taken)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def shown_percentiles(samples: Samples) -> str:
    """ "p50 12.30 ms, p99 14.10 ms", the latter only where the samples are enough for it."""
    told = samples.summary.supported()
    return ", ".join(f"{name} {told[name]:.2f} ms" for name in ("p50", "p99") if told[name] is not None)


def histogram(samples: Samples, title: str) -> str:
    """Counts of `samples` over latency; the slowest 1 % are one outlined bar at the right, none is left out."""
    times, found = np.asarray(samples.milliseconds), samples.summary
    low, high = float(times.min()), max(found.p99, float(times.min()) * 1.0001)
    counts, _ = np.histogram(times[times <= high], BINS, (low, high))
    beyond = int((times > high).sum())
    width, floor, tall = 320 / (BINS + 3), 104, max(int(counts.max()), beyond, 1)
    bars = "".join(
        f"M{index * width:.1f},{floor}v{-count / tall * 90:.1f}h{width - 0.6:.1f}V{floor}z"
        for index, count in enumerate(counts)
        if count
    )
    tail = f"M{(BINS + 1) * width:.1f},{floor}v{-beyond / tall * 90:.1f}h{2 * width:.1f}V{floor}z"
    middle = (found.p50 - low) / (high - low) * BINS * width
    label = f"{title}: {found.count} samples, {shown_percentiles(samples)}, slowest {times.max():.2f} ms"
    return (
        f'<svg class="histogram" viewBox="0 0 320 134" role="img" aria-label="{escape(label)}">'
        f'<path class="bars" d="{bars}"/><path class="tail" d="{tail}"/>'
        f'<path class="axis" d="M0,{floor}H320"/><path class="median" d="M{middle:.1f},6V{floor}"/>'
        f'<text x="0" y="116">{low:.4g}</text><text x="{BINS * width:.0f}" y="116" text-anchor="end">{high:.4g}</text>'
        f'<text x="320" y="116" text-anchor="end">+{beyond}</text>'
        f'<text x="160" y="130" text-anchor="middle">latency (ms); {tall} samples at the highest bar</text></svg>'
    )
