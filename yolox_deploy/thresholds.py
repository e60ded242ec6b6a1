"""What counts as a detection, and what a graph with suppression of its own leaves of that choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypedDict

from yolox_deploy.errors import UsageError, refuse_unknown


class ThresholdFields(TypedDict, total=False):
    """The fields of `Thresholds` that differ for one call; those left out stay the detector's."""

    conf: float
    iou: float
    class_agnostic: bool
    max_detections: int | None
    multi_label: bool


@dataclass(frozen=True)
class Thresholds:
    """What counts as a detection; the fields are those of `Detector`."""

    conf: float = 0.25
    iou: float = 0.45
    class_agnostic: bool = False
    max_detections: int | None = 300
    multi_label: bool = False

    def __post_init__(self) -> None:
        for name, value in (("conf", self.conf), ("iou", self.iou)):
            if not isinstance(value, Real) or not 0 <= value <= 1:
                raise UsageError(f"{name} is {value!r}; expected a number from 0 to 1")
        most = self.max_detections
        if most is not None and (not isinstance(most, Integral) or most < 1):
            raise UsageError(f"max_detections is {most!r}; expected at least 1, or None")

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
