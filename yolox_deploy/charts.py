"""Charts as pictures, drawn by matplotlib without its global state: curves of a run and of an ablation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from yolox_deploy.drawing import class_color, write_picture
from yolox_deploy.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, float]]
Line = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 6.8, 4.0
"""Of one chart, in hundreds of pixels."""
MARGIN = 0.12
GRID, FILLED, STRONG = "#e2e2e2", "#0969da", "#1b1f24"
LONGEST_NAME = 22
"""Letters of a class name."""


def draw_curves(steps: Rows, epochs: Rows, path: Path) -> None:
    """Draw the losses over the steps beside the average precision over the epochs, from the rows of a `RunLog`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(2 * WIDTH, HEIGHT, "train")
    losses, precision = figure.subplots(1, 2)
    _draw_lines(losses, _lines("step", steps, ("total", "iou", "obj", "cls", "l1")))
    losses.set(xlabel="step", ylabel="loss")
    _draw_lines(precision, _lines("epoch", epochs, ("AP", "AP50", "AP75")))
    precision.set(xlabel="epoch", ylabel="average precision (0–1)")
    write_figure(path, figure)


def draw_convergence(charts: Mapping[str, Mapping[str, Line]], path: Path) -> None:
    """Draw AP over epochs, one chart beside another (paper, Figure 3).

    Args:
        charts: by title, and by name of the line: its points (epoch, AP).
        path: of the picture to write; its suffix names the format.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(len(charts) * WIDTH, HEIGHT, "train")
    for axes, (title, lines) in zip(
        figure.subplots(1, len(charts), squeeze=False)[0], charts.items(), strict=True
    ):
        _draw_lines(axes, lines)
        axes.set(xlabel="epoch", ylabel="AP (0–1)", title=title)
    write_figure(path, figure)


def new_figure(width: float, height: float, extra: str) -> Figure:
    """A figure of so many hundreds of pixels, which keeps its charts and their texts apart.

    Args:
        extra: that brings matplotlib.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", extra)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100)
    figure.set_layout_engine("constrained", w_pad=MARGIN, h_pad=MARGIN)
    return figure


def write_figure(path: Path, figure: Figure) -> None:
    """Draw and encode by the suffix of `path`; nobody sees half a file. Letters that the font lacks are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)  # one for each letter
        canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba(), np.uint8)
    write_picture(path, np.ascontiguousarray(rgba[:, :, 2::-1]), (cv2.IMWRITE_PNG_COMPRESSION, 9))


def short_name(name: str) -> str:
    """A class name for a chart: cut where it is long, and with no sign that matplotlib reads as a formula."""
    return (name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…").replace("$", r"\$")


def line_color(index: int) -> tuple[float, float, float]:
    """Red, green, blue (0-1) of the line with this number: a shade of `class_color` that is seen on white."""
    blue, green, red = (round(0.75 * value) / 255 for value in class_color(index))
    return red, green, blue


def style(axes: Axes) -> None:
    """A pale grid behind the lines, and no frame above and to the right."""
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _lines(x: str, rows: Rows, names: Sequence[str]) -> dict[str, Line]:
    """The columns `names` over the column `x`."""
    return {name: [(row[x], max(row[name], 0.0)) for row in rows if name in row] for name in names}


def _draw_lines(axes: Axes, lines: Mapping[str, Line]) -> None:
    """Lines with a dot at their end, both axes beginning at 0, and beside them their names."""
    from matplotlib.ticker import MaxNLocator

    style(axes)
    ends, tops = [1.0], [0.0]
    for index, (name, line) in enumerate(lines.items()):
        if line:
            x, y = zip(*line, strict=True)
            axes.plot(x, y, color=line_color(index), label=name, marker="o", markevery=[-1], clip_on=False)
            ends.append(max(x))
            tops.append(max(y))
    axes.set_xlim(0, max(ends))
    axes.set_ylim(0, 1.05 * max(tops) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.lines:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
