"""What a benchmark found: plain frozen values that become JSON and back without loss.

A `BenchReport` holds the protocol, the machine, one `Row` for each model file and setting, and every sample
in the order it was measured. Statistics are never stored where they could disagree with the samples:
`summary` and the like are computed from them, and the JSON repeats them for readers only.

All times are milliseconds, memory is MiB (2**20 bytes), frequencies are MHz, AP is 0-1.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yolox_deploy import records
from yolox_deploy.benchmarks.machine.facts import Environment
from yolox_deploy.benchmarks.protocol import HEADLINE, Protocol
from yolox_deploy.benchmarks.stats import (
    Comparison,
    Interval,
    Summary,
    early_stopping,
    middle,
    round_medians,
    summarize,
)
from yolox_deploy.errors import GateError
from yolox_deploy.files import write_text

SCHEMA_VERSION = 1
REPORT = records.FileKind(
    "make one with: yolox-deploy bench --out FILE",
    foreign="is no benchmark report",
    schema="yolox-deploy/bench",
    version=SCHEMA_VERSION,
)


@dataclass(frozen=True)
class Samples:
    """Wall-clock times of consecutive iterations in milliseconds, in the order measured, nothing clipped.

    `block` consecutive ones belong to one round; the rounds of rows that were measured in turn coincide.
    """

    milliseconds: tuple[float, ...]
    block: int

    @cached_property
    def summary(self) -> Summary:
        """p50, p90, p95, p99, mean, coefficient of variation, count and FPS."""
        return summarize(self.milliseconds)

    @cached_property
    def round_range(self) -> Interval:
        """Where the middle 95 % of the rounds' medians lie: how far the figure moved during the run."""
        return middle(round_medians(self.milliseconds, self.block))

    @property
    def early_stopping_p90(self) -> float | None:
        """MLPerf's early-stopping estimate of p90; None with too few samples for one."""
        return early_stopping(self.milliseconds, 0.90)


@dataclass(frozen=True)
class MeasuredModel:
    """What a row measured.

    Attributes:
        label: unique in the report, for tables ("yolox_nano onnxruntime fp32").
        model: name in the zoo, or "unknown".
        path: the model file; `bytes` is the size of all files of its set.
        backend, device, precision: obtained, not asked for (precision is the one in force at execution).
        threads: CPU threads of one inference as asked for; None is the backend's own choice.
        input_size: (H, W).
        weights: "official", "random" (timing only), a SHA-256, or "unknown".
        images: where the pictures came from, with their number.
        parameters, gflops: by our own counter for one image; None for a model that is not in the zoo.
        details: what the backend says of itself: versions, providers, CUDA graph, transfers, spin wait.
    """

    label: str
    model: str
    path: str
    format: str
    bytes: int
    backend: str
    device: str
    precision: str
    threads: int | None
    input_size: tuple[int, int]
    batch: int
    weights: str
    images: str
    parameters: int | None = None
    gflops: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Startup:
    """A fresh process that did only this: opened the file, and ran it once. None: could not be measured.

    Attributes:
        import_ms: the backend's package and ours.
        load_ms: opening the model, after the imports.
        first_ms: the first (cold) image to detections.
        peak_memory_mib: of the whole process up to then; `baseline_mib` before the model was opened.
    """

    import_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    peak_memory_mib: float | None = None
    baseline_mib: float | None = None


@dataclass(frozen=True)
class Accuracy:
    """COCO AP of the same file on the pictures of the run.

    Attributes:
        figures: AP, AP50, AP75, APs, APm, APl (0-1).
        images: how many pictures they come from.
        reference: label of the row that it is held against; None for a reference itself.
        least: the AP it must reach; None for a reference.
    """

    figures: Mapping[str, float]
    images: int
    reference: str | None = None
    least: float | None = None

    @property
    def passed(self) -> bool:
        """Whether AP reaches `least`."""
        return self.least is None or self.figures["AP"] >= self.least


@dataclass(frozen=True)
class Row:
    """One model file under one setting.

    Attributes:
        scopes: "host" and "e2e", and "device" only where the backend times itself.
        phases: of "e2e": "pre", "infer", "post".
        ratios: time over that of the row called `ratio_to` (the first of those measured in turn), by scope,
            paired round by round; empty in that row itself and where the rounds were too few.
        reference_loop: a fixed piece of arithmetic timed in the same rounds: how fast the machine itself was.
        steady: whether the warm-up became steady each time.
        openings: how often the file was opened anew in the course of the rounds.
        warnings: sentences for the reader.
        parity_passed: the proof stored in the file; None where none was made.
        achieved_gflops: `gflops` over the mean host time; `peak_share` of the machine's measured peak in the
            precision in force, None where no peak was measured for it.
    """

    subject: MeasuredModel
    scopes: Mapping[str, Samples]
    phases: Mapping[str, Samples] = field(default_factory=dict)
    ratios: Mapping[str, Comparison] = field(default_factory=dict)
    ratio_to: str | None = None
    reference_loop: Samples | None = field(default=None, metadata={"was": "yardstick"})
    steady: bool = True
    openings: int = 1
    warnings: tuple[str, ...] = ()
    startup: Startup = Startup()
    accuracy: Accuracy | None = None
    parity_passed: bool | None = None
    achieved_gflops: float | None = None
    peak_share: float | None = None

    @property
    def headline(self) -> Samples:
        """The "host" samples."""
        return self.scopes[HEADLINE]

    @property
    def rejected(self) -> bool:
        """Whether its figures must not be used: an accuracy or parity gate failed."""
        return self.parity_passed is False or (self.accuracy is not None and not self.accuracy.passed)


@dataclass(frozen=True)
class ThroughputRow:
    """Images per second with several at once: never beside latency.

    Attributes:
        mode: "batch" (`batch` images an inference) or "streams" (`streams` threads, one image each).
        seconds: how long it ran; `count` images were finished.
        samples: the time of each inference as its caller saw it.
    """

    subject: MeasuredModel
    mode: str
    batch: int
    streams: int
    images_per_second: float
    seconds: float
    count: int
    samples: Samples


@dataclass(frozen=True)
class BenchReport:
    """One run of the benchmark.

    Attributes:
        created: ISO 8601, UTC.
        command: how to run it again.
        rows: in the order measured in turn; ratios are to the first.
        throughput: another table, never mixed with `rows`.
        image_decoding: files of the run's folder to arrays, apart from every row; None for generated ones.
        overhead_us: what the harness itself adds to one iteration, measured on a runner that does nothing.
        warnings: about the machine and the run as a whole.
    """

    created: str
    command: str
    protocol: Protocol
    environment: Environment
    rows: tuple[Row, ...]
    throughput: tuple[ThroughputRow, ...] = ()
    image_decoding: Samples | None = None
    overhead_us: float | None = None
    warnings: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with what follows from them for readers: each `Samples`' `summary`, each row's
        `struck_out`, each accuracy's `passed`."""
        plain: dict[str, Any] = _plain(self)
        return {**REPORT.header, **plain}

    def check_accuracy(self) -> None:
        """The gate of a finished run.

        Raises:
            GateError: a row is struck out.
        """
        struck = [row.subject.label for row in self.rows if row.rejected]
        if struck:
            raise GateError(
                f"struck out for its accuracy, so that its speed is of no use: {', '.join(struck)}"
            )

    def save(self, path: str | Path) -> Path:
        """Write JSON, under a temporary name first."""
        target = Path(path)
        write_text(target, json.dumps(self.to_dict(), separators=(",", ":")) + "\n")
        return target

    @classmethod
    def load(cls, path: str | Path) -> BenchReport:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, no benchmark report, damaged, or of a newer schema.
        """
        return records.load(cls, Path(path), REPORT)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Samples):
            plain["summary"] = value.summary.supported()
        if isinstance(value, Row):
            plain["struck_out"] = value.rejected
        if isinstance(value, Accuracy):
            plain["passed"] = value.passed
        return plain
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
