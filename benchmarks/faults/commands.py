"""Commands that write files, run as people run them, and what they leave, judged by an undisturbed run of each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from yolox_deploy.benchmarks.faults.children import Asked, Ended, run_all

HERE = "yolox_deploy.benchmarks.faults.commands"
PROGRAM = (sys.executable, "-m", "yolox_deploy")
SIDE = 64
SECONDS = 240.0
LINE_FILES = (".jsonl", ".csv", ".txt", ".log")
"""Suffixes of files that grow line by line, or that a run may cut between lines."""
MODELS = (".onnx", ".xml", ".param", ".pth")
VIDEOS = (".avi", ".mp4")
FRAMES = "=frames "
EQUAL = (*LINE_FILES[:1], ".jpg", ".png", ".txt", ".sha256", ".toml")
"""Suffixes of files that are the same bytes in every run."""
TRACEBACK = re.compile(r"Traceback \(most recent|internal error")


@dataclass(frozen=True)
class Work:
    """A command that writes below a folder of its own.

    Args:
        words: of the command line; `{place}` is the folder of what is read, `{out}` that of what is written.
        again: more words of a run that goes on where another was ended.
        afresh: whether the next run has to be given an empty folder, as the command takes no other.
        compared: whether its pictures and lines have to be those of the undisturbed run.
    """

    words: str
    again: str = ""
    afresh: bool = False
    compared: bool = True


WORKS: Mapping[str, Work] = {
    "export onnx": Work("export yolox_nano --weights scenes --imgsz 64 --out {out}/nano.onnx"),
    "export openvino": Work(
        "export yolox_nano --weights scenes --imgsz 64 --to openvino --out {out}/nano.xml"
    ),
    "export ncnn": Work("export yolox_nano --weights scenes --imgsz 64 --to ncnn --out {out}/nano.param"),
    "train": Work(
        "train --model yolox_nano --weights {place}/nano.pth --data {place}/data --epochs 2 --batch 4 --imgsz 64 "
        "--workers 0 --seed 1 --set eval_every=1 --out {out}/run",
        again="--resume auto",
        compared=False,
    ),
    "predict": Work(
        "predict {place}/pictures --model {place}/nano.onnx --conf 0.05 --save-json {out}/x.jsonl --out {out}/drawn "
        "--save-crops {out}/crops --save-txt {out}/labels",
        again="--resume",
    ),
    "download": Work(
        "predict {place}/data/val --model yolox_nano --no-images --save-json {out}/x.json", compared=False
    ),
    "track avi": Work(
        "track {place}/video.avi --model {place}/nano.onnx --out {out}/tracked.avi --save-json {out}/x.jsonl",
        compared=False,
    ),
    "track mp4": Work(
        "track {place}/video.avi --model {place}/nano.onnx --out {out}/tracked.mp4", compared=False
    ),
    "stream": Work(
        "stream {place}/video.avi --model {place}/nano.onnx --rate 0 --frames 20 --save-events {out}/events.jsonl "
        "--out {out}/drawn.avi",
        compared=False,
    ),
    "predict coco": Work(
        "predict {place}/data/val --model {place}/nano.onnx --conf 0.05 --save-json {out}/x.json "
        "--save-coco {out}/coco.json --no-images"
    ),
    "eval": Work("eval {place}/nano.onnx --data {place}/data --report {out}/report", compared=False),
    "convert": Work("convert {place}/data --to voc --out {out}/voc", afresh=True),
    "scenes": Work("scenes {out}/data --train 6 --val 2 --size 96x128", afresh=True),
    "migrate": Work("migrate {place}/exp.py --out {out}/exp.toml"),
    "bench": Work(
        "bench {place}/nano.onnx --quick --latency-only --threads 1 --out {out}/report.json --out {out}/report.html",
        compared=False,
    ),
    "inspect": Work(
        "inspect {place}/nano.onnx --images {place}/data/val --out {out}/inspection", compared=False
    ),
    "priors": Work("priors {place}/data --out {out}/priors.json", compared=False),
}


class Ran(NamedTuple):
    """How a command ended: its code (the signal's number, negative), standard error, and seconds; no code: it hung."""

    code: int | None
    said: str
    seconds: float

    @property
    def raw(self) -> bool:
        """Whether it told an exception that is not ours."""
        return TRACEBACK.search(self.said) is not None


class Place(NamedTuple):
    """What commands read."""

    folder: Path
    address: str = ""

    def start(
        self, work: Work, out: Path, *, again: bool = False, preexec: Any = None
    ) -> subprocess.Popen[str]:
        """Start a command that writes to `out` alone: results, cache and temporary files."""
        out.mkdir(parents=True, exist_ok=True)
        side = out.parent / f"{out.name}-tmp"
        side.mkdir(exist_ok=True)
        words = f"{work.words} {work.again if again else ''}".split()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "YOLOX_DEPLOY_CACHE": str(out / "cache"),
            "YOLOX_DEPLOY_WEIGHTS_URL": self.address,
            "TMPDIR": str(side),
            "PYTHONWARNINGS": "default",
        }
        return subprocess.Popen(
            [*PROGRAM, *(word.format(place=self.folder, out=out) for word in words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=side,
            env=environment,
            preexec_fn=preexec,
            start_new_session=True,
        )

    def run(self, work: Work, out: Path, *, again: bool = False, preexec: Any = None) -> Ran:
        """Run one to its end."""
        begun = time.monotonic()
        return finish(self.start(work, out, again=again, preexec=preexec), begun)


def finish(process: subprocess.Popen[str], begun: float, seconds: float = SECONDS) -> Ran:
    """Wait for a command, and kill it and what it started where it takes too long."""
    try:
        said = process.communicate(timeout=seconds)[1]
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, code = process.communicate()[1], None
    return Ran(code, said, time.monotonic() - begun)


def names_of(folder: Path) -> set[str]:
    """All below a folder, hidden or not, by its path there; what is listed while it changes may be left out."""
    names: set[str] = set()
    own = re.compile(r"(tfevents)\..*")  # TensorBoard's names have the time and the process in them
    for root, folders, files in os.walk(folder):
        places = (os.path.relpath(os.path.join(root, name), folder) for name in (*folders, *files))
        names.update(own.sub(r"\1", place) for place in places)
    return names


def differences(expected: set[str], found: set[str]) -> str:
    """What is missing and what is left over; "" where the names are the same."""
    missing, left = sorted(expected - found), sorted(found - expected)
    told = [f"missing {', '.join(missing[:4])}"] if missing else []
    return "; ".join(told + ([f"left {', '.join(left[:4])}"] if left else []))


def wrong_in(files: Mapping[str, str]) -> str:
    """Those files that did not open, and why; "" for none."""
    return "; ".join(f"{name}: {how}" for name, how in files.items() if how[:1] not in ("", "="))


def changed_in(work: Work, files: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """The first file that is not that of the undisturbed run; of a command that is never the same, by its frames."""
    for name, how in files.items():
        if how != expected.get(name) and (work.compared or how.startswith(FRAMES)):
            return f"{name} is not that of an undisturbed run ({how[:20]}, {expected.get(name, '')[:20]})"
    return ""


def look(folder: Path, names: set[str]) -> Ended:
    """Open each of the files in a child; the answer tells of each "", what is wrong, or "=" and a digest."""
    arguments = {"folder": str(folder), "names": sorted(names)}
    asked = Asked(f"{HERE}:read_all", arguments, 120, 4096)
    return next(iter(run_all((HERE, "cv2"), [(None, asked)], 1)))[1]


def read_all(folder: str, names: list[str]) -> dict[str, str]:
    """In a child: open each file by its suffix."""
    return {name: _read(Path(folder) / name) for name in names if (Path(folder) / name).is_file()}


def _read(path: Path) -> str:
    content = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            if path.suffix in VIDEOS:
                return f"{FRAMES}{_count(path)}"
            _open(path, content)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "=" + hashlib.sha256(content).hexdigest() if path.suffix in EQUAL else ""


def _open(path: Path, content: bytes) -> None:
    suffix = path.suffix.lower()
    if suffix in (".onnx", ".xml", ".param"):
        _detect(path)
    elif suffix == ".pth":
        from yolox_deploy.models import read_checkpoint

        read_checkpoint(path)
    elif suffix in (".jpg", ".png"):
        from yolox_deploy.images import load_image

        load_image(path)
    elif suffix == ".json":
        json.loads(content)
    elif not content and suffix in (".toml", ".html", ".sha256"):
        raise ValueError("empty")


def _count(path: Path) -> int:
    from yolox_deploy.sources import open_source

    return sum(1 for _ in open_source(path))


def _detect(path: Path) -> None:
    import numpy as np

    from yolox_deploy.detector import Detector

    if path.suffix == ".xml" and not path.with_suffix(".bin").exists():  # an annotation of VOC
        if b"<annotation>" in path.read_bytes():
            return
        raise ValueError("without its .bin")
    with Detector(path, threads=1) as detector:
        detector.predict(np.full((SIDE, SIDE, 3), 114, np.uint8))


def prepare(folder: str, pictures: int = 12) -> None:
    """In a child: write what the commands read."""
    import cv2
    import numpy as np

    from yolox_deploy.exporter import export
    from yolox_deploy.files import embedded_checkpoint
    from yolox_deploy.synthetic import write_scenes
    from yolox_deploy.synthetic.drawing import draw_scene

    place = Path(folder)
    place.mkdir(parents=True)
    write_scenes(place / "data", train=8, val=4, size=(96, 128))
    export("yolox_nano", weights="scenes", imgsz=SIDE, out=place / "nano.onnx", verify=False)
    shutil.copyfile(embedded_checkpoint(), place / "nano.pth")
    (place / "served").mkdir()
    shutil.copyfile(place / "nano.onnx", place / "served" / "yolox_nano.onnx")
    (place / "pictures").mkdir()
    writer = cv2.VideoWriter(
        str(place / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (2 * SIDE, 2 * SIDE)
    )
    for number in range(pictures):
        image = draw_scene(np.random.default_rng(number), (2 * SIDE, 2 * SIDE)).image
        cv2.imwrite(str(place / "pictures" / f"{number:03}.jpg"), image)
        writer.write(image)
    writer.release()
    (place / "exp.py").write_text(
        "from yolox.exp import Exp as MyExp\n\n\nclass Exp(MyExp):\n    def __init__(self):\n"
        "        super().__init__()\n        self.depth = 0.33\n        self.width = 0.25\n"
        "        self.num_classes = 3\n"
    )


def prepared(folder: Path) -> Ended:
    """`prepare` in a child, where the folder is not there yet."""
    if folder.exists():
        return Ended(None)
    asked = Asked(f"{HERE}:prepare", {"folder": str(folder)}, 300, 8192)
    return next(iter(run_all((), [(None, asked)], 1)))[1]
