"""The machine: described, watched, never changed."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from yolox_deploy.benchmarks import environment as machine
from yolox_deploy.benchmarks.environment import CpuClock
from yolox_deploy.benchmarks.machine import MachineState
from yolox_deploy.benchmarks.nvidia import throttling
from yolox_deploy.benchmarks.peak import Peak, best_rate, share
from yolox_deploy.benchmarks.startup import peak_memory_mib


def test_the_machine_is_described() -> None:
    found = machine.describe()
    assert found.cpu
    assert 1 <= found.usable_cores <= (os.cpu_count() or 1)
    assert found.versions["numpy"] == np.__version__


def test_a_state_names_its_moment() -> None:
    assert machine.state("during").moment == "during"


def test_what_others_used_is_told_apart_from_our_own() -> None:
    before, after = CpuClock(0, 100, 5, 10), CpuClock(10, 115, 6, 20)
    assert machine.use_by_others(before, after, 2) == (0.25, 0.05)
    assert machine.use_by_others(None, after, 2) is None
    assert machine.use_by_others(after, after, 2) is None


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
