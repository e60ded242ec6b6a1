"""The report as tables of text, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from yolox_deploy.benchmarks.machine.facts import Environment, MachineState
from yolox_deploy.benchmarks.protocol import PHASES, SCOPES
from yolox_deploy.benchmarks.report.results import BenchReport, Row, ThroughputRow
from yolox_deploy.benchmarks.stats import Comparison

ABSENT = "–"
NAMED = 3
"""Rows named in a sentence that concerns more."""


@dataclass(frozen=True)
class Table:
    """Cells of text; `struck` are indices of rows whose figures must not be used."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    struck: frozenset[int] = frozenset()

    @classmethod
    def of(cls, title: str, rows: Sequence[Mapping[str, str]], struck: frozenset[int] = frozenset()) -> Table:
        """A table of rows, at least one, each of which has its cells by column."""
        return cls(title, tuple(rows[0]), tuple(tuple(row.values()) for row in rows), struck)


@dataclass(frozen=True)
class Note:
    """A sentence under the tables: how it was measured, or what a reader must not miss (the other kinds)."""

    kind: Literal["protocol", "warning", "struck out"]
    text: str

    def __str__(self) -> str:
        """The sentence, after its kind where it must not be missed."""
        return self.text if self.kind == "protocol" else f"{self.kind}: {self.text}"


def tables(report: BenchReport) -> list[Table]:
    """A table for each scope that was measured, one of the files, and one of throughput."""
    scopes = [scope for scope in reversed(SCOPES) if any(scope in row.scopes for row in report.rows)]
    scopes.sort(key=lambda scope: scope != "host")
    struck = frozenset(index for index, row in enumerate(report.rows) if row.rejected)
    found = [_latency(report, scope, struck) for scope in scopes]
    if report.rows:
        title = "files, start (a fresh process each) and accuracy"
        found.append(Table.of(title, [_file(row) for row in report.rows], struck))
    if report.throughput:
        title = "throughput: several images at once, never beside latency"
        found.append(Table.of(title, [_throughput(row) for row in report.throughput]))
    return found


def notes(report: BenchReport) -> list[Note]:
    """What stands under the tables: the protocol, the machine, warnings."""
    by_row = by_reason((row.subject.label, text) for row in report.rows for text in row.warnings)
    return [
        *(Note("protocol", text) for text in _circumstances(report)),
        *(Note("warning", text) for text in (*report.warnings, *by_row)),
        *(Note("struck out", f"{row.subject.label}: {_why(row)}") for row in report.rows if row.rejected),
    ]


def _circumstances(report: BenchReport) -> list[str]:
    """How and where it was measured."""
    protocol, machine = report.protocol, report.environment
    found = [
        f"protocol {protocol.name}: closed loop, one stream, batch 1; host memory to host memory is the headline; "
        f"conf {protocol.conf}, IoU {protocol.iou}; × is time over the row with 1 above it, paired by round, with its "
        "95 % interval (! = significant)",
        f"machine: {machine.cpu}, {machine.usable_cores} usable cores, governor {machine.governor or 'unknown'}, "
        f"{machine.system}" + "".join(f"; {gpu.name}, driver {gpu.driver}" for gpu in machine.gpus),
    ]
    found += [f"images: {text}" for text in dict.fromkeys(row.subject.images for row in report.rows)]
    if report.image_decoding is not None:
        found.append(f"image decoding, apart: p50 {_ms(report.image_decoding.summary.p50)} ms a file")
    if report.rows and not any("device" in row.scopes for row in report.rows):
        found.append("device scope: absent; no backend of this run times itself")
    found += [
        f"matrix-multiply peak: {peak.gflops:.0f} GFLOP/s {peak.precision} ({peak.library}, "
        f"{peak.threads or 'all'} threads)"
        for peak in machine.peaks
    ]
    if report.overhead_us is not None:
        found.append(f"the harness itself adds {report.overhead_us:.1f} µs to an iteration")
    return found


def by_reason(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """(who, reason) pairs as one sentence a reason: "one, two, three and 4 more: reason"."""
    who: dict[str, list[str]] = {}
    for name, reason in pairs:
        who.setdefault(reason, []).append(name)
    return [f"{_enumerate(names)}: {reason}" for reason, names in who.items()]


def _enumerate(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def ratio_text(ratio: Comparison | None) -> str:
    """ "0.56 (0.55-0.57)!" or a dash."""
    if ratio is None:
        return ABSENT
    mark = "!" if ratio.significant else ""
    return f"{ratio.value:.3f} ({ratio.interval.low:.3f}–{ratio.interval.high:.3f}){mark}"


def _latency(report: BenchReport, scope: str, struck: frozenset[int]) -> Table:
    titles = {"host": "host: the network, host memory to host memory", "device": "device: its own clock"}
    title = titles.get(scope, "e2e: decoded image to detections (phases: p50)")
    early = report.protocol.name == "mlperf"
    rows = [_latency_row(row, scope, early) if scope in row.scopes else None for row in report.rows]
    columns = next(row for row in rows if row is not None)
    absent = dict.fromkeys(columns, ABSENT)
    return Table.of(
        title,
        [found or {**absent, "ms": _label(row)} for row, found in zip(report.rows, rows, strict=True)],
        struck,
    )


def _latency_row(row: Row, scope: str, early: bool) -> dict[str, str]:
    samples = row.scopes[scope]
    found, told = samples.summary, samples.summary.supported()
    return {
        "ms": _label(row),
        **{name: _ms(told[name]) for name in ("p50", "p90", "p95", "p99", "mean")},
        "CoV": f"{found.cov:.2f}",
        "count": str(found.count),
        "FPS": f"{found.fps:.1f}",
        **({"p90 early stop": _ms(samples.early_stopping_p90)} if early else {}),
        "rounds": f"{_ms(samples.round_range.low)}–{_ms(samples.round_range.high)}",
        **{phase: _ms(row.phases[phase].summary.p50) for phase in (PHASES if scope == "e2e" else ())},
        "×": "1" if row.ratio_to is None else ratio_text(row.ratios.get(scope)),
    }


def _file(row: Row) -> dict[str, str]:
    subject, start = row.subject, row.startup
    return {
        "files": _label(row),
        "size": "x".join(map(str, subject.input_size)),
        "weights": subject.weights,
        "params M": _known(subject.parameters / 1e6 if subject.parameters is not None else None, ".2f"),
        "GFLOPs": _known(subject.gflops, ".2f"),
        "GFLOP/s": _known(row.achieved_gflops, ".0f"),
        "of peak": _known(row.peak_share, ".0%"),
        "MiB": f"{subject.bytes / 2**20:.1f}",
        "import ms": _known(start.import_ms, ".0f"),
        "load ms": _known(start.load_ms, ".0f"),
        "first ms": _known(start.first_ms, ".0f"),
        "peak MiB": _known(start.peak_memory_mib, ".0f"),
        "AP": _known(row.accuracy.figures["AP"] if row.accuracy else None, ".4f"),
    }


def _known(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)


def _throughput(row: ThroughputRow) -> dict[str, str]:
    return {
        "throughput": row.subject.label,
        "threads": str(row.subject.threads or "auto"),
        "images/s": f"{row.images_per_second:.1f}",
        "images": str(row.count),
        "seconds": f"{row.seconds:.1f}",
        "p50 ms": _ms(row.samples.summary.p50),
        "p99 ms": _ms(row.samples.summary.supported()["p99"]),
    }


def _label(row: Row) -> str:
    marks = ("" if row.steady else " (unsteady)") + (" (struck out)" if row.rejected else "")
    return row.subject.label + marks


def _why(row: Row) -> str:
    if row.accuracy is not None and not row.accuracy.passed:
        return (
            f"AP {row.accuracy.figures['AP']:.4f}, at least {row.accuracy.least:.4f} was asked for "
            f"({row.accuracy.reference})"
        )
    return "the proof stored in the file was not passed"


def _ms(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.2f}" if value < 100 else f"{value:.1f}"


def environment_tables(machine: Environment) -> list[Table]:
    """The machine, its state before, during and after the run, and the versions in use."""
    plain = {
        "CPU": machine.cpu,
        "CPU vendor, family, model": machine.cpu_model,
        "instruction sets": machine.isa,
        "cores": f"{_text(machine.cores)} physical, {_text(machine.logical_cores)} logical, "
        f"{machine.usable_cores} usable",
        "governor": machine.governor,
        "memory MiB": machine.memory_mib,
        "system": machine.system,
        "Python": machine.python,
        "busy elsewhere": None if machine.busy_elsewhere is None else f"{machine.busy_elsewhere:.0%}",
        "stolen by the hypervisor": None if machine.stolen is None else f"{machine.stolen:.0%}",
    }
    for gpu in machine.gpus:
        capability = f", compute capability {gpu.compute_capability}" if gpu.compute_capability else ""
        plain[f"GPU {gpu.index}"] = f"{gpu.name}, driver {gpu.driver}, {gpu.memory_mib:.0f} MiB{capability}"
    for peak in machine.peaks:
        plain[f"peak {peak.precision}"] = (
            f"{peak.gflops:.0f} GFLOP/s ({peak.library}, {peak.threads or 'all'} threads, size {peak.size})"
        )
    found = [Table("environment", ("machine", "value"), _pairs(plain))]
    if machine.states:
        found.append(_states(machine.states))
    found.append(Table("versions", ("package", "version"), _pairs(machine.versions)))
    return found


def _states(states: tuple[MachineState, ...]) -> Table:
    names = [f.name for f in fields(MachineState) if f.name != "moment"]
    rows = [(name.replace("_", " "), *(_text(getattr(state, name)) for state in states)) for name in names]
    shown = [row for row in rows if set(row[1:]) != {ABSENT}]
    return Table("state of the machine", ("state", *(state.moment for state in states)), tuple(shown))


def _pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(value)) for name, value in values.items())


def _text(value: Any) -> str:
    if value is None or value == ():
        return ABSENT
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
