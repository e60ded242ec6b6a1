"""What the checks of a data set found, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from yolox_deploy.errors import InputError

EXAMPLES = 5
"""How many places a problem names."""


@dataclass(frozen=True)
class Problem:
    """One kind of fault.

    Attributes:
        kind: a fixed word to recognise it by, such as "missing_picture".
        severity: an "error" stops training before it starts.
        count: how often it occurs.
        examples: the first few.
        meaning: what it is and what is done about it.
    """

    kind: str
    severity: Literal["error", "warning"]
    count: int
    examples: tuple[str, ...]
    meaning: str

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        examples = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"{self.severity}: {self.count} {self.meaning}{examples}"


@dataclass(frozen=True)
class DatasetReport:
    """What `check_dataset` found.

    Attributes:
        source: the file or folder of the data set.
        pictures, objects, crowds: how many there are; objects are those to train on.
        problems: errors first.
    """

    source: str
    pictures: int
    objects: int
    crowds: int
    problems: tuple[Problem, ...]

    def to_lines(self, *, errors: bool = True) -> list[str]:
        """A line on the data set and one on each problem; without `errors`, those that an exception will tell."""
        summary = f"{self.source}: {self.pictures} pictures, {self.objects} objects, {self.crowds} crowds"
        told = (problem for problem in self.problems if errors or problem.severity != "error")
        return [summary, *map(str, told)]


def raise_for_errors(*reports: DatasetReport) -> None:
    """Stop if training would fail or learn nonsense.

    Raises:
        InputError: there are errors; names all of them.
    """
    lines: list[str] = []
    for report in reports:
        errors = [f"  {problem}" for problem in report.problems if problem.severity == "error"]
        lines += [f"{report.source} cannot be trained on:", *errors] if errors else []
    if lines:
        raise InputError("\n".join(lines))


class Tally:
    """Counts what a reader leaves out or mends on its way, with the first examples of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, Problem] = {}

    def warn(self, kind: str, meaning: str, example: str) -> None:
        """Count one more of a kind."""
        known = self._found.get(kind, Problem(kind, "warning", 0, (), meaning))
        examples = (*known.examples, example) if known.count < EXAMPLES else known.examples
        self._found[kind] = replace(known, count=known.count + 1, examples=examples)

    def problems(self) -> tuple[Problem, ...]:
        """What was counted so far."""
        return tuple(self._found.values())
