"""Whether a stream can run for days: resident memory over an hour of simulated and minutes of real streaming.

    python -m yolox_deploy.benchmarks.studies.stream_soak simulated [--hours 1]
    python -m yolox_deploy.benchmarks.studies.stream_soak real --model F [--minutes 10] [--cameras 3] [--video .avi]

The simulated hour takes seconds: its policy decides over every frame, and each answer goes through the summary, the
record and the line of figures as in a live stream. The real one is `run_live` on cameras of this machine's loopback
address, of which the first is unplugged now and then, with the record written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from yolox_deploy.benchmarks.studies.loopback import LoopbackCamera
from yolox_deploy.detections import Detections
from yolox_deploy.errors import UsageError
from yolox_deploy.streaming.clocks import SimulatedClock, simulate
from yolox_deploy.streaming.event_writer import EventWriter
from yolox_deploy.streaming.events import StreamEvent, StreamHeader
from yolox_deploy.streaming.feed import LiveFeed
from yolox_deploy.streaming.feed_sources import open_feed_sources
from yolox_deploy.streaming.live import run_live
from yolox_deploy.streaming.policies import Newest
from yolox_deploy.streaming.sinks import LiveOutputs
from yolox_deploy.streaming.summary import FeedSummary, LiveFigures, LiveSummary
from yolox_deploy.synthetic.drawing import draw_scene
from yolox_deploy.types import Report

if TYPE_CHECKING:
    from yolox_deploy.detector import Detector

MIB = 2**20
SCENES = 40
SETTLING_SECONDS = 60.0
"""Until then a process is still growing into its work."""
OUTAGE_SECONDS = 2.0


@dataclass(frozen=True)
class Sample:
    """Resident memory at some second of a stream."""

    seconds: float
    mib: float


@dataclass(frozen=True)
class Soak:
    """What a soak found.

    Attributes:
        figures: of the stream.
        samples: of resident memory, over the stream's own time.
    """

    figures: LiveFigures
    samples: tuple[Sample, ...]

    @property
    def settled(self) -> tuple[Sample, ...]:
        """The samples after the first minute."""
        return tuple(item for item in self.samples if item.seconds >= SETTLING_SECONDS)

    @property
    def growth(self) -> float:
        """MiB between the first and the last settled sample."""
        return self.settled[-1].mib - self.settled[0].mib if self.settled else 0.0

    @property
    def slope(self) -> float:
        """MiB an hour over the second half, by least squares: allocators come to rest during the first."""
        later = [item for item in self.samples if item.seconds >= self.samples[-1].seconds / 2]
        if len(later) < 2:
            return 0.0
        seconds, mib = zip(*((item.seconds, item.mib) for item in later), strict=True)
        return float(np.polyfit(seconds, mib, 1)[0] * 3600)

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values, ready for JSON."""
        samples = [asdict(item) for item in self.samples]
        return {
            **self.figures.to_dict(),
            "growth_mib": self.growth,
            "slope_mib_per_hour": self.slope,
            "samples": samples,
        }


def resident_mib() -> float:
    """Resident memory of this process in MiB.

    Raises:
        UsageError: not on Linux.
    """
    try:
        fields = Path("/proc/self/status").read_text(encoding="utf-8").split("VmRSS:")[1].split()
    except OSError as error:
        raise UsageError("resident memory is read from /proc; run the soak on Linux") from error
    return int(fields[0]) * 1024 / MIB


def simulated_soak(hours: float = 1.0, *, rate: float = 30.0, seed: int = 0, samples: int = 60) -> Soak:
    """Stream for `hours` without waiting: `rate` frames a second, answers that take 15 to 60 ms.

    The times of all answers are simulated before the first sample of memory, which so holds them.
    """
    frames = round(hours * 3600 * rate)
    rng = np.random.default_rng(seed)
    clock = SimulatedClock(tuple(rng.uniform(0.015, 0.06, 1000)), seed)
    slots = simulate(frames, rate, clock.draws(), Newest(), clock.expected)
    found = _detections(rng)
    summary, taken, every = LiveSummary(), list[Sample](), max(1, len(slots) // samples)
    with (
        tempfile.TemporaryDirectory() as folder,
        EventWriter(Path(folder) / "events.jsonl", StreamHeader("simulated", rate, "newest")) as events,
    ):
        for number, slot in enumerate(slots):
            event = StreamEvent(slot.frame, slot.frame / rate, slot.start, slot.end, found)
            summary.add(event)
            summary.line(seconds=slot.end, appeared=slot.frame + 1)
            events.add(event)
            if number % every == 0:
                taken.append(Sample(slot.end, resident_mib()))
        events.finish(frames, frames - len(slots))
    return Soak(summary.figures(seconds=slots[-1].end, appeared=frames), tuple(taken))


def real_soak(
    detector: Detector,
    seconds: float,
    *,
    rate: float = 10.0,
    cameras: int = 1,
    outage_every: float = 30.0,
    sample_every: float = 10.0,
    video: str | None = None,
    log: Callable[[str], None] = print,
) -> Soak:
    """Stream from loopback cameras for `seconds`; the first has an outage of two seconds every `outage_every`.

    Args:
        detector: what runs.
        rate: frames a second of a camera.
        cameras: how many.
        sample_every: seconds from one sample of memory to the next.
        video: suffix of a video to write as well; an MP4's index is kept in memory, some 70 bytes a frame.
        log: told each sample.
    """
    pictures = encoded_scenes()
    taken = list[Sample]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened = [
            stack.enter_context(LoopbackCamera(lambda i: pictures[i % len(pictures)], rate=rate))
            for _ in range(cameras)
        ]
        feed = LiveFeed(open_feed_sources([camera.address for camera in opened], rate=rate, reconnect=30.0))
        summary = FeedSummary(feed)

        class Samples(Report):
            def step(self, text: str) -> None:
                if feed.elapsed >= len(taken) * sample_every:
                    taken.append(Sample(feed.elapsed, resident_mib()))
                    log(f"{feed.elapsed:6.0f} s  {taken[-1].mib:.1f} MiB  {text}")

        written = None if video is None else folder / f"stream{video}"
        outputs = LiveOutputs(folder / "events.jsonl", written, report=Samples())
        headers = [channel.header({}, detector.class_names) for channel in feed.channels]
        with _Outages(opened[0], outage_every):
            run_live(feed, detector.predict, headers, summary, outputs, seconds=seconds)
    return Soak(summary.figures(), tuple(taken))


class _Outages(threading.Thread):
    """Unplugs a camera now and then. A context manager."""

    def __init__(self, camera: LoopbackCamera, every: float) -> None:
        super().__init__(name="outages", daemon=True)
        self._camera, self._every, self._ended = camera, every, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._every):
            self._camera.unplug()
            self._ended.wait(OUTAGE_SECONDS)
            self._camera.plug()

    def __enter__(self) -> _Outages:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def encoded_scenes() -> list[bytes]:
    """Generated scenes of 480x640 as JPEG."""
    found = []
    for index in range(SCENES):
        success, data = cv2.imencode(".jpg", draw_scene(np.random.default_rng([7, index])).image)
        assert success
        found.append(data.tobytes())
    return found


def _detections(rng: np.random.Generator, count: int = 8) -> Detections:
    corners = rng.uniform(0, 400, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 50], axis=1)
    scores = np.sort(rng.uniform(0.3, 1, count).astype(np.float32))[::-1].copy()
    return Detections(boxes, scores, rng.integers(0, 6, count), tuple("abcdef"))


def report(soak: Soak) -> str:
    """A few lines of plain text."""
    figures, settled = soak.figures, soak.settled or soak.samples
    return "\n".join(
        (
            f"{figures.seconds:.0f} s of streaming: {figures.appeared} frames, {figures.answered} answered, "
            f"{figures.dropped} dropped, {figures.reconnects} reconnects, {figures.fps:.2f} FPS",
            f"latency ms {dict(figures.latency)}, age ms {dict(figures.age)}",
            f"resident memory: {settled[0].mib:.1f} MiB at {settled[0].seconds:.0f} s, {settled[-1].mib:.1f} MiB at "
            f"{settled[-1].seconds:.0f} s; {soak.growth:+.2f} MiB, slope of the second half {soak.slope:+.2f} MiB/h",
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the soaks and print what it found."""
    from yolox_deploy.detector import Detector

    parser = argparse.ArgumentParser(description="Memory of a stream over time.")
    parser.add_argument("kind", choices=("simulated", "real"))
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--video", help="also write a video of this suffix, such as .avi")
    parser.add_argument("--out", type=Path, help="JSON with every sample")
    asked = parser.parse_args(arguments)
    start = time.monotonic()
    if asked.kind == "simulated":
        soak = simulated_soak(asked.hours)
    else:
        if asked.model is None:
            parser.error("real needs --model")
        cv2.setNumThreads(1)
        with Detector(asked.model, threads=1) as detector:
            detector.warmup()
            soak = real_soak(
                detector,
                60 * asked.minutes,
                cameras=asked.cameras,
                video=asked.video,
                log=lambda line: print(line, flush=True),
            )
    print(report(soak))
    print(f"took {time.monotonic() - start:.0f} s")
    if asked.out is not None:
        asked.out.write_text(json.dumps(soak.to_dict(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
