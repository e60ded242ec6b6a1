"""The fastest backend, precision and number of threads for a model on this machine, within an accuracy budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolox_deploy.benchmarks.accuracy import Truth
from yolox_deploy.benchmarks.measuring import BenchOptions, measure
from yolox_deploy.benchmarks.plan import BenchPlan, Files, listed, with_threads
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.results import BenchReport, Row
from yolox_deploy.benchmarks.rows import RANDOM
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.benchmarks.ways import ways
from yolox_deploy.data.split_names import Split
from yolox_deploy.errors import GateError
from yolox_deploy.files import check_writable
from yolox_deploy.host import usable_cores
from yolox_deploy.models.published import model_path
from yolox_deploy.tuned import TunedOpening, tuned_path, write_tuned
from yolox_deploy.types import SILENT, Report

SCOPE = "e2e"
"""What users wait for decides."""

TIE = 0.02
"""Ways that differ by less than this are equally fast."""


@dataclass(frozen=True)
class Tuned:
    """The report of all that was tried, the row chosen, and the file that the choice was written to."""

    report: BenchReport
    row: Row
    path: Path


def tune(
    files: Files,
    *,
    protocol: Protocol | None = None,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    data: str | Path | None = None,
    split: Split = "val",
    max_ap_drop: float = 0.01,
    threads: Sequence[int] = (),
    device: str = "auto",
    imgsz: int | tuple[int, int] | None = None,
    report: Report = SILENT,
) -> Tuned:
    """Measure every way to run the files here and keep the fastest one that is accurate enough.

    Every backend that opens a file is tried in each precision that it sets itself, with each number of threads.
    From then on `Detector(file, backend="auto")` opens what was chosen on this machine.

    Args:
        files: one or several exports of one model, or a name of the zoo for the authors' file; the choice is kept for
            each of them.
        protocol: how long and how often; None for `Protocol.quick()`, 3 s for each way.
        images: folder or glob of pictures; None for generated ones.
        annotations: COCO file of the folder `images`: ways that lose more than `max_ap_drop` AP (0-1) against
            float32 are out. Without, and where no float32 row was measured, only float32 and files whose own proof
            was passed are in.
        data: folder of a COCO, VOC or YOLO data set, or its `data.yaml`, in place of `images` and `annotations`.
        split: of `data`: "train" or "val".
        threads: to try; empty for the powers of two up to the number of cores.
        device: as of `Detector`.
        imgsz: side or (H, W) in pixels for files that leave it free.
        report: told of each step.

    Raises:
        UsageError: no file, no backend here opens one, annotations without pictures, or the cache cannot be
            written to.
        InputError: pictures or annotations that cannot be read.
        MissingExtraError: the backends that would open one are not installed.
        GateError: nothing is accurate enough.
    """
    paths = [model_path(file) for file in listed(files)]
    pictures = None if images is None else Path(images)
    truth = Truth.of(images, annotations, max_ap_drop, data=data, split=split)
    for path in paths:
        check_writable(tuned_path(path), "the cache (YOLOX_DEPLOY_CACHE moves it)")
    counts = tuple(threads) or _powers_of_two(usable_cores())
    candidates = with_threads(
        ways(paths, device, (imgsz, imgsz) if isinstance(imgsz, int) else imgsz), counts
    )
    options = BenchOptions(protocol or Protocol.quick(), pictures, truth, startup=False, peaks=False)
    found = measure(BenchPlan(candidates), options, report=report)
    index = choose(found.rows)
    if index is None:
        raise GateError(
            "no way to run the model is accurate enough: "
            + "; ".join(row.subject.label for row in found.rows)
            + ". Allow more with --max-ap-drop"
        )
    choice = _choice(candidates[index], found.rows[index], found)
    written = [write_tuned(path, choice) for path in paths]
    return Tuned(found, found.rows[index], written[0])


def choose(rows: Sequence[Row]) -> int | None:
    """The index of the fastest accurate row, of equally fast ones that with the fewest threads; None without."""
    times = {index: _relative_time(row) for index, row in enumerate(rows) if is_accurate(row)}
    if not times:
        return None
    fastest = min(times.values())
    ties = [index for index, time in times.items() if time <= fastest * (1 + TIE)]
    return min(ties, key=lambda index: (rows[index].subject.threads or 0, times[index]))


def is_accurate(row: Row) -> bool:
    """Whether it is float32, or its AP was held against float32 and is within the budget, or its proof passed."""
    if row.rejected:
        return False
    held = row.accuracy is not None and row.accuracy.reference is not None
    return row.subject.precision == "fp32" or held or row.parity_passed is True


def _relative_time(row: Row) -> float:
    """Over the first row's time, paired by round: it survives a noisy machine better than milliseconds do."""
    return row.ratios[SCOPE].value if SCOPE in row.ratios else 1.0


def _powers_of_two(limit: int) -> tuple[int, ...]:
    counts = [1]
    while counts[-1] * 2 <= limit:
        counts.append(counts[-1] * 2)
    return tuple(counts)


def _choice(candidate: ModelUnderTest, row: Row, report: BenchReport) -> TunedOpening:
    figures: dict[str, object] = {
        "label": row.subject.label,
        "precision": row.subject.precision,
        "created": report.created,
        "e2e_p50_ms": row.scopes[SCOPE].summary.p50,
        "host_p50_ms": row.headline.summary.p50,
    }
    if row.accuracy is not None:
        figures["AP"] = row.accuracy.figures["AP"]
    if row.subject.weights == RANDOM:
        figures["weights"] = RANDOM
    return TunedOpening(
        path=str(candidate.path.resolve()),
        backend=row.subject.backend,
        device=candidate.device,
        threads=candidate.threads,
        runtime_options=dict(candidate.runtime_options or {}),
        figures=figures,
    )
