"""What loggers share: names of metrics, settings as flat values, and the run that a resumed one goes on with."""

from __future__ import annotations

from pathlib import Path

from yolox_deploy.files import write_text
from yolox_deploy.settings import flatten, text
from yolox_deploy.training.config import to_dict
from yolox_deploy.training.events import EpochFinished, Evaluated, RunStarted


def settings_of(run: RunStarted) -> dict[str, str]:
    """All settings of a run by dotted name, and what it is trained on."""
    facts = {"pictures": run.pictures, "val_pictures": run.val_pictures, "classes": ",".join(run.class_names)}
    return {name: text(value) for name, value in {**flatten(to_dict(run.config)), **facts}.items()}


def metrics_of(event: EpochFinished | Evaluated) -> dict[str, float]:
    """What an epoch is logged with: `train/…` its losses, rate and seconds, `val/…` its figures where they exist."""
    if isinstance(event, Evaluated):  # -1: there is no object of that size
        return {f"val/{name}": value for name, value in event.figures.items() if value >= 0}
    values = {**event.losses, "rate": event.rate, "seconds": event.seconds}
    return {f"train/{name}": value for name, value in values.items()}


def read_id(path: Path, run: RunStarted) -> str | None:
    """The id that an earlier session of this run has at the service."""
    return path.read_text(encoding="utf-8").strip() if run.resumed and path.is_file() else None


def keep_id(path: Path, found: str) -> None:
    """Keep it for sessions to come."""
    write_text(path, f"{found}\n")
