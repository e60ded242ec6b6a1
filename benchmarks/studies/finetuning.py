"""What fine-tuning on a small set reaches, and what each ingredient of the recipe does to it.

    python -m yolox_deploy.benchmarks.studies.finetuning WEIGHTS PHOTOGRAPHS ANNOTATIONS --out FOLDER

Protocol: three tasks (`finetuning_data`), each with three seeds, which decide split, order and augmentation: *people*
(40 photographs, classes of COCO), *scenes* (128 generated pictures, other classes), *mixed* (those photographs with
drawn objects pasted in, both). An arm is a set of settings; what it leaves out is the default. Batch 8, STEPS steps
at most in whole epochs. Figures are AP of the averaged weights after the last epoch, which choose nothing, and of
`best.pth`, which is chosen by the pictures that judge it. Runs that are done stay done. Prints Markdown tables and
writes `results.json` and `curves.png`.
"""

from __future__ import annotations

import json
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from yolox_deploy import records
from yolox_deploy.benchmarks.studies.finetuning_data import BUILDERS, Photographs, build

RESULT = records.FileKind("remove it to train the arm again", foreign="is no result of an arm", beside=())
Curve = tuple[tuple[int, float], ...]
BATCH = 8
EVALUATIONS = 8
"""Before the plain epochs, which have one each."""
UNAIDED = {"restore_batchnorm": False, "match_classes": False}
ARMS: Mapping[str, Mapping[str, object]] = {
    "paper": {"recipe": "paper", **UNAIDED},
    "finetune": {},
    "folded": {"restore_batchnorm": False},
    "new rows": {"match_classes": False, "backbone_rate": 0.1, "neck_rate": 0.1},
    "SGD": {"optimizer": "sgd"},
    "one rate": {"backbone_rate": 1.0, "neck_rate": 1.0},
    "a tenth": {"backbone_rate": 0.1, "neck_rate": 0.1},
    "three tenths": {"backbone_rate": 0.3, "neck_rate": 0.3},
    "frozen statistics": {"batchnorm": "frozen"},
    "head alone": {"freeze_backbone": True, "freeze_neck": True, "batchnorm": "train"},
    "multi-scale": {"multiscale": (160, 352)},
    "slow average": {"ema_ramp": "release", "ema_decay": 0.9998},
    "no plain end": {"plain_epochs": 0},
    "no mosaic": {"augmentation.mosaic": 0.0},
}
"""Settings of each arm, beside those of every run: `paper` is the default before there was a recipe for fine-tuning,
`finetune` today's, and the others leave one of its ingredients out."""


@dataclass(frozen=True)
class Outcome:
    """What a run of an arm reached.

    Attributes:
        task, arm, seed: which run.
        steps: of the optimiser.
        final, best: AP of the last and of the best weights.
        known, new: AP of the last weights for the classes of each kind alone; -1 where the task has none.
        curve: (finished epochs, AP) of each evaluation, the first of the weights before the first step.
        seconds: of the steps, pictures included.
    """

    task: str
    arm: str
    seed: int
    steps: int
    final: float
    best: float
    known: float
    new: float
    curve: Curve
    seconds: float

    @property
    def untouched(self) -> float:
        """AP before the first step; -1 where it was not measured."""
        return dict(self.curve).get(0, -1.0)


def run_arm(
    task: str, arm: str, seed: int, data: Path, out: Path, shared: Mapping[str, object], steps: int
) -> Outcome:
    """Train one arm, or read what it reached before.

    Args:
        shared: settings of every arm: the weights, the size.
        steps: most steps.
    """
    from yolox_deploy.data.layouts import open_dataset
    from yolox_deploy.training.logs import read_log
    from yolox_deploy.training.start import train

    folder = out / f"{task}-{arm}-s{seed}"
    done = folder / "result.json"
    if done.is_file():
        return records.load(Outcome, done, RESULT)
    in_epoch = -(-len(open_dataset(data, "train")) // BATCH)
    epochs = max(steps // in_epoch, 1)
    pace: dict[str, Any] = {"epochs": epochs, "eval_every": max(epochs // EVALUATIONS, 1)}
    result = train(
        data,
        "yolox_nano",
        resume="auto",
        batch=BATCH,
        seed=seed,
        out=folder,
        **{**pace, **shared, **ARMS[arm]},
    )
    curve = tuple((int(row["epoch"]), row["AP"]) for row in read_log(folder / "epochs.csv"))
    found = Outcome(
        task,
        arm,
        seed,
        steps=epochs * in_epoch,
        final=curve[-1][1],
        best=result.figures["AP"],
        **{part: part_ap(result.last, data, part) for part in ("known", "new")},
        curve=curve,
        seconds=sum(row["seconds"] for row in read_log(folder / "steps.csv")),
    )
    records.save(found, done, RESULT)
    return found


def part_ap(weights: Path, data: Path, part: str) -> float:
    """AP of the `known` or `new` classes alone; -1 where the data set has none of them."""
    from yolox_deploy.detector import Detector
    from yolox_deploy.evaluation.coco import coco_ap

    annotations = data / f"{part}.json"
    if not annotations.is_file() or not json.loads(annotations.read_text(encoding="utf-8"))["annotations"]:
        return -1.0
    with warnings.catch_warnings(), Detector(weights) as detector:
        warnings.simplefilter("ignore")  # of classes that are left out, which is the point
        return coco_ap(detector, data / "images", annotations)["AP"]


def table(outcomes: Sequence[Outcome], value: str = "final") -> str:
    """A Markdown table of `value`, arms by tasks: the mean over the seeds, and their range."""
    tasks = list(dict.fromkeys(one.task for one in outcomes))
    lines = [f"| {value} | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
    for arm in dict.fromkeys(one.arm for one in outcomes):
        cells = [
            _cell([getattr(one, value) for one in outcomes if (one.task, one.arm) == (task, arm)])
            for task in tasks
        ]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values or min(values) < 0:
        return "–"
    return f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def charts(outcomes: Sequence[Outcome]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Mean curves for `draw_convergence`, by task and arm, and a level line for the untouched weights."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for task in dict.fromkeys(one.task for one in outcomes):
        own = [one for one in outcomes if one.task == task]
        arms = dict.fromkeys(one.arm for one in own)
        lines = {arm: mean_curve([one.curve for one in own if one.arm == arm]) for arm in arms}
        level = [one.untouched for one in own if one.arm == "finetune"]
        if level:
            end = max(line[-1][0] for line in lines.values())
            lines["untouched"] = [(0, statistics.mean(level)), (end, statistics.mean(level))]
        found[task] = lines
    return found


def mean_curve(curves: Sequence[Curve]) -> list[tuple[float, float]]:
    """The mean of curves where all of them are, between their points along straight lines."""
    first, last = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    epochs = sorted({epoch for curve in curves for epoch, _ in curve if first <= epoch <= last})
    means = [statistics.mean(_at(epoch, curve) for curve in curves) for epoch in epochs]
    return list(zip(epochs, means, strict=True))


def _at(epoch: int, curve: Curve) -> float:
    return float(np.interp(epoch, [at for at, _ in curve], [value for _, value in curve]))


def main(
    weights: Annotated[Path, typer.Argument(help="Checkpoint of YOLOX-Nano with COCO's classes.")],
    images: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    annotations: Annotated[Path, typer.Argument(help="Their COCO instances JSON.")],
    out: Annotated[Path, typer.Option(help="Folder of data sets and runs.")] = Path("runs/finetuning"),
    tasks: Annotated[str, typer.Option(metavar="A,B")] = ",".join(BUILDERS),
    arms: Annotated[str, typer.Option(metavar="A,B")] = ",".join(ARMS),
    seeds: Annotated[str, typer.Option(metavar="0,1,2")] = "0,1,2",
    size: Annotated[int, typer.Option(help="Pixels of training and evaluation.")] = 224,
    steps: Annotated[int, typer.Option(help="Most steps of a run.")] = 400,
    workers: Annotated[int, typer.Option(help="Processes that prepare pictures.")] = 1,
) -> None:
    """Run arms of the study, one after the other, and print their tables."""
    from yolox_deploy.charts import draw_convergence
    from yolox_deploy.host import keep_freed_memory

    keep_freed_memory()
    photographs = Photographs(annotations, images)
    shared: dict[str, Any] = {"weights": weights, "imgsz": (size, size), "workers": workers}
    outcomes = []
    for seed in map(int, seeds.split(",")):
        for arm in arms.split(","):
            for task in tasks.split(","):
                data = build(task, out / "data" / f"{task}-{seed}", photographs, seed)
                found = run_arm(task, arm, seed, data, out, shared, steps)
                typer.echo(
                    f"{task} {arm} seed {seed}: final {found.final:.3f}, best {found.best:.3f}, known "
                    f"{found.known:.3f}, new {found.new:.3f}, {found.steps} steps in {found.seconds:.0f} s"
                )
                outcomes.append(found)
    for value in ("untouched", "final", "best", "known", "new"):
        typer.echo("\n" + table(outcomes, value))
    (out / "results.json").write_text(json.dumps([asdict(one) for one in outcomes]), "utf-8")
    draw_convergence(charts(outcomes), out / "curves.png")


if __name__ == "__main__":
    typer.run(main)
