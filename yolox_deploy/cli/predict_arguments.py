"""The command line of `predict` as it was typed, and what of it cannot work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.cli.predict_resume import refuse_overwriting
from yolox_deploy.cli.predict_sources import Survey
from yolox_deploy.errors import UsageError
from yolox_deploy.files import check_writable
from yolox_deploy.sources import a_video


@dataclass(frozen=True)
class PredictArguments:
    """The command line, as typed.

    Attributes:
        drawn: folder of the annotated pictures; None for none.
        detector: keywords of `Detector`.
        options: those among them that decide about the boxes.
    """

    sources: tuple[str, ...]
    model: Path
    drawn: Path | None
    save_json: Path | None
    save_coco: Path | None
    save_txt: Path | None
    save_crops: Path | None
    resume: bool
    as_json: bool
    detector: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where results are written, and nothing is read."""
        return tuple(folder for folder in (self.drawn, self.save_txt, self.save_crops) if folder is not None)

    @property
    def lines(self) -> Path | None:
        """The file of JSON lines, where one is wanted."""
        return self.save_json if self.save_json is not None and is_lines(self.save_json) else None


def is_lines(path: Path) -> bool:
    """Whether a JSON file is written line by line."""
    return path.suffix.lower() in (".jsonl", ".ndjson")


def check(asked: PredictArguments, found: Survey) -> None:
    """Refuse before any work what cannot work.

    Raises:
        UsageError: options that contradict each other, a video where pictures are needed, or places that cannot be
            written.
    """
    if asked.resume and asked.lines is None:
        name = (asked.save_json or Path("found.json")).with_suffix(".jsonl")
        raise UsageError(f"--resume goes on behind the last line of a .jsonl file; use --save-json {name}")
    if asked.resume and (asked.save_coco is not None or asked.as_json):
        option = "--json" if asked.as_json else "--save-coco"
        raise UsageError(
            f"{option} is written of all pictures at once, which --resume skips; leave one of both out"
        )
    for option, path in (("--save-json", asked.save_json), ("--save-coco", asked.save_coco)):
        if path is not None:
            check_writable(path, f"{option} {path}")
    for option, folder in (
        ("--out", asked.drawn),
        ("--save-txt", asked.save_txt),
        ("--save-crops", asked.save_crops),
    ):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"{option} {folder} is a file; expected the name of a folder")
    if asked.lines is not None and not asked.resume:
        refuse_overwriting(asked.lines)
    _check_labels(asked)
    _check_videos(asked, found)


def _check_labels(asked: PredictArguments) -> None:
    """A folder of labels is new, or the one that is gone on with."""
    folder = asked.save_txt
    if folder is None or not folder.exists() or (asked.resume and (folder / "classes.txt").is_file()):
        return
    if any(not (asked.resume and path.name.startswith(".")) for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder, or remove it first: rm -r {folder}")


def _check_videos(asked: PredictArguments, found: Survey) -> None:
    options = {"--save-txt": asked.save_txt, "--save-coco": asked.save_coco}
    option = next((name for name, path in options.items() if path is not None), None)
    if option is not None and found.video is not None:
        raise UsageError(
            f"{option} writes labels of pictures, and {found.video} is {a_video(found.video)}; or leave {option} out"
        )
