"""Descriptions from strangers: annotations, settings, records and Exp files with anything at all in them."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from yolox_deploy.benchmarks.faults import readers, undamaged
from yolox_deploy.benchmarks.faults.bombs import bomb
from yolox_deploy.benchmarks.faults.children import Asked, run_all
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.mutations import (
    TEXTS,
    change_line,
    change_number,
    change_value,
    mutate_bytes,
    to_json,
)
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

SECONDS = 30.0
BOMB_SHARE = 0.08


@dataclass(frozen=True)
class Document:
    """A description and how it is read.

    Args:
        place: what is copied for a case, below the folder of the undamaged files.
        file: what is damaged in it.
        kind: the language of the file, of `mutations.BOMBS`.
        read: a function of `readers`, that is given the place's path.
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
    made = next(
        iter(
            run_all(
                (),
                [(None, Asked(f"{undamaged.HERE}:write_descriptions", {"folder": str(whole)}, 300, 8192))],
                1,
            )
        )
    )[1]
    if made.result is not None:
        yield Outcome("descriptions", "whole", Result.raw, f"they cannot be made: {made.detail}")
        return
    names = list(DOCUMENTS)
    modules = (readers.HERE, "cv2", "yaml", "yolox_deploy.data", "yolox_deploy.detector", "onnxruntime")
    whole_cases = []
    for name in names:
        shutil.copytree(whole / DOCUMENTS[name].place, cases / name)
        whole_cases.append((name, _asked(DOCUMENTS[name], cases / name)))
    right = dict(run_all(modules, whole_cases))
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
    return Asked(f"{readers.HERE}:answer", {"read": document.read, "place": str(place)}, SECONDS)


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
