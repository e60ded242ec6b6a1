"""A report against a saved one: what became slower, and by how much for certain.

Two runs of the same file minutes apart differ by more than either run's own spread tells (clocks, other
programs, placement in memory). So a change between runs is significant only where its interval keeps away
from 1 by `BETWEEN_RUNS_MARGIN`; it must also hold against the reference loop, a fixed piece of arithmetic that
each run timed in every round, so that a machine that was busy or clocked lower is not taken for slower code.

A row that is no regression for certain need not be none: where its interval reaches beyond the limit, the run
was too short or too noisy to tell, and the verdict says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from yolox_deploy.benchmarks.machine.facts import Environment
from yolox_deploy.benchmarks.protocol import HEADLINE, Protocol
from yolox_deploy.benchmarks.report.results import BenchReport, Row, Samples
from yolox_deploy.benchmarks.stats import Comparison, Floats, round_medians, unpaired_ratio
from yolox_deploy.errors import RegressionError, UsageError

RowKey = tuple[object, ...]

BETWEEN_RUNS_MARGIN = 0.02
BUSY = 0.10

REGRESSION, UNDECIDED, WITHIN = "regression", "undecided", "within the limit"


@dataclass(frozen=True)
class RowChange:
    """One row in both reports: time now over time then, by scope; `relative`: both over the reference loop."""

    label: str
    base_label: str
    ratios: Mapping[str, Comparison]
    relative: Mapping[str, Comparison]

    def is_regression(self, max_slowdown: float, scope: str = HEADLINE) -> bool:
        """Whether it is slower by more than `max_slowdown` (0.05 is 5 %) and significantly slower at all."""
        found = [kind[scope] for kind in (self.ratios, self.relative) if scope in kind]
        return bool(found) and all(one.significant and one.value > 1 + max_slowdown for one in found)

    def verdict(self, max_slowdown: float, scope: str = HEADLINE) -> str:
        """`REGRESSION`; `UNDECIDED` where the interval's upper end lies beyond the limit, in time and over the
        reference loop, or the rounds were too few for one; else `WITHIN`."""
        if self.is_regression(max_slowdown, scope):
            return REGRESSION
        found = [kind[scope] for kind in (self.ratios, self.relative) if scope in kind]
        return UNDECIDED if all(one.interval.high > 1 + max_slowdown for one in found) else WITHIN


@dataclass(frozen=True)
class ReportComparison:
    """The report `new` held against `base`.

    Attributes:
        changes: one for each row of `new` that `base` has too.
        missing: labels of the rows that only `base` has.
    """

    base: BenchReport
    new: BenchReport
    changes: tuple[RowChange, ...]
    missing: tuple[str, ...]

    def check(self, max_slowdown: float = 0.05, *, strict: bool = False) -> None:
        """The gate.

        Args:
            strict: rows that are undecided, or that only the base has, do not pass either.

        Raises:
            RegressionError: a row is slower by more than `max_slowdown`, significantly; or as `strict` says.
        """
        slower = [change for change in self.changes if change.is_regression(max_slowdown)]
        if slower:
            told = "; ".join(f"{change.label}: {describe(change.ratios[HEADLINE])}" for change in slower)
            raise RegressionError(
                f"slower than the base by more than {max_slowdown:.0%}, host time now over then: {told}"
                + _busy(self.base, self.new)
            )
        if not strict:
            return
        undecided = [change.label for change in self.changes if change.verdict(max_slowdown) == UNDECIDED]
        doubts = {f"undecided at {max_slowdown:.0%}": undecided, "only in the base": self.missing}
        told = "; ".join(f"{doubt}: {', '.join(labels)}" for doubt, labels in doubts.items() if labels)
        if told:
            raise RegressionError(f"nothing is slower for certain, but --strict asks for more: {told}")


def compare(base: BenchReport, new: BenchReport) -> ReportComparison:
    """Hold the rows of `new` against the same rows of `base`, scope by scope.

    The result's `changes` say by how much each row became slower, and its `check()` raises where one did.

    Args:
        base: a report of this machine, such as `BenchReport.load("base.json")`.
        new: a report by the same protocol.

    Raises:
        UsageError: the protocols or the machines differ, or no row is in both.
    """
    check_comparable(base, new.protocol, new.environment)
    pairs = common_rows(base, new)
    if not pairs:
        raise UsageError(
            "the two reports have no row in common (same model, backend, device, precision, threads, size); "
            f"the base has {', '.join(row.subject.label for row in base.rows) or 'none'}"
        )
    known = _by_key(new)
    missing = [row.subject.label for key, row in _by_key(base).items() if key not in known]
    changes = [_change(then, now, new.protocol.seed) for then, now in pairs]
    return ReportComparison(base, new, tuple(changes), tuple(missing))


def common_rows(base: BenchReport, new: BenchReport) -> list[tuple[Row, Row]]:
    """The rows that are in both, as they were then and as they are now."""
    known = _by_key(base)
    return [(known[key], row) for key, row in _by_key(new).items() if key in known]


def check_comparable(base: BenchReport, protocol: Protocol, environment: Environment) -> None:
    """Refuse to compare what was measured otherwise or elsewhere.

    Raises:
        UsageError: names each thing that differs.
    """
    ours, theirs = protocol.comparable_key, base.protocol.comparable_key
    differing = [
        f"{name} {theirs[name]} then, {ours[name]} now" for name in ours if ours[name] != theirs[name]
    ]
    here, there = _machine(environment), _machine(base.environment)
    differing += [
        f"{name} {there[name]} then, {here[name]} now"
        for name in here
        if here[name] != there[name] and None not in (here[name], there[name])
    ]
    if differing:
        raise UsageError(
            f"the reports cannot be compared: {'; '.join(differing)}. Measure the base again on this machine "
            "with the same options"
        )


def _busy(base: BenchReport, new: BenchReport) -> str:
    shares = [report.environment.busy_elsewhere or 0.0 for report in (base, new)]
    if max(shares) <= BUSY:
        return ""
    return (
        f". Other programs used {shares[0]:.0%} of the processor then and {shares[1]:.0%} now: repeat it on "
        "a quiet machine before you believe it"
    )


def describe(ratio: Comparison) -> str:
    """A ratio with its 95 % interval: "1.12 × (1.10-1.14)"."""
    return f"{ratio.value:.3f} × ({ratio.interval.low:.3f}-{ratio.interval.high:.3f})"


def row_key(row: Row) -> RowKey:
    """What makes two rows the same measurement, whatever their labels."""
    subject = row.subject
    return (
        subject.model,
        subject.backend,
        subject.device,
        subject.precision,
        subject.threads,
        subject.input_size,
        subject.batch,
        subject.images,
    )


def _by_key(report: BenchReport) -> dict[RowKey, Row]:
    """Rows by key and by how many rows before had the same key: a file twice in both reports pairs up."""
    rows: dict[RowKey, Row] = {}
    for row in report.rows:
        number = 0
        while (*row_key(row), number) in rows:
            number += 1
        rows[(*row_key(row), number)] = row
    return rows


def _machine(environment: Environment) -> dict[str, object]:
    """By what machines are told apart; None: a report of before it was recorded, or a system that does not tell."""
    return {
        "processor": environment.cpu,
        "processor model": environment.cpu_model,
        "instruction sets": None if environment.isa is None else " ".join(environment.isa),
        "usable cores": environment.usable_cores,
        "GPUs": ", ".join(gpu.name for gpu in environment.gpus) or "none",
    }


def _change(then: Row, now: Row, seed: int) -> RowChange:
    ratios, relative = {}, {}
    for scope in now.scopes:
        if scope not in then.scopes:
            continue
        times = (_rounds(now.scopes[scope]), _rounds(then.scopes[scope]))
        measures = [_rounds(row.reference_loop) if row.reference_loop else None for row in (now, then)]
        ratio = _ratio(*times, seed)
        if ratio is not None:
            ratios[scope] = ratio
        if measures[0] is None or measures[1] is None:
            continue
        ratio = _ratio(_over(times[0], measures[0]), _over(times[1], measures[1]), seed)
        if ratio is not None:
            relative[scope] = ratio
    return RowChange(now.subject.label, then.subject.label, ratios, relative)


def _ratio(new: Floats, base: Floats, seed: int) -> Comparison | None:
    return unpaired_ratio(new, base, seed=seed, margin=BETWEEN_RUNS_MARGIN)


def _over(times: Floats, reference_loop: Floats) -> Floats:
    """Round by round."""
    rounds = min(len(times), len(reference_loop))
    return times[:rounds] / reference_loop[:rounds]


def _rounds(samples: Samples) -> Floats:
    return round_medians(samples.milliseconds, samples.block)
