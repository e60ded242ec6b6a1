"""The machine: described, watched, never changed."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy.benchmarks.machine import environment as machine
from yolox_deploy.benchmarks.machine.facts import Gpu, MachineState
from yolox_deploy.benchmarks.machine.nvidia import throttling
from yolox_deploy.benchmarks.machine.peak import Peak, best_rate, share
from yolox_deploy.benchmarks.machine.processor import (
    CpuClock,
    core_numbers,
    cpu_model,
    instruction_sets,
    own_cores,
    use_by_others,
)
from yolox_deploy.benchmarks.startup import peak_memory_mib


def test_the_machine_is_described() -> None:
    found = machine.describe()
    assert found.cpu
    assert 1 <= found.usable_cores <= (os.cpu_count() or 1)
    assert found.versions["numpy"] == np.__version__


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_memory_and_work_are_those_of_the_kernel() -> None:
    kilobytes = dict(re.findall(r"^(Mem\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    memory, free = machine.describe().memory_mib, machine.state("before").available_mib
    assert memory == int(kilobytes["MemTotal"]) / 1024
    assert free == pytest.approx(int(kilobytes["MemAvailable"]) / 1024, rel=0.2)
    clock, tick = CpuClock.now(), 1 / os.sysconf("SC_CLK_TCK")
    assert clock is not None
    cores = re.findall(r"^cpu(\d+)((?: \d+){8})", Path("/proc/stat").read_text(), re.MULTILINE)
    assert clock.worked.keys() == {int(number) for number, _ in cores}
    for number, fields in cores:
        user, nice, system, _idle, _wait, irq, softirq, steal = (
            int(field) * tick for field in fields.split()
        )
        assert clock.worked[int(number)] == pytest.approx(user + nice + system + irq + softirq, abs=2)
        assert clock.stolen[int(number)] == pytest.approx(steal, abs=2)


def test_without_psutil_the_machine_is_unknown_and_a_note_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    found, state = machine.describe(), machine.state("before")
    assert (found.memory_mib, found.cores, state.available_mib, state.cpu_mhz) == (None, None, None, None)
    assert use_by_others(CpuClock.now(), CpuClock.now(), own_cores()) is None
    assert found.cpu
    assert found.usable_cores >= 1
    assert [text for text in machine.warnings(found) if "pip install 'yolox-deploy[bench]'" in text]


def test_a_state_names_its_moment() -> None:
    assert machine.state("during").moment == "during"


def test_what_others_used_is_told_apart_from_our_own() -> None:
    before = CpuClock(0, 10, {0: 60, 1: 40, 2: 0}, {0: 3, 1: 2, 2: 0})
    after = CpuClock(10, 20, {0: 67, 1: 48, 2: 10}, {0: 4, 1: 2, 2: 10})
    assert use_by_others(before, after, {0, 1}) == (0.25, 0.05)
    assert use_by_others(before, after, {0, 1, 2}) == (0.5, 11 / 30)
    assert use_by_others(None, after, {0, 1}) is None
    assert use_by_others(after, after, {0, 1}) is None
    assert use_by_others(before, after, {7}) is None
    assert use_by_others(before, replace(after, wall=0.01), {0}) is None
    assert use_by_others(replace(before, stolen={}), after, {0, 1}) == (0.25, None)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_threads_placed_outside_of_the_process_are_seen() -> None:
    cores = os.sched_getaffinity(0)
    assert own_cores() >= cores
    clock = CpuClock.now()
    assert clock is not None
    assert cores <= set(clock.worked)
    assert clock.worked.keys() == clock.stolen.keys()


def test_warnings_name_what_disturbs_and_change_nothing() -> None:
    calm = replace(machine.describe(), governor="performance", busy_elsewhere=0.01, stolen=0.0, states=())
    assert machine.warnings(calm) == ()
    throttled = MachineState("after", gpu_throttling=("power cap",))
    disturbed = replace(calm, governor="powersave", busy_elsewhere=0.5, stolen=0.1, states=(throttled,))
    told = " ".join(machine.warnings(disturbed))
    for word in ("50%", "10%", "powersave", "nothing was changed", "power cap"):
        assert word in told


def test_throttle_bits_become_words() -> None:
    assert throttling([0x1, 0x2]) == ()
    assert throttling([0x4, 0x40 | 0x1]) == ("power cap", "thermal slowdown (hardware)")


def test_the_peak_counts_two_operations_a_multiply_accumulate() -> None:
    calls: list[int] = []
    rate = best_rate(lambda: calls.append(1), 100, seconds=0.01)
    assert len(calls) > 2
    assert rate > 0


def test_a_share_needs_a_peak_of_the_same_precision_threads_and_device() -> None:
    peaks = (Peak(200.0, "fp32", 1024, None, "numpy"), Peak(9000.0, "fp32", 4096, None, "torch cuda"))
    assert share(50.0, peaks, "fp32", None, "cpu") == 0.25
    assert share(900.0, peaks, "fp32", None, "cuda:0") == 0.1
    assert share(50.0, peaks, "bf16", None, "cpu") is None
    assert share(50.0, peaks, "fp32", 1, "cpu") is None


def test_the_peak_of_memory_is_known() -> None:
    found = peak_memory_mib()
    assert found is None or found > 10


def test_cores_keep_their_numbers_where_some_are_switched_off() -> None:
    assert core_numbers("0-3") == [0, 1, 2, 3]
    assert core_numbers("0,2-3,11") == [0, 2, 3, 11]
    assert core_numbers("") == []


def test_processors_of_one_name_are_told_apart() -> None:
    x86 = (
        "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n"
        "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
    )
    arm = "Features\t: fp asimd i8mm\nCPU implementer\t: 0x41\nCPU variant\t: 0x1\nCPU part\t: 0xd40\n"
    assert cpu_model(x86) == "AuthenticAMD 25 17"
    assert instruction_sets(x86) == ("avx2", "avx512f", "avx512_bf16")
    assert (cpu_model(arm), instruction_sets(arm)) == ("0x41 0x1 0xd40", ("asimd", "i8mm"))
    assert (cpu_model(""), instruction_sets("")) == (None, None)


def test_a_row_on_a_gpu_that_nothing_describes_is_warned_of() -> None:
    calm = replace(machine.describe(), governor=None, busy_elsewhere=0.0, stolen=0.0, states=(), gpus=())
    assert machine.warnings(calm) == ()
    assert "install nvidia-ml-py" in machine.warnings(calm, on_gpu=True)[0]
    described = replace(calm, gpus=(Gpu(0, "V100", "535", 16384.0),))
    assert machine.warnings(described, on_gpu=True) == ()
