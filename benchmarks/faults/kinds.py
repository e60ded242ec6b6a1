"""The kinds of cases of a campaign, by name, in the order in which they are run."""

from __future__ import annotations

from yolox_deploy.benchmarks.faults.outcomes import Run

KINDS: dict[str, Run] = {}
