"""What `tune` chose for a model file on this machine, kept in the cache under the file's SHA-256."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolox_deploy import records
from yolox_deploy.errors import ArtifactError
from yolox_deploy.files import cache_dir, sha256
from yolox_deploy.runtimes.registry import present_files

CHOICE = records.FileKind(
    "delete it, or run `yolox-deploy tune` again",
    foreign="is damaged",
    error=ArtifactError,
    version=2,
    beside=("machine", "model", "content"),
)


@dataclass(frozen=True)
class TunedOpening:
    """How to open a model on this machine: arguments of `Detector`.

    Attributes:
        path: the file to open; another export of the model asked for where that is faster.
        backend, device, threads, runtime_options: as of `Detector`.
        figures: why: milliseconds, AP, what it was compared with.
    """

    path: str
    backend: str
    device: str = "auto"
    threads: int | None = None
    runtime_options: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)


def tuned_path(model: Path) -> Path:
    """Where the choice for a model file is kept.

    Raises:
        ArtifactError: there is no such file.
    """
    if not model.is_file():
        raise ArtifactError(f"no model file at {model}")
    return cache_dir() / "tuned" / f"{_content(model)}.json"


def write_tuned(model: Path, choice: TunedOpening) -> Path:
    """Keep the choice for `model`; returns the file written."""
    path = tuned_path(model)
    made = {"machine": machine(), "model": str(model), "content": _content(Path(choice.path))}
    records.save(choice, path, CHOICE, **made)
    return path


def read_tuned(model: Path) -> TunedOpening | None:
    """The choice for `model`.

    None where none was made, it was made on another machine, or its file is gone or another one by now.

    Raises:
        ArtifactError: there is no such model file, or the choice is damaged.
    """
    path = tuned_path(model)
    if not path.is_file():
        return None
    values = records.read(path, CHOICE)
    here = {**CHOICE.header, "machine": machine()}
    if isinstance(values, dict) and any(values.get(key, now) != now for key, now in here.items()):
        return None
    choice = records.decode(TunedOpening, values, path, CHOICE)
    chosen = Path(choice.path)
    return choice if os.path.isfile(chosen) and _content(chosen) == values["content"] else None


def tuned_opening(model: Path, options: Mapping[str, Any]) -> tuple[Path, str | None, dict[str, Any]]:
    """The file, backend and options to open `model` with, as `tune` chose; as given where it chose nothing.

    Args:
        options: as of `open_runtime`; a device or a number of threads that is set wins over the choice.
    """
    choice = read_tuned(model)
    if choice is None:
        return model, None, dict(options)
    chosen = {"device": choice.device, "threads": choice.threads, **choice.runtime_options}
    given = {name: value for name, value in options.items() if value not in (None, "auto")}
    return Path(choice.path), choice.backend, {**chosen, **given}


def _content(model: Path) -> str:
    """What tells apart what model files hold: some formats keep the weights beside the graph."""
    return "_".join(sha256(file)[:16] for file in present_files(model))


def machine() -> str:
    """What tells machines apart that share a home folder."""
    return f"{platform.system()} {platform.machine()} {platform.processor()} {os.cpu_count()} cores".strip()
