"""Streams whose sources break off, hang, send garbage or change their size, and Ctrl-C in the midst of it.

The command has to end in time with 0 or an error of ours, every line of its events has to be whole, and its memory
stays bounded. The cameras are servers on the loopback address and named pipes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolox_deploy.benchmarks.faults.commands import Place, Ran, Work, finish, prepared
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result
from yolox_deploy.synthetic.drawing import draw_scene

STREAM = "--model {place}/nano.onnx --reconnect 1 --json --save-events {out}/events.jsonl"
SECONDS, CTRL_C_SECONDS = 60.0, 5.0
MEMORY_MIB, GROWN_MIB = 1500.0, 80.0
FRAMES = 3000
RATE = 25.0
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"

Send = Callable[[socket.socket, random.Random], None]


@dataclass(frozen=True)
class Source:
    """A source and how its stream may end.

    Args:
        send: what a server sends to a client; None for a source that is a file or a number.
        words: of the command; `{source}` is the address or path.
        codes: allowed exit codes.
        make: writes a file in the folder of the case and returns the source.
        ctrl_c: seconds after which Ctrl-C comes; None for none.
    """

    send: Send | None = None
    words: str = "stream {source} --frames 60 " + STREAM
    codes: Sequence[int] = (0, 2)
    make: Callable[[Path, Path, random.Random], str] | None = None
    ctrl_c: float | None = None
    seconds: float = SECONDS


def _picture(chance: random.Random, side: int = 96) -> bytes:
    image = draw_scene(np.random.default_rng(chance.getrandbits(32)), (side, side)).image
    return bytes(cv2.imencode(".jpg", image)[1].tobytes())


def _part(picture: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (
        len(picture),
        picture,
    )


def _steady(client: socket.socket, chance: random.Random) -> None:
    pictures = [_part(_picture(chance)) for _ in range(4)]
    client.sendall(HEAD)
    for number in range(100_000):
        client.sendall(pictures[number % len(pictures)])
        time.sleep(1 / RATE)


def _breaks_off(client: socket.socket, chance: random.Random) -> None:
    client.sendall(HEAD)
    whole = b"".join(_part(_picture(chance)) for _ in range(10))
    client.sendall(whole[: chance.randrange(len(whole))])


def _hangs(client: socket.socket, chance: random.Random) -> None:
    _breaks_off(client, chance)
    time.sleep(2 * SECONDS)


def _says_nothing(client: socket.socket, chance: random.Random) -> None:
    time.sleep(2 * SECONDS)


def _garbage(client: socket.socket, chance: random.Random) -> None:
    client.sendall(HEAD if chance.random() < 0.7 else b"")
    for _ in range(200):
        client.sendall(_part(chance.randbytes(2000)) if chance.random() < 0.5 else chance.randbytes(2000))


def _damaged(client: socket.socket, chance: random.Random) -> None:
    client.sendall(HEAD)
    for _ in range(60):
        picture = bytearray(_picture(chance))
        for _ in range(chance.randrange(20)):
            picture[chance.randrange(len(picture))] = chance.randrange(256)
        client.sendall(_part(bytes(picture)))
        time.sleep(1 / RATE)


def _changes_size(client: socket.socket, chance: random.Random) -> None:
    client.sendall(HEAD)
    for number in range(60):
        client.sendall(_part(_picture(chance, 96 if number % 20 < 10 else chance.choice((64, 128, 333)))))
        time.sleep(1 / RATE)


def _refuses(client: socket.socket, chance: random.Random) -> None:
    client.sendall(b"HTTP/1.0 %d No\r\n\r\n" % chance.choice((302, 401, 404, 500, 503)))


def _cut_video(place: Path, case: Path, chance: random.Random) -> str:
    content = (place / "video.avi").read_bytes()
    path = case / "cut.avi"
    path.write_bytes(content[: chance.randrange(len(content))])
    return str(path)


def _pipe(place: Path, case: Path, chance: random.Random) -> str:
    path = case / "pipe.avi"
    os.mkfifo(path)
    return str(path)


def _long_video(place: Path, case: Path, chance: random.Random) -> str:
    path = case / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (128, 96))
    images = [draw_scene(np.random.default_rng(number), (96, 128)).image for number in range(8)]
    for number in range(FRAMES):
        writer.write(images[number % len(images)])
    writer.release()
    return str(path)


def _no_camera(place: Path, case: Path, chance: random.Random) -> str:
    return str(chance.choice((7, 99, 10**6, 2**31, 10**20)))


def _nobody(place: Path, case: Path, chance: random.Random) -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/stream"


def _good(place: Path, case: Path, chance: random.Random) -> str:
    return str(place / "video.avi")


SOURCES: dict[str, Source] = {
    "breaks off": Source(_breaks_off),
    "hangs": Source(_hangs, "stream {source} --seconds 12 " + STREAM),
    "says nothing": Source(_says_nothing),
    "garbage": Source(_garbage),
    "damaged pictures": Source(_damaged),
    "changes size": Source(_changes_size, "stream {source} --frames 60 --out {out}/drawn.avi " + STREAM),
    "refuses": Source(_refuses, codes=(2,)),
    "nobody there": Source(words="stream {source} " + STREAM, codes=(2,), make=_nobody),
    "no such camera": Source(words="stream {source} " + STREAM, codes=(2,), make=_no_camera),
    "cut video": Source(words="stream {source} --rate 0 " + STREAM, make=_cut_video),
    "one of two is lost": Source(_breaks_off, "stream {source} {place}/video.avi --frames 60 " + STREAM),
    "thousands of frames": Source(
        words="stream {source} --rate 0 --track --policy queue:8 " + STREAM, codes=(0,), make=_long_video
    ),
    "many sources": Source(
        words="stream" + " {source}" * 50 + " --frames 8 " + STREAM, codes=(0,), make=_good
    ),
    "Ctrl-C while it runs": Source(
        _steady, "stream {source} --out {out}/drawn.avi " + STREAM, (0, 130), ctrl_c=5
    ),
    "Ctrl-C while it hangs": Source(_hangs, codes=(0, 2, 130), ctrl_c=5),
    "Ctrl-C before a frame": Source(_says_nothing, codes=(0, 2, 130), ctrl_c=4),
    "Ctrl-C at a named pipe": Source(codes=(0, 2, 130), make=_pipe, ctrl_c=4),
    "named pipe": Source(make=_pipe),
}


def run(
    seed: int,
    count: int,
    folder: Path,
    until: float,
    first: int = 0,
    names: Sequence[str] = tuple(SOURCES),
) -> Iterator[Outcome]:
    """So many streams, of each source in turn; see `outcomes.Run`."""
    made = prepared(folder / "whole" / "place")
    if made.result is not None:
        yield Outcome("streams", "whole", Result.raw, f"what is read cannot be made: {made.detail}")
        return
    place = Place(folder / "whole" / "place")
    for number in range(first, first + count):
        if time.monotonic() > until:
            return
        name = names[number % len(names)]
        case = folder / "cases" / str(number)
        case.mkdir(parents=True)
        result, told, peak = _try(place, SOURCES[name], case, f"{seed}/streams/{number}")
        outcome = Outcome("streams", str(number), result, f"{name}{told}", peak=peak)
        yield keep(outcome, case, folder, seed)


def _try(place: Place, source: Source, case: Path, seed: str) -> tuple[Result, str, float]:
    with ExitStack() as stack:
        if source.make:
            given = source.make(place.folder, case, random.Random(seed))
        else:
            assert source.send is not None
            given = stack.enter_context(Server(source.send, seed)).address
        words = source.words.replace("{source}", given)
        begun = time.monotonic()
        process = place.start(Work(words), case / "out")
        peaks: list[float] = []
        watching = threading.Thread(target=_watch, args=(process, peaks))
        watching.start()
        if source.ctrl_c is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(source.ctrl_c)
            process.send_signal(signal.SIGINT)
            ran = finish(process, begun, CTRL_C_SECONDS)
        else:
            ran = finish(process, begun, source.seconds)
        watching.join()
    early, peak = max(peaks[: len(peaks) // 3], default=0.0), max(peaks, default=0.0)
    return (*_judge(ran, source, case / "out" / "events.jsonl", early, peak), peak)


def _judge(ran: Ran, source: Source, events: Path, early: float, peak: float) -> tuple[Result, str]:
    last = f": {ran.said[-300:].strip()}"
    if ran.code is None:
        return Result.hang, f": not over after {ran.seconds:.0f} s{last}"
    if ran.code < 0:
        return Result.signal, f": {signal.Signals(-ran.code).name}{last}"
    if ran.raw or ran.code not in source.codes:
        return Result.raw, f": exit code {ran.code}{last}"
    if peak > MEMORY_MIB or (source.make is _long_video and peak > early + GROWN_MIB):
        return Result.memory, f": {early:.0f}, later {peak:.0f} MiB"
    if events.exists():
        try:
            for line in events.read_bytes().splitlines():
                json.loads(line)
        except ValueError as error:
            return Result.partial, f": {events.name}: {error}"
    return (
        Result.right if ran.code in (0, 130) else Result.refused
    ), f": {ran.code} after {ran.seconds:.1f} s"


def _watch(process: subprocess.Popen[str], peaks: list[float]) -> None:
    """Note the resident memory until the process ends."""
    while process.poll() is None:
        with suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            peaks.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        time.sleep(0.05)


class Server:
    """Gives `send` each client that comes, until it is left."""

    def __init__(self, send: Send, seed: str) -> None:
        self._send, self._seed = send, seed
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/stream.mjpg"
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.recv(4096)
            self._send(client, random.Random(f"{self._seed}/{len(self._clients)}"))

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._socket, *self._clients):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
