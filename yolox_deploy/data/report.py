"""What the checks of a data set found, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from yolox_deploy.errors import InputError, UsageError


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

    def to_lines(self) -> list[str]:
        """A line on the data set and one on each problem."""
        summary = f"{self.source}: {self.pictures} pictures, {self.objects} objects, {self.crowds} crowds"
        return [summary, *map(str, self.problems)]

    def raise_for_errors(self) -> None:
        """Stop if training would fail or learn nonsense.

        Raises:
            UsageError: the model has another number of classes.
            InputError: any other error of the data set.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            kind = UsageError if all(problem.kind == "class_count" for problem in errors) else InputError
            raise kind("\n".join([f"{self.source} cannot be trained on:", *(f"  {item}" for item in errors)]))
