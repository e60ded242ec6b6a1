"""How a folder is laid out: its parts, each of which can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.data.report import Problem
from yolox_deploy.data.split_names import PartName

Part = Callable[[], DetectionDataset]


@dataclass(frozen=True)
class Layout:
    """A data set that was found.

    Attributes:
        kind: of its annotations, for people: "COCO".
        parts: what reads each; "train", "val" and "test", or "all" alone where it is not split.
        notes: what of the folder is left out.
    """

    kind: str
    parts: Mapping[PartName, Part]
    notes: tuple[Problem, ...] = field(default=())
