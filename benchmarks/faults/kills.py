"""Commands that are ended at any moment, by kill -9, SIGTERM and Ctrl-C in turn, and then run again.

Right away every file under a final name has to open. After the next whole run there have to be the files of an
undisturbed run, the hidden ones too, and no more; and of commands that are the same each time, the same bytes. Half of
the moments are spread over the time of an undisturbed run; the other half are within milliseconds after a change among
the names, which is where files are written.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from yolox_deploy.benchmarks.faults.commands import (
    LINE_FILES,
    WORKS,
    Place,
    Ran,
    changed_in,
    differences,
    finish,
    look,
    names_of,
    prepared,
    wrong_in,
)
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

KILLED = ("export onnx", "export openvino", "export ncnn", "train", "predict", "download")
ENDINGS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
POLL_SECONDS = 0.002
ENDS_SECONDS = 30.0
SLOW_SECONDS = 0.03
BLOCK = 1 << 16


class Whole(NamedTuple):
    """An undisturbed run: its files and how each is, seconds, and how often the names changed."""

    names: set[str]
    files: dict[str, str]
    seconds: float
    changes: int


def run(
    seed: int,
    count: int,
    folder: Path,
    until: float,
    first: int = 0,
    works: tuple[str, ...] = KILLED,
) -> Iterator[Outcome]:
    """End so many commands, each of `works` in turn; see `outcomes.Run`."""
    made = prepared(folder / "whole" / "place")
    if made.result is not None:
        yield Outcome("kills", "whole", Result.raw, f"what is read cannot be made: {made.detail}")
        return
    with serving(folder / "whole" / "place" / "served") as address:
        place = Place(folder / "whole" / "place", address)
        wholes: dict[str, Whole] = {}
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            name = works[number % len(works)]
            if name not in wholes:
                try:
                    wholes[name] = undisturbed(place, name, folder / "whole" / name.replace(" ", "_"))
                except ValueError as error:
                    yield Outcome("kills", str(number), Result.raw, f"{name}, undisturbed: {error}")
                    continue
            chance = random.Random(f"{seed}/kills/{number}")
            ending = ENDINGS[number // len(works) % len(ENDINGS)]
            out = folder / "cases" / str(number) / "out"
            result, detail = end_one(place, name, out, wholes[name], chance, ending)
            yield keep(Outcome("kills", str(number), result, detail), out.parent, folder, seed)


def undisturbed(place: Place, name: str, out: Path) -> Whole:
    """Run a command to its end and remember what it wrote.

    Raises:
        ValueError: it failed, or wrote what cannot be opened.
    """
    begun = time.monotonic()
    process = place.start(WORKS[name], out)
    changes = _wait(process, out, None, begun + 240)
    ran = finish(process, begun)
    if ran.code != 0:
        raise ValueError(f"exit code {ran.code}: {ran.said[-500:]}")
    names = names_of(out)
    looked = look(out, names)
    wrong = wrong_in(looked.answer or {})
    if looked.result is not None or wrong:
        raise ValueError(f"{looked.detail}{wrong}")
    return Whole(names, looked.answer, ran.seconds, changes)


def end_one(
    place: Place, name: str, out: Path, whole: Whole, chance: random.Random, ending: signal.Signals
) -> tuple[Result, str]:
    """Start, end, look, run again, look."""
    work = WORKS[name]
    begun = time.monotonic()
    process = place.start(work, out)
    if chance.random() < 0.5 and whole.changes:
        change = chance.randint(1, whole.changes)
        _wait(process, out, change, begun + 4 * whole.seconds + 5)
        time.sleep(chance.uniform(0, 0.01))
        moment = f"at change {change} of {whole.changes}"
    else:
        wait = chance.uniform(0, whole.seconds)
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        moment = f"after {wait:.2f} of {whole.seconds:.2f} s"
    over = process.poll() is not None
    process.send_signal(ending)
    ran = finish(process, begun, ENDS_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    done = f"{name}: {ending.name} {moment}{' (over)' if over else ''}, {ran.code}"
    told = _how_ended(ran, ending)
    if told is None:
        told = _half(out, whole)
    if told is None:
        told = _run_again(place, name, out, whole)
    return (Result.right, done) if told is None else (told[0], f"{done}: {told[1]}")


def _how_ended(ran: Ran, ending: signal.Signals) -> tuple[Result, str] | None:
    if ran.code is None:
        return Result.hang, f"it runs {ENDS_SECONDS:.0f} s after the signal"
    if ran.code < 0 and -ran.code != ending:
        return Result.signal, signal.Signals(-ran.code).name
    if ran.raw:
        return Result.raw, ran.said[-300:]
    return None


def _half(out: Path, whole: Whole) -> tuple[Result, str] | None:
    """A file under a final name that does not open; those that grow by lines may end anywhere."""
    final = {name for name in names_of(out) & whole.names if not name.endswith(LINE_FILES)}
    looked = look(out, final)
    if looked.result is not None:
        return looked.result, f"looking at what is left: {looked.detail}"
    wrong = wrong_in(looked.answer)
    return (Result.partial, f"half under a final name: {wrong}") if wrong else None


def _run_again(place: Place, name: str, out: Path, whole: Whole) -> tuple[Result, str] | None:
    work = WORKS[name]
    again = place.run(work, out, again=bool(work.again))
    if again.code is None:
        return Result.hang, "the next run"
    if again.code:
        return Result.partial, f"the next run ends with {again.code}: {again.said[-300:]}"
    names = names_of(out)
    if told := differences(whole.names, names):
        return Result.partial, f"after the next run: {told}"
    looked = look(out, names)
    if looked.result is not None:
        return looked.result, f"looking at the next run's files: {looked.detail}"
    if wrong := wrong_in(looked.answer):
        return Result.partial, f"after the next run: {wrong}"
    if changed := changed_in(work, looked.answer, whole.files):
        return Result.silent, f"after the next run: {changed}"
    left = [path for path in names_of(out.parent / f"{out.name}-tmp") if "yolox" in path]
    return (Result.partial, f"left in the system's temporary folder: {left[:4]}") if left else None


def _wait(process: subprocess.Popen[str], out: Path, changes: int | None, until: float) -> int:
    """Wait for so many changes among the names below `out`, or for the end; returns how many there were."""
    before, seen = names_of(out), 0
    while process.poll() is None and time.monotonic() < until and (changes is None or seen < changes):
        time.sleep(POLL_SECONDS)
        now = names_of(out)
        seen += now != before
        before = now
    return seen


class _Slow(SimpleHTTPRequestHandler):
    """Files in blocks with pauses, as from far away, from where it is asked for on."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        start = int(asked)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            for begin in range(start, len(content), BLOCK):
                self.wfile.write(content[begin : begin + BLOCK])
                time.sleep(SLOW_SECONDS)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files of a folder at an address of this machine, slowly."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Slow, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
