"""Charts of a run and of an ablation: how losses and figures go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.drawing import class_color, put_text, write_picture

Picture = NDArray[np.uint8]
Rows = Sequence[Mapping[str, float]]
Line = Sequence[tuple[float, float]]

CHART = (300, 560)
"""Height and width of one chart, without its margins."""
MARGINS = (40, 60)
LEGEND_STEP = 18


def draw_curves(steps: Rows, epochs: Rows, path: Path) -> None:
    """Draw the losses over the steps beside the average precision over the epochs, from the rows of a `RunLog`."""
    losses = _chart("step", _lines("step", steps, ("total", "iou", "obj", "cls", "l1")))
    write_picture(path, np.hstack([losses, _chart("epoch", _lines("epoch", epochs, ("AP", "AP50", "AP75")))]))


def draw_convergence(charts: Mapping[str, Mapping[str, Line]], path: Path) -> None:
    """Draw AP over epochs, one chart beside another (paper, Figure 3).

    Args:
        charts: by title, and by name of the line: its points (epoch, AP).
        path: of the picture to write; its suffix names the format.
    """
    drawn = []
    for title, lines in charts.items():
        canvas = _chart("epoch", lines, names=False)
        put_text(canvas, title, (MARGINS[1], MARGINS[0] - 14))
        _draw_legend(canvas, list(lines))
        drawn.append(canvas)
    write_picture(path, np.hstack(drawn))


def _lines(x: str, rows: Rows, names: Sequence[str]) -> dict[str, Line]:
    """The columns `names` over the column `x`."""
    return {name: [(row[x], max(row[name], 0.0)) for row in rows if name in row] for name in names}


def _chart(x: str, lines: Mapping[str, Line], *, names: bool = True) -> Picture:
    """Lines over `x`, both axes beginning at 0, and above them their `names`."""
    (height, width), (margin, left) = CHART, MARGINS
    canvas = np.full((height + 2 * margin, width + 2 * left, 3), 255, np.uint8)
    points = [point for line in lines.values() for point in line] or [(0.0, 0.0)]
    end, top = (max(column) or 1.0 for column in zip(*points, strict=True))
    top = _round_up(top)
    for share in (0, 0.25, 0.5, 0.75, 1):
        down = margin + round((1 - share) * height)
        cv2.line(canvas, (left, down), (left + width, down), (225, 225, 225), 1)
        put_text(canvas, f"{share * top:.3g}", (8, down + 4))
    for share, text in ((0, "0"), (1, f"{x} {end:.0f}")):
        put_text(canvas, text, (left + round(share * width) - 30 * share, margin + height + 20))
    for index, (name, line) in enumerate(lines.items()):
        color = _line_color(index)
        spots = np.array([(left + width * a / end, margin + height * (1 - b / top)) for a, b in line])
        cv2.polylines(
            canvas, [spots.reshape(-1, 1, 2).round().astype(np.int32)], False, color, 2, cv2.LINE_AA
        )
        for spot in spots[-1:]:
            cv2.circle(canvas, (round(spot[0]), round(spot[1])), 3, color, cv2.FILLED, cv2.LINE_AA)
        if names:
            put_text(canvas, name, (left + 70 * index, margin - 14), color)
    return canvas


def _draw_legend(canvas: Picture, names: Sequence[str]) -> None:
    """Names below one another at the top left, where rising lines leave room."""
    for index, name in enumerate(names):
        put_text(canvas, name, (MARGINS[1] + 10, MARGINS[0] + LEGEND_STEP * (index + 1)), _line_color(index))


def _line_color(index: int) -> tuple[int, ...]:
    return tuple(round(0.75 * value) for value in class_color(index))


def _round_up(value: float) -> float:
    """The next number whose quarters are short."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)
