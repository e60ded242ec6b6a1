"""What a sweep found: every detector at every frame rate, as JSON, tables and sentences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolox_deploy.benchmarks.report.tables import Table
from yolox_deploy.benchmarks.stats import Summary, summarize
from yolox_deploy.detections import Detections
from yolox_deploy.files import write_text

SCHEMA = "yolox-deploy/stream-sweep"
SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class MeasuredDetector:
    """A detector and all its answers.

    Attributes:
        model, backend, precision: as obtained; `size` is (H, W) of its input, `path` its file.
        milliseconds: of each answer, image in to boxes out, in the order measured.
        answers: of each sequence of the footage, frame by frame.
    """

    model: str
    backend: str
    precision: str
    size: tuple[int, int]
    path: str
    milliseconds: tuple[float, ...] = field(repr=False)
    answers: tuple[tuple[Detections, ...], ...] = field(repr=False)

    @property
    def label(self) -> str:
        """For tables: "yolox_nano onnxruntime fp32 416"."""
        height, width = self.size
        return f"{self.model} {self.backend} {self.precision} {height if height == width else f'{height}x{width}'}"

    @property
    def latency(self) -> Summary:
        """Of the milliseconds."""
        return summarize(self.milliseconds)


@dataclass(frozen=True)
class SweepRow:
    """One detector at one frame rate.

    Attributes:
        detector: index into `SweepReport.detectors`.
        frame_rate: frames a second.
        offline: COCO figures (0-1) on the same frames if answers took no time.
        streaming: the same of `streaming_ap`.
        frames, answered: how many were scored, and for how many any answer was there.
        taken: share of the frames that the detector looked at.
        age_ms: mean age of the answers when they were read.
    """

    detector: int
    frame_rate: float
    offline: Mapping[str, float]
    streaming: Mapping[str, float]
    frames: int
    answered: int
    taken: float
    age_ms: float


@dataclass(frozen=True, eq=False)
class SweepReport:
    """Every detector at every frame rate."""

    created: str
    machine: str
    footage: str
    policy: str
    forecast: bool
    seed: int
    detectors: tuple[MeasuredDetector, ...]
    rows: tuple[SweepRow, ...]
    skipped: tuple[str, ...] = ()

    def at(self, frame_rate: float) -> list[SweepRow]:
        """The rows of one frame rate, best first."""
        rows = [row for row in self.rows if row.frame_rate == frame_rate]
        return sorted(rows, key=lambda row: -row.streaming["AP"])

    @property
    def best(self) -> dict[float, SweepRow]:
        """The row of the highest streaming AP at each frame rate: the best trade-off there."""
        return {rate: self.at(rate)[0] for rate in dict.fromkeys(row.frame_rate for row in self.rows)}

    def tables(self) -> list[Table]:
        """A table for each frame rate, best first."""
        return [self._table(rate) for rate in self.best]

    def verdicts(self) -> list[str]:
        """A sentence for each frame rate that names the best trade-off."""
        return [self._verdict(rate, row) for rate, row in self.best.items()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all figures and latency samples, without the detections."""
        detectors = [
            {
                **{
                    f.name: getattr(detector, f.name)
                    for f in dataclasses.fields(detector)
                    if f.name != "answers"
                },
                "label": detector.label,
                "latency": dataclasses.asdict(detector.latency),
            }
            for detector in self.detectors
        ]
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        best = {f"{rate:g}": self.detectors[row.detector].label for rate, row in self.best.items()}
        rows = [dataclasses.asdict(row) for row in self.rows]
        versions = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION}
        return {**versions, **plain, "detectors": detectors, "rows": rows, "best": best}

    def to_json(self) -> str:
        """`to_dict()` as a JSON text."""
        return json.dumps(self.to_dict())

    def save(self, path: str | Path) -> Path:
        """Write JSON, under a temporary name first."""
        write_text(Path(path), self.to_json() + "\n")
        return Path(path)

    def _table(self, rate: float) -> Table:
        rows = []
        for row in self.at(rate):
            detector = self.detectors[row.detector]
            tail = detector.latency.supported()["p99"]
            rows.append(
                {
                    "detector": detector.label,
                    "p50 ms": f"{detector.latency.p50:.1f}",
                    "p99 ms": "–" if tail is None else f"{tail:.1f}",
                    "offline AP": f"{100 * row.offline['AP']:.1f}",
                    "streaming AP": f"{100 * row.streaming['AP']:.1f}",
                    "AP50": f"{100 * row.streaming['AP50']:.1f}",
                    "frames taken": f"{row.taken:.0%}",
                    "age ms": f"{row.age_ms:.0f}",
                }
            )
        return Table.of(f"{rate:g} frames a second ({1000 / rate:.0f} ms a frame)", rows)

    def _verdict(self, rate: float, row: SweepRow) -> str:
        detector = self.detectors[row.detector]
        strongest = max(self.at(rate), key=lambda other: (round(other.offline["AP"], 3), other is row))
        verdict = (
            f"{rate:g} FPS: {detector.label}, streaming AP {100 * row.streaming['AP']:.1f} with p50 "
            f"{detector.latency.p50:.1f} ms"
        )
        if strongest is row:
            return f"{verdict}; it has the best offline AP too"
        other = self.detectors[strongest.detector]
        return (
            f"{verdict}; {other.label} has the best offline AP ({100 * strongest.offline['AP']:.1f}), and a streaming "
            f"AP of {100 * strongest.streaming['AP']:.1f} with p50 {other.latency.p50:.1f} ms"
        )
