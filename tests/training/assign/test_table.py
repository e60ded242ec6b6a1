"""What every assigner promises, and the setting that chooses one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from yolox_deploy.errors import UsageError
from yolox_deploy.models import build_model
from yolox_deploy.training import TrainConfig, recipe
from yolox_deploy.training.assign import ASSIGNERS
from yolox_deploy.training.assign.anchors import AnchorPoints, anchor_points, box_iou
from yolox_deploy.training.assign.one_to_one import one_to_one
from yolox_deploy.training.assign.types import BatchAssignment, Predictions, Targets
from yolox_deploy.training.config import ASSIGNER_NAMES
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.learner import LOSS_NAMES, Learner
from yolox_deploy.training.loader import Batch
from yolox_deploy.training.recipes import from_dict, override

SIZE, STRIDES = (96, 128), (8, 16, 32)
PRIORS = torch.tensor([[[8.0, 8], [16, 8]], [[16, 16], [32, 16]], [[64, 64], [96, 64]]])
ALL = {**ASSIGNERS, "one_to_one": one_to_one}

each = pytest.mark.parametrize("name", ALL)


def anchors_for(name: str) -> AnchorPoints:
    return anchor_points(SIZE, STRIDES, priors=PRIORS if name == "yolov3" else None)


def draw(anchors: AnchorPoints, rows: int = 25) -> tuple[Predictions, Targets]:
    """Three images: many objects with padding between them, none, and a few."""
    rng = torch.Generator().manual_seed(1)
    total = len(anchors.points)
    size = 8 + 40 * torch.rand(3, total, 2, generator=rng) ** 2
    shift = 5 * torch.randn(3, total, 2, generator=rng)
    logits = torch.randn(3, total, 5, generator=rng).requires_grad_()
    targets = torch.zeros(3, rows, 5)
    for image, count in ((0, 20), (2, 3)):
        place = torch.randperm(rows, generator=rng)[:count]
        targets[image, place, 0] = torch.randint(0, 4, (count,), generator=rng).float()
        centre = torch.rand(count, 2, generator=rng) * torch.tensor([128.0, 96.0])
        targets[image, place, 1:] = torch.cat((centre, 4 + 90 * torch.rand(count, 2, generator=rng)), dim=1)
    boxes = torch.cat((anchors.points + shift, size), dim=2)
    return Predictions(boxes, logits[..., 0], logits[..., 1:]), Targets.from_padded(targets)


def positives(found: BatchAssignment) -> list[tuple[int, int]]:
    return [tuple(row) for row in torch.stack((found.index, found.gt), 2)[found.positive].tolist()]


@each
def test_a_positive_has_one_real_ground_truth(name: str) -> None:
    anchors = anchors_for(name)
    predictions, targets = draw(anchors)
    found = ALL[name](predictions, anchors, targets)
    image, slot = torch.nonzero(found.positive, as_tuple=True)
    index, gt = found.index[image, slot], found.gt[image, slot]
    assert targets.valid[image, gt].all()
    assert set(image.tolist()) == {0, 2}
    assert found.foreground(len(anchors.points)).sum() == found.positive.sum()
    wanted = box_iou(predictions.boxes[image, index], targets.boxes[image, gt])
    torch.testing.assert_close(found.iou[image, slot], wanted)
    for row in range(3):
        used = found.index[row, found.positive[row]]
        assert torch.equal(used, used.sort().values)
    assert not any(part.requires_grad for part in (found.iou, found.index, found.positive))
    if found.ignored is not None:
        assert not (found.ignored & found.foreground(len(anchors.points))).any()
        assert found.ignored.any()


@each
def test_images_do_not_change_one_another_nor_does_padding(name: str) -> None:
    anchors = anchors_for(name)
    predictions, targets = draw(anchors)
    alone = Predictions(predictions.boxes[:1], predictions.objectness[:1], predictions.classes[:1])
    kept = torch.nonzero(targets.valid[0]).flatten()
    short = Targets(*(part[:1, kept] for part in (targets.boxes, targets.classes, targets.valid)))
    together, single = ALL[name](predictions, anchors, targets), ALL[name](alone, anchors, short)
    used = together.positive[0]
    assert torch.equal(together.index[0, used], single.index[single.positive])
    assert torch.equal(together.gt[0, used], kept[single.gt[single.positive]])


@each
@pytest.mark.parametrize("rows", [0, 2])
def test_no_object_at_all(name: str, rows: int) -> None:
    anchors = anchors_for(name)
    predictions, _ = draw(anchors)
    found = ALL[name](predictions, anchors, Targets.from_padded(torch.zeros(3, rows, 5)))
    assert not found.positive.any()
    assert found.index.shape == found.gt.shape == found.iou.shape == found.positive.shape
    assert found.ignored is None or not found.ignored.any()


def test_the_setting() -> None:
    assert tuple(ASSIGNERS) == ASSIGNER_NAMES
    config = override(recipe("yolox_nano", Path("data")), {"assigner": "ota"})
    assert (config.assigner, recipe("yolox_nano", Path("data")).assigner) == ("ota", "simota")
    assert from_dict({"model": "yolox_nano", "data": "data"}).assigner == "simota"
    with pytest.raises(UsageError, match="assigner is best; expected one of simota, simota_release, center"):
        TrainConfig("yolox_nano", Path("data"), assigner="best")


def test_the_learner_trains_with_it() -> None:
    settings: dict[str, Any] = {"imgsz": (64, 64), "precision": "fp32", "assigner": "center3x3"}
    torch.manual_seed(0)
    learner = Learner(
        build_model("yolox_nano", 2),
        TrainConfig("yolox_nano", Path("data"), **settings),
        Job(torch.device("cpu")),
    )
    learner.train()
    targets = torch.zeros(2, 4, 5)
    targets[:, 1] = torch.tensor([1.0, 20, 28, 12, 12])
    values = learner.backward(
        Batch(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), targets), (64, 64), use_l1=True
    )
    assert values[LOSS_NAMES.index("positives")] == 18
