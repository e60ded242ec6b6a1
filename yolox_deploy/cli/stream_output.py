"""What `yolox-deploy stream` shows: a line while it runs, a table or JSON at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from yolox_deploy.cli.common import console, print_json, print_table

if TYPE_CHECKING:
    from yolox_deploy.streaming.summary import LiveFigures

REFRESH_SECONDS = 0.25


class ProgressLine:
    """One line on standard error that is written over; nothing where that is no terminal. A context manager."""

    def __init__(self) -> None:
        from rich.live import Live

        out = console()
        self._live = Live(console=out, auto_refresh=False, transient=True)
        self._visible, self._drawn = out.is_terminal, 0.0

    def update(self, line: str) -> None:
        """Show `line`, at most a few times a second."""
        from rich.text import Text

        if self._visible and time.monotonic() - self._drawn > REFRESH_SECONDS:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
            self._drawn = time.monotonic()

    def __enter__(self) -> ProgressLine:
        if self._visible:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._live.stop()


def show_figures(
    figures: LiveFigures, run: Mapping[str, Any], accuracy: Mapping[str, float] | None, *, as_json: bool
) -> None:
    """Print how a stream went.

    Args:
        figures: of the stream.
        run: what was run on what, and the files that were written.
        accuracy: of `streaming_ap`, where the frames are annotated.
        as_json: one JSON document in place of tables.
    """
    if as_json:
        scored = {} if accuracy is None else {"streaming_ap": dict(accuracy)}
        print_json({**run, **figures.to_dict(), **scored})
        return
    latency, age = figures.latency, figures.age
    rows: list[tuple[object, ...]] = [
        ("frames appeared", figures.appeared),
        ("frames answered", figures.answered),
        ("frames dropped", figures.dropped),
        ("answers a second", f"{figures.fps:.2f}"),
        ("latency p50 / p90 / p95 / p99, ms", _joined(latency.values())),
        ("age of the answer p50 / p95, ms", _joined(age.values())),
        ("reconnects", figures.reconnects),
    ]
    if accuracy is not None:
        rows.append(("streaming AP / AP50", f"{accuracy['AP']:.4f} / {accuracy['AP50']:.4f}"))
    print_table((run["source"], f"{figures.seconds:.1f} s, {run['policy']}"), rows)
    for name in ("out", "events"):
        if run.get(name) is not None:
            console().print(f"{name}: {run[name]}", markup=False, soft_wrap=True)


def _joined(values: Any) -> str:
    return " / ".join("–" if value is None else f"{value:.1f}" for value in values)
