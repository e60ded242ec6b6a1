"""Hostile folders of data sets, through `train --check-only`, `eval` and the library."""

from __future__ import annotations

import importlib
import os
import random
import runpy
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from yolox_deploy.benchmarks.faults.children import Asked, run_all
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

HERE = "yolox_deploy.benchmarks.faults.data_sets"
SECONDS = 30.0
LAYOUTS = ("coco", "yolo", "voc")
WAYS = ("train", "eval", "open")
MANY = 10_000
ACTS_A_CASE = 2


def run(seed: int, count: int, folder: Path, until: float, first: int = 0) -> Iterator[Outcome]:
    """Read so many hostile data sets; see `outcomes.Run`. `right` is any end of the command without an error."""
    whole, cases = folder / "whole", folder / "cases"
    made = next(iter(run_all((), [(None, Asked(f"{HERE}:prepare", {"folder": str(whole)}, 300, 8192))], 1)))[
        1
    ]
    if made.result is not None:
        yield Outcome("data_sets", "whole", Result.raw, f"they cannot be made: {made.detail}")
        return

    modules = (HERE, "cv2", "yaml", "yolox_deploy.cli.program", "faster_coco_eval", "onnxruntime")
    model = str(whole / "nano.onnx")
    undamaged = [
        (
            f"{way} {layout}",
            Asked(f"{HERE}:read", {"place": str(whole), "layout": layout, "way": way, "model": model}),
        )
        for layout in LAYOUTS
        for way in WAYS
    ]
    for name, ended in run_all(modules, undamaged, 1):
        if ended.answer != 0:
            yield Outcome("data_sets", name, Result.raw, f"undamaged: {ended.answer} {ended.detail}")

    def asked() -> Iterator[tuple[tuple[int, str], Asked]]:
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            chance = random.Random(f"{seed}/data_sets/{number}")
            place = cases / str(number)
            layout = LAYOUTS[number % len(LAYOUTS)]
            shutil.copytree(whole / layout, place / layout)
            done = [
                chance.choice(ACTS)(chance, place / layout) for _ in range(chance.randint(1, ACTS_A_CASE))
            ]
            way = chance.choice(WAYS)
            arguments = {"place": str(place), "layout": layout, "way": way, "model": model}
            yield (number, f"{way} {layout}: {'; '.join(done)}"), Asked(f"{HERE}:read", arguments, SECONDS)

    for (number, done), ended in run_all(modules, asked()):
        result = ended.result or (Result.right if ended.answer == 0 else Result.refused)
        detail = f"{done}: {ended.detail}" if ended.detail else done
        outcome = Outcome("data_sets", str(number), result, detail, peak=ended.peak)
        _make_readable(cases / str(number))
        yield keep(outcome, cases / str(number), folder, seed)


def _make_readable(place: Path) -> None:
    for path in place.glob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def read(place: str, layout: str, way: str, model: str) -> int:
    """In a child: the exit code of a command of ours on the data set."""
    data = Path(place) / layout
    if way == "open":
        importlib.import_module("yolox_deploy.benchmarks.faults.descriptions").read_data(data)
        return 0
    words = {
        "train": ["train", "--data", str(data), "--check-only"],
        "eval": ["eval", model, "--data", str(data)],
    }[way]
    return command(words, Path(place))


def command(words: list[str], place: Path) -> int:
    """Run our command line in this process, in `place`; its exit code, where it ended with words of ours.

    Raises:
        ValueError: it ended otherwise: with a traceback, or without a word.
    """
    os.chdir(place)
    log = place / "log.txt"
    with log.open("w") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.argv = ["yolox-deploy", *words]
    code = 0
    try:
        runpy.run_module("yolox_deploy", run_name="__main__")
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    said = log.read_text(errors="replace")
    if "internal error" in said or (code and not said.strip()):
        raise ValueError(f"exit code {code}: {said.strip()[-200:] or 'nothing was said'}")
    return code


def prepare(folder: str) -> None:
    """In a child: write the undamaged data sets and a model to evaluate."""
    from yolox_deploy.data import convert
    from yolox_deploy.exporter import export
    from yolox_deploy.files import embedded_checkpoint
    from yolox_deploy.synthetic import write_scenes

    whole = Path(folder)
    write_scenes(whole / "coco", train=3, val=2, size=(96, 128))
    for form in ("yolo", "voc"):
        convert(whole / "coco", form, whole / form)
    export("yolox_nano", weights=embedded_checkpoint(), imgsz=64, out=whole / "nano.onnx", verify=False)


def _folders(data: Path) -> list[Path]:
    return sorted(path for path in data.rglob("*") if path.is_dir() and not path.is_symlink())


def _files(data: Path, *suffixes: str) -> list[Path]:
    found = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if not suffixes or path.suffix in suffixes)


def _one(chance: random.Random, data: Path, *suffixes: str) -> Path:
    """A file, or where none of these is left a new name."""
    return chance.choice(_files(data, *suffixes) or [data / "nothing"])


def _loop(chance: random.Random, data: Path) -> str:
    (chance.choice(_folders(data)) / "loop").symlink_to(data, target_is_directory=True)
    return "a link to the whole in itself"


def _link_to_itself(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)
    return f"{path.name} links to itself"


def _dangling(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    path.symlink_to("/nowhere/at/all")
    return f"{path.name} links to nothing"


def _device(chance: random.Random, data: Path) -> str:
    path, target = (
        _one(chance, data),
        chance.choice(("/dev/zero", "/dev/full", "/dev/null", "/proc/self/mem")),
    )
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return f"{path.name} links to {target}"


def _fifo(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return f"{path.name} is a pipe"


def _folder(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    path.mkdir()
    return f"{path.name} is a folder"


def _unreadable(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.touch()
    path.chmod(0)
    return f"{path.name} without rights"


def _long_name(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".jpg", ".txt", ".xml")
    path.touch()
    name = "n" * (255 - len(path.suffix)) + path.suffix
    path.rename(path.with_name(name))
    return f"{path.name} under a name of 255 bytes"


def _bytes_name(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".jpg", ".txt", ".xml")
    path.touch()
    os.rename(os.fsencode(path), os.fsencode(path.parent) + b"/\xff\xfe" + os.fsencode(path.suffix))
    return f"{path.name} under a name that is no UTF-8"


def _odd_name(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".jpg", ".txt", ".xml")
    path.touch()
    stems = ("-rf", "a\nb", "$(id)", "<b>", "%s%n", " ", "\u202e", "a\tb", "*", "[x]", "C:x")
    name = chance.choice(stems) + path.suffix
    path.rename(path.with_name(name))
    return f"{path.name} renamed to {name!r}"


def _many(chance: random.Random, data: Path) -> str:
    folder = chance.choice([path.parent for path in _files(data)] or [data])
    suffix = chance.choice((".jpg", ".txt", ".xml", ".json"))
    for number in range(MANY):
        (folder / f"x{number:06}{suffix}").touch()
    return f"{MANY} empty files {suffix} in {folder.name}"


def _gone(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    return f"{path.name} gone"


def _all_gone(chance: random.Random, data: Path) -> str:
    suffix = chance.choice((".jpg", ".txt", ".xml", ".json", ".yaml"))
    for path in _files(data, suffix):
        path.unlink()
    return f"every {suffix} gone"


def _emptied(chance: random.Random, data: Path) -> str:
    suffix = chance.choice((".jpg", ".txt", ".xml", ".json", ".yaml"))
    for path in _files(data, suffix):
        path.write_bytes(b"")
    return f"every {suffix} empty"


def _exchanged(chance: random.Random, data: Path) -> str:
    one, two = _one(chance, data), _one(chance, data)
    content = two.read_bytes() if two.exists() else b""
    one.write_bytes(content)
    return f"{one.name} holds what {two.name} does"


def _lying_size(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".json", ".xml", ".yaml")
    text = path.read_text() if path.exists() else ""
    size = chance.choice(("1", "0", "-5", "1000000000", "1e308"))
    path.write_text(text.replace("128", size))
    return f"{path.name} says {size} for 128"


def _folder_file(chance: random.Random, data: Path) -> str:
    folder = chance.choice(_folders(data) or [data / "nothing"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file")
    return f"{folder.name} is a file"


def _sparse(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    with path.open("ab") as file:
        file.truncate(8 * 2**30)
    return f"{path.name} of 8 GiB"


ACTS: tuple[Callable[[random.Random, Path], str], ...] = (
    *(
        _loop,
        _link_to_itself,
        _dangling,
        _device,
        _fifo,
        _folder,
        _unreadable,
        _long_name,
        _bytes_name,
        _odd_name,
    ),
    *(_gone, _all_gone, _emptied, _exchanged, _lying_size, _folder_file, _sparse, _many),
)
