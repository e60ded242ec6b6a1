"""What a row measured, described from the opened file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.artifact import ArtifactInfo, sidecar_path
from yolox_deploy.benchmarks.report.results import Subject
from yolox_deploy.errors import MissingExtraError, require
from yolox_deploy.models.zoo import ZOO

if TYPE_CHECKING:
    from yolox_deploy.benchmarks.session import Measured

RANDOM = "random"
"""What the weights of an untrained model are called."""

SIBLING_SUFFIXES = {".xml": (".bin",), ".param": (".bin",)}


def describe_subject(measured: Measured, images: str) -> Subject:
    """The subject of a measured candidate; its label is not unique yet."""
    info, artifact = measured.info, measured.info.artifact
    parameters, gflops = complexity(artifact.model, len(artifact.class_names), artifact.input_size)
    path = Path(info.path)
    return Subject(
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


def unique_labels(subjects: Sequence[Subject]) -> list[Subject]:
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
    siblings = [path.with_suffix(suffix) for suffix in SIBLING_SUFFIXES.get(path.suffix, ())]
    files = [file for file in (path, *siblings) if file.is_file() and file != sidecar_path(path)]
    return sum(file.stat().st_size for file in files)


@lru_cache(maxsize=64)
def complexity(model: str, classes: int, size: tuple[int, int]) -> tuple[int | None, float | None]:
    """Parameters and GFLOPs by our own counter; None for models that are not in the zoo, or without torch."""
    if model not in ZOO:
        return None, None
    try:
        require("torch", "export")
    except MissingExtraError:
        return None, None
    from yolox_deploy.models import build_model, count

    counted = count(build_model(model, classes), size)
    return counted.parameters, counted.gflops


def _weights(artifact: ArtifactInfo) -> str:
    if artifact.details.get("weights") == RANDOM:
        return RANDOM
    return f"sha256 {artifact.weights_sha256[:12]}" if artifact.weights_sha256 else "unknown"


def _with_size(subject: Subject) -> str:
    return f"{subject.label} {subject.input_size[0]}x{subject.input_size[1]}"


def _with_threads(subject: Subject) -> str:
    return f"{subject.label} {subject.threads or 'auto'} threads"


def _with_file(subject: Subject) -> str:
    return f"{subject.label} ({Path(subject.path).name})"
