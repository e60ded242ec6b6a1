"""The gate of an evaluation: AP held against that of an earlier one on the same data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.errors import InputError, RegressionError, UsageError
from yolox_deploy.evaluation.values import Evaluated
from yolox_deploy.records import FileKind, convert, read

REPORT = FileKind(
    "expected report.json of an earlier eval --report DIR, or what eval --json printed",
    foreign="is no evaluation",
)
NAMED = 5
"""Classes that a message counts up."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Baseline:
    """An earlier evaluation.

    Attributes:
        name: of its file.
        AP: over all classes; -1 where there was no object.
        per_class: AP by class name; empty where the file does not say.
        data: fingerprint of the data, and the thresholds; empty where the file does not say.
    """

    name: str
    AP: float
    per_class: Mapping[str, float]
    data: Mapping[str, Any]

    @classmethod
    def of(cls, summary: Mapping[str, Any], name: str) -> Baseline:
        """From `Evaluated.summary`; ValueError where it is something else."""
        rows = convert(summary.get("per_class", ()), tuple[Mapping[str, Any], ...], "per_class")
        data = convert(summary.get("data", {}), Mapping[str, Any], "data")
        per_class = {str(row.get("name")): convert(row.get("AP"), float, "per_class.AP") for row in rows}
        return cls(name, convert(summary.get("AP"), float, "AP"), per_class, data)


@dataclass(frozen=True)
class Held:
    """An evaluation beside its baseline: `drop` is what AP lost, negative where it gained."""

    baseline: str
    before: float
    AP: float
    drop: float
    classes: Mapping[str, tuple[float, float]]

    def check(self, max_drop: float) -> None:
        """The gate.

        Raises:
            RegressionError: AP fell by more than `max_drop`; names the classes that lost most.
        """
        if self.drop <= max_drop + ROUNDING:
            return
        falls = sorted(self.classes.items(), key=lambda item: item[1][1] - item[1][0])
        told = [f"{name} {was:.3f} to {now:.3f}" for name, (was, now) in falls if now < was]
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        classes = f"; classes that lost most: {', '.join(told[:NAMED])}{more}" if told else ""
        raise RegressionError(
            f"AP is {self.AP:.4f}, {self.drop:.4f} less than the {self.before:.4f} of {self.baseline}; "
            f"{max_drop:g} is allowed{classes}"
        )


def is_report(path: Path) -> bool:
    """Whether this is the file, or the folder, of an earlier report, and not a model."""
    return path.suffix.lower() == ".json" or (path / "report.json").is_file()


def read_baseline(path: Path) -> Baseline:
    """Read `report.json`, its folder, or what `eval --json` printed.

    Raises:
        InputError: it is something else.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        return Baseline.of(convert(read(file, REPORT), Mapping[str, Any]), str(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} {REPORT.foreign} ({error}); {REPORT.cure}") from error


def hold(report: Evaluated, baseline: Baseline) -> Held:
    """The report beside its baseline.

    Raises:
        UsageError: they were not made on the same pictures, objects and classes with the same thresholds, or there is
            no object to find.
    """
    now = report.summary()
    if not baseline.data:
        warnings.warn(
            f"{baseline.name} does not say on what it was evaluated; make sure that these were the same pictures, "
            "objects and classes",
            stacklevel=2,
        )
    for key, what in {
        "fingerprint": "other pictures, objects or classes",
        "conf": "another least score",
        "iou": "another suppression threshold",
    }.items():
        if key in baseline.data and baseline.data[key] != now["data"][key]:
            found = "" if key == "fingerprint" else f" ({baseline.data[key]:g}, now {now['data'][key]:g})"
            raise UsageError(
                f"{baseline.name} was evaluated with {what}{found}, so its AP cannot be compared; name the model file "
                "that it is of instead, which is then evaluated beside this one: --baseline MODEL"
            )
    if baseline.AP < 0 or now["AP"] < 0:
        raise UsageError("the data set has no object of the evaluated classes, so there is no AP to compare")
    names = {row.name: row.AP for row in report.per_class if row.AP >= 0}
    classes = {
        name: (was, names[name]) for name, was in baseline.per_class.items() if was >= 0 and name in names
    }
    return Held(baseline.name, baseline.AP, now["AP"], baseline.AP - now["AP"], classes)
