"""What a model file of another tool seems to be, and which conventions give the best boxes on real pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolox_deploy.artifact import ArtifactInfo, write_sidecar
from yolox_deploy.data.split_names import Split
from yolox_deploy.errors import ArtifactError, RuntimeFailure
from yolox_deploy.evaluation.annotated import annotated, picture_paths
from yolox_deploy.files import packaged_photographs
from yolox_deploy.foreign.conventions import stated_size
from yolox_deploy.models.published import model_path
from yolox_deploy.runtimes.base import CHANGED
from yolox_deploy.runtimes.registry import open_runtime, present_files
from yolox_deploy.settings import flatten
from yolox_deploy.sources import image_paths
from yolox_deploy.trials import Attempts, Trial, choose, figure
from yolox_deploy.types import SILENT, Report, TensorSpec

MOST_PICTURES = 16
"""Pictures that are looked at where no annotations are given; more only take longer."""


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        path, backend: of the file, and what it was run with.
        inputs, outputs: name, shape and dtype of each tensor.
        metadata: texts in the file itself.
        seems: what the file seems to be, in words.
        trials: the conventions that could be run, best first; the first is the one to open it with.
        override: what `Detector` takes to open the file by the best of them.
        info: the description that it then has; None where none could be run.
        pictures: how many were looked at.
        checked: the checksum that the file was compared with, as of `DetectorInfo`.
        guessed: whether the file does not open by itself, so that the conventions are guesses.
    """

    path: Path
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    seems: str
    trials: tuple[Trial, ...] = ()
    override: Mapping[str, Any] = field(default_factory=dict)
    info: ArtifactInfo | None = None
    pictures: int = 0
    guessed: bool = False
    checked: str = "unchecked"

    def save(self) -> Path:
        """Write the sidecar `FILE.json` by which the file opens with the best convention from now on.

        Raises:
            ArtifactError: no convention could be run, or the best is a guess that no annotations bear out.
        """
        if self.info is None:
            raise ArtifactError(f"{self.path}: {self.seems}")
        if self.guessed and self.trials[0].ap is None:
            raise ArtifactError(
                f"{self.path}: {self.trials[0].name} is a guess, not kept: compare by --annotations FILE, or, where "
                "its boxes are right on the pictures, state it with --override"
            )
        tried = {"pictures": self.pictures, "ap": self.trials[0].ap}
        info = dataclasses.replace(
            self.info, origin="inspected", details={**self.info.details, "inspected": tried}
        )
        return write_sidecar(self.path, info, present_files(self.path)[1:])

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        values = dataclasses.asdict(self) | {"path": str(self.path)}
        for name in ("inputs", "outputs"):
            values[name] = [{**spec, "dtype": str(spec["dtype"])} for spec in values[name]]
        return values


def inspect(
    path: str | Path,
    images: str | Path | None = None,
    *,
    annotations: str | Path | None = None,
    data: str | Path | None = None,
    split: Split = "val",
    backend: str | None = None,
    override: Mapping[str, Any] | None = None,
    report: Report = SILENT,
) -> Inspection:
    """Tell what a model file is, and try the plausible conventions on pictures.

    Args:
        path: the model file.
        images: a picture, a folder or a glob; None for three photographs of the package.
        annotations: COCO file of the folder `images`: the conventions are then compared by AP.
        data: folder of a COCO, VOC or YOLO data set, or its `data.yaml`, in place of `images` and `annotations`.
        split: of `data`: "train" or "val".
        backend: a backend's name, where another than the suffix's default is wanted.
        override: conventions that are known, as `Detector` takes them; they are not varied.
        report: told of each convention.

    Raises:
        ArtifactError: the file cannot be loaded at all.
        InputError: there is no picture in `images`.
        UsageError: annotations without a folder of pictures, or an unknown convention.
    """
    dataset = annotated(images, annotations, data, split)
    if dataset is not None:
        pictures = list(picture_paths(dataset))
    else:
        pictures = image_paths(images) if images is not None else packaged_photographs()
    path = model_path(path)
    with open_runtime(path, backend, imgsz=stated_size(override or {}), verify=False) as runtime:
        facts = Inspection(
            path=runtime.path,
            backend=runtime.name,
            inputs=runtime.inputs,
            outputs=runtime.outputs,
            metadata=dict(runtime.loaded.metadata),
            seems="",
            checked=runtime.checked,
        )
        changed = [note for note in runtime.loaded.notes if note == CHANGED]
    stated = flatten(override or {})
    attempts = Attempts(Path(path), backend, stated, pictures[:MOST_PICTURES], dataset, report)
    try:
        base, opened = attempts.first()
    except (ArtifactError, RuntimeFailure) as error:
        seems, trials = str(error).removeprefix(f"{path}: "), attempts.guessed()
        facts = dataclasses.replace(facts, guessed=True)
    else:
        seems = "; ".join((describe_in_words(opened.artifact, opened.notes), *changed))
        trials = attempts.varied(base, opened.artifact.input)
    if not trials:
        return dataclasses.replace(facts, seems=seems)
    best = choose(trials)
    ranked = (best, *sorted((trial for trial in trials if trial is not best), key=figure, reverse=True))
    return dataclasses.replace(
        facts,
        seems=seems,
        trials=ranked,
        override={**best.override, **stated},
        info=attempts.info(best.override),
        pictures=len(pictures) if dataset is not None else len(attempts.pictures),
    )


def describe_in_words(info: ArtifactInfo, notes: Sequence[str]) -> str:
    """What a file that opens is, in a sentence."""
    size = "{}x{}".format(*info.input_size)
    what = f"a YOLOX detector of {len(info.class_names)} classes at {size}"
    if info.origin == "metadata":
        return f"{what}: {info.model}, as its own description says"
    if info.origin == "inspected":
        return f"{what}, as the description beside it says (yolox-deploy inspect --save)"
    return f"{what}; " + ("; ".join(notes) or "laid out as the authors' own files")
