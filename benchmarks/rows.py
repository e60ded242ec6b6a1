"""From what a session measured to the rows of the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.benchmarks.machine.facts import Peak
from yolox_deploy.benchmarks.machine.peak import share
from yolox_deploy.benchmarks.pictures import Pictures
from yolox_deploy.benchmarks.protocol import HEADLINE, Protocol
from yolox_deploy.benchmarks.report.results import MeasuredModel, Row, Startup
from yolox_deploy.benchmarks.session import Measured, Session
from yolox_deploy.benchmarks.stats import Comparison, paired_ratio, round_medians
from yolox_deploy.errors import MissingExtraError, require
from yolox_deploy.models.zoo import ZOO
from yolox_deploy.runtimes.registry import present_files

RANDOM = "random"
"""What the weights of an untrained model are called."""

UNSTEADY_RANGE = 0.20
"""Rounds whose medians spread further than this (relative to the lowest) are worth a warning."""


def describe_model(measured: Measured, images: str) -> MeasuredModel:
    """The subject of a measured candidate; its label is not unique yet."""
    info, artifact = measured.info, measured.info.artifact
    parameters, gflops = complexity(artifact.model, len(artifact.class_names), artifact.input_size)
    path = Path(info.path)
    return MeasuredModel(
        label=f"{artifact.model if artifact.model in ZOO else path.stem} {info.backend} {info.precision}",
        model=artifact.model,
        path=str(path),
        format=artifact.format,
        bytes=total_bytes(path),
        backend=info.backend,
        device=info.device,
        precision=info.precision,
        threads=measured.candidate.threads,
        input_size=artifact.input_size,
        batch=artifact.batch or 1,
        weights=measured.candidate.weights or _weights(artifact),
        images=images,
        parameters=parameters,
        gflops=gflops,
        details=json.loads(json.dumps(dict(info.details), default=str)),
    )


def unique_labels(subjects: Sequence[MeasuredModel]) -> list[MeasuredModel]:
    """The subjects with labels that tell them apart: size, threads or file name where needed, else #2, #3."""
    told = list(subjects)
    for extend in (_with_size, _with_threads, _with_file):
        counts = Counter(subject.label for subject in told)
        varies = len({extend(subject) for subject in told if counts[subject.label] > 1})
        if varies > len([label for label, count in counts.items() if count > 1]):
            told = [
                replace(subject, label=extend(subject)) if counts[subject.label] > 1 else subject
                for subject in told
            ]
    seen: Counter[str] = Counter()
    numbered = []
    for subject in told:
        seen[subject.label] += 1
        number = seen[subject.label]
        numbered.append(subject if number == 1 else replace(subject, label=f"{subject.label} #{number}"))
    return numbered


def total_bytes(path: Path) -> int:
    """The size of a model file with those that belong to it, without the sidecar."""
    return sum(file.stat().st_size for file in present_files(path))


@lru_cache(maxsize=64)
def complexity(model: str, classes: int, size: tuple[int, int]) -> tuple[int | None, float | None]:
    """Parameters and GFLOPs by our own counter; None for models that are not in the zoo, or without torch."""
    if model not in ZOO:
        return None, None
    try:
        require("torch", "export")
    except MissingExtraError:
        return None, None
    from yolox_deploy.models import build_model
    from yolox_deploy.models.complexity import count

    counted = count(build_model(model, classes), size)
    return counted.parameters, counted.gflops


def _weights(artifact: ArtifactInfo) -> str:
    if artifact.details.get("weights") == RANDOM:
        return RANDOM
    return f"sha256 {artifact.weights_sha256[:12]}" if artifact.weights_sha256 else "unknown"


def _with_size(subject: MeasuredModel) -> str:
    return f"{subject.label} {subject.input_size[0]}x{subject.input_size[1]}"


def _with_threads(subject: MeasuredModel) -> str:
    return f"{subject.label} {subject.threads or 'auto'} threads"


def _with_file(subject: MeasuredModel) -> str:
    return f"{subject.label} ({Path(subject.path).name})"


def build_rows(
    sessions: Sequence[Session],
    protocol: Protocol,
    pictures: Pictures,
    startups: Sequence[Startup],
    peaks: Sequence[Peak],
) -> list[Row]:
    """A row for each candidate, in order; ratios are to the first of its session.

    Args:
        startups: one a candidate, in the order of the sessions' candidates.
    """
    measured = [one for session in sessions for one in session.measured]
    subjects = iter(unique_labels([describe_model(one, pictures.description) for one in measured]))
    begun = iter(startups)
    rows: list[Row] = []
    for session in sessions:
        first = session.measured[0]
        base: str | None = None
        for one in session.measured:
            subject = next(subjects)
            achieved = achieved_gflops(one, subject)
            rows.append(
                Row(
                    subject=subject,
                    scopes=one.scopes,
                    phases=one.phases,
                    ratios=_ratios(one, first, protocol.seed),
                    ratio_to=base,
                    reference_loop=session.reference_loop,
                    steady=one.steady,
                    openings=one.openings,
                    warnings=_warnings(one, subject, protocol),
                    startup=next(begun),
                    parity_passed=_proof(one),
                    achieved_gflops=achieved,
                    peak_share=share(achieved, peaks, subject.precision, subject.threads, subject.device),
                )
            )
            base = base or subject.label
    return rows


def achieved_gflops(one: Measured, subject: MeasuredModel) -> float | None:
    """GFLOP/s of the network: our own count over the mean host time; None for uncounted models."""
    if subject.gflops is None:
        return None
    return subject.gflops / one.scopes[HEADLINE].summary.mean * 1000


def _proof(one: Measured) -> bool | None:
    """Whether the proof stored in the file was passed; None where it holds for another precision."""
    artifact = one.info.artifact
    if artifact.parity is None or artifact.precision != one.info.precision:
        return None
    passed: bool | None = artifact.parity.get("passed")
    return passed


def _ratios(one: Measured, first: Measured, seed: int) -> dict[str, Comparison]:
    """Over the first row, by scope; none for the first itself."""
    if one is first:
        return {}
    ratios = {}
    for scope in set(one.scopes) & set(first.scopes):
        own, base = (round_medians(m.scopes[scope].milliseconds, m.scopes[scope].block) for m in (one, first))
        compared = paired_ratio(own, base, seed=seed)
        if compared is not None:
            ratios[scope] = compared
    return ratios


def _warnings(one: Measured, subject: MeasuredModel, protocol: Protocol) -> tuple[str, ...]:
    """What a reader must know before using the row, as sentences."""
    found = []
    if not one.steady:
        found.append("did not become steady while it was warmed up")
    moved = one.scopes[HEADLINE].round_range
    if moved.high > moved.low * (1 + UNSTEADY_RANGE):
        found.append(f"rounds differ by more than {UNSTEADY_RANGE:.0%} (column rounds); trust the ratio more")
    if subject.weights == RANDOM:
        found.append("random weights: nothing is detected, so post-processing has little to do")
    if one.pictures < protocol.images:
        found.append(f"{one.pictures} distinct pictures; the protocol asks for {protocol.images}")
    count = one.scopes[HEADLINE].summary.count
    if count < protocol.rounds:
        found.append(
            f"{count} samples; the protocol plans {protocol.rounds} rounds of one at least: percentiles that so few "
            "cannot tell are left out"
        )
    return tuple(found)
