"""From what a session measured to the rows of the report."""

from __future__ import annotations

from collections.abc import Sequence

from yolox_deploy.benchmarks.machine.peak import share
from yolox_deploy.benchmarks.pictures import Pictures
from yolox_deploy.benchmarks.protocol import HEADLINE, Protocol
from yolox_deploy.benchmarks.report.results import Peak, Row, Startup, Subject
from yolox_deploy.benchmarks.session import Measured, Session
from yolox_deploy.benchmarks.stats import Comparison, paired_ratio, round_medians
from yolox_deploy.benchmarks.subject import RANDOM, describe_subject, unique_labels
from yolox_deploy.errors import GateError

UNSTEADY_RANGE = 0.20
"""Rounds whose medians spread further than this (relative to the lowest) are worth a warning."""


def build_rows(
    sessions: Sequence[Session],
    protocol: Protocol,
    pictures: Pictures,
    startups: Sequence[Startup],
    peaks: Sequence[Peak],
) -> list[Row]:
    """A row for each candidate, in order; ratios are to the first of its session.

    Args:
        startups: one a candidate, in the order of the sessions' candidates.
    """
    measured = [one for session in sessions for one in session.measured]
    subjects = iter(unique_labels([describe_subject(one, pictures.description) for one in measured]))
    begun = iter(startups)
    rows: list[Row] = []
    for session in sessions:
        first = session.measured[0]
        base: str | None = None
        for one in session.measured:
            subject = next(subjects)
            achieved = achieved_gflops(one, subject)
            rows.append(
                Row(
                    subject=subject,
                    scopes=one.scopes,
                    phases=one.phases,
                    ratios=_ratios(one, first, protocol.seed),
                    ratio_to=base,
                    yardstick=session.yardstick,
                    steady=one.steady,
                    openings=one.openings,
                    warnings=_warnings(one, subject, protocol),
                    startup=next(begun),
                    parity_passed=_proof(one),
                    achieved_gflops=achieved,
                    peak_share=share(achieved, peaks, subject.precision, subject.threads, subject.device),
                )
            )
            base = base or subject.label
    return rows


def achieved_gflops(one: Measured, subject: Subject) -> float | None:
    """GFLOP/s of the network: our own count over the mean host time; None for uncounted models."""
    if subject.gflops is None:
        return None
    return subject.gflops / one.scopes[HEADLINE].summary.mean * 1000


def check_accuracy(rows: Sequence[Row]) -> None:
    """The gate of a finished run.

    Raises:
        GateError: a row is struck out: its speed is of no use.
    """
    struck = [row.subject.label for row in rows if row.struck_out]
    if struck:
        raise GateError(f"struck out for its accuracy, so that its speed is of no use: {', '.join(struck)}")


def _proof(one: Measured) -> bool | None:
    """Whether the proof stored in the file was passed; None where it holds for another precision."""
    artifact = one.info.artifact
    if artifact.parity is None or artifact.precision != one.info.precision:
        return None
    passed: bool | None = artifact.parity.get("passed")
    return passed


def _ratios(one: Measured, first: Measured, seed: int) -> dict[str, Comparison]:
    """Over the first row, by scope; none for the first itself."""
    if one is first:
        return {}
    ratios = {}
    for scope in set(one.scopes) & set(first.scopes):
        own, base = (round_medians(m.scopes[scope].milliseconds, m.scopes[scope].block) for m in (one, first))
        compared = paired_ratio(own, base, seed=seed)
        if compared is not None:
            ratios[scope] = compared
    return ratios


def _warnings(one: Measured, subject: Subject, protocol: Protocol) -> tuple[str, ...]:
    """What a reader must know before using the row, as sentences."""
    found = []
    if not one.steady:
        found.append("did not become steady while it was warmed up")
    moved = one.scopes[HEADLINE].round_range
    if moved.high > moved.low * (1 + UNSTEADY_RANGE):
        found.append(f"rounds differ by more than {UNSTEADY_RANGE:.0%} (column rounds); trust the ratio more")
    if subject.weights == RANDOM:
        found.append("random weights: nothing is detected, so post-processing has little to do")
    if one.pictures < protocol.images:
        found.append(f"{one.pictures} distinct pictures; the protocol asks for {protocol.images}")
    count = one.scopes[HEADLINE].summary.count
    if count < protocol.rounds:
        found.append(
            f"{count} samples; the protocol plans {protocol.rounds} rounds of one at least: percentiles that so few "
            "cannot tell are left out"
        )
    return tuple(found)
