"""How the cases of a campaign ended, and their table.

A kind of case is a function `run(seed, count, folder, until, first=0)` that yields an `Outcome` for each of the cases
`first` to `first + count - 1`. A case depends on the seed and its own number alone, so that one can be run again. It
works in `folder`, and stops early where `time.monotonic()` passes `until`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table


class Result(str, Enum):
    """How a case ended; see `FAULTS` for those that must not be."""

    right = "right"
    """The boxes of the undamaged file."""
    refused = "refused"
    """One of our errors."""
    changed = "changed"
    """Other boxes from a file without a checksum: nobody can tell."""
    silent = "silent"
    """Other boxes from a file of ours with a checksum."""
    raw = "raw"
    """An exception that is not ours, or an "internal error" of the command line."""
    signal = "signal"
    """The process died of a signal."""
    hang = "hang"
    """It did not end in time."""
    memory = "memory"
    """It took more memory than the limit."""
    partial = "partial"
    """Half a file under a final name, or leftovers that no later start cleans."""


FAULTS = (Result.silent, Result.raw, Result.signal, Result.hang, Result.memory, Result.partial)


@dataclass(frozen=True)
class Outcome:
    """One case that was run.

    Args:
        kind: what was tried, such as "onnx".
        case: which one, such as its number.
        detail: what was done to the file, and for a fault what happened.
        kept: where the input of a fault lies.
        peak: largest resident memory of the process in MiB; 0 where it was not measured.
    """

    kind: str
    case: str
    result: Result
    detail: str = ""
    kept: Path | None = None
    peak: float = 0.0

    @property
    def is_fault(self) -> bool:
        """Whether this must not be."""
        return self.result in FAULTS


class Run(Protocol):
    """What runs a kind of case."""

    def __call__(
        self, seed: int, count: int, folder: Path, until: float, first: int = 0
    ) -> Iterator[Outcome]: ...


@dataclass
class Report:
    """All outcomes of a campaign: how many by kind and result, and each fault."""

    seed: int
    machine: str
    seconds: float = 0.0
    asked: dict[str, int] = field(default_factory=dict)
    counts: dict[str, Counter[Result]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    faults: list[Outcome] = field(default_factory=list)

    def begin(self, kind: str, count: int) -> None:
        """Name a kind and how many cases are asked for, so that one that ran out of time is seen."""
        self.asked[kind] = count
        self.counts[kind] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.counts.setdefault(outcome.kind, Counter())[outcome.result] += 1
        self.peaks[outcome.kind] = max(self.peaks.get(outcome.kind, 0.0), outcome.peak)
        if outcome.is_fault:
            self.faults.append(outcome)

    @property
    def exit_code(self) -> int:
        """1 where there is any fault."""
        return 1 if self.faults else 0

    def to_json(self) -> str:
        """The report as a document."""
        return json.dumps(
            {
                "seed": self.seed,
                "machine": self.machine,
                "seconds": round(self.seconds, 1),
                "kinds": {kind: self._row(kind) for kind in self.counts},
                "faults": [_fault(outcome) for outcome in self.faults],
            },
            indent=2,
        )

    def print(self, console: Console) -> None:
        """The table, then a line for each fault."""
        table = Table(title=f"seed {self.seed}, {self.machine}, {self.seconds:.0f} s")
        shown = list(Result)
        for name in ("kind", "asked", "run", *(result.value for result in shown), "peak MiB"):
            table.add_column(name, justify="left" if name == "kind" else "right")
        for kind in self.counts:
            table.add_row(kind, *(str(value) for value in self._row(kind).values()))
        console.print(table)
        for outcome in self.faults:
            kept = f" [{outcome.kept}]" if outcome.kept else ""
            line = f"{outcome.result.value}: {outcome.kind} {outcome.case}: {outcome.detail}{kept}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _row(self, kind: str) -> Mapping[str, Any]:
        counts = self.counts[kind]
        return {
            "asked": self.asked.get(kind, 0),
            "run": counts.total(),
            **{result.value: counts[result] for result in Result},
            "peak_mib": round(self.peaks.get(kind, 0.0)),
        }


def _fault(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "case": outcome.case,
        "result": outcome.result.value,
        "detail": outcome.detail,
        "kept": outcome.kept and str(outcome.kept),
    }
