"""The machine: described, watched, never changed."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from yolox_deploy.benchmarks.machine import environment as machine
from yolox_deploy.benchmarks.machine.facts import Gpu, MachineState
from yolox_deploy.benchmarks.machine.nvidia import throttling
from yolox_deploy.benchmarks.machine.peak import Peak, best_rate, share
from yolox_deploy.benchmarks.machine.processor import (
    CpuClock,
    busy_and_stolen,
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


def test_a_state_names_its_moment() -> None:
    assert machine.state("during").moment == "during"


def test_what_others_used_is_told_apart_from_our_own() -> None:
    before = CpuClock(0, 10, {0: (60, 3), 1: (40, 2), 2: (0, 0)})
    after = CpuClock(10, 20, {0: (67, 4), 1: (48, 2), 2: (10, 10)})
    assert use_by_others(before, after, {0, 1}) == (0.25, 0.05)
    assert use_by_others(before, after, {0, 1, 2}) == (0.5, 11 / 30)
    assert use_by_others(None, after, {0, 1}) is None
    assert use_by_others(after, after, {0, 1}) is None
    assert use_by_others(before, after, {7}) is None
    assert use_by_others(before, replace(after, wall=0.01), {0}) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_threads_placed_outside_of_the_process_are_seen() -> None:
    cores = os.sched_getaffinity(0)
    assert own_cores() >= cores
    clock = CpuClock.now()
    assert clock is not None
    assert cores <= set(clock.cores)


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


STAT = """cpu  100 0 50 999 9 1 1 7 0 0
cpu0 60 0 30 500 4 1 0 5 0 0
cpu1 30 0 10 300 4 0 1 2 0 0
cpu11 10 0 10 199 1 0 0 0 0 0
intr 1 2 3"""


def test_each_core_has_a_clock_of_its_own() -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    found = busy_and_stolen(STAT)
    assert found[0] == pytest.approx((91 * tick, 5 * tick))
    assert found[1] == pytest.approx((41 * tick, 2 * tick))
    assert found[11] == pytest.approx((20 * tick, 0))
    assert len(found) == 3
    assert busy_and_stolen("") == {}


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
