"""What `evaluate` says: of hand-made cases whose answer is known, and of a real model against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.conftest import NAMES, Canned, MakeData
from yolox_deploy import Detector
from yolox_deploy.data import DetectionDataset
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.evaluation import EvaluationReport, coco_ap, evaluate
from yolox_deploy.evaluation.coco import annotations_of

A, B, C = (10, 10, 40, 40), (80, 10, 40, 40), (10, 90, 60, 60)
FAR = (150, 110, 40, 40)
BESIDE = (10, 30, 40, 40)
"""Overlaps A by a third."""


def matrix(report: EvaluationReport) -> list[list[int]]:
    found: list[list[int]] = report.confusion.matrix.tolist()
    return found


def test_confusions_of_every_kind(make_data: MakeData) -> None:
    things = {
        "one.png": [("cat", A), ("dog", B), ("cow", C)],
        "two.png": [("cat", A), ("dog", (0, 0, 200, 160), "crowd")],
    }
    answers = {
        "one.png": [
            ("cat", 0.9, A),
            ("cat", 0.6, (11, 11, 40, 40)),  # a second box
            ("cat", 0.8, B),  # is a dog
            ("cow", 0.7, FAR),  # nothing there
        ],
        "two.png": [
            ("dog", 0.9, FAR),  # one of the crowd: does not count
            ("dog", 0.85, A),  # lies in the crowd too, so COCO ignores it, though it is a cat
            ("cat", 0.65, BESIDE),  # badly placed
            ("cow", 0.64, (10, 32, 40, 40)),  # badly placed, and no cow
        ],
    }
    report = evaluate(Canned(answers), make_data(things), threshold=0.5)
    assert matrix(report) == [
        [1, 0, 0, 1],  # one cat found, one missed
        [1, 0, 0, 0],  # the dog is taken for a cat
        [0, 0, 0, 1],  # the cow is missed
        [2, 0, 2, 0],  # boxes that took no object
    ]
    assert report.kinds == {"class": 1, "duplicate": 1, "place": 1, "class and place": 1, "background": 1}
    assert report.confusion.pairs() == [("dog", "cat", 1)]
    assert (report.confusion.names, report.confusion.conf, report.confusion.iou) == (
        ("cat", "dog", "cow"),
        0.5,
        0.5,
    )
    assert (report.data.pictures, report.data.objects, report.data.ignored) == (2, 4, 1)
    assert [(size.name, size.objects, size.found) for size in report.sizes] == [
        ("small", 0, 0),
        ("medium", 4, 1),
        ("large", 0, 0),
    ]


def test_only_what_reaches_the_threshold_counts(make_data: MakeData) -> None:
    answers = {"one.png": [("cat", 0.5, A), ("cat", 0.49, B)]}
    data = make_data({"one.png": [("cat", A), ("cat", B)]})
    assert matrix(evaluate(Canned(answers), data, threshold=0.5))[0] == [1, 0, 0, 1]
    assert matrix(evaluate(Canned(answers), data, threshold=0.4))[0] == [2, 0, 0, 0]


def test_an_object_goes_to_its_own_class_before_a_better_score_of_another(make_data: MakeData) -> None:
    """As in COCO's evaluation: the dog's box does not take the cat away from the cat's."""
    answers = {"one.png": [("dog", 0.9, A), ("cat", 0.5, A)]}
    report = evaluate(Canned(answers), make_data({"one.png": [("cat", A)]}), threshold=0.1)
    assert matrix(report)[0] == [1, 0, 0, 0]
    assert matrix(report)[3] == [0, 1, 0, 0]
    assert report.kinds["class"] == 1


def test_the_best_threshold_and_its_figures(make_data: MakeData) -> None:
    """Of four cats: right, wrong, right, wrong by falling score. F1: 2/5, 2/6, 4/7, 4/8."""
    boxes = [(5 + 45 * i, 5, 30, 30) for i in range(4)]
    answers = [
        ("cat", 0.9, boxes[0]),
        ("cat", 0.8, FAR),
        ("cat", 0.7, boxes[1]),
        ("cat", 0.6, (10, 90, 40, 40)),
    ]
    data = make_data({"one.png": [("cat", box) for box in boxes]})
    report = evaluate(Canned({"one.png": answers}), data)
    best = report.curves.overall.best
    assert best is not None
    assert 0.6 < best.threshold <= 0.7
    assert (best.precision, best.recall, best.f1) == pytest.approx((2 / 3, 2 / 4, 4 / 7))
    assert report.threshold == best.threshold
    cat, dog, _ = report.per_class
    assert (cat.precision, cat.recall, cat.f1, cat.threshold) == (
        best.precision,
        best.recall,
        best.f1,
        best.threshold,
    )
    assert (dog.objects, dog.AP, dog.AP50, dog.precision, dog.threshold) == (0, -1, -1, None, None)
    curve = report.curves.overall
    at = {threshold: index for index, threshold in enumerate(report.curves.thresholds.round(2).tolist())}
    assert curve.recall[[at[0.0], at[0.65], at[0.75], at[0.95]]] == pytest.approx([0.5, 0.5, 0.25, 0])
    assert curve.precision[[at[0.0], at[0.65], at[0.75]]] == pytest.approx([0.5, 2 / 3, 0.5])
    assert math.isnan(curve.precision[at[0.95]]), "no detection is left"
    assert curve.f1[at[0.95]] == 0


def test_equal_scores_are_cut_together(make_data: MakeData) -> None:
    """Of two boxes with one score no threshold keeps the right one alone."""
    answers = {"one.png": [("cat", 0.5, A), ("cat", 0.5, FAR)]}
    report = evaluate(Canned(answers), make_data({"one.png": [("cat", A)]}))
    best = report.curves.overall.best
    assert best is not None
    assert (best.precision, best.recall, best.threshold) == (0.5, 1, 0.5)


def test_scores_that_mean_what_they_say_are_calibrated(make_data: MakeData) -> None:
    """Ten boxes of score 0.8, of which eight are right; ten of 0.25, of which none is."""
    places = [(x, y, 15, 15) for y in (5, 30, 55, 80) for x in (5, 25, 45, 65, 85)]
    answers = [("cat", 0.8, place) for place in places[:10]] + [("cat", 0.25, place) for place in places[10:]]
    data = make_data({"one.png": [("cat", place) for place in places[:8]]})
    found = evaluate(Canned({"one.png": answers}), data).calibration
    assert found.counts.tolist() == [0, 0, 10, 0, 0, 0, 0, 0, 10, 0]
    assert found.precision[[2, 8]] == pytest.approx([0, 0.8])
    assert found.scores[[2, 8]] == pytest.approx([0.25, 0.8])
    assert found.error == pytest.approx(0.25 / 2)
    assert np.isnan(found.precision[[0, 5]]).all()


def test_the_worst_pictures_come_first_with_their_mistakes(make_data: MakeData) -> None:
    things = {
        "good.png": [("cat", A)],
        "bad.png": [("cat", A), ("dog", B)],
        "worst.png": [("cat", A), ("dog", B), ("cow", C)],
        "as bad.png": [("cat", A), ("cow", C)],
    }
    answers = {"good.png": [("cat", 0.9, A)], "bad.png": [("cat", 0.8, B)], "worst.png": [("cow", 0.7, FAR)]}
    data = make_data(things)
    report = evaluate(Canned(answers), data, threshold=0.5)
    assert [(one.name, len(one.missed), len(one.wrong), len(one.right)) for one in report.worst] == [
        ("worst.png", 3, 1, 0),
        ("bad.png", 2, 1, 0),
        ("as bad.png", 2, 0, 0),
    ]
    bad = report.worst[1]
    assert [(one.class_name, one.note) for one in bad.missed] == [("cat", ""), ("dog", "found as cat")]
    assert [(one.class_name, round(one.score or 0, 2), one.note) for one in bad.wrong] == [
        ("cat", 0.8, "is a dog")
    ]
    assert bad.wrong[0].box == (80, 10, 120, 50)
    assert report.worst[0].wrong[0].note == "nothing there"
    assert len(evaluate(Canned(answers), data, worst=1).worst) == 1


def test_what_stands_out_has_its_numbers(make_data: MakeData) -> None:
    small = [(5 + 18 * i, 5 + 20 * j, 12, 12) for i in range(10) for j in range(2)]
    large = [(5, 50, 100, 100)]
    things = {f"{i}.png": [*(("cat", box) for box in small), ("cat", large[0])] for i in range(10)}
    answers = {f"{i}.png": [("cat", 0.9, large[0]), ("cat", 0.9, small[0])] for i in range(10)}
    report = evaluate(Canned(answers), make_data(things))
    first = report.findings[0]
    assert (
        first.text
        == "Small objects are missed most: 10 of 200 are found (5%), of the large ones 10 of 10 (100%)."
    )
    assert "--imgsz" in first.advice
    assert len(report.findings) <= 5


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[EvaluationReport, DetectionDataset, dict[str, float], list[dict[str, Any]]]:
    """YOLOX-Nano on 79 photographs: the report, the data, the figures of `coco_ap` and the result rows."""
    from yolox_deploy.data.coco_format import read_coco

    folder = shared / "real" / "coco_mini"
    data = read_coco(folder / "instances.json", folder / "images")
    rows: list[dict[str, Any]] = []
    with Detector(shared / "real" / "yolox_nano_official.onnx") as detector:
        report = evaluate(detector, data)
        annotated = annotations_of(data, detector.class_names)
        for image_id, path in annotated.images:
            found = detector.predict(path, conf=0.01, iou=0.65, max_detections=None)
            rows += found.to_coco(image_id, annotated.category_ids)
        figures = coco_ap(
            _Again(rows, annotated, detector.class_names), folder / "images", folder / "instances.json"
        )
    return report, data, figures, rows


class _Again:
    """Answers from result rows, so that nothing is computed twice."""

    def __init__(self, rows: list[dict[str, Any]], annotated: Any, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self._ids = {path: image_id for image_id, path in annotated.images}
        self._rows = rows

    def predict(self, image: Path, **_: Any) -> Any:
        mine = [row for row in self._rows if row["image_id"] == self._ids[image]]
        return _Rows(mine)


class _Rows:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def to_coco(self, *_: Any) -> list[dict[str, Any]]:
        return self._rows


def test_figures_are_those_of_coco_ap_to_the_bit(real: Any) -> None:
    report, _, figures, _ = real
    assert report.figures == figures
    assert (report.about["backend"], report.about["precision"]) == ("onnxruntime", "fp32")


def test_ap_by_class_is_that_of_pycocotools(real: Any, shared: Path) -> None:
    tools = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    report, _, _, rows = real
    with contextlib.redirect_stdout(io.StringIO()):
        truth = tools.COCO(str(shared / "real" / "coco_mini" / "instances.json"))
        run = cocoeval.COCOeval(truth, truth.loadRes([dict(row) for row in rows]), "bbox")
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, -1]
    for index, row in enumerate(report.per_class):
        assert row.name == truth.cats[run.params.catIds[index]]["name"]
        found = [row.AP, row.AP50]
        assert found == pytest.approx(
            [precision[:, :, index].mean(), precision[0, :, index].mean()], abs=1e-12
        )
    np.testing.assert_allclose(report.curves.precision, precision[0].T, atol=1e-12)


def test_the_parts_of_a_report_agree(real: Any) -> None:
    report, _, _, rows = real
    overall = report.curves.overall
    assert overall.objects == report.data.objects == sum(size.objects for size in report.sizes)
    assert report.confusion.matrix[:-1].sum() == report.data.objects
    assert np.trace(report.confusion.matrix) == round(overall.best.recall * overall.objects)
    assert np.trace(report.confusion.matrix) == sum(size.found for size in report.sizes)
    assert report.calibration.counts.sum() <= len(rows)
    assert report.curves.mean_precision.mean() == pytest.approx(report.figures["AP50"])


def test_the_same_detections_are_right_as_in_pycocotools(make_data: MakeData) -> None:
    """Boxes by chance, many over each other, with crowds: how many of a class are right, wrong and ignored."""
    tools = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    chance = np.random.default_rng(3)

    def box() -> tuple[float, ...]:
        return tuple(float(value) for value in (*chance.integers(0, 90, 2), *chance.integers(20, 70, 2)))

    def objects() -> list[Any]:
        marks = [("crowd",) if chance.random() < 0.2 else () for _ in range(8)]
        return [(str(chance.choice(NAMES)), box(), *mark) for mark in marks]

    things = {f"{i}.png": objects() for i in range(12)}
    answers = {
        picture: [(str(chance.choice(NAMES)), round(float(chance.random()), 2), box()) for _ in range(60)]
        for picture in things
    }
    data, model = make_data(things), Canned(answers)
    report = evaluate(model, data)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = tools.COCO()
        truth.dataset = data.to_coco()
        truth.createIndex()
        rows = [
            row
            for number in range(len(data))
            for row in model.predict(data.path(number)).to_coco(number + 1, data.category_ids)
        ]
        run = cocoeval.COCOeval(truth, truth.loadRes(rows), "bbox")
        run.params.iouThrs, run.params.areaRng = np.array([0.5]), run.params.areaRng[:1]
        run.evaluate()
    for category, curve in zip(data.category_ids, report.curves.classes, strict=True):
        images = [one for one in run.evalImgs if one and one["category_id"] == category]
        ignored = sum(int(one["dtIgnore"].sum()) for one in images)
        right = sum(int(((one["dtMatches"] > 0) & ~one["dtIgnore"]).sum()) for one in images)
        counted = sum(len(one["dtIds"]) for one in images) - ignored
        assert ignored
        assert right
        assert curve.recall[0] == pytest.approx(right / curve.objects)
        assert curve.precision[0] == pytest.approx(right / counted)


def test_the_real_model_is_told_what_it_gets_wrong(real: Any) -> None:
    report = real[0]
    small, _, large = report.sizes
    assert report.findings[0].text.startswith(
        f"Small objects are missed most: {small.found} of {small.objects}"
    )
    assert small.recall < 0.2 < 0.6 < large.recall


@pytest.mark.parametrize(("pictures", "is_few"), [(11, True), (60, False)])
def test_few_objects_are_said_to_be_few(make_data: MakeData, pictures: int, is_few: bool) -> None:
    """Of eleven objects nobody should choose a threshold without knowing it."""
    data = make_data({f"{i}.png": [("cat", A)] for i in range(pictures)})
    report = evaluate(Canned({f"{i}.png": [("cat", 0.9, A)] for i in range(5)}), data)
    told = f"Evaluated objects are only {pictures}: one of them is {1 / pictures:.1%} of recall."
    assert (told in [one.text for one in report.findings[:1]]) is is_few


def test_a_model_that_finds_nothing(make_data: MakeData) -> None:
    report = evaluate(Canned({}), make_data({"one.png": [("cat", A)]}))
    assert (report.figures["AP"], report.threshold, report.curves.overall.best) == (0, 0.25, None)
    assert [one.text for one in report.findings] == [
        "Nothing right was found, at any score (objects in the data set: 1)."
    ]
    assert math.isnan(report.calibration.error)


def test_a_data_set_without_objects(make_data: MakeData) -> None:
    report = evaluate(Canned({"one.png": [("cat", 0.9, A)]}), make_data({"one.png": []}))
    assert set(report.figures.values()) == {-1}
    assert report.findings[0].text.endswith("detections count as wrong (1 with a score of 0.25 or more).")
    assert report.kinds["background"] == 1


def test_one_class_and_those_that_the_model_lacks(make_data: MakeData) -> None:
    data = make_data({"one.png": [("dog", A), ("cat", B)]})
    with pytest.warns(UserWarning, match="classes|categories"):
        report = evaluate(Canned({"one.png": [("dog", 0.9, A)]}, class_names=("dog",)), data)
    assert [row.name for row in report.per_class] == ["dog"]
    assert report.figures["AP"] == pytest.approx(1)
    assert report.data.objects == 1


def test_data_may_be_a_folder_a_yaml_or_a_file_with_pictures(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data({"one.png": [("cat", A)]})
    model = Canned({"one.png": [("cat", 0.9, A)]})
    folder = tmp_path / "data"
    json_file = folder / "annotations" / "instances_val.json"
    for source, more in (
        (data, {}),
        (folder, {}),
        (str(folder), {}),
        (json_file, {"images": folder / "val"}),
    ):
        assert evaluate(model, source, **more).figures["AP"] == pytest.approx(1)
    with pytest.raises(UsageError, match=r"name their folder with images="):
        evaluate(model, json_file)
    with pytest.raises(UsageError, match="a data set knows its own"):
        evaluate(model, folder, images=folder / "val")
    with pytest.raises(InputError):
        evaluate(model, folder, split="train")


@pytest.mark.parametrize(
    "options", [{"match_iou": 0.05}, {"match_iou": 1.5}, {"threshold": -0.1}, {"worst": -1}]
)
def test_arguments_out_of_range_are_refused(make_data: MakeData, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} is .*expected"):
        evaluate(Canned({}), make_data({"one.png": []}), **options)


def test_a_report_is_written_as_plain_json(make_data: MakeData) -> None:
    report = evaluate(
        Canned({"one.png": [("cat", 0.9, A)]}), make_data({"one.png": [("cat", A), ("dog", B)]})
    )
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["AP"] == report.figures["AP"]
    assert read["curves"]["overall"]["precision"][-1] is None
    assert [row["name"] for row in read["per_class"]] == ["cat", "dog", "cow"]
