"""What travels with a model file: its conventions, its origin and the proof that it is right.

An ONNX file carries this as one JSON text in its metadata under `METADATA_KEY`. Formats without room for it
(`.xml`, `.param`, `.engine`) have a sidecar, `FILE.json`, with the SHA-256 of each file of the set in it too. A file of
another tool may have one as well, whatever its format: it wins over what is inside the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from yolox_deploy import records
from yolox_deploy.class_names import check_names
from yolox_deploy.documents import parse_json
from yolox_deploy.errors import ArtifactError
from yolox_deploy.files import sha256, write_text
from yolox_deploy.settings import field_types, flatten, unknown
from yolox_deploy.types import (
    MOST_ROWS,
    InputConvention,
    OutputConvention,
    is_finite,
    is_plain,
    is_whole,
    unfit,
)

SCHEMA_VERSION = 2
DESCRIPTION = records.FileKind(
    "copy the model with all its files again, or export it again", error=ArtifactError, version=SCHEMA_VERSION
)
METADATA_KEY = "yolox_deploy"
FILE_SETS: Mapping[str, tuple[str, ...]] = {".xml": (".bin",), ".param": (".bin",)}
"""Suffix of a model file -> those of the further files it needs beside it."""
BOXES = ("raw", "decoded", "corners")
SUPPRESSION = ("none", "in_graph", "not_needed")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
MOST_SIDE = 16_384
"""Pixels of an input's side."""
MOST_VALUES = 1 << 31
"""Numbers in an input tensor."""


@dataclass(frozen=True)
class ArtifactInfo:
    """The description of one exported model.

    Attributes:
        model: name in the zoo, or "unknown".
        class_names: one name a class, in the order of the output.
        input_size: (H, W) in pixels.
        batch: the fixed batch size, or None where it is free at run time.
        input: layout, dtype, colour order, padding and normalisation of the input tensor.
        boxes: "raw" (tx, ty, tw, th: decode outside), "decoded" (cx, cy, w, h in input pixels) or "corners"
            (x1, y1, x2, y2 in input pixels).
        suppression: "none" (NMS is the caller's), "in_graph" (the output is final detections) or
            "not_needed" (a model trained to answer once an object).
        output: how the output tensors hold the predictions.
        priors: anchor boxes a location: how often each level's anchor points come in the output.
        precision: the one achieved, read back from the file.
        format: "onnx", "openvino", "ncnn", "tensorrt", "tensorrt-rtx" or "torch".
        origin: "metadata" (written by the export), "inferred" (recognised in a foreign file) or "inspected" (kept by
            `yolox-deploy inspect --save`).
        weights_sha256: of the checkpoint the export started from, hexadecimal.
        versions: package -> version at export.
        parity: figures of the comparison with the reference, or None where it was not made.
        details: what only this format needs (GPU, compute capability, output names).
    """

    model: str
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    batch: int | None = 1
    input: InputConvention = field(default_factory=InputConvention, metadata={"exact": True})
    boxes: str = "raw"
    suppression: str = "none"
    precision: str = "fp32"
    format: str = "onnx"
    origin: str = "metadata"
    weights_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    priors: int = 1
    output: OutputConvention = field(default_factory=OutputConvention)

    def __post_init__(self) -> None:
        """Check each field, once, wherever it comes from.

        Raises:
            ArtifactError: names the field.
        """
        for name, known in (("boxes", BOXES), ("suppression", SUPPRESSION), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise unfit(name, getattr(self, name), f"one of {', '.join(known)}")
        for name in ("model", "format", "origin", "weights_sha256"):
            value = getattr(self, name)
            if not is_plain(value) and not (value is None and name == "weights_sha256"):
                raise unfit(name, value, "a text of one line")
        for name, kind in (("input", InputConvention), ("output", OutputConvention)):
            if not isinstance(getattr(self, name), kind):
                raise unfit(name, getattr(self, name), f"the fields of {kind.__name__}")
        check_names(self.class_names)
        self._check_sizes()
        self._check_facts()

    def _check_sizes(self) -> None:
        size = self.input_size
        if not isinstance(size, tuple | list) or len(size) != 2 or not all(map(is_whole, size)):
            raise unfit("input_size", size, "(H, W) in pixels")
        if not all(32 <= side <= MOST_SIDE and side % 32 == 0 for side in size):
            raise unfit("input_size", size, f"(H, W) in pixels, multiples of 32 up to {MOST_SIDE}")
        rows = sum(size[0] // stride * (size[1] // stride) for stride in (8, 16, 32))
        if not is_whole(self.priors) or not 1 <= self.priors * rows <= MOST_ROWS:
            raise unfit("priors", self.priors, f"a whole number from 1 to {max(MOST_ROWS // rows, 1)}")
        most = max(MOST_VALUES // (self.input.channels * size[0] * size[1]), 1)
        if self.batch is not None and not (is_whole(self.batch) and 1 <= self.batch <= most):
            raise unfit("batch", self.batch, f"a whole number from 1 to {most}, or none where it is free")

    def _check_facts(self) -> None:
        for name in ("versions", "parity", "details"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) and not (value is None and name == "parity"):
                raise unfit(name, value, "names with values")
        found = self.details.get("nms") if self.suppression == "in_graph" else None
        if not isinstance(found, Mapping):
            return
        for name in ("conf", "iou"):
            value = found.get(name, 0)
            if not is_finite(value) or not 0 <= value <= 1:
                raise unfit(f"details.nms.{name}", value, "a number from 0 to 1")
        most = found.get("max_detections")
        if most is not None and (not is_whole(most) or most < 1):
            raise unfit("details.nms.max_detections", most, "at least 1, or none")

    @property
    def graph_nms(self) -> Mapping[str, Any] | None:
        """The `conf`, `iou` and `max_detections` of suppression in the graph; None without it, or unknown."""
        found = self.details.get("nms") if self.suppression == "in_graph" else None
        return found if isinstance(found, Mapping) and {"conf", "iou"} <= found.keys() else None

    def to_json(self, **extra: Any) -> str:
        """A JSON text that `from_json` reads back; `extra` keys stand beside the description."""
        return json.dumps({**DESCRIPTION.header, **asdict(self), **extra}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ArtifactInfo:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: not such a text, or of a newer schema than this version knows.
        """
        return records.decode(cls, text, "the model's yolox-deploy metadata", DESCRIPTION)


def sidecar_path(path: Path) -> Path:
    """Where the description of a file without room for metadata lies: `FILE.json`."""
    return path.with_name(path.name + ".json")


def files_of(path: Path, *declared: Mapping[str, Sequence[str]]) -> tuple[Path, ...]:
    """A model file and those that belong to it, whether they are there or not; `path` comes first.

    Args:
        declared: further tables like `FILE_SETS`; `runtimes.registry.present_files` knows those of all runtimes.
    """
    further = [suffix for table in (FILE_SETS, *declared) for suffix in table.get(path.suffix, ())]
    return (path, *(path.with_suffix(suffix) for suffix in dict.fromkeys(further)))


def write_sidecar(path: Path, info: ArtifactInfo, siblings: Sequence[Path] | None = None) -> Path:
    """Write the description of `path` beside it, with the SHA-256 of each file of the set.

    Args:
        siblings: the files that belong to `path`; None for those that `files_of` names.
    """
    siblings = files_of(path)[1:] if siblings is None else siblings
    files = {file.name: sha256(file) for file in (path, *siblings)}
    target = sidecar_path(path)
    write_text(target, records.sealed({**DESCRIPTION.header, **asdict(info), "files": files}, sort_keys=True))
    return target


class Sidecar(NamedTuple):
    """What lies beside a model file: its description, and whether SHA-256 of all files of the set stand in it."""

    info: ArtifactInfo
    vouches: bool


def read_sidecar(path: Path) -> Sidecar | None:
    """The description beside `path`, checked against the files; None where there is none of ours.

    The set may have been renamed together: what counts is how the names differ from that of the main file.

    Raises:
        ArtifactError: it is damaged, or a file of the set is missing or is not the one that was exported.
    """
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return None
    content = records.read(sidecar, DESCRIPTION, lambda text: parse_json(text.decode(errors="replace")))
    if not isinstance(content, dict):
        return None  # another tool's
    if "schema_version" not in content and not content.keys() >= {"files", records.CHECKSUM}:
        return None  # another tool's; with both it is ours, and damage hit the first
    _refuse_unknown_fields(content, sidecar)
    info = records.decode(ArtifactInfo, content, sidecar, DESCRIPTION)
    files = content.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise ArtifactError(f"{sidecar} is damaged: 'files' is no list of SHA-256; export again")
    _check_files(path, sidecar, files)
    named = {Path(name).suffix for name in files}
    return Sidecar(info, all(file.suffix in named for file in files_of(path)))


def _refuse_unknown_fields(content: Mapping[str, Any], sidecar: Path) -> None:
    """A field that is misspelt would be a convention that nobody follows."""
    known = field_types(ArtifactInfo)
    for name in flatten(content):
        group, dot, _ = name.partition(".")
        if (
            name not in known
            and group not in ("files", "schema_version", records.CHECKSUM)
            and (not dot or group in ("input", "output"))
        ):
            raise ArtifactError(f"{sidecar}: {unknown('field', name, list(known))}")


def _check_files(path: Path, sidecar: Path, files: Mapping[str, str]) -> None:
    same = (name for name in files if Path(name).suffix == path.suffix)
    main = min(same, key=len, default=path.name)  # another may end alike: model.npy, model.scale.npy
    stem = Path(main).stem
    for recorded, expected in files.items():
        name = path.stem + recorded.removeprefix(stem) if recorded.startswith(stem) else recorded
        file = path.parent / name
        if not file.is_file():
            raise ArtifactError(
                f"{path} needs {name} beside it, which is missing; copy it too or export again"
            )
        if (found := sha256(file)) != expected:
            raise ArtifactError(
                f"{file} is damaged or was replaced: its SHA-256 is {found[:12]}…, {sidecar.name} names "
                f"{expected[:12]}…; copy the set again or export again"
            )
