"""SimOTA against OTA, which it simplifies: how far the assignments agree, and the ratio of their times.

    python -m yolox_deploy.benchmarks.studies.assignment WEIGHTS IMAGES ANNOTATIONS

Protocol: one thread, the first COUNT annotated pictures one by one, letterboxed to the model's test size, predictions
in float32 with the statistics of BatchNorm. A positive is a pair of anchor point and ground truth; the figures count
the pairs of all pictures. The assigners take turns on each picture, ROUNDS times after one warm-up; the ratio is the
median over the pictures of the ratio of their medians. OTA here is a plain implementation that loops over images.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolox_deploy.benchmarks.studies.turns import take_turns, timed

if TYPE_CHECKING:
    from yolox_deploy.training.assign.inspection import Inspected
    from yolox_deploy.training.assign.types import BatchAssignment

Pairs = set[tuple[int, int]]


@dataclass(frozen=True)
class Comparison:
    """Of one picture: the positives (anchor point, ground truth) of both assigners, and their milliseconds."""

    simota: Pairs
    ota: Pairs
    simota_ms: float
    ota_ms: float


def main(
    weights: Annotated[Path, typer.Argument(help="Checkpoint of a zoo model.")],
    images: Annotated[Path, typer.Argument(help="Folder of the pictures.")],
    annotations: Annotated[Path, typer.Argument(help="COCO instances JSON.")],
    count: Annotated[int, typer.Option(min=1, help="Pictures.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs a picture.")] = 5,
) -> None:
    """Assign the objects of real pictures both ways and print one table."""
    import torch

    from yolox_deploy.data.coco_format import read_coco
    from yolox_deploy.data.report import require_whole
    from yolox_deploy.exporter.source_model import load_source_model
    from yolox_deploy.training.assign.inspection import inspect_picture

    torch.set_num_threads(1)
    subject = load_source_model(None, weights, None)
    dataset = read_coco(annotations, images)
    require_whole(dataset.source, dataset.problems)
    chosen = [i for i in range(len(dataset)) if len(dataset.objects(i).boxes)][:count]
    found = [
        compare(
            inspect_picture(subject.network, dataset.load(i), dataset.objects(i), subject.input_size), rounds
        )
        for i in chosen
    ]
    typer.echo(report(found))


def compare(picture: Inspected, rounds: int) -> Comparison:
    """Assign one picture with both, `rounds` times after a warm-up."""
    from yolox_deploy.training.assign import ASSIGNERS

    def assign(name: str) -> Callable[[int], BatchAssignment]:
        return lambda _turn: ASSIGNERS[name](picture.predictions, picture.anchors, picture.targets)

    def pairs(name: str) -> Pairs:
        found = assign(name)(0)
        used = found.positive[0]
        return set(zip(found.index[0, used].tolist(), found.gt[0, used].tolist(), strict=True))

    taken = take_turns({name: timed(assign(name)) for name in ("simota", "ota")}, rounds, warm_up=1)
    return Comparison(pairs("simota"), pairs("ota"), *map(statistics.median, taken.values()))


def report(found: Sequence[Comparison]) -> str:
    """A Markdown table of the figures over all pictures."""
    simota, ota = sum(len(one.simota) for one in found), sum(len(one.ota) for one in found)
    common = sum(len(one.simota & one.ota) for one in found)
    ratio = statistics.median(one.ota_ms / one.simota_ms for one in found)
    rows = {
        "pictures": len(found),
        "positives of SimOTA": simota,
        "positives of OTA": ota,
        "in common": common,
        "share of SimOTA's": f"{common / max(simota, 1):.3f}",
        "share of OTA's": f"{common / max(ota, 1):.3f}",
        "Jaccard": f"{common / max(simota + ota - common, 1):.3f}",
        "SimOTA, ms": f"{statistics.median(one.simota_ms for one in found):.2f}",
        "OTA, ms": f"{statistics.median(one.ota_ms for one in found):.2f}",
        "OTA / SimOTA": f"{ratio:.1f}",
    }
    return "\n".join(
        ["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    )


if __name__ == "__main__":
    typer.run(main)
