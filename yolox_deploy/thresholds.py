"""What counts as a detection, and what a graph with suppression of its own leaves of that choice."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from yolox_deploy.class_names import class_ids_of
from yolox_deploy.errors import UsageError, refuse_unknown
from yolox_deploy.types import is_finite, is_whole


class ThresholdFields(TypedDict, total=False):
    """The fields of `Thresholds` that differ for one call; those left out stay the detector's."""

    conf: float
    iou: float
    class_agnostic: bool
    max_detections: int | None
    multi_label: bool
    classes: Iterable[str | int] | str | int | None
    tiles: int | tuple[int, int] | None
    overlap: float


LEAST_TILE = 32
"""Pixels of a tile's side; the coarsest anchor points of a network are as far apart."""

MOST_OVERLAP = 0.9


@dataclass(frozen=True)
class Thresholds:
    """What counts as a detection, and in which tiles it is looked for; the fields are those of `Detector`."""

    conf: float = 0.25
    iou: float = 0.45
    class_agnostic: bool = False
    max_detections: int | None = 300
    multi_label: bool = False
    classes: Iterable[str | int] | str | int | None = None
    tiles: int | tuple[int, int] | None = None
    overlap: float = 0.2

    def __post_init__(self) -> None:
        for name, value in (("conf", self.conf), ("iou", self.iou)):
            if not is_finite(value) or not 0 <= value <= 1:
                raise UsageError(f"{name} is {value!r}; expected a number from 0 to 1")
        most = self.max_detections
        if most is not None and (not is_whole(most) or most < 1):
            raise UsageError(f"max_detections is {most!r}; expected at least 1, or None")
        if not is_finite(self.overlap) or not 0 <= self.overlap <= MOST_OVERLAP:
            raise UsageError(f"overlap is {self.overlap!r}; expected a number from 0 to {MOST_OVERLAP}")
        for name, flag in (("class_agnostic", self.class_agnostic), ("multi_label", self.multi_label)):
            if not isinstance(flag, bool | np.bool_):
                raise UsageError(f"{name} is {flag!r}; expected True or False")
        if self.tiles is not None:
            self.tile_size()

    def tile_size(self) -> tuple[int, int]:
        """(H, W) of a tile in pixels of the picture, where `tiles` is not None.

        Raises:
            UsageError: `tiles` is neither a side nor two.
        """
        sides = self.tiles if isinstance(self.tiles, Sequence) else (self.tiles, self.tiles)
        try:
            height, width = map(operator.index, sides)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            height = width = 0
        if min(height, width) < LEAST_TILE:
            raise UsageError(
                f"tiles is {self.tiles!r}; expected the side of a tile in pixels of the picture, or (height, width), "
                f"each at least {LEAST_TILE}, or None"
            )
        return height, width

    @classmethod
    def evaluation(cls) -> Thresholds:
        """Those of YOLOX's own evaluation, which keeps nearly every box: AP weighs them by their scores."""
        return cls(conf=0.01, iou=0.65, max_detections=None)

    def changed(self, fields: Mapping[str, Any]) -> Thresholds:
        """These with some fields replaced.

        Raises:
            UsageError: no such field, or a value that cannot work.
        """
        refuse_unknown("threshold", fields, [f.name for f in dataclasses.fields(self)])
        return dataclasses.replace(self, **fields)

    def with_ids(self, class_names: Sequence[str]) -> Thresholds:
        """These with `classes` as ids.

        Raises:
            UsageError: `classes` names none, or one that is none of `class_names`.
        """
        if self.classes is None:
            return self
        return dataclasses.replace(self, classes=class_ids_of(self.classes, class_names))


def apply_graph_thresholds(asked: Thresholds, graph: Mapping[str, Any]) -> Thresholds:
    """The thresholds of a file whose graph suppresses with `conf` and `iou` of its own.

    A value left at its default gives way: the IoU to the graph's, the score to the graph's where that is higher.
    """
    default = Thresholds()
    conf = max(asked.conf, graph["conf"]) if asked.conf == default.conf else asked.conf
    iou = graph["iou"] if asked.iou == default.iou else asked.iou
    return dataclasses.replace(asked, conf=conf, iou=iou)


def check_graph(asked: Thresholds, graph: Mapping[str, Any], path: Path) -> None:
    """Refuse what a graph with suppression of its own cannot give: `multi_label` it has, less than its `conf` not.

    Raises:
        UsageError: a score below the graph's, another IoU, or suppression across classes.
    """
    refused = [
        f"{name} {value}"
        for name, value, wrong in (
            ("conf", asked.conf, asked.conf < graph["conf"]),
            ("iou", asked.iou, asked.iou != graph["iou"]),
            ("class_agnostic", True, asked.class_agnostic),
        )
        if wrong
    ]
    if refused:
        raise UsageError(
            f"{path} suppresses in its graph, class by class at conf {graph['conf']} and iou {graph['iou']}; "
            f"{' and '.join(refused)} cannot be had from it. Use its thresholds, or export again without --nms "
            "(or with --nms at the thresholds you need)"
        )
