"""SimOTA against the official results and against a slow, readable implementation."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from yolox_deploy.errors import UsageError
from yolox_deploy.training import Assignment, simota
from yolox_deploy.training.assign.anchors import anchor_points, decode_boxes, encode_boxes
from yolox_deploy.training.assign.simota import simota_batch
from yolox_deploy.training.assign.types import Predictions, Targets, compact, trim_padding

SIZE = (160, 192)
STRIDES = (8, 16, 32)
RADIUS = {"2025": 1.5, "release": 2.5}


def naive_simota(
    boxes: Tensor,
    classes: Tensor,
    objectness: Tensor,
    points: Tensor,
    strides: Tensor,
    gt_boxes: Tensor,
    gt_classes: Tensor,
    rules: str,
) -> Assignment:
    """The definition, step by step; equal costs go to the first anchor point, then to the first ground truth."""
    candidate, inside = naive_regions(points, strides, gt_boxes, rules)
    kept = torch.nonzero(candidate).flatten()
    ious = naive_iou(gt_boxes, boxes[kept])
    scores = (classes[kept].float().sigmoid() * objectness[kept].float().sigmoid()).sqrt()
    cost = torch.empty_like(ious)
    for row, label in enumerate(gt_classes.tolist()):
        one_hot = F.one_hot(torch.full((len(kept),), int(label)), classes.shape[1]).float()
        cost[row] = F.binary_cross_entropy(scores, one_hot, reduction="none").sum(-1)
    cost = cost + 3.0 * -torch.log(ious + 1e-8) + (1e6 if rules == "2025" else 1e5) * ~inside[:, kept]
    claims = torch.zeros_like(cost, dtype=torch.bool)
    for row in range(len(gt_boxes) if len(kept) else 0):
        count = max(int(ious[row].topk(min(10, len(kept))).values.sum()), 1)
        claims[row, cost[row].sort(stable=True).indices[:count]] = True
    fg_mask = torch.zeros(len(points), dtype=torch.bool)
    matched_gt, matched_iou = [], []
    for column, anchor in enumerate(kept.tolist()):
        owners = torch.nonzero(claims[:, column]).flatten()
        if len(owners) == 0:
            continue
        owner = int(owners[0]) if len(owners) == 1 else int(cost[:, column].min(dim=0).indices)
        fg_mask[anchor] = True
        matched_gt.append(owner)
        matched_iou.append(ious[owner, column])
    found = torch.stack(matched_iou) if matched_iou else torch.zeros(0)
    return Assignment(fg_mask, torch.tensor(matched_gt, dtype=torch.int64), found)


def naive_regions(points: Tensor, strides: Tensor, gt_boxes: Tensor, rules: str) -> tuple[Tensor, Tensor]:
    """(candidate (A,), free of penalty (G, A))."""
    in_centre = naive_inside(points, gt_boxes[:, None, :2], (RADIUS[rules] * strides)[None, :, None])
    if rules == "2025":
        return in_centre.any(0), in_centre
    in_box = naive_inside(points, gt_boxes[:, None, :2], gt_boxes[:, None, 2:] / 2)
    return (in_box | in_centre).any(0), in_box & in_centre


def naive_inside(points: Tensor, centre: Tensor, half: Tensor) -> Tensor:
    return ((points - (centre - half) > 0) & ((centre + half) - points > 0)).all(-1)


def naive_iou(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum((first[:, :2] - first[:, 2:] / 2)[:, None], second[:, :2] - second[:, 2:] / 2)
    high = torch.minimum((first[:, :2] + first[:, 2:] / 2)[:, None], second[:, :2] + second[:, 2:] / 2)
    shared = (high - low).prod(-1) * (low < high).all(-1)
    return shared / (first[:, 2:].prod(-1)[:, None] + second[:, 2:].prod(-1) - shared)


def draw_case(kind: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(boxes, class logits, objectness logits, gt boxes, gt classes) on a `SIZE` input, 6 classes."""
    rng = torch.Generator().manual_seed(seed)
    points = anchor_points(SIZE, STRIDES).points
    count = {"crowd": 60, "one": 1}.get(kind, 12)
    extent = torch.tensor([SIZE[1], SIZE[0]])
    gt_centre = torch.rand(count, 2, generator=rng) * extent
    gt_size = 4 + 90 * torch.rand(count, 2, generator=rng) ** 2
    if kind == "tiny":
        gt_size = 0.5 + 2 * torch.rand(count, 2, generator=rng)
    if kind == "outside":
        gt_centre[::2] = gt_centre[::2] + 1.2 * extent
    if kind == "borders":
        gt_centre = (gt_centre / 4).round() * 4
    gt_boxes = torch.cat((gt_centre, gt_size), 1)
    nearest = torch.cdist(points, gt_centre).argmin(1)
    noise = torch.randn(len(points), 4, generator=rng) * torch.tensor([3.0, 3.0, 0.2, 0.2])
    boxes = torch.cat((gt_centre[nearest] + noise[:, :2], gt_size[nearest] * noise[:, 2:].exp()), 1)
    classes = 2 * torch.randn(len(points), 6, generator=rng) - 2
    objectness = 2 * torch.randn(len(points), 1, generator=rng) - 2
    if kind == "ties":
        boxes[:] = torch.tensor([80.0, 80.0, 60.0, 60.0])
        classes[:], objectness[:] = -4.6, -4.6
    if kind == "sure":
        classes, objectness = classes * 40, objectness * 40
    return boxes, classes, objectness, gt_boxes, torch.randint(0, 6, (count,), generator=rng)


@pytest.mark.parametrize("number", range(3))
def test_official_assignments(number: int, reference_arrays: dict[str, Tensor]) -> None:
    case = {k.split("/")[1]: v for k, v in reference_arrays.items() if k.startswith(f"simota{number}/")}
    points = torch.stack(((case["x"] + 0.5) * case["strides"], (case["y"] + 0.5) * case["strides"]), dim=1)
    found = simota(
        case["pred_boxes"],
        case["cls_logits"],
        case["obj_logits"],
        points,
        case["strides"],
        case["gt_boxes"],
        case["gt_classes"],
    )
    assert torch.equal(found.fg_mask, case["fg_mask"])
    assert torch.equal(found.matched_gt, case["matched_gt"])
    assert torch.equal(case["gt_classes"][found.matched_gt], case["matched_class"])
    torch.testing.assert_close(found.matched_iou, case["matched_iou"], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rules", ["2025", "release"])
@pytest.mark.parametrize("kind", ["usual", "one", "crowd", "tiny", "outside", "borders", "ties", "sure"])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(rules: str, kind: str, seed: int) -> None:
    boxes, classes, objectness, gt_boxes, gt_classes = draw_case(kind, seed)
    anchors = anchor_points(SIZE, STRIDES)
    inputs = (boxes, classes, objectness, anchors.points, anchors.strides, gt_boxes, gt_classes)
    found = simota(*inputs, center_radius=RADIUS[rules], rules=rules)
    expected = naive_simota(*inputs, rules)
    assert found.fg_mask.any()
    assert torch.equal(found.fg_mask, expected.fg_mask)
    assert torch.equal(found.matched_gt, expected.matched_gt)
    torch.testing.assert_close(found.matched_iou, expected.matched_iou, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rules", ["2025", "release"])
def test_a_batch_equals_its_images(rules: str) -> None:
    kinds = ["usual", "crowd", "one", "outside", "ties", "tiny"]
    cases = [draw_case(kind, seed) for seed, kind in enumerate(kinds)]
    anchors = anchor_points(SIZE, STRIDES)
    rows = torch.zeros(len(cases) + 1, 64, 5)
    for image, (*_, gt_boxes, gt_classes) in enumerate(cases):
        rows[image, 2 : 2 + len(gt_boxes)] = torch.cat((gt_classes[:, None].float(), gt_boxes), 1)
    stacked = [torch.stack([case[part] for case in (*cases, cases[0])]) for part in range(3)]
    predictions = Predictions(stacked[0], stacked[2].squeeze(2), stacked[1])
    found = simota_batch(predictions, anchors, Targets.from_padded(rows), rules=rules)
    masks = found.foreground(len(anchors.points))
    for image, (boxes, classes, objectness, gt_boxes, gt_classes) in enumerate(cases):
        inputs = (boxes, classes, objectness, anchors.points, anchors.strides, gt_boxes, gt_classes)
        alone = simota(*inputs, center_radius=RADIUS[rules], rules=rules)
        used = found.positive[image]
        assert torch.equal(masks[image], alone.fg_mask)
        assert torch.equal(found.index[image, used], torch.nonzero(alone.fg_mask).flatten())
        assert torch.equal(found.gt[image, used] - 2, alone.matched_gt)
        assert torch.equal(found.iou[image, used], alone.matched_iou)
    assert not found.positive[-1].any(), "an image without objects has no positives"


def test_padding_makes_no_candidates() -> None:
    """Rows of zeros lie at the corner; good predictions of the anchor points there must not count."""
    anchors = anchor_points(SIZE, STRIDES)
    gt = torch.tensor([70.0, 70.0, 120.0, 120.0])
    boxes = torch.cat((anchors.points, torch.full((len(anchors.points), 2), 0.5)), 1)
    corner = (anchors.points < 1.5 * anchors.strides[:, None]).all(1)
    boxes[corner] = gt
    rows = torch.zeros(1, 5, 5)
    rows[0, 0, 1:] = gt
    classes, objectness = torch.zeros(len(boxes), 2), torch.zeros(len(boxes), 1)
    alone = simota(
        boxes,
        classes,
        objectness,
        anchors.points,
        anchors.strides,
        gt[None],
        torch.zeros(1, dtype=torch.int64),
    )
    predictions = Predictions(boxes[None], objectness.T, classes[None])
    found = simota_batch(predictions, anchors, Targets.from_padded(rows))
    assert alone.fg_mask.sum() == 1
    assert torch.equal(found.foreground(len(boxes))[0], alone.fg_mask)


def test_no_ground_truth() -> None:
    boxes, classes, objectness, gt_boxes, gt_classes = draw_case("usual", 0)
    anchors = anchor_points(SIZE, STRIDES)
    nothing = (gt_boxes[:0], gt_classes[:0])
    found = simota(boxes, classes, objectness, anchors.points, anchors.strides, *nothing)
    assert not found.fg_mask.any()
    assert found.fg_mask.shape == (len(boxes),)
    assert found.matched_gt.shape == found.matched_iou.shape == (0,)
    assert found.matched_gt.dtype == torch.int64


def test_ground_truth_that_no_anchor_point_is_near() -> None:
    boxes, classes, objectness, *_ = draw_case("usual", 0)
    anchors = anchor_points(SIZE, STRIDES)
    far = torch.tensor([[1e4, 1e4, 10.0, 10.0]])
    inputs = (boxes, classes, objectness, anchors.points, anchors.strides, far, torch.tensor([0]))
    assert not simota(*inputs).fg_mask.any()
    rows = torch.tensor([[[0.0, 1e4, 1e4, 10.0, 10.0]]])
    predictions = Predictions(boxes[None], objectness.squeeze(1)[None], classes[None])
    assert not simota_batch(predictions, anchors, Targets.from_padded(rows)).positive.any()


def test_overflowing_predictions_elsewhere_change_nothing() -> None:
    boxes, classes, objectness, gt_boxes, gt_classes = draw_case("usual", 1)
    anchors = anchor_points(SIZE, STRIDES)
    rest = (classes, objectness, anchors.points, anchors.strides, gt_boxes, gt_classes)
    expected = simota(boxes, *rest)
    candidate, _ = naive_regions(anchors.points, anchors.strides, gt_boxes, "2025")
    broken = boxes.clone()
    broken[~candidate] = float("inf")
    found = simota(broken, *rest)
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    boxes, classes, objectness, gt_boxes, gt_classes = draw_case("usual", 2)
    anchors = anchor_points(SIZE, STRIDES)
    rest = (anchors.points, anchors.strides, gt_boxes, gt_classes)
    low = (classes.to(dtype), objectness.to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = simota(boxes, *low, *rest)
    expected = simota(boxes, *(part.float() for part in low), *rest)
    assert found.matched_iou.dtype == torch.float32
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))


def test_grid_shortcut_is_only_a_shortcut() -> None:
    boxes, classes, objectness, gt_boxes, gt_classes = draw_case("crowd", 3)
    anchors = anchor_points(SIZE, STRIDES)
    predictions = Predictions(boxes[None], objectness.squeeze(1)[None], classes[None])
    targets = Targets(gt_boxes[None], gt_classes[None], torch.ones(1, len(gt_boxes), dtype=torch.bool))
    for radius in (0.4, 1.5, 2.0, 3.7):
        quick = simota_batch(predictions, anchors, targets, center_radius=radius)
        full = simota_batch(predictions, replace(anchors, levels=()), targets, center_radius=radius)
        used, wanted = quick.positive, full.positive
        assert torch.equal(quick.index[used], full.index[wanted])
        assert torch.equal(quick.gt[used], full.gt[wanted])


@pytest.mark.parametrize(
    ("options", "message"), [({"rules": "old"}, "2025, release"), ({"center_radius": 0}, "radius")]
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    boxes, classes, objectness, gt_boxes, gt_classes = draw_case("one", 0)
    anchors = anchor_points(SIZE, STRIDES)
    with pytest.raises(UsageError, match=message):
        simota(boxes, classes, objectness, anchors.points, anchors.strides, gt_boxes, gt_classes, **options)


def test_compact_keeps_order_and_drops_what_does_not_fit() -> None:
    mask = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], dtype=torch.bool)
    index, used = compact(mask, 2)
    assert index.tolist() == [[1, 3], [0, 0], [0, 4]]
    assert used.tolist() == [[True, True], [False, False], [True, True]]
    index, used = compact(mask, 4)
    assert index.tolist() == [[1, 3, 4], [0, 0, 0], [0, 4, 0]]
    assert used.tolist() == [[True, True, True], [False, False, False], [True, True, False]]
    assert compact(mask.to("meta"), 4)[0].shape == (3, 4)
    assert compact(torch.zeros(2, 5).bool(), 4)[0].tolist() == [[0], [0]]


def test_trim_padding() -> None:
    rows = torch.zeros(2, 6, 5)
    assert trim_padding(rows).shape == (2, 0, 5)
    rows[0, 0], rows[1, 2] = 1.0, 1.0
    assert torch.equal(trim_padding(rows), rows[:, :3])


def test_anchor_points_and_box_code() -> None:
    anchors = anchor_points((64, 96), STRIDES)
    assert [(level.height, level.width) for level in anchors.levels] == [(8, 12), (4, 6), (2, 3)]
    assert anchors.points[[0, 1, 12, 96, 125]].tolist() == [[4, 4], [12, 4], [4, 12], [8, 8], [80, 48]]
    boxes = torch.tensor([[50.0, 20.0, 30.0, 8.0]])
    code = encode_boxes(boxes, anchors.points[1:2], anchors.strides[1:2])
    torch.testing.assert_close(code, torch.tensor([[5.25, 2.5, math.log(3.75), 0.0]]), rtol=0, atol=1e-6)
    decoded = decode_boxes(code, anchors.points[1:2], anchors.strides[1:2])
    torch.testing.assert_close(decoded, boxes)
