"""The charts and pictures of an evaluation report, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.charts import FILLED, STRONG, line_color, new_figure, short_name, style, write_figure
from yolox_deploy.drawing import draw, write_picture
from yolox_deploy.evaluation.values import Evaluated
from yolox_deploy.evaluation.worst import Marked, WorstPicture
from yolox_deploy.images import load_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 4.6, 3.5, 200
"""Inches of a chart: its texts stay readable when a phone shows it 360 pixels wide."""
NAMED_LINES = 8
"""Classes up to which each line has its colour and name."""
MOST_ROWS, MOST_CELLS = 30, 16
"""Classes in the chart of classes, and in that of confusions."""
QUIET, PALE = "#a8b0b8", "#c9d6e6"
LONGEST, SHORTEST = 720, 400
"""Pixels of the longer side of a drawn picture: at most, at least."""
MISSED, WRONG, RIGHT = (218, 105, 9), (47, 36, 209), (78, 164, 45)
"""BGR of boxes: blue, red, green; those of the page."""


def draw_precision_recall(report: Evaluated, path: Path) -> None:
    """Draw precision over recall at IoU 0.5, of each class and their mean."""
    figure, axes = _chart()
    curves = report.curves
    lines = [
        (row.name, curves.recall, line) for row, line in zip(report.per_class, curves.precision, strict=True)
    ]
    _draw_classes(axes, [line for line in lines if line[2][0] > -1])
    if report.figures["AP50"] >= 0:
        label = f"mean (AP50 {report.figures['AP50']:.3f})"
        axes.plot(curves.recall, curves.mean_precision, color=STRONG, linewidth=2.2, label=label)
    _finish(axes, "recall", "precision", not curves.overall.objects and "no objects")
    write_figure(path, figure)


def draw_f1(report: Evaluated, path: Path) -> None:
    """Draw F1 over the score threshold, of each class and of all together, whose precision and recall are beside."""
    figure, axes = _chart()
    curves, overall, best = report.curves, report.curves.overall, report.curves.overall.best
    _draw_classes(axes, [(one.name, curves.thresholds, one.f1) for one in curves.classes if one.objects])
    if overall.objects:
        axes.plot(curves.thresholds, overall.precision, color=STRONG, linestyle=":", label="precision")
        axes.plot(curves.thresholds, overall.recall, color=STRONG, linestyle="--", label="recall")
        axes.plot(curves.thresholds, overall.f1, color=STRONG, linewidth=2.2, label="F1, all classes")
    if best is not None:
        axes.plot(
            best.threshold, best.f1, "o", color=STRONG, label=f"best: {best.f1:.2f} at {best.threshold:g}"
        )
    _finish(axes, "score threshold", "F1, precision, recall", not overall.objects and "no objects")
    write_figure(path, figure)


def draw_confusion(report: Evaluated, path: Path) -> None:
    """Draw the confusion matrix of the classes with most objects; colour is the share of the row's objects."""
    names, matrix = report.confusion.names, report.confusion.matrix
    involved = matrix[:-1].sum(axis=1) * 1000 + matrix[:, :-1].sum(axis=0)
    chosen = np.sort(np.argsort(-involved, kind="stable")[:MOST_CELLS])
    chosen = chosen[involved[chosen] > 0]
    if not len(chosen):
        return _draw_nothing(path, "no objects and no detections")
    shown = _with_others(matrix, chosen)
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    side = 1.9 + 0.4 * len(shown)
    figure = new_figure(side, side, "report")
    figure.set_dpi(DPI)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shown), strict=True):
        ink = "white" if shares[row, column] > 0.5 else STRONG
        axes.text(column, row, str(shown[row, column]), ha="center", va="center", color=ink, fontsize=8)
    labels = [short_name(names[index]) for index in chosen] + ["other classes"] * (
        len(shown) - 1 - len(chosen)
    )
    axes.set_xticks(range(len(shown)), [*labels, "missed"], rotation=90)
    axes.set_yticks(range(len(shown)), [*labels, "background"])
    axes.set(xlabel="found as", ylabel="is")
    write_figure(path, figure)


def _with_others(matrix: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows and columns of some classes, those of all others added up where there is anything, and the last."""
    others = np.setdiff1d(np.arange(len(matrix) - 1), chosen)
    groups = [[index] for index in chosen.tolist()]
    if matrix[others].any() or matrix[:, others].any():
        groups.append(others.tolist())
    groups.append([len(matrix) - 1])
    return np.array(
        [[matrix[np.ix_(rows, columns)].sum() for columns in groups] for rows in groups], np.int64
    )


def draw_calibration(report: Evaluated, path: Path) -> None:
    """Draw the share of right detections over their score, in bins, with how many each bin holds."""
    found = report.calibration
    if not found.counts.sum():
        return _draw_nothing(path, "no detections")
    figure, axes = _chart()
    width = float(found.edges[1] - found.edges[0])
    heights = np.nan_to_num(found.precision)
    axes.bar(found.edges[:-1], heights, 0.92 * width, align="edge", color=FILLED, label="right")
    axes.plot([0, 1], [0, 1], color=STRONG, linestyle="--", linewidth=1, label="as the score says")
    for left, height, count in zip(found.edges, heights, found.counts, strict=False):
        if count:
            behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
            axes.text(left + width / 2, height + 0.02, str(count), ha="center", fontsize=8, bbox=behind)
    _finish(axes, "score", "share of right detections", "")
    axes.set_ylim(0, 1.09)
    write_figure(path, figure)


def draw_classes(report: Evaluated, path: Path) -> None:
    """Draw AP and AP50 of the classes with most objects, best first."""
    rows = sorted((row for row in report.per_class if row.objects), key=lambda row: -row.objects)[:MOST_ROWS]
    if not rows:
        return _draw_nothing(path, "no objects")
    rows.sort(key=lambda row: (row.AP, row.name))
    figure = new_figure(WIDTH, max(1.9, 1.0 + 0.23 * len(rows)), "report")
    figure.set_dpi(DPI)
    axes = figure.subplots()
    style(axes)
    places = range(len(rows))
    axes.barh(places, [row.AP50 for row in rows], color=PALE, label="AP50")
    axes.barh(places, [row.AP for row in rows], 0.55, color=FILLED, label="AP")
    axes.set_yticks(places, [f"{short_name(row.name)} ({row.objects})" for row in rows], fontsize=9)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=2, frameon=False)
    write_figure(path, figure)


CHARTS: dict[str, Callable[[Evaluated, Path], None]] = {
    "pr_curve.png": draw_precision_recall,
    "f1_curve.png": draw_f1,
    "confusion.png": draw_confusion,
    "calibration.png": draw_calibration,
    "per_class.png": draw_classes,
}


def draw_worst(picture: WorstPicture, path: Path) -> None:
    """Draw a picture with what was missed, what is wrong and, in thin lines without names, what is right.

    Raises:
        InputError: the picture cannot be read.
    """
    image = load_image(picture.path)
    longer = max(image.shape[:2])
    scale = min(max(longer, SHORTEST), LONGEST) / longer
    size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    for x1, y1, x2, y2 in (_boxes(picture.right) * scale).round().astype(int).tolist():
        cv2.rectangle(canvas, (x1, y1), (x2, y2), RIGHT, 1)
    marked = (*picture.wrong, *picture.missed)
    texts = [one.class_name if one.score is None else f"{one.class_name} {one.score:.2f}" for one in marked]
    colours = [WRONG] * len(picture.wrong) + [MISSED] * len(picture.missed)
    drawn = draw(canvas, _boxes(marked) * scale, texts, colours)
    write_picture(path, drawn, (cv2.IMWRITE_JPEG_QUALITY, 85))


def _boxes(marked: tuple[Marked, ...]) -> NDArray[np.float64]:
    return np.array([one.box for one in marked], np.float64).reshape(-1, 4)


def _chart() -> tuple[Figure, Axes]:
    figure = new_figure(WIDTH, HEIGHT, "report")
    figure.set_dpi(DPI)
    axes = figure.subplots()
    style(axes)
    return figure, axes


def _draw_classes(axes: Axes, lines: list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]) -> None:
    """A line a class: coloured and named where they are few, else pale."""
    named = 1 < len(lines) <= NAMED_LINES
    for index, (name, x, y) in enumerate(lines):
        color = line_color(index) if named else QUIET
        label = (
            short_name(name) if named else f"{len(lines)} classes" if index == 0 and len(lines) > 1 else None
        )
        axes.plot(x, y, color=color, linewidth=1 if named else 0.5, label=label)


def _finish(axes: Axes, x: str, y: str, instead: str | bool) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    if instead:
        axes.text(0.5, 0.5, str(instead), ha="center", va="center", color=STRONG)
    if axes.get_legend_handles_labels()[1]:
        columns = 2 if len(axes.get_legend_handles_labels()[1]) > 1 else 1
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=columns, frameon=False, fontsize=9)


def _draw_nothing(path: Path, text: str) -> None:
    figure, axes = _chart()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=STRONG, transform=axes.transAxes)
    write_figure(path, figure)
