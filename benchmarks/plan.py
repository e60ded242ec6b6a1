"""Which files to measure: those named, or what this machine can run, exported into the cache where missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolox_deploy.benchmarks.model_files import exported, find_weights, random_checkpoint, trained_size
from yolox_deploy.benchmarks.protocol import Protocol
from yolox_deploy.benchmarks.report.tables import by_reason
from yolox_deploy.benchmarks.session import ModelUnderTest
from yolox_deploy.benchmarks.ways import (
    Variant,
    check_precision,
    on_backends,
    sized,
    usable_entries,
    variants,
)
from yolox_deploy.converters.base import get_target
from yolox_deploy.errors import MissingExtraError, UsageError, YoloxDeployError
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.models.naming import get_config
from yolox_deploy.types import SILENT, Report

DEFAULT_MODEL = "yolox_s"

Files = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class PlanOptions:
    """What to export and measure; None: what suits this machine.

    Attributes:
        models: names in the zoo, where no `files` are named.
        backends: names of runtimes.
        precisions: of exported files.
        weights: a checkpoint, for one model; None for the official weights where they are in the cache, else
            random ones (timing only).
        fetch: fetch the official weights where they are not in the cache.
        imgsz: (H, W), of `files` too that leave it free; None for the size that `weights` were trained at, else each
            model's test size.
        batch: images at a time; None leaves it free where the format can.
        calib: folder of pictures, for INT8.
        device: as of `Detector`.
        files: model files to measure as they are; of the other options `backends`, `imgsz`, `device` and `threads`
            hold for them.
        threads: CPU threads of one inference, to be measured one after the other; empty for each backend's choice.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    backends: tuple[str, ...] | None = None
    precisions: tuple[str, ...] | None = None
    weights: Path | None = None
    fetch: bool = False
    imgsz: tuple[int, int] | None = None
    batch: int | None = 1
    calib: Path | None = None
    device: str = "auto"
    files: tuple[Path, ...] = ()
    threads: tuple[int, ...] = ()


@dataclass(frozen=True)
class BenchPlan:
    """The files to measure.

    Attributes:
        candidates: for latency, at batch 1.
        skipped: what was left out, with reasons.
        several: for throughput, of any batch; empty where none is wanted.
    """

    candidates: tuple[ModelUnderTest, ...]
    skipped: tuple[str, ...] = ()
    several: tuple[ModelUnderTest, ...] = ()


def make_plan(options: PlanOptions, *, throughput: bool = False, report: Report = SILENT) -> BenchPlan:
    """The files named, or those of the models, exported into the cache where missing, at each number of threads.

    Raises:
        YoloxDeployError: as `plan_files`, `without_fixed_batches` and `plan_models`.
    """
    several: tuple[ModelUnderTest, ...] = ()
    if options.files:
        found = plan_files(options)
        if throughput:
            several, found = found.candidates, without_fixed_batches(found)
    else:
        found = plan_models(options, report)
        if throughput:
            several = plan_models(replace(options, batch=None), report).candidates
    counts = options.threads
    return BenchPlan(with_threads(found.candidates, counts), found.skipped, with_threads(several, counts))


def plan_files(options: PlanOptions) -> BenchPlan:
    """Each file on its suffix's default backend, or on those of the backends named that open it.

    Raises:
        UsageError: an unknown backend, or none of those named opens any of the files.
        MissingExtraError, ArtifactError: a backend that was named cannot run here.
    """
    if options.backends is None:
        return BenchPlan(
            tuple(
                ModelUnderTest(file, device=options.device, runtime_options=sized(options.imgsz))
                for file in options.files
            )
        )
    named = usable_entries(options.backends)
    found = on_backends(options.files, named, options.device, options.imgsz)
    if not found:
        raise UsageError(f"none of {', '.join(entry.name for entry in named)} opens these files")
    return BenchPlan(tuple(found))


def files_and_names(models: Files) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Model files, and names in the zoo: texts without a suffix."""
    names = tuple(one for one in listed(models) if isinstance(one, str) and not Path(one).suffix)
    return tuple(Path(one) for one in listed(models) if one not in names), names


def listed(files: Files) -> list[str | Path]:
    """One or several as a list."""
    return [files] if isinstance(files, str | Path) else list(files)


def plan_models(options: PlanOptions, report: Report = SILENT) -> BenchPlan:
    """Export what is missing into the cache and return it as candidates, model by model.

    A way that this machine cannot go is skipped with its reason, unless its backend was named.

    Raises:
        UsageError: an unknown model or backend, weights for several models, or nothing that could be measured.
        MissingExtraError: a backend that was named is not installed, or all that stands in the way is a package.
    """
    configs = [get_config(name) for name in options.models]
    if options.weights is not None and len(configs) != 1:
        raise UsageError(f"--weights is for one model; {len(configs)} are to be measured")
    candidates: list[ModelUnderTest] = []
    skipped: list[tuple[str, str]] = []
    kinds: set[type[YoloxDeployError]] = set()
    ways = variants(options.backends, options.precisions)
    for config in configs:
        weights, origin = find_weights(config, options.weights, fetch=options.fetch)
        size = options.imgsz or trained_size(weights) or (config.test_size, config.test_size)
        for way in ways:
            try:
                candidates.append(_candidate(config, way, weights, origin, size, options, report))
            except YoloxDeployError as error:
                skipped.append((f"{config.name} {way.backend} {way.precision}", str(error)))
                kinds.add(type(error))
    reasons = by_reason(skipped)
    if not candidates:
        kind = MissingExtraError if kinds == {MissingExtraError} else UsageError
        raise kind("nothing can be measured: " + ("; ".join(reasons) or "no backend fits"))
    return BenchPlan(tuple(candidates), tuple(reasons))


def with_threads(candidates: Sequence[ModelUnderTest], counts: Sequence[int]) -> tuple[ModelUnderTest, ...]:
    """Each candidate at each number of threads, where its backend takes one."""
    spread: list[ModelUnderTest] = []
    for candidate in candidates:
        sweeps = counts and candidate.takes_threads
        spread += [replace(candidate, threads=count) for count in counts] if sweeps else [candidate]
    return tuple(spread)


def without_fixed_batches(plan: BenchPlan) -> BenchPlan:
    """The plan for latency: files that only take several pictures at a time move to what is left out.

    Raises:
        ArtifactError, MissingExtraError, RuntimeFailure: a file that cannot be opened.
    """
    kept, left = [], []
    for candidate in plan.candidates:
        with candidate.open(Protocol()) as detector:
            batch = detector.info.artifact.batch
        if batch in (None, 1):
            kept.append(candidate)
        else:
            left.append(f"latency of {candidate.path.name}: it takes {batch} pictures at a time")
    return replace(plan, candidates=tuple(kept), skipped=(*plan.skipped, *left))


def _candidate(
    config: ModelConfig,
    way: Variant,
    weights: Path | None,
    origin: str,
    size: tuple[int, int],
    options: PlanOptions,
    report: Report,
) -> ModelUnderTest:
    extra: dict[str, Any] = {}
    if way.target is None:
        path = weights or random_checkpoint(config, report)
        extra = {"precision": way.precision, "imgsz": size}
    else:
        path = exported(
            config,
            get_target(way.target),
            way.precision,
            weights,
            size,
            batch=options.batch,
            calib=options.calib,
            report=report,
        )
    candidate = ModelUnderTest(
        path,
        way.backend,
        device=options.device,
        runtime_options=extra or None,
        weights=origin,
        group=config.name,
    )
    if way.precision != "fp32":
        check_precision(candidate, way)
    return candidate
