"""The machine of a report, as plain frozen values: what it is, how it fared, and how fast it multiplies.

Memory is MiB (2**20 bytes), frequencies are MHz. None or empty: this system does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ISA = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""Names of /proc/cpuinfo, on x86 and on ARM."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as its driver names it."""

    index: int
    name: str
    driver: str
    memory_mib: float
    compute_capability: str | None = None


@dataclass(frozen=True)
class MachineState:
    """The machine at one `moment` ("before", "during", "after"); None: this system does not tell.

    `gpu_throttling` names what held a GPU's clocks back, over all GPUs.
    """

    moment: str
    load_average: float | None = None
    available_mib: float | None = None
    cpu_mhz: float | None = None
    cpu_temperature_c: float | None = None
    gpu_mhz: float | None = None
    gpu_power_w: float | None = None
    gpu_temperature_c: float | None = None
    gpu_throttling: tuple[str, ...] = ()


@dataclass(frozen=True)
class Peak:
    """The machine's measured matrix-multiply peak: best of several square products."""

    gflops: float
    precision: str
    size: int
    threads: int | None
    library: str


@dataclass(frozen=True)
class Environment:
    """The machine and the software; None or empty: this system does not tell.

    Attributes:
        cores: physical; `logical_cores` with hyper-threading, `usable_cores` this process may use.
        governor: of the CPU's frequency.
        versions: of Python packages that take part.
        cpu_model: vendor, family and model as numbers: machines of several kinds share one name ("AMD EPYC").
        isa: instruction sets that decide how fast a network runs, of `ISA`.
        busy_elsewhere: share of the cores this process ran on that others used during the run, 0-1; `stolen`: the share
            that the hypervisor gave to other guests.
    """

    system: str
    python: str
    cpu: str
    cores: int | None
    logical_cores: int | None
    usable_cores: int
    memory_mib: float | None
    governor: str | None
    versions: Mapping[str, str]
    gpus: tuple[Gpu, ...] = ()
    states: tuple[MachineState, ...] = ()
    busy_elsewhere: float | None = None
    stolen: float | None = None
    peaks: tuple[Peak, ...] = ()
    cpu_model: str | None = None
    isa: tuple[str, ...] | None = None
