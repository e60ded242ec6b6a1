"""Descriptions from strangers: annotations, settings, records and Exp files with anything at all in them."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import runpy
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.benchmarks.faults.children import Asked, run_all
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.mutations import (
    TEXTS,
    bomb,
    change_line,
    change_number,
    change_value,
    mutate_bytes,
    to_json,
)
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

HERE = "yolox_deploy.benchmarks.faults.descriptions"
SECONDS = 30.0
BOMB_SHARE = 0.08
SIDE = 64
EXP = """import os
from yolox.exp import Exp as MyExp


class Exp(MyExp):
    def __init__(self):
        super().__init__()
        self.depth = 0.33
        self.width = 0.25
        self.input_size = (416, 416)
        self.test_size = (416, 416)
        self.num_classes = 3
        self.max_epoch = 300 // 2
        self.basic_lr_per_img = 0.01 / 64.0
        self.exp_name = os.path.split(os.path.realpath(__file__))[1].split(".")[0]
        self.data_dir = "datasets/mine"
        self.train_ann = "train.json"
"""
SETTINGS = """model = "yolox_nano"
data = "datasets/mine"
epochs = 50
batch = 8
imgsz = [64, 96]
multiscale = [64, 128]
learning_rate = 0.001
optimizer = "sgd"
patience = 3
scale_rate = true

[augmentation]
mosaic = 0.5
mixup_scale = [0.5, 1.5]
max_objects = 50
"""


@dataclass(frozen=True)
class Document:
    """A description and how it is read.

    Args:
        place: what is copied for a case, below the folder of the undamaged files.
        file: what is damaged in it.
        kind: the language of the file, of `mutations.BOMBS`.
        read: a function of this module, that is given the place's path.
    """

    place: str
    file: str
    kind: str
    read: str


DOCUMENTS: Mapping[str, Document] = {
    "coco": Document("coco", "annotations/instances_train.json", "json", "read_data"),
    "data.yaml": Document("yolo", "data.yaml", "yaml", "read_data"),
    "labels": Document("yolo", "labels/train/*.txt", "text", "read_data"),
    "voc": Document("voc", "Annotations/*.xml", "xml", "read_data"),
    "extras": Document("yolo", "yolox_deploy_extras.json", "json", "read_data"),
    "image set": Document("voc", "ImageSets/Main/train.txt", "text", "read_data"),
    "sequences": Document("sequences", "annotations.json", "json", "read_sequences"),
    "settings": Document("texts", "settings.toml", "toml", "read_settings"),
    "exp": Document("texts", "exp.py", "text", "read_exp"),
    "names": Document("texts", "names.txt", "text", "read_names"),
    "priors": Document("texts", "priors.json", "json", "read_priors"),
    "stream": Document("texts", "stream.jsonl", "text", "read_stream"),
    "choice": Document("tuned", "cache/tuned/*.json", "json", "read_choice"),
    "run": Document("predicted", ".lines.jsonl.run.json", "json", "resume"),
    "lines": Document("predicted", "lines.jsonl", "text", "resume"),
}


def run(seed: int, count: int, folder: Path, until: float, first: int = 0) -> Iterator[Outcome]:
    """Damage so many descriptions, of all kinds in turn; see `outcomes.Run`."""
    whole, cases = folder / "whole", folder / "cases"
    made = next(iter(run_all((), [(None, Asked(f"{HERE}:prepare", {"folder": str(whole)}, 300, 8192))], 1)))[
        1
    ]
    if made.result is not None:
        yield Outcome("descriptions", "whole", Result.raw, f"they cannot be made: {made.detail}")
        return
    names = list(DOCUMENTS)
    modules = (HERE, "cv2", "yaml", "yolox_deploy.data", "yolox_deploy.detector", "onnxruntime")
    undamaged = []
    for name in names:
        shutil.copytree(whole / DOCUMENTS[name].place, cases / name)
        undamaged.append((name, _asked(DOCUMENTS[name], cases / name)))
    right = dict(run_all(modules, undamaged))
    for name, ended in right.items():
        shutil.rmtree(cases / name)
        if ended.result is not None:
            yield Outcome("descriptions", name, Result.raw, f"undamaged: {ended.detail}")

    def asked() -> Iterator[tuple[tuple[int, str, str], Asked]]:
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            name = names[number % len(names)]
            place = cases / str(number)
            shutil.copytree(whole / DOCUMENTS[name].place, place)
            done = _damage(random.Random(f"{seed}/descriptions/{number}"), DOCUMENTS[name], place)
            yield (number, name, done), _asked(DOCUMENTS[name], place)

    for (number, name, done), ended in run_all(modules, asked()):
        result = ended.result
        if result is None:
            result = Result.right if ended.answer == right[name].answer else Result.changed
        detail = f"{name}: {done}" + (f": {ended.detail}" if ended.detail else "")
        outcome = Outcome("descriptions", str(number), result, detail, peak=ended.peak)
        yield keep(outcome, cases / str(number), folder, seed)


def _asked(document: Document, place: Path) -> Asked:
    return Asked(f"{HERE}:answer", {"read": document.read, "place": str(place)}, SECONDS)


def _damage(chance: random.Random, document: Document, place: Path) -> str:
    """Damage the file of a document, by its structure or by its bytes."""
    file = chance.choice(sorted(place.glob(document.file)))
    content = file.read_bytes()
    way = chance.random()
    if way < BOMB_SHARE:
        damaged, done = bomb(chance, document.kind)
    elif way < 0.3:
        damaged, done = mutate_bytes(chance, content, content[::-1])
    else:
        text, done = _by_structure(chance, document.kind, content.decode())
        damaged = text.encode(errors="surrogatepass")
    file.write_bytes(damaged)
    return f"{file.name}: {done}"


def _by_structure(chance: random.Random, kind: str, text: str) -> tuple[str, str]:
    if kind == "json":
        changed, done = change_value(chance, json.loads(text))
        return to_json(changed), done
    if kind == "yaml":
        yaml = importlib.import_module("yaml")
        changed, done = change_value(chance, yaml.safe_load(text))
        return to_json(changed), done
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    if lines[at].startswith("{") and chance.random() < 0.7:  # a file of lines of JSON
        changed, done = change_value(chance, json.loads(lines[at]))
        lines[at] = json.dumps(changed)
        return "\n".join(lines), f"line {at}: {done}"
    way = chance.choice((change_number, change_number, change_line, _change_word))
    return way(chance, text)


def _change_word(chance: random.Random, text: str) -> tuple[str, str]:
    words = text.split(" ")
    at = chance.randrange(len(words))
    words[at] = chance.choice(TEXTS)
    return " ".join(words), f"word {at} -> {words[at][:20]!r}"


def answer(read: str, place: str) -> str:
    """In a child: a digest of what a function of this module reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = globals()[read](Path(place))
    said = repr(found).replace(place, "")
    return f"{said[:100]} {hashlib.sha256(said.encode(errors='surrogatepass')).hexdigest()}"


def read_data(place: Path) -> Any:
    """Open both splits and check them; boxes that are no numbers are a fault."""
    from yolox_deploy.data import check_splits, open_splits

    train, val = open_splits(place)
    reports = check_splits(train, val)
    kept = [[dataset.objects(index) for index in range(len(dataset))] for dataset in (train, val)]
    if not all(np.isfinite(objects.boxes).all() for part in kept for objects in part):
        raise ValueError("a box that was read is not finite")
    return kept, [(report.pictures, report.objects, len(report.problems)) for report in reports]


def read_sequences(place: Path) -> Any:
    """Annotated sequences."""
    from yolox_deploy.streaming import read_sequences

    read = read_sequences(place / "annotations.json")
    return len(read), read.frame_rate, read.class_names


def read_settings(place: Path) -> Any:
    """Settings of a training."""
    from yolox_deploy.training.recipes import load_toml, override, recipe

    return override(recipe("yolox_nano", data="mine"), load_toml(place / "settings.toml"))


def read_exp(place: Path) -> Any:
    """An Exp file, as settings."""
    from yolox_deploy.migrate.text import to_toml
    from yolox_deploy.migrate.translate import migrate

    return to_toml(migrate(place / "exp.py"))


def read_names(place: Path) -> Any:
    """Class names, as the command line reads them."""
    return importlib.import_module("yolox_deploy.cli.common").read_class_names(place / "names.txt")


def read_priors(place: Path) -> Any:
    """Priors of a data set."""
    from yolox_deploy.data.priors import load_priors

    return load_priors(place / "priors.json", (SIDE, SIDE)).tolist()


def read_stream(place: Path) -> Any:
    """The answers of a stream."""
    from yolox_deploy.streaming import read_records

    return [(record.frames, len(record.events)) for record in read_records(place / "stream.jsonl")]


def read_choice(place: Path) -> Any:
    """A Detector opened as `tune` chose."""
    from yolox_deploy.detector import Detector

    os.environ["YOLOX_DEPLOY_CACHE"] = str(place / "cache")
    with Detector(place / "nano.onnx", backend="auto") as detector:
        return detector.info.backend


def resume(place: Path) -> Any:
    """Go on with the lines of `predict`, by the command line."""
    log = place / "log.txt"
    with log.open("w") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    code = _command(place)
    said = log.read_text(errors="replace")
    if code == 0:
        return (place / "lines.jsonl").read_bytes()
    if not said.startswith("error: ") and "\nerror: " not in said:
        raise ValueError(f"exit code {code} without an error of ours: {said[-200:]}")
    return code


def _command(place: Path) -> int:
    os.chdir(place)
    words = [
        "predict",
        "pictures",
        "--model",
        "nano.onnx",
        "--save-json",
        "lines.jsonl",
        "--no-images",
        "--resume",
    ]
    sys.argv = ["yolox-deploy", *words]
    try:
        runpy.run_module("yolox_deploy", run_name="__main__")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def prepare(folder: str) -> None:
    """In a child: write the undamaged descriptions."""
    from yolox_deploy.data import convert
    from yolox_deploy.exporter import export
    from yolox_deploy.files import embedded_checkpoint
    from yolox_deploy.synthetic import write_scenes
    from yolox_deploy.tuned import TunedOpening, write_tuned

    whole = Path(folder)
    write_scenes(whole / "coco", train=3, val=2, size=(96, 128))
    for form in ("yolo", "voc"):
        convert(whole / "coco", form, whole / form)
    texts = whole / "texts"
    texts.mkdir()
    (texts / "settings.toml").write_text(SETTINGS)
    (texts / "exp.py").write_text(EXP)
    (texts / "names.txt").write_text("ball\ncup\nbox\n")
    sides = [[[8.0, 8.0], [12.0, 9.0], [16.0, 20.0]]] * 3
    (texts / "priors.json").write_text(json.dumps({"priors": sides, "imgsz": [SIDE, SIDE], "boxes": 9}))
    _write_stream(texts / "stream.jsonl")
    tuned, predicted = whole / "tuned", whole / "predicted"
    export("yolox_nano", weights=embedded_checkpoint(), imgsz=SIDE, out=tuned / "nano.onnx", verify=False)
    os.environ["YOLOX_DEPLOY_CACHE"] = str(tuned / "cache")
    write_tuned(tuned / "nano.onnx", TunedOpening(str(tuned / "nano.onnx"), "onnxruntime", threads=1))
    predicted.mkdir()
    shutil.copyfile(tuned / "nano.onnx", predicted / "nano.onnx")
    shutil.copytree(whole / "coco" / "val", predicted / "pictures")
    _write_sequences(whole / "sequences")
    if code := _command(predicted):
        raise ValueError(f"predict ended with {code}")


def _write_stream(path: Path) -> None:
    from yolox_deploy.detections import Detections
    from yolox_deploy.streaming.events import StreamEvent
    from yolox_deploy.streaming.record import StreamRecord

    names = ("ball", "cup")
    box, score, class_id = np.array([[1, 2, 30, 40]], np.float32), np.array([0.5], np.float32), np.array([1])
    found = Detections(box, score, class_id, names, image_size=(96, 128))
    events = tuple(StreamEvent(n, n / 10, n / 10 + 0.01, n / 10 + 0.02, found) for n in range(4))
    StreamRecord("street.mp4", 10.0, 4, 0, "newest", {"model": "yolox_nano"}, names, events).save(path)


def _write_sequences(folder: Path) -> None:
    folder.mkdir()
    images = [
        {"id": n, "file_name": f"{n}.jpg", "width": 128, "height": 96, "sid": n // 2, "fid": n % 2}
        for n in range(4)
    ]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
        for n in range(4)
    ]
    document = {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": "ball"}],
        "sequences": ["a", "b"],
        "seq_dirs": ["a", "b"],
        "fps": 30,
    }
    (folder / "annotations.json").write_text(json.dumps(document))
