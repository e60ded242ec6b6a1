"""Hostile folders of data sets, through `train --check-only`, `eval` and the library."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from yolox_deploy.benchmarks.faults import readers, undamaged
from yolox_deploy.benchmarks.faults.children import Asked, run_all
from yolox_deploy.benchmarks.faults.folder_acts import ACTS
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

HERE = "yolox_deploy.benchmarks.faults.data_sets"
SECONDS = 30.0
LAYOUTS = ("coco", "yolo", "voc")
WAYS = ("train", "eval", "open")
ACTS_A_CASE = 2


def run(seed: int, count: int, folder: Path, until: float, first: int = 0) -> Iterator[Outcome]:
    """Read so many hostile data sets; see `outcomes.Run`. `right` is any end of the command without an error."""
    whole, cases = folder / "whole", folder / "cases"
    made = next(
        iter(
            run_all(
                (), [(None, Asked(f"{undamaged.HERE}:write_data_sets", {"folder": str(whole)}, 300, 8192))], 1
            )
        )
    )[1]
    if made.result is not None:
        yield Outcome("data_sets", "whole", Result.raw, f"they cannot be made: {made.detail}")
        return

    modules = (HERE, "cv2", "yaml", "yolox_deploy.cli.program", "faster_coco_eval", "onnxruntime")
    model = str(whole / "nano.onnx")
    whole_cases = [
        (
            f"{way} {layout}",
            Asked(f"{HERE}:read", {"place": str(whole), "layout": layout, "way": way, "model": model}),
        )
        for layout in LAYOUTS
        for way in WAYS
    ]
    for name, ended in run_all(modules, whole_cases, 1):
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
        readers.read_data(data)
        return 0
    words = {
        "train": ["train", "--data", str(data), "--check-only"],
        "eval": ["eval", model, "--data", str(data)],
    }[way]
    return readers.command(words, Path(place))
