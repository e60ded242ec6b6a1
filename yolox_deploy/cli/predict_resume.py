"""How an interrupted `predict` goes on: what its JSON lines hold already, and whether it is the same run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy import records
from yolox_deploy.cli.common import command_line
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.files import sha256
from yolox_deploy.json_lines import read_rows

if TYPE_CHECKING:
    from yolox_deploy.detector import Detector

RUN = records.FileKind(
    "remove it, where it is certain that model and options are the same",
    foreign="is no record of a run",
    schema="yolox-deploy/predict",
    version=1,
)


@dataclass(frozen=True)
class RunRecord:
    """What decides about the results: `settings` about the boxes, `sources` about the names of pictures."""

    settings: Mapping[str, Any]
    sources: tuple[str, ...] = field(default=())


class Done:
    """What the lines of a file tell about: each line is taken once, by the path of its picture.

    Attributes:
        lines: how many there are.
    """

    def __init__(self, path: Path) -> None:
        self.lines = 0
        self._pictures: Counter[str] = Counter()
        self._errors: defaultdict[str, list[str]] = defaultdict(list)
        self._frames: defaultdict[str, list[int]] = defaultdict(list)
        for row in read_rows(path) if path.exists() else ():
            self.lines += 1
            try:
                self._add(row)
            except (KeyError, TypeError, IndexError):
                raise InputError(
                    f"line {self.lines} of {path} is not from predict; name another file with --save-json"
                ) from None

    def _add(self, row: Mapping[str, Any]) -> None:
        name = row["image"]
        if "error" in row:
            self._errors[name].append(row["error"])
        elif "frame" not in row:
            self._pictures[name] += 1
        elif row["frame"] == 0:
            self._frames[name].append(1)
        else:
            self._frames[name][-1] += 1

    def take(self, path: Path) -> bool:
        """Whether there is a line of this picture."""
        name = str(path)
        if not self._pictures[name]:
            del self._pictures[name]
            return False
        self._pictures[name] -= 1
        return True

    def take_error(self, path: Path) -> str | None:
        """The error of a picture or video that could not be read; None where there is none."""
        errors = self._errors.get(str(path))
        return errors.pop(0) if errors else None

    def take_frames(self, path: Path) -> int:
        """How many frames of a video have their lines."""
        frames = self._frames.get(str(path))
        return frames.pop(0) if frames else 0


def record_of(detector: Detector, options: Mapping[str, Any], sources: Sequence[str]) -> RunRecord:
    """The record of this run; `options` are those that decide about boxes."""
    from yolox_deploy.runtimes.registry import present_files

    info = detector.info
    digest = hashlib.sha256(info.artifact.to_json().encode())
    for file in present_files(Path(info.path)):
        digest.update(sha256(file).encode())
    settings = {"model": digest.hexdigest(), "backend": info.backend, **options}
    return RunRecord(json.loads(json.dumps(settings)), tuple(sources))


def begin(path: Path, run: RunRecord, lines: int, *, numbered: bool) -> None:
    """Compare with the run that began the file, and keep a record of this one beside it.

    Args:
        lines: how many the file has.
        numbered: whether names were told apart by numbers.

    Raises:
        UsageError: the file is from another model or other options, or the sources would give other names.
    """
    file = path.with_name(f".{path.name}.run.json")
    if lines and file.exists():
        _compare(path, records.load(RunRecord, file, RUN), run, numbered)
    records.save(run, file, RUN)


def _compare(path: Path, before: RunRecord, now: RunRecord, numbered: bool) -> None:
    ours, theirs = dict(now.settings), dict(before.settings)
    other = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
    if other:
        told = ", ".join(
            "another model file" if name == "model" else f"{name} {theirs.get(name)}, now {ours.get(name)}"
            for name in other
        )
        raise UsageError(
            f"{path} was begun otherwise ({told}); use the same model and options, or write to another file"
        )
    as_before = now.sources[: len(before.sources)] == before.sources
    if not as_before and (numbered or Counter(before.sources) - Counter(now.sources)):
        raise UsageError(
            f"{path} was begun with other sources, or in another order, from which results have their names; give "
            f"them first and in that order ({' '.join(before.sources[:5])}{' …' * (len(before.sources) > 5)}), or "
            "write to another file and other folders"
        )


def refuse_overwriting(path: Path) -> None:
    """Refuse a file of lines that is there already, where nobody asked to go on with it.

    Raises:
        UsageError: it holds something.
    """
    if path.is_file() and path.stat().st_size:
        raise UsageError(
            f"{path} holds results already; go on behind them: {command_line()} --resume, or remove it first: rm {path}"
        )
