"""Files of zoo models in the cache, exported or written where they are not there yet."""

from __future__ import annotations

import hashlib
from pathlib import Path

from yolox_deploy._version import __version__
from yolox_deploy.benchmarks.rows import RANDOM
from yolox_deploy.converters.base import Target
from yolox_deploy.files import cache_dir, replacing, sha256
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.models.weights import fetch_weights
from yolox_deploy.sources import image_paths
from yolox_deploy.types import Report


def find_weights(config: ModelConfig, weights: Path | None, *, fetch: bool) -> tuple[Path | None, str]:
    """The checkpoint and what to call it: the one given, else the official one, else none for random weights.

    Args:
        fetch: fetch the official one where it is not in the cache.
    """
    if weights is not None:
        return weights, f"sha256 {sha256(weights)[:12]}"
    if config.weights_url is not None:
        cached = cache_dir() / "weights" / config.weights_url.rsplit("/", 1)[-1]
        if fetch or cached.is_file():
            return fetch_weights(config), "official"
    return None, RANDOM


def trained_size(weights: Path | None) -> tuple[int, int] | None:
    """The (height, width) that a checkpoint says it was trained at."""
    if weights is None:
        return None
    from yolox_deploy.models import read_checkpoint

    return read_checkpoint(weights).input_size


def exported(
    config: ModelConfig,
    target: Target,
    precision: str,
    weights: Path | None,
    size: tuple[int, int],
    *,
    batch: int | None,
    calib: Path | None,
    report: Report,
) -> Path:
    """The file in the cache, exported where it is not there yet.

    Args:
        weights: a checkpoint; None for random ones.
        size: (H, W).
        batch: images at a time; None leaves it free where the format can.
        calib: folder of pictures; only INT8 takes it, and other pictures make another file.

    Raises:
        YoloxDeployError: as `export`.
    """
    from yolox_deploy.exporter.pipeline import export

    free = batch is None and "dynamic_batch" in target.flags
    batch = None if free else batch or 1
    tag = sha256(weights)[:8] if weights is not None else RANDOM
    name = f"{config.name}_{size[0]}x{size[1]}_b{batch or 'free'}_{precision}_{tag}"
    calib = calib if precision == "int8" else None
    if calib is not None:
        name += f"_{pictures_tag(calib)}"
    # A folder for each target: OpenVINO and NCNN would both call their weights NAME.bin.
    path = cache_dir() / "bench" / __version__ / target.name / f"{name}{target.suffix}"
    if path.is_file():
        return path
    report.step(f"exporting {config.name} to {target.name} {precision}")
    return export(
        config.name,
        target.name,
        weights=weights or RANDOM,
        imgsz=size,
        batch=batch,
        out=path,
        calib=calib,
        verify=weights is not None,
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        int8=precision == "int8",
    ).path


def random_checkpoint(config: ModelConfig, report: Report) -> Path:
    """A checkpoint of random weights in the cache, for runtimes that take checkpoints."""
    path = cache_dir() / "bench" / __version__ / f"{config.name}_{RANDOM}.pth"
    if not path.is_file():
        import torch

        from yolox_deploy.models import build_model

        report.step(f"writing random weights of {config.name}")
        torch.manual_seed(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            torch.save({"model": build_model(config.name).state_dict()}, part)
    return path


def pictures_tag(folder: Path) -> str:
    """Tells calibration sets apart: a digest of the pictures' names, sizes and times of change.

    Raises:
        InputError: there is no picture.
    """
    digest = hashlib.sha256()
    for path in image_paths(folder):
        found = path.stat()
        digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:8]
