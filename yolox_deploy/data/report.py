"""What the checks of a data set found, for people and for programs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

from yolox_deploy.errors import InputError

EXAMPLES = 5
"""How many places a problem names."""

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""In the order in which they are told."""

LEAVE_OUT = "mend them, or leave them out for good: yolox-deploy convert SRC --to coco --out DIR"


@dataclass(frozen=True)
class Problem:
    """One kind of fault.

    Attributes:
        kind: a fixed word to recognise it by, such as "missing_picture".
        severity: an "error" stops training before it starts; a "note" is no fault, but good to know.
        count: how often it occurs.
        examples: the first few.
        meaning: what it is and what is done about it.
    """

    kind: str
    severity: Severity
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


def raise_for_errors(*reports: DatasetReport, use: str = "trained on") -> None:
    """Stop if training, or another `use`, would fail or come to nonsense.

    Raises:
        InputError: there are errors; names all of them.
    """
    lines: list[str] = []
    for report in reports:
        errors = [f"  {problem}" for problem in report.problems if problem.severity == "error"]
        lines += [f"{report.source} cannot be {use}:", *errors] if errors else []
    if lines:
        raise InputError("\n".join(lines))


def require_whole(source: object, problems: tuple[Problem, ...]) -> None:
    """For those who measure on annotations: nothing may be missing in silence.

    What a reader mended or left out on purpose is a `UserWarning`.

    Raises:
        InputError: the reader found errors; names all of them.
    """
    errors = [f"  {problem}" for problem in problems if problem.severity == "error"]
    if errors:
        raise InputError("\n".join([f"{source} has faults:", *errors]))
    for problem in problems:
        if problem.severity == "warning":
            text = str(problem).removeprefix("warning: ")
            warnings.warn(f"{source}: {text}", stacklevel=3)


class Tally:
    """Counts what a reader leaves out or mends on its way, with the first examples of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, Problem] = {}
        self._lost = 0

    def warn(self, kind: str, meaning: str, example: str, *, severity: Severity = "warning") -> None:
        """Count one more of a kind."""
        known = self._found.get(kind, Problem(kind, severity, 0, (), meaning))
        examples = (*known.examples, example) if known.count < EXAMPLES else known.examples
        self._found[kind] = replace(known, count=known.count + 1, examples=examples)

    def fail(self, kind: str, meaning: str, example: str) -> None:
        """Count one more of a kind that a person has to see; `meaning` says what is wrong, the cure is added."""
        self.warn(kind, f"{meaning}: {LEAVE_OUT}", example, severity="error")

    def lose(self, count: int = 1) -> None:
        """Objects were left out that belong to pictures which stay."""
        self._lost += count

    def problems(self, kept: int) -> tuple[Problem, ...]:
        """What was counted so far; an error more where fewer objects were `kept` than lost."""
        found = tuple(self._found.values())
        if self._lost <= kept:
            return found
        meaning = f"objects had to be left out and only {kept} are left: see the other lines for why"
        return (*found, Problem("mostly_left_out", "error", self._lost, (), meaning))
