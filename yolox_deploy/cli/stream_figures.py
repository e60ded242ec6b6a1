"""How a stream went, as `yolox-deploy stream` prints it: a table or JSON, of one source or of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.cli.common import console, echo, print_json, print_table

if TYPE_CHECKING:
    from yolox_deploy.streaming.events import StreamHeader
    from yolox_deploy.streaming.summary import LiveFigures


@dataclass(frozen=True)
class SourceRun:
    """How one source went: what the record says of it, its figures, its video, and why it was lost."""

    header: StreamHeader
    figures: LiveFigures
    out: Path | None
    failure: Exception | None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        return {
            **_pace(self.header),
            "out": _told(self.out),
            "error": _told(self.failure),
            **self.figures.to_dict(),
        }


def show_figures(
    runs: list[SourceRun],
    total: LiveFigures,
    events: Path | None,
    accuracy: Mapping[str, float] | None,
    *,
    as_json: bool,
) -> None:
    """Print how a stream went.

    Args:
        runs: of each source.
        total: of all of them.
        events: the record that was written.
        accuracy: of `streaming_ap`, where the frames are annotated.
        as_json: one JSON document in place of tables.
    """
    first, several = runs[0], len(runs) > 1
    if as_json:
        scored = {} if accuracy is None else {"streaming_ap": dict(accuracy)}
        beside = {"model": dict(first.header.model), **({} if several else {"out": _told(first.out)})}
        of_each: dict[str, Any] = (
            {"sources": [run.to_dict() for run in runs]} if several else _pace(first.header)
        )
        print_json({**of_each, **beside, "events": _told(events), **total.to_dict(), **scored})
        return
    if several:
        _print_several(runs, total)
    else:
        _print_one(first, accuracy)
    written = [("out", run.out) for run in runs] + [("events", events)]
    for name, path in written:
        if path is not None:
            console().print(f"{name}: {path}", markup=False, soft_wrap=True)


def _print_one(run: SourceRun, accuracy: Mapping[str, float] | None) -> None:
    figures = run.figures
    rows: list[tuple[object, ...]] = [
        ("frames appeared", figures.appeared),
        ("frames answered", figures.answered),
        ("frames dropped", figures.dropped),
        ("answers a second", f"{figures.fps:.2f}"),
        ("latency p50 / p90 / p95 / p99, ms", _joined(figures.latency.values())),
        ("age of the answer p50 / p95, ms", _joined(figures.age.values())),
        ("reconnects", figures.reconnects),
    ]
    if accuracy is not None:
        rows.append(("streaming AP / AP50", f"{accuracy['AP']:.4f} / {accuracy['AP50']:.4f}"))
    print_table((run.header.source, f"{figures.seconds:.1f} s, {run.header.policy}"), rows)


def _print_several(runs: list[SourceRun], total: LiveFigures) -> None:
    """The names by number, for they may be long, and a row for each number."""
    for number, run in enumerate(runs, start=1):
        echo(f"{number}: {run.header.source}, {run.figures.seconds:.1f} s, {run.header.policy}")
    columns = (
        "",
        "frames",
        "answered",
        "dropped",
        "FPS",
        "latency p50, ms",
        "age p50 / p95, ms",
        "reconnects",
    )
    named = [(str(number), run.figures) for number, run in enumerate(runs, start=1)]
    rows = [
        (
            *(name, figures.appeared, figures.answered, figures.dropped, f"{figures.fps:.2f}"),
            *(_joined([figures.latency["p50"]]), _joined(figures.age.values()), figures.reconnects),
        )
        for name, figures in (*named, ("all", total))
    ]
    print_table(columns, rows)


def _pace(header: StreamHeader) -> dict[str, Any]:
    return {"source": header.source, "frame_rate": header.frame_rate, "policy": header.policy}


def _told(value: object) -> str | None:
    return None if value is None else str(value)


def _joined(values: Iterable[float | None]) -> str:
    return " / ".join("–" if value is None else f"{value:.1f}" for value in values)
