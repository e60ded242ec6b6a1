"""The annotations of a data set as one chart: how many of each class, how large, where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.charts import FILLED, STRONG, new_figure, short_name, style, write_figure
from yolox_deploy.data.dataset import DetectionDataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 30
LIMITS = (32, 96)
"""Sides in pixels of squares between COCO's small, medium and large."""
CELLS = 32
"""Of the heat map, along each side."""


def draw_labels(dataset: DetectionDataset, path: Path, size: tuple[int, int] = (640, 640)) -> None:
    """Draw what there is to learn: objects by class, their sizes as the network sees them, where their centres lie.

    Crowds are left out, and boxes are clipped to their pictures, as in training.

    Args:
        path: of the picture to write; its suffix names the format.
        size: height and width of the network's input, to which pictures are letterboxed.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(15, 5, "train")
    counts, sizes, places = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
    owners = np.repeat(np.arange(len(dataset)), np.diff(dataset.offsets))
    boxes = dataset.clipped(slice(None), dataset.sizes[owners]).astype(np.float64)
    kept = ~dataset.crowds & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    boxes, pictures = boxes[kept], dataset.sizes[owners[kept]].astype(np.float64)
    _draw_counts(counts, dataset.class_names, dataset.classes[kept])
    ratios = np.minimum(size[0] / pictures[:, 0], size[1] / pictures[:, 1])
    _draw_sizes(sizes, (boxes[:, 2:] - boxes[:, :2]) * ratios[:, None], size)
    _draw_places(places, (boxes[:, :2] + boxes[:, 2:]) / 2 / pictures[:, ::-1])
    figure.suptitle(f"{len(boxes)} objects in {len(dataset)} pictures")
    write_figure(path, figure)


def _draw_counts(axes: Axes, names: tuple[str, ...], classes: NDArray[np.int64]) -> None:
    """A bar a class, the most frequent above; those beyond `MOST_CLASSES` as one."""
    counts = np.bincount(classes, minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    shown, rest = order[:MOST_CLASSES], order[MOST_CLASSES:]
    labels = [short_name(names[index]) for index in shown]
    values = counts[shown].tolist()
    if len(rest):
        labels.append(f"{len(rest)} others")
        values.append(int(counts[rest].sum()))
    style(axes)
    axes.grid(visible=False, axis="y")
    bars = axes.barh(range(len(values)), values, color=FILLED)
    axes.bar_label(bars, fontsize=7, padding=2)
    axes.set_yticks(range(len(values)), labels, fontsize=8 if len(values) > 15 else 10)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel="objects", title="classes")


def _draw_sizes(axes: Axes, sides: NDArray[np.float64], size: tuple[int, int]) -> None:
    """Width and height in pixels of the input, both logarithmic, so that equal areas lie on falling diagonals."""
    longest = float(max(size))
    style(axes)
    if len(sides):
        axes.hexbin(
            *sides.T, gridsize=40, xscale="log", yscale="log", bins="log", mincnt=1, vmin=0.3, cmap="Blues"
        )
    axes.set(xscale="log", yscale="log", xlim=(2, longest), ylim=(2, longest))
    ticks = [2**power for power in range(1, 12) if 2**power <= longest]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    areas = sides[:, 0] * sides[:, 1]
    edges = [0, *(side**2 for side in LIMITS), np.inf]
    shares = np.histogram(areas, edges)[0] / max(len(areas), 1)
    for side in LIMITS:
        ends = np.array([side**2 / longest, longest])
        axes.plot(ends, side**2 / ends, color=STRONG, linewidth=1, linestyle="--")
    names = ("small", "medium", "large")
    told = ", ".join(f"{share:.0%} {name}" for share, name in zip(shares, names, strict=True))
    axes.set(xlabel=f"width in an input of {size[0]}x{size[1]}", ylabel="height", title=f"sizes: {told}")
    axes.set_aspect("equal")


def _draw_places(axes: Axes, centres: NDArray[np.float64]) -> None:
    """How many centres lie where, as shares of the picture's width and height; the top is above."""
    counts, _, _ = np.histogram2d(centres[:, 1], centres[:, 0], CELLS, ((0, 1), (0, 1)))
    axes.imshow(counts, cmap="Blues", extent=(0, 1, 1, 0), interpolation="nearest")
    axes.set(xlabel="centre, share of the width", ylabel="share of the height", title="positions")
