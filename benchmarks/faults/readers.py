"""What cases call in a child: descriptions are read by the library, commands run as people run them."""

from __future__ import annotations

import hashlib
import importlib
import os
import runpy
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 64
PREDICT = (
    *("predict", "pictures", "--model", "nano.onnx", "--save-json", "lines.jsonl"),
    *("--no-images", "--resume"),
)
HERE = "yolox_deploy.benchmarks.faults.readers"


def answer(read: str, place: str) -> str:
    """In a child: a digest of what a function of this module reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = globals()[read](Path(place))
    said = repr(found).replace(place, "")
    return f"{said[:100]} {hashlib.sha256(said.encode(errors='surrogatepass')).hexdigest()}"


def read_data(place: Path) -> Any:
    """Open both splits and check them; boxes that are no numbers are a fault."""
    from yolox_deploy.data import check_splits, open_splits

    train, val = open_splits(place)
    reports = check_splits(train, val)
    kept = [[dataset.objects(index) for index in range(len(dataset))] for dataset in (train, val)]
    if not all(np.isfinite(objects.boxes).all() for part in kept for objects in part):
        raise ValueError("a box that was read is not finite")
    return kept, [(report.pictures, report.objects, len(report.problems)) for report in reports]


def read_sequences(place: Path) -> Any:
    """Annotated sequences."""
    from yolox_deploy.streaming import read_sequences

    read = read_sequences(place / "annotations.json")
    return len(read), read.frame_rate, read.class_names


def read_settings(place: Path) -> Any:
    """Settings of a training."""
    from yolox_deploy.training.recipes import load_toml, override, recipe

    return override(recipe("yolox_nano", data="mine"), load_toml(place / "settings.toml"))


def read_exp(place: Path) -> Any:
    """An Exp file, as settings."""
    from yolox_deploy.migrate.text import to_toml
    from yolox_deploy.migrate.translate import migrate

    return to_toml(migrate(place / "exp.py"))


def read_names(place: Path) -> Any:
    """Class names, as the command line reads them."""
    return importlib.import_module("yolox_deploy.cli.common").read_class_names(place / "names.txt")


def read_priors(place: Path) -> Any:
    """Priors of a data set."""
    from yolox_deploy.data.priors import load_priors

    return load_priors(place / "priors.json", (SIDE, SIDE)).tolist()


def read_stream(place: Path) -> Any:
    """The answers of a stream."""
    from yolox_deploy.streaming import read_records

    return [(record.frames, len(record.events)) for record in read_records(place / "stream.jsonl")]


def read_choice(place: Path) -> Any:
    """A Detector opened as `tune` chose."""
    from yolox_deploy.detector import Detector

    os.environ["YOLOX_DEPLOY_CACHE"] = str(place / "cache")
    with Detector(place / "nano.onnx", backend="auto") as detector:
        return detector.info.backend


def resume(place: Path) -> Any:
    """Go on with the lines of `predict`; its exit code, and the lines where it ended well."""
    code = command(PREDICT, place)
    return code or (place / "lines.jsonl").read_bytes()


def command(words: Sequence[str], place: Path) -> int:
    """Run our command line in this process, in `place`; its exit code, where it ended with words of ours.

    Raises:
        ValueError: it ended otherwise: with a traceback, or without a word.
    """
    os.chdir(place)
    log = place / "log.txt"
    with log.open("w") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.argv = ["yolox-deploy", *words]
    code = 0
    try:
        runpy.run_module("yolox_deploy", run_name="__main__")
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    said = log.read_text(errors="replace")
    if "internal error" in said or (code and not said.strip()):
        raise ValueError(f"exit code {code}: {said.strip()[-200:] or 'nothing was said'}")
    return code
