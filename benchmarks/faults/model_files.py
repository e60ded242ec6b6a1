"""Damaged model files: what a Detector finds with them in two pictures, bit for bit, or how it refuses them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.benchmarks.faults.children import Asked, Ended, run_all, run_one
from yolox_deploy.benchmarks.faults.mutations import (
    change_line,
    change_number,
    change_value,
    mutate_bytes,
    to_json,
)
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

SIDE = 64
HERE = "yolox_deploy.benchmarks.faults.model_files"
UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Format:
    """A kind of model file.

    Args:
        files: of the set, that which is opened first.
        ours: whether it claims a checksum or a sidecar of ours.
        server: what is imported before a case.
        damaged: which of the files are damaged; all where it is empty.
    """

    files: tuple[str, ...]
    backend: str
    ours: bool
    server: tuple[str, ...]
    damaged: tuple[str, ...] = ()


_ORT, _VINO, _NCNN, _TORCH = ("onnxruntime",), ("openvino",), ("ncnn",), ("torch",)
_VINO_SET = ("nano.xml", "nano.bin", "nano.xml.json")
FORMATS: Mapping[str, Format] = {
    "onnx": Format(("nano.onnx",), "onnxruntime", True, _ORT),
    "onnx_openvino": Format(("nano.onnx",), "openvino", True, _VINO),
    "onnx_foreign": Format(("nano.onnx",), "onnxruntime", False, _ORT),
    "onnx_external": Format(("nano.onnx", "nano.data"), "onnxruntime", False, _ORT),
    "openvino": Format(_VINO_SET, "openvino", True, _VINO),
    "openvino_sidecar": Format(_VINO_SET, "openvino", True, _VINO, ("nano.xml.json",)),
    "ncnn": Format(("nano.param", "nano.bin", "nano.param.json"), "ncnn", True, _NCNN),
    "ncnn_bare": Format(("nano.param", "nano.bin"), "ncnn", False, _NCNN),
    "pth": Format(("nano.pth",), "torch", True, _TORCH),
    "engine": Format(("nano.engine", "nano.engine.json"), "tensorrt", True, ()),
}


def run(name: str, seed: int, count: int, folder: Path, until: float, first: int = 0) -> Iterator[Outcome]:
    """Damage so many files of a format of `FORMATS`; see `outcomes.Run`."""
    form = FORMATS[name]
    whole, cases = folder / "whole", folder / "cases"
    made = run_one(Asked(f"{HERE}:prepare", {"folder": str(whole), "name": name}, 300, 8192))
    if made.result is not None:
        yield Outcome(name, "whole", Result.raw, f"it cannot be made: {made.detail}")
        return
    undamaged = {
        "path": str(whole / form.files[0]), "backend": form.backend, "pictures": str(whole / "pictures.npy")
    }  # fmt: skip
    right = run_one(Asked(f"{HERE}:detect", undamaged), form.server)
    if right.result is not None and name != "engine":
        yield Outcome(name, "whole", Result.raw, f"undamaged: {right.detail}")
        return

    def asked() -> Iterator[tuple[tuple[int, str], Asked]]:
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            case = cases / str(number)
            opened, done = _damaged(random.Random(f"{seed}/{name}/{number}"), form, whole, case)
            yield (number, done), Asked(f"{HERE}:detect", {**undamaged, "path": str(opened)})

    for (number, done), ended in run_all((HERE, *form.server), asked()):
        outcome = judge(name, number, done, ended, right.answer, form.ours)
        yield keep(outcome, cases / str(number), folder, seed)


def judge(name: str, number: int, done: str, ended: Ended, right: Any, ours: bool) -> Outcome:
    """What became of a damaged file, by the boxes of the undamaged one."""
    result, detail = ended.result, done
    if result is None:
        same = right is not None and ended.answer["boxes"] == right["boxes"]
        unknown = not ours or ended.answer["checked"] == UNCHECKED
        result = Result.right if same else Result.changed if unknown else Result.silent
    if ended.detail:
        detail = f"{done}: {ended.detail}"
    return Outcome(name, str(number), result, detail, peak=ended.peak)


def keep(outcome: Outcome, case: Path, folder: Path, seed: int) -> Outcome:
    """Remove the input of a case, or keep that of a fault with the line that runs it again."""
    if not outcome.is_fault:
        shutil.rmtree(case, ignore_errors=True)
        return outcome
    kept = folder / "kept" / outcome.case
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    case.rename(kept)
    program = "python -m yolox_deploy.benchmarks.faults"
    again = f"{program} --only {outcome.kind} --seed {seed} --case {outcome.case} --out again"
    (kept / "again.txt").write_text(f"{outcome.result.value}: {outcome.detail}\n{again}\n", errors="replace")
    return Outcome(outcome.kind, outcome.case, outcome.result, outcome.detail, kept, outcome.peak)


def _damaged(chance: random.Random, form: Format, whole: Path, case: Path) -> tuple[Path, str]:
    """Copy the set with one of its files damaged; returns the file to open and what was done."""
    case.mkdir(parents=True, exist_ok=True)
    for file in form.files:
        shutil.copyfile(whole / file, case / file)
    opened = case / form.files[0]
    name = chance.choice(form.damaged or form.files)
    target = case / name
    if not form.damaged and chance.random() < 0.02:
        suffix = chance.choice((".onnx", ".xml", ".param", ".pth", ".engine", ".bin", ""))
        renamed = opened.with_name(f"other{suffix}")
        opened.rename(renamed)
        return renamed, f"{opened.name} renamed to {renamed.name}"
    content = target.read_bytes()
    structured = chance.random() < (0.8 if form.damaged else 0.6)
    if structured and target.suffix == ".json":
        document, done = change_value(chance, json.loads(content))
        target.write_text(to_json(document), errors="surrogatepass")
    elif structured and target.suffix in (".param", ".xml"):
        change = change_number if chance.random() < 0.8 else change_line
        text, done = change(chance, content.decode())
        target.write_text(text)
    else:
        damaged, done = mutate_bytes(chance, content, (whole / chance.choice(form.files)).read_bytes())
        target.write_bytes(damaged)
    return opened, f"{name}: {done}"


def detect(path: str, backend: str, pictures: str) -> dict[str, Any]:
    """In a child: open the file and look at two pictures; a digest of what was found, and how the file is known."""
    from yolox_deploy.detector import Detector

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with closing(Detector(path, backend=backend, conf=0.01, threads=1, device="cpu")) as detector:
            digest, count = hashlib.sha256(), 0
            for image in np.load(pictures):
                found = detector.predict(image)
                for part in (found.boxes, found.scores, found.class_ids):
                    digest.update(np.ascontiguousarray(part).tobytes())
                count += len(found)
            digest.update(repr(detector.class_names).encode(errors="surrogatepass"))
            return {
                "boxes": f"{count} {digest.hexdigest()}",
                "checked": getattr(detector.info, "checked", ""),
            }


def prepare(folder: str, name: str) -> None:
    """In a child: write the undamaged files of a format and the two pictures."""
    from yolox_deploy.exporter import export
    from yolox_deploy.files import embedded_checkpoint
    from yolox_deploy.synthetic.drawing import draw_scene

    place, form = Path(folder), FORMATS[name]
    place.mkdir(parents=True, exist_ok=True)
    size = (2 * SIDE, 3 * SIDE)
    scenes = [draw_scene(np.random.default_rng(number), size).image for number in (1, 2)]
    np.save(place / "pictures.npy", np.stack(scenes))
    target = place / form.files[0]
    if target.suffix == ".pth":
        shutil.copyfile(embedded_checkpoint(), target)
        return
    if target.suffix == ".engine":
        target.write_bytes(random.Random(0).randbytes(100_000))
        (place / "nano.engine.json").write_text(_sidecar_of_engine(place, target))
        return
    to = {".onnx": "onnx", ".xml": "openvino", ".param": "ncnn"}[target.suffix]
    export("yolox_nano", to, weights=embedded_checkpoint(), imgsz=SIDE, out=target, verify=False)
    if name == "ncnn_bare":
        (place / "nano.param.json").unlink()
    if name in ("onnx_foreign", "onnx_external"):
        _make_foreign(target, "nano.data" if name == "onnx_external" else None)


def _make_foreign(path: Path, data: str | None) -> None:
    """Take our metadata out of an ONNX file, and put its weights into a file beside it."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    path.unlink()
    onnx.save_model(model, path, save_as_external_data=data is not None, location=data, size_threshold=1024)


def _sidecar_of_engine(place: Path, engine: Path) -> str:
    """The description of an OpenVINO set, as if it were that of an engine."""
    from yolox_deploy.files import sha256

    exported = place / "made"
    exported.mkdir()
    prepare(str(exported), "openvino")
    described = json.loads((exported / "nano.xml.json").read_text())
    described |= {"backend": "tensorrt", "files": {engine.name: sha256(engine)}}
    shutil.rmtree(exported)
    return json.dumps(described)
