"""A small protocol, hand-made reports, and a toy detector to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yolox_deploy.benchmarks import BenchReport, Protocol
from yolox_deploy.benchmarks.machine.facts import Environment
from yolox_deploy.benchmarks.protocol import PHASES
from yolox_deploy.benchmarks.report.results import MeasuredModel, Row, Samples

if TYPE_CHECKING:
    from tests.conftest import ToyModel

ROUNDS, BLOCK = 24, 5
MakeRow = Callable[..., Row]
MakeReport = Callable[..., BenchReport]


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    """A fraction of a second for each model."""
    return Protocol(
        name="quick",
        seconds=0.05,
        iterations=40,
        rounds=8,
        openings=2,
        warm_up_ms=1,
        warm_up_windows=1,
        settle_ms=1,
        images=4,
    )


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, toy_model: ToyModel) -> Path:
    """A detector of 64x96 that finds one object in each picture."""
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx", [(3, (0.5, 0.5, 1, 1, 0.9, 0.9))])


@pytest.fixture
def make_row() -> MakeRow:
    """A row whose host samples lie around `ms`; further arguments are fields of `MeasuredModel` or `Row`."""
    return _row


@pytest.fixture
def make_report() -> MakeReport:
    """A report of the given rows on a machine with two cores."""

    def make(*rows: Row, **fields: Any) -> BenchReport:
        environment = Environment(
            system="Linux",
            python="3.11",
            cpu="A CPU",
            cores=2,
            logical_cores=2,
            usable_cores=2,
            memory_mib=1024.0,
            governor=None,
            versions={"numpy": "2.0"},
        )
        made = BenchReport("2026-01-01T00:00:00+00:00", "bench", Protocol.quick(), environment, rows)
        return replace(made, **fields)

    return make


def samples(ms: float, seed: int = 0) -> Samples:
    """Two percent of noise around `ms`, in rounds."""
    rng = np.random.default_rng(seed)
    times = ms * np.exp(rng.normal(0, 0.02, ROUNDS * BLOCK))
    return Samples(tuple(round(float(time), 6) for time in times), BLOCK)


def _row(ms: float = 10.0, seed: int = 0, fields: Mapping[str, Any] | None = None, **subject: Any) -> Row:
    made = MeasuredModel(
        label="toy onnxruntime fp32",
        model="yolox_nano",
        path="toy.onnx",
        format="onnx",
        bytes=1000,
        backend="onnxruntime",
        device="cpu",
        precision="fp32",
        threads=None,
        input_size=(64, 96),
        batch=1,
        weights="random",
        images="4 generated pictures (seed 1)",
    )
    return Row(
        replace(made, **subject),
        scopes={"host": samples(ms, seed), "e2e": samples(ms * 1.1, seed + 1)},
        phases={phase: samples(ms / 3, seed + 2) for phase in PHASES},
        **(fields or {}),
    )
