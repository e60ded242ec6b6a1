"""A latency histogram as SVG text for the HTML page."""

from __future__ import annotations

from html import escape

import numpy as np

from yolox_deploy.benchmarks.report.results import Samples

BINS = 40


def shown_percentiles(samples: Samples) -> str:
    """ "p50 12.30 ms, p99 14.10 ms", the latter only where the samples are enough for it."""
    told = samples.summary.supported()
    return ", ".join(f"{name} {told[name]:.2f} ms" for name in ("p50", "p99") if told[name] is not None)


def histogram(samples: Samples, title: str) -> str:
    """Counts of `samples` over latency; the slowest 1 % are one outlined bar at the right, none is left out."""
    times, found = np.asarray(samples.milliseconds), samples.summary
    low, high = float(times.min()), max(found.p99, float(times.min()) * 1.0001)
    counts, _ = np.histogram(times[times <= high], BINS, (low, high))
    beyond = int((times > high).sum())
    width, floor, tall = 320 / (BINS + 3), 104, max(int(counts.max()), beyond, 1)
    bars = "".join(
        f"M{index * width:.1f},{floor}v{-count / tall * 90:.1f}h{width - 0.6:.1f}V{floor}z"
        for index, count in enumerate(counts)
        if count
    )
    tail = f"M{(BINS + 1) * width:.1f},{floor}v{-beyond / tall * 90:.1f}h{2 * width:.1f}V{floor}z"
    middle = (found.p50 - low) / (high - low) * BINS * width
    label = f"{title}: {found.count} samples, {shown_percentiles(samples)}, slowest {times.max():.2f} ms"
    return (
        f'<svg class="histogram" viewBox="0 0 320 134" role="img" aria-label="{escape(label)}">'
        f'<path class="bars" d="{bars}"/><path class="tail" d="{tail}"/>'
        f'<path class="axis" d="M0,{floor}H320"/><path class="median" d="M{middle:.1f},6V{floor}"/>'
        f'<text x="0" y="116">{low:.4g}</text><text x="{BINS * width:.0f}" y="116" text-anchor="end">{high:.4g}</text>'
        f'<text x="320" y="116" text-anchor="end">+{beyond}</text>'
        f'<text x="160" y="130" text-anchor="middle">latency (ms); {tall} samples at the highest bar</text></svg>'
    )
