"""Generated scenes: reproducible, exact boxes and masks, objects never hidden, a valid COCO data set."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import Told
from yolox_deploy.cli.data import scenes_command
from yolox_deploy.errors import UsageError
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.synthetic.canvas import (
    MIN_VISIBLE,
    OPAQUE,
    Canvas,
    Mask,
    Pose,
    draw_mask,
    mask_to_rings,
    paint,
)
from yolox_deploy.synthetic.objects import SKETCHES
from yolox_deploy.synthetic.scenes import CLASS_NAMES, Scene, draw_scene
from yolox_deploy.types import Report

SIZE = (96, 128)


def scene(*seed: int, size: tuple[int, int] = SIZE) -> Scene:
    return draw_scene(np.random.default_rng(seed), size)


def paste_white(name: str, canvas: Canvas, pose: Pose, seed: int = 0) -> Mask:
    """Paste an all-white object of a class on the canvas, by the code that scenes are drawn with."""
    rng = np.random.default_rng(seed)
    sketch = replace(SKETCHES[name](rng), parts=(), colour=(255, 255, 255), edge=(255, 255, 255))
    mask = draw_mask(sketch, pose)
    canvas.paste(mask, paint(sketch, pose, mask, rng))
    return mask


def black(height: int = 200, width: int = 240) -> Canvas:
    return Canvas(np.zeros((height, width, 3), np.uint8))


def bounds(visible: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("name", CLASS_NAMES)
@pytest.mark.parametrize("centre", [(120.3, 100.7), (20.0, 190.0)], ids=["inside", "at the corner"])
def test_the_mask_is_what_one_sees(name: str, centre: tuple[float, float]) -> None:
    canvas = black()
    paste_white(name, canvas, Pose(np.array([(70.0, -30.0), (30.0, 70.0)]), centre))
    seen, owned = canvas.image.max(2), canvas.owner == 1
    assert seen[owned].min() > 50  # half covered at least, under the dimmest light
    assert np.abs(np.subtract(bounds(seen > 0), bounds(owned))).max() <= 2  # the antialiased rim


def test_a_ball_covers_the_pixels_that_geometry_says() -> None:
    canvas = black()
    paste_white("ball", canvas, Pose(100 * np.eye(2), (120, 100)))
    assert np.abs(np.subtract(bounds(canvas.owner == 1), (70, 50, 170, 150))).max() <= 1


def test_objects_are_as_large_as_asked_for() -> None:
    large = [
        draw_scene(np.random.default_rng(i), SIZE, max_objects=2, size_range=(0.3, 0.6)) for i in range(8)
    ]
    sides = np.concatenate([(drawn.boxes[:, 2:] - drawn.boxes[:, :2]).min(axis=1) for drawn in large])
    assert np.median(sides) > 0.25 * min(SIZE)
    assert np.median(sides) > 1.5 * np.median(
        np.concatenate(
            [(drawn.boxes[:, 2:] - drawn.boxes[:, :2]).min(axis=1) for drawn in map(scene, range(8))]
        )
    )
    for wrong in ((0.0, 0.5), (0.6, 0.3), (0.5, 0.9)):
        with pytest.raises(UsageError, match=r"at most 0\.85"):
            draw_scene(np.random.default_rng(0), SIZE, size_range=wrong)


def test_boxes_end_where_the_polygons_end() -> None:
    apart = []
    for index in range(20):
        drawn = scene(6, index)
        for box, rings in zip(drawn.boxes, drawn.polygons, strict=True):
            points = np.vstack(rings)
            apart.append(box - np.concatenate((points.min(0), points.max(0) + 1)))
    assert len(apart) > 40
    assert np.abs(np.mean(apart, axis=0)).max() < 0.25  # simplified rings may end a pixel early


def test_what_covers_an_object_is_not_in_its_mask() -> None:
    canvas = black()
    paste_white("ball", canvas, Pose(100 * np.eye(2), (120, 100)))
    cover = Mask((60, 40), np.full((120, 40), 255, np.uint8))
    canvas.paste(cover, np.zeros((120, 40, 3), np.uint8), labelled=False)
    assert np.abs(np.subtract(bounds(canvas.image.max(2) > 0), bounds(canvas.owner == 1))).max() <= 1
    assert bounds(canvas.owner == 1)[0] == 100


@pytest.mark.parametrize("index", range(30))
def test_boxes_polygons_and_areas_agree(index: int) -> None:
    drawn = scene(5, index, size=(240, 320))
    count = len(drawn.boxes)
    assert drawn.image.shape == (240, 320, 3)
    assert drawn.image.dtype == np.uint8
    assert (drawn.boxes.dtype, drawn.classes.dtype) == (np.float32, np.int64)
    assert len(drawn.classes) == len(drawn.polygons) == len(drawn.areas) == count <= 8
    assert (drawn.boxes[:, :2] >= 0).all()
    assert (drawn.boxes[:, 2:] <= (320, 240)).all()
    for box, rings, area in zip(drawn.boxes, drawn.polygons, drawn.areas, strict=True):
        filled = np.zeros((240, 320), np.uint8)
        for ring in rings:
            cv2.fillPoly(filled, [ring.astype(np.int32)], 1)
        assert abs(int(filled.sum()) - int(area)) <= 0.05 * area + 8  # simplified, and cuts to holes
        assert np.abs(bounds(filled) - box).max() <= 1


def test_a_hole_stays_empty() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[5:50, 10:55] = 1
    mask[12:20, 15:30] = 0
    mask[30:45, 25:50] = 0
    mask[57, 3] = 1
    rings = mask_to_rings(mask)
    filled = np.zeros_like(mask)
    for ring in rings:
        cv2.fillPoly(filled, [ring.astype(np.int32)], 1)
    assert len(rings) == 2
    assert (filled != mask).sum() <= 25  # the two cuts


def test_an_object_is_never_hidden_beyond_the_rule() -> None:
    rng = np.random.default_rng(2)
    canvas, whole, refused = black(), [], 0
    for number in range(60):
        centre = tuple(rng.uniform((0, 0), (240, 200)))
        sketch = SKETCHES[CLASS_NAMES[number % len(CLASS_NAMES)]](rng)
        pose = Pose(rng.uniform(30, 90) * np.eye(2), centre)
        mask = draw_mask(sketch, pose)
        if not canvas.fits(mask):
            refused += 1
            continue
        canvas.paste(mask, paint(sketch, pose, mask, rng))
        whole.append(int((mask.alpha >= OPAQUE).sum()))
        visible = np.bincount(canvas.owner.ravel(), minlength=len(whole) + 1)[1:]
        assert (visible >= MIN_VISIBLE * np.array(whole)).all()
    assert len(whole) > 5
    assert refused > 5


def test_a_distractor_may_not_hide_an_object() -> None:
    canvas = black()
    ball = paste_white("ball", canvas, Pose(100 * np.eye(2), (120, 100)))
    assert not canvas.fits(ball, labelled=False)
    assert canvas.fits(Mask((60, 40), np.full((120, 40), 255, np.uint8)), labelled=False)
    assert not canvas.fits(Mask((60, 40), np.full((120, 40), 255, np.uint8)), may_overlap=False)


def test_the_seed_decides() -> None:
    first, again = scene(0, 0, 1), scene(0, 0, 1)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    for other in (scene(1, 0, 1), scene(0, 1, 1), scene(0, 0, 2)):
        assert not np.array_equal(first.image, other.image)


def test_all_classes_appear_and_some_pictures_are_empty() -> None:
    scenes = [scene(3, index) for index in range(150)]
    assert set(np.concatenate([one.classes for one in scenes]).tolist()) == set(range(len(CLASS_NAMES)))
    assert 1 <= sum(len(one.boxes) == 0 for one in scenes) <= 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set."""
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", train=6, val=4, seed=7, size=SIZE)


@pytest.mark.parametrize(("split", "count"), [("train", 6), ("val", 4)])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
def test_pycocotools_reads_it_and_scores_it_perfect(folder: Path, split: str, count: int) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(folder / "annotations" / f"instances_{split}.json"))
        rows = [{**row, "score": 1.0} for row in truth.loadAnns(truth.getAnnIds())]
        keys = ("image_id", "category_id", "bbox", "score")
        found = truth.loadRes([{key: row[key] for key in keys} for row in rows])
        evaluation = cocoeval.COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    assert len(truth.imgs) == count
    assert [item["name"] for item in truth.loadCats(truth.getCatIds())] == list(CLASS_NAMES)
    for row in rows:
        assert truth.annToMask(row).sum() > 0
    for image in truth.imgs.values():
        assert cv2.imread(str(folder / split / image["file_name"])).shape == (*SIZE, 3)


def test_the_files_hold_the_scenes_of_their_seed_and_split(folder: Path) -> None:
    for number, (split, name) in ((2, (0, "train")), (3, (1, "val"))):
        content = json.loads((folder / "annotations" / f"instances_{name}.json").read_text())
        boxes = [row["bbox"] for row in content["annotations"] if row["image_id"] == number]
        expected = scene(7, split, number)
        np.testing.assert_allclose(np.reshape(boxes, (-1, 4))[:, :2], expected.boxes[:, :2])
        picture = cv2.imread(str(folder / name / f"{number:06d}.jpg"))
        assert np.abs(picture.astype(int) - expected.image).mean() < 12


def test_a_larger_data_set_begins_with_the_smaller_one(folder: Path, tmp_path: Path) -> None:
    larger = write_scenes(tmp_path / "larger", train=8, val=1, seed=7, size=SIZE)
    for name in sorted(path.name for path in (folder / "train").iterdir()):
        assert (larger / "train" / name).read_bytes() == (folder / "train" / name).read_bytes()


def test_a_folder_with_files_is_refused(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(UsageError, match="is not empty"):
        write_scenes(folder, train=1, val=1)
    assert sorted(folder.rglob("*")) == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_scenes(tmp_path / "data", train=1, val=1, size=SIZE)
    (tmp_path / "empty").mkdir()
    write_scenes(tmp_path / "empty", train=1, val=1, size=SIZE)
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == ["annotations", "train", "val"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "empty"]


def test_nothing_is_left_after_an_interruption(tmp_path: Path) -> None:
    class Interrupting(Report):
        def advance(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "data", train=3, val=1, size=SIZE, report=Interrupting())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"train": 0}, {"val": 0}, {"seed": -1}, {"size": (480, 32)}], ids=str)
def test_numbers_that_cannot_work_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        write_scenes(tmp_path / "data", **{"train": 1, "val": 1, "size": SIZE, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(scenes_command)
    target = tmp_path / "data"
    result = CliRunner().invoke(app, [str(target), "--train", "2", "--val", "1", "--size", "96x128"])
    assert result.exit_code == 0, result.output
    assert f"yolox-deploy train --model yolox_nano --data {target}" in result.output
    assert len(list((target / "train").iterdir())) == 2


def test_every_picture_is_told(tmp_path: Path) -> None:
    told = Told()
    write_scenes(tmp_path / "data", train=3, val=2, size=SIZE, report=told)
    assert told.counts == [
        *(("drawing train", done, 3) for done in (1, 2, 3)),
        *(("drawing val", done, 2) for done in (1, 2)),
    ]
