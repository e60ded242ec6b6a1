"""Measuring real files in turn: counts, scopes, rounds, openings; the loop's own cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from yolox_deploy import Detector
from yolox_deploy.benchmarks import Protocol
from yolox_deploy.benchmarks.pictures import generated
from yolox_deploy.benchmarks.session import ModelUnderTest, Session, run_session
from yolox_deploy.benchmarks.timing import overhead_us, time_e2e, time_host, warm_up
from yolox_deploy.errors import UsageError

if TYPE_CHECKING:
    from tests.conftest import ToyModel


class Timed(Detector):
    """A backend that times itself."""

    def last_device_ms(self) -> float:
        return 0.125


class TimedCandidate(ModelUnderTest):
    """Opens a `Timed`."""

    def open(self, protocol: Protocol) -> Detector:
        return Timed(self.path, conf=protocol.conf, iou=protocol.iou)


@pytest.fixture(scope="module")
def halfway() -> list[str]:
    """Filled in the middle of `session`."""
    return []


@pytest.fixture(scope="module")
def session(toy: Path, protocol: Protocol, halfway: list[str]) -> Session:
    """The same file three times: as it is, with one thread, and on a backend that times itself."""
    candidates = [ModelUnderTest(toy), ModelUnderTest(toy, threads=1), TimedCandidate(toy)]
    return run_session(candidates, protocol, generated(4, 1), midway=lambda: halfway.append("now"))


def test_every_file_has_the_same_rounds_of_every_scope(
    session: Session, protocol: Protocol, halfway: list[str]
) -> None:
    rounds = len(session.reference_loop.milliseconds) / session.reference_loop.block
    assert rounds >= protocol.rounds
    assert halfway == ["now"]
    for measured in session.measured:
        for samples in (*measured.scopes.values(), *measured.phases.values()):
            assert len(samples.milliseconds) == rounds * samples.block
            assert min(samples.milliseconds) > 0


def test_the_phases_add_up_to_e2e(session: Session) -> None:
    for measured in session.measured:
        assert set(measured.phases) == {"pre", "infer", "post"}
        parts = np.sum([samples.milliseconds for samples in measured.phases.values()], axis=0)
        assert parts == pytest.approx(measured.scopes["e2e"].milliseconds, abs=1e-5)


def test_device_time_stands_only_where_the_backend_tells_it(session: Session) -> None:
    plain, _, timed = session.measured
    assert set(plain.scopes) == {"host", "e2e"}
    assert set(timed.scopes["device"].milliseconds) == {0.125}


@pytest.mark.parametrize(("share", "openings"), [(0.0, 4), (1e9, 1)])
def test_files_are_opened_anew_during_the_rounds_where_that_is_cheap(
    toy: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch, share: float, openings: int
) -> None:
    monkeypatch.setattr("yolox_deploy.benchmarks.session.OPENING_SHARE", share)
    short = replace(protocol, openings=4, seconds=1e-3)
    (measured,) = run_session([ModelUnderTest(toy)], short, generated(4, 1)).measured
    assert measured.openings == openings


def test_the_goal_is_time_or_count_and_both_for_mlperf() -> None:
    default, mlperf = Protocol(), Protocol.mlperf()
    assert default.is_reached(1000, 10.0)
    assert default.is_reached(3, 60_000.0)
    assert not default.is_reached(999, 59_999.0)
    assert not mlperf.is_reached(1024, 59_999.0)
    assert mlperf.is_reached(1024, 60_000.0)


@pytest.mark.parametrize(
    ("protocol", "latency", "block", "settle"),
    [
        (Protocol(), 8.0, 17, 3),
        (Protocol(), 100.0, 10, 1),
        (Protocol(), 1000.0, 1, 1),
        (Protocol.quick(), 8.0, 16, 3),
        (Protocol.mlperf(), 8.0, 125, 3),
        (Protocol.mlperf(), 1000.0, 18, 1),
    ],
)
def test_blocks_divide_the_goal_into_rounds(
    protocol: Protocol, latency: float, block: int, settle: int
) -> None:
    assert (protocol.block(latency), protocol.settle(latency)) == (block, settle)


@pytest.mark.parametrize("fields", [{"seconds": 0}, {"rounds": 0}, {"images": 0}, {"name": "slow"}])
def test_impossible_protocols_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Protocol(**fields)  # type: ignore[arg-type]


def test_nothing_to_measure_is_an_error(protocol: Protocol) -> None:
    with pytest.raises(UsageError, match="nothing to measure"):
        run_session([], protocol, generated(1, 1))


def test_loops_run_each_input_once(toy: Path) -> None:
    with Detector(toy) as detector:
        pictures = generated(3, 1).images
        tensors = [detector.prepare(picture).tensor.copy() for picture in pictures]
        assert [len(times) for times in time_host(detector, tensors)] == [3, 0]
        assert len(time_e2e(detector, pictures)) == 3


def test_a_warm_up_that_never_settles_ends_and_says_so(toy: Path) -> None:
    impatient = Protocol(warm_up_agreement=-1.0)
    with Detector(toy) as detector:
        found = warm_up(detector, iter(generated(1, 1).images * 100_000), impatient, limit_ms=300)
    assert not found.steady
    assert found.iterations > 1


def test_the_harness_tells_what_it_costs() -> None:
    assert 0 < overhead_us(1000) < 1000


def test_a_file_of_a_fixed_batch_is_refused(toy_model: ToyModel, tmp_path: Path, protocol: Protocol) -> None:
    """One picture in a batch of four costs four: neither FPS nor GFLOP/s would be true."""
    four = toy_model(tmp_path / "four.onnx", batch=4)
    with pytest.raises(UsageError, match=r"four.onnx takes 4 pictures at a time.*--batch 1.*--throughput"):
        run_session([ModelUnderTest(four)], protocol, generated(4, 1))


def test_the_pictures_that_a_row_saw_are_counted(toy: Path, protocol: Protocol) -> None:
    slow = replace(protocol, iterations=8, seconds=60.0)  # one iteration a round, as of a slow file
    (measured,) = run_session([ModelUnderTest(toy)], slow, generated(20, 1)).measured
    assert measured.pictures == measured.scopes["host"].summary.count == 8
    (measured,) = run_session([ModelUnderTest(toy)], protocol, generated(4, 1)).measured
    assert measured.pictures == 4
