"""Whether `predict` loses anything when it is ended, and whether its memory stays flat.

    python -m yolox_deploy.benchmarks.studies.interrupted moments [--pictures 500] [--moments 20] [--seed 15]
    python -m yolox_deploy.benchmarks.studies.interrupted memory [--small 1000] [--large 20000]

"moments": an undisturbed run over the pictures, which lie in two folders, one of them broken, writes lines, drawn
pictures, crops and labels. Then, for each moment, a run of its own is ended there, by kill -9 and Ctrl-C in turn, and
resumed; every file of it is compared with those of the undisturbed run, byte by byte. The first two moments are in the
second after the start; the others come when a random number of lines is written, and up to 20 ms later.

"memory": the largest resident memory of a process, as Linux counts it (`VmHWM`), for few and for many pictures.

The model is the embedded YOLOX-Nano as ONNX at 64x64, so that the bookkeeping is a large part of the work.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from yolox_deploy.drawing import write_picture
from yolox_deploy.exporter import export
from yolox_deploy.files import embedded_checkpoint
from yolox_deploy.synthetic.drawing import draw_scene

SIDE = 64
SCENES = 20
COMMAND = (sys.executable, "-c", "from yolox_deploy.cli import main; main()", "predict")
POLL_SECONDS = 0.02
ENDINGS = (signal.SIGKILL, signal.SIGINT)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Ended(NamedTuple):
    """A run that was ended: how, the lines that it had then, and whether the joined files are the same."""

    ending: str
    lines: int
    same: bool


class Place(NamedTuple):
    """What a study works on: a folder, the model file and the pictures in it."""

    folder: Path
    model: Path
    pictures: Path

    def command(self, name: str, *more: str) -> list[str]:
        """A run over all pictures that writes below `name`."""
        out = self.folder / name
        options = {
            "--model": self.model,
            "--conf": 0.05,
            "--out": out / "drawn",
            "--save-json": out / "x.jsonl",
            "--save-txt": out / "labels",
            "--save-crops": out / "crops",
        }
        words = [str(word) for pair in options.items() for word in pair]
        return [*COMMAND, str(self.pictures), *words, *more]


def prepare(folder: Path, count: int) -> Place:
    """Write a model and so many pictures; of some scenes, that are linked under the other names."""
    artifact = export("yolox_nano", weights=embedded_checkpoint(), imgsz=SIDE, out=folder / "nano.onnx")
    pictures = folder / "pictures"
    for number in range(count):
        path = pictures / f"{number % 2}" / f"{number:06}.jpg"
        if number < SCENES:
            scene = draw_scene(np.random.default_rng(number), (2 * SIDE, 2 * SIDE))
            write_picture(path, scene.image)
        else:
            first = number % SCENES
            os.link(pictures / f"{first % 2}" / f"{first:06}.jpg", path)
    return Place(folder, artifact.path, pictures)


def content(folder: Path) -> dict[str, bytes]:
    """All files below but for hidden ones, which are left where a process was killed."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def end_at(
    place: Place, name: str, after: int, seconds: float, ending: signal.Signals, expected: dict[str, bytes]
) -> Ended:
    """Run, end it so many seconds after a number of lines is there, resume, and compare."""
    lines = place.folder / name / "x.jsonl"
    process = subprocess.Popen(
        place.command(name, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while count_of(lines) < after and process.poll() is None:
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(ending)
    process.wait()
    ended = count_of(lines)
    subprocess.run(place.command(name, "--resume"), capture_output=True, check=False)
    return Ended(ending.name, ended, content(place.folder / name) == expected)


def count_of(lines: Path) -> int:
    """How many whole lines a file has."""
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


@app.command()
def moments(
    pictures: Annotated[int, typer.Option(min=2)] = 500,
    moments: Annotated[int, typer.Option(min=1)] = 20,
    seed: int = 15,
) -> None:
    """End runs at random moments, resume them, and compare all files with an undisturbed run."""
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder), pictures - 1)
        (place.pictures / "1" / "broken.jpg").write_text("no picture")
        begun = time.monotonic()
        subprocess.run(place.command("whole"), capture_output=True, check=False)
        seconds = time.monotonic() - begun
        expected = content(place.folder / "whole")
        lines = expected["x.jsonl"].count(b"\n")
        typer.echo(f"undisturbed: {lines} lines, {len(expected)} files, {seconds:.1f} s")
        chance = random.Random(seed)
        found = []
        for number in range(moments):
            early = number < len(ENDINGS)
            after = 0 if early else chance.randrange(lines)
            wait = chance.uniform(0, 1 if early else 0.02)
            ending = ENDINGS[number % len(ENDINGS)]
            ended = end_at(place, f"run_{number}", after, wait, ending, expected)
            typer.echo(
                f"{ended.ending:8} with {ended.lines:4} lines: {'equal' if ended.same else 'DIFFERENT'}"
            )
            found.append(ended)
    equal = sum(ended.same for ended in found)
    typer.echo(f"{equal} of {len(found)} joined runs equal the undisturbed one")
    raise typer.Exit(0 if equal == len(found) else 1)


@app.command()
def memory(
    small: Annotated[int, typer.Option(min=1)] = 1000, large: Annotated[int, typer.Option(min=1)] = 20_000
) -> None:
    """Compare the largest resident memory of runs over few and over many pictures."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for count in (small, large):
            place = prepare(Path(folder) / f"{count}", count)
            lines, seconds = peak_of(place.command("lines", "--no-images"))
            resumed, _ = peak_of(place.command("lines", "--no-images", "--resume"))
            document = [str(place.folder / name) for name in ("x.json", "coco.json")]
            more = ["--no-images", "--save-json", document[0], "--save-coco", document[1]]
            whole, _ = peak_of(place.command("document", *more))
            typer.echo(
                f"{count} pictures, {seconds:.0f} s: lines, labels and crops {lines:.0f} MiB, resumed "
                f"{resumed:.0f} MiB, .json and COCO {whole:.0f} MiB"
            )
            peaks.append((lines, resumed, whole))
    ratios = [f"{many / few:.3f}" for few, many in zip(*peaks, strict=True)]
    typer.echo(f"ratios: {', '.join(ratios)}")


def peak_of(command: Sequence[str]) -> tuple[float, float]:
    """The largest resident memory of a process in MiB, and its seconds.

    Asked of Linux again and again: what it counts for a process that ended begins with the size of this one.
    """
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), peak)
        time.sleep(POLL_SECONDS)
    if process.returncode:
        raise typer.Exit(process.returncode)
    return peak / 1024, time.monotonic() - begun


if __name__ == "__main__":
    app()
