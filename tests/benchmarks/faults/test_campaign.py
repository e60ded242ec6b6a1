"""A small part of the campaign: each damaged file ends in the right boxes or in an error of ours."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from yolox_deploy.benchmarks.faults.__main__ import app
from yolox_deploy.benchmarks.faults.bombs import BOMBS
from yolox_deploy.benchmarks.faults.children import Ended
from yolox_deploy.benchmarks.faults.kinds import KINDS
from yolox_deploy.benchmarks.faults.model_files import judge, keep
from yolox_deploy.benchmarks.faults.mutations import WAYS, change_number, change_value, mutate_bytes
from yolox_deploy.benchmarks.faults.outcomes import FAULTS, Outcome, Report, Result
from yolox_deploy.benchmarks.faults.pictures import claim_size

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cases are watched by /proc")

SECONDS = 120


@pytest.mark.parametrize(
    ("kind", "count"),
    [("onnx", 12), ("ncnn_bare", 16), ("pth", 8), ("pictures", 150), ("videos", 40), ("descriptions", 16)],
)
def test_no_case_of_a_kind_is_a_fault(kind: str, count: int, tmp_path: Path) -> None:
    found = list(KINDS[kind](16, count, tmp_path, time.monotonic() + SECONDS))
    assert [f"{outcome.case}: {outcome.detail}" for outcome in found if outcome.is_fault] == []
    assert len(found) == count
    results = {outcome.result for outcome in found}
    assert Result.refused in results
    assert results & {Result.right, Result.changed}
    assert max(outcome.peak for outcome in found) > 10


def test_the_command_runs_one_case_again_and_writes_a_report(tmp_path: Path) -> None:
    first = list(KINDS["pictures"](5, 9, tmp_path / "first", time.monotonic() + SECONDS))[8]
    arguments = ["--only", "pictures", "--seed", "5", "--case", "8", "--out", str(tmp_path / "again")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert f"{first.result.value}: pictures 8: {first.detail.split('/')[0]}" in done.output
    report = json.loads((tmp_path / "again" / "report.json").read_text())
    assert report["kinds"]["pictures"]["run"] == report["kinds"]["pictures"][first.result.value] == 1
    assert not list((tmp_path / "again").rglob("damaged*"))


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    done = CliRunner().invoke(app, ["--only", "picture"])
    assert done.exit_code == 2
    assert "did you mean" in done.output


@pytest.mark.parametrize(
    ("ended", "ours", "result"),
    [
        (Ended(None, {"boxes": "a", "checked": "sha256"}), True, Result.right),
        (Ended(None, {"boxes": "b", "checked": "sha256"}), True, Result.silent),
        (Ended(None, {"boxes": "b", "checked": "unchecked"}), True, Result.changed),
        (Ended(None, {"boxes": "b", "checked": "sha256"}), False, Result.changed),
        (Ended(Result.signal, detail="SIGSEGV"), True, Result.signal),
    ],
)
def test_other_boxes_of_a_file_with_a_checksum_are_a_fault(ended: Ended, ours: bool, result: Result) -> None:
    outcome = judge("onnx", 3, "flip_bit", ended, {"boxes": "a", "checked": "sha256"}, ours)
    assert outcome.result is result
    assert outcome.is_fault == (result in FAULTS)


def test_the_input_of_a_fault_is_kept_with_the_line_that_runs_it_again(tmp_path: Path) -> None:
    for result in (Result.silent, Result.refused):
        case = tmp_path / "cases" / result.value
        case.mkdir(parents=True)
        (case / "nano.onnx").write_bytes(b"damaged")
        outcome = keep(Outcome("onnx", result.value, result), case, tmp_path, 4)
        assert not case.exists()
        assert (outcome.kept is not None) == outcome.is_fault
    kept = tmp_path / "kept" / "silent"
    assert (kept / "nano.onnx").read_bytes() == b"damaged"
    assert "--only onnx --seed 4 --case silent" in (kept / "again.txt").read_text()


def test_a_report_with_a_fault_ends_with_1() -> None:
    report = Report(0, "a machine")
    report.begin("onnx", 2)
    report.add(Outcome("onnx", "0", Result.refused, peak=50.4))
    assert report.exit_code == 0
    report.add(Outcome("onnx", "1", Result.hang, "not done"))
    assert report.exit_code == 1
    told = json.loads(report.to_json())
    assert told["kinds"]["onnx"]["peak_mib"] == 50
    assert told["faults"][0]["result"] == "hang"


@pytest.mark.parametrize("way", sorted(set(WAYS), key=lambda way: way.__name__), ids=lambda way: way.__name__)
def test_a_way_to_damage_takes_any_bytes_and_follows_the_seed(way: object) -> None:
    assert callable(way)
    for content in (b"\0", b"ab", bytes(range(256)) * 40):
        damaged = [way(random.Random(seed), content, b"other bytes") for seed in (1, 1, 2, 3, 4)]
        assert damaged[0] == damaged[1]
    assert any(new != content for new in damaged)


def test_mutations_follow_the_seed() -> None:
    document = {"a": [1, {"b": "c"}], "d": 2.5}
    for seed in range(200):
        changed = [change_value(random.Random(seed), document) for _ in range(2)]
        assert repr(changed[0]) == repr(changed[1])
        assert change_number(random.Random(seed), "a 1\nb 2.5") == change_number(
            random.Random(seed), "a 1\nb 2.5"
        )
        assert mutate_bytes(random.Random(seed), b"abc") == mutate_bytes(random.Random(seed), b"abc")
    assert document == {"a": [1, {"b": "c"}], "d": 2.5}


def test_bombs_are_small() -> None:
    assert all(len(make()) <= 2_000_001 for bombs in BOMBS.values() for make in bombs.values())


def test_a_header_claims_more_than_there_is() -> None:
    content = b"P6\n128 96\n255\n" + b"\0" * 100
    claimed = {claim_size(random.Random(seed), content)[0] for seed in range(20)}
    assert any(b"100000" in new[:24] for new in claimed)
    assert claim_size(random.Random(0), b"II*\0 a TIFF") == (b"II*\0 a TIFF", "")
