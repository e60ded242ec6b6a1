"""The machine of a report as tables of text, for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from yolox_deploy.benchmarks.machine.facts import Environment, MachineState
from yolox_deploy.benchmarks.report.tables import ABSENT, Table


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
