"""Files of other tools, rebuilt from files that are right: each gives the same boxes, or is refused with a word."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign.variants import FURTHER, LAYOUTS, REFUSED, rebuild
from yolox_deploy import Detector, inspect
from yolox_deploy.detections import Detections
from yolox_deploy.errors import ArtifactError
from yolox_deploy.evaluation import coco_ap
from yolox_deploy.foreign.stem import UNCERTAIN_WEIGHT, stem_weight
from yolox_deploy.matching import Boxes, match
from yolox_deploy.trials import Trial, choose
from yolox_deploy.types import LEGACY_STEM_WEIGHT, InputConvention

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"
SILENT = "opens without a word"
RIGHT = ("raw", "decoded", "nhwc_uint8", "emptied")
"""Layouts that the authors' exporter and ours write, and one that differs from them in no convention."""


@pytest.fixture(scope="session")
def rebuilt(nano_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Rebuilds the packaged model in a layout, once a session, and returns the file."""
    folder = tmp_path_factory.mktemp("layouts")

    def build(layout: str) -> Path:
        path = folder / f"{layout}.onnx"
        return path if path.is_file() else rebuild(layout, nano_onnx, path)

    return build


def opened(path: Path, **options: Any) -> tuple[Detector, str]:
    """A detector, and what was said when it was opened."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        detector = Detector(path, threads=1, **options)
    assert [str(item.message).startswith(f"{path}: ") for item in told] == [True] * len(told)
    assert len(told) == len(detector.info.notes)
    return detector, "; ".join(detector.info.notes).partition("recognised: ")[2] or SILENT


def same(found: Detections, expected: Detections, *, iou: float = 0.98, share: float = 1.0) -> bool:
    """Whether both found the same objects."""
    sides = [Boxes(side.boxes, side.scores, side.class_ids) for side in (found, expected)]
    matched = match(*sides, iou)[0]
    return len(found) > 0 and len(matched) >= share * max(len(found), len(expected))


@pytest.fixture(scope="session")
def expected(rebuilt: Any, scene_pictures: list[Path]) -> list[Detections]:
    with Detector(rebuilt("raw"), threads=1) as detector:
        return detector.predict_batch(scene_pictures[:3])


@pytest.mark.parametrize("layout", LAYOUTS | FURTHER)
def test_each_layout_gives_the_same_boxes_and_says_what_it_is(
    rebuilt: Any, scene_pictures: list[Path], expected: list[Detections], layout: str
) -> None:
    detector, said = opened(rebuilt(layout))
    with detector:
        found = detector.predict_batch(scene_pictures[:3])
    # Around the picture the rewritten first convolution sees ImageNet's mean for black.
    limits = {"iou": 0.9, "share": 0.8} if layout == "legacy" else {}
    assert all(same(*pair, **limits) for pair in zip(found, expected, strict=True))
    assert (said == SILENT) == (layout in RIGHT)


@pytest.mark.parametrize("layout", ["corners", "logits", "multiplied", "deepstream", "pinto", "nhwc"])
def test_a_legacy_file_in_another_layout(
    nano_onnx: Path, tmp_path: Path, scene_pictures: list[Path], expected: list[Detections], layout: str
) -> None:
    detector, said = opened(rebuild(layout, nano_onnx, tmp_path / "both.onnx", normalised=True))
    with detector:
        assert same(detector.predict(scene_pictures[0]), expected[0], iou=0.9, share=0.8)
    assert "normalised pixels" in said
    assert "; " in said


@pytest.mark.parametrize(
    "layout",
    ["raw", "multiplied", "boxes_and_scores", "three_levels", "deepstream", "pinto", "levels_channels_last"],
)
def test_a_batch_of_two_is_told_apart(
    nano_onnx: Path, tmp_path: Path, scene_pictures: list[Path], expected: list[Detections], layout: str
) -> None:
    detector, _ = opened(rebuild(layout, nano_onnx, tmp_path / "two.onnx", batch=2))
    with detector:
        found = detector.predict_batch(scene_pictures[:3])
    assert all(same(*pair) for pair in zip(found, expected, strict=True))


def test_a_file_that_answers_for_fewer_pictures_than_it_takes(
    nano_onnx: Path, tmp_path: Path, scene_pictures: list[Path]
) -> None:
    """Its rows are of one picture, whatever it is given."""
    detector, _ = opened(rebuild("mmdeploy", nano_onnx, tmp_path / "two.onnx", batch=2))
    with detector, pytest.raises(ArtifactError, match="answers for 1 of 2 pictures"):
        detector.predict_batch(scene_pictures[:2])


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize(
    "layout", ["decoded", "multiplied", "boxes_and_scores", "boxes_and_all_scores", "deepstream", "nine_maps"]
)
def test_few_classes(
    nano_onnx: Path, tmp_path: Path, scene_pictures: list[Path], layout: str, classes: int
) -> None:
    """One class has no second column, two make six columns as finished rows have, and four are as wide as a box."""
    paths = [rebuild(name, nano_onnx, tmp_path / f"{name}.onnx", classes=classes) for name in {"raw", layout}]
    found = []
    for path in paths:
        detector, _ = opened(path)
        with detector:
            found.append(detector.predict_batch(scene_pictures[:4]))
    pairs = [pair for pair in zip(*found, strict=True) if len(pair[0]) or len(pair[1])]
    assert pairs
    assert all(same(*pair) for pair in pairs)


@pytest.mark.parametrize("layout", REFUSED)
def test_what_cannot_be_right_is_refused_with_a_way_on(rebuilt: Any, layout: str) -> None:
    with pytest.raises(
        ArtifactError, match=r"yolox-deploy inspect .*--images DIR|export it in fp32"
    ) as caught:
        Detector(rebuilt(layout), threads=1)
    assert "None" not in str(caught.value)


def test_the_table_of_the_page_is_what_happens(rebuilt: Any) -> None:
    rows = []
    for layout, build in (LAYOUTS | FURTHER | REFUSED).items():
        assert build.__doc__
        try:
            detector, said = opened(rebuilt(layout))
            detector.close()
        except ArtifactError as error:
            found = str(error).removeprefix(f"{rebuilt(layout)}: ")
            why = re.split(r"\. If it is a YOLOX|; export it", found)[0]
            said = "**refused:** " + re.sub(r"-?\d+\.\d+|-?\d{2,}", "…", why)
        rows.append(f"| {build.__doc__.splitlines()[0].rstrip('.')} | {said} |")
    table = "\n".join(rows)
    assert table in PAGE.read_text(encoding="utf-8"), f"the table of {PAGE.name} should be\n{table}"


@pytest.mark.parametrize("layout", ["corners", "nine_maps", "mmdeploy", "boxes_and_scores"])
def test_another_backend_reads_them_alike(
    rebuilt: Any, scene_pictures: list[Path], expected: list[Detections], layout: str
) -> None:
    pytest.importorskip("openvino")
    detector, _ = opened(rebuilt(layout), backend="openvino")
    with detector:
        assert same(detector.predict(scene_pictures[0]), expected[0], iou=0.95)


def test_an_openvino_file_of_a_legacy_model_is_noticed(
    rebuilt: Any, tmp_path: Path, scene_pictures: list[Path]
) -> None:
    openvino = pytest.importorskip("openvino")
    path = tmp_path / "legacy.xml"
    openvino.save_model(openvino.convert_model(rebuilt("legacy")), path)
    detector, said = opened(path)
    with detector:
        assert "made for normalised pixels" in said
        assert len(detector.predict(scene_pictures[0])) > 0


@pytest.mark.parametrize("layout", ["legacy", "pinto", "three_levels"])
def test_what_inspect_saves_opens_the_file_from_then_on(
    rebuilt: Any, tmp_path: Path, scene_pictures: list[Path], expected: list[Detections], layout: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(rebuilt(layout).read_bytes())
    found = inspect(path, scene_pictures[0])
    assert found.trials[0].name == "as it opens by itself"
    assert found.save() == tmp_path / "model.onnx.json"
    detector, said = opened(path)
    with detector:
        assert said == SILENT
        assert detector.info.artifact.origin == "inspected"
        assert same(detector.predict(scene_pictures[0]), expected[0], iou=0.9, share=0.8)
    again = inspect(path, scene_pictures[0])
    assert "as the description beside it says" in again.seems
    path.write_bytes(rebuilt("raw").read_bytes())
    with pytest.raises(ArtifactError, match="damaged or was replaced"):
        Detector(path)


def test_inspect_of_a_file_that_does_not_open_by_itself(rebuilt: Any, scene_data: dict[str, Path]) -> None:
    path = rebuilt("rows_without_any")
    found = inspect(path, scene_data["images"], override={"output.columns": "batch,class,score,x1,y1,x2,y2"})
    assert found.info is not None
    nothing = inspect(rebuilt("four_points"), scene_data["images"])
    assert (nothing.trials, nothing.info) == ((), None)
    assert "four-point head" in nothing.seems
    with pytest.raises(ArtifactError, match="four-point head"):
        nothing.save()


@pytest.mark.parametrize("layout", ["left_and_top", "columns_of_cells"])
def test_a_guess_is_not_kept_unless_annotations_bear_it_out(
    rebuilt: Any, scene_pictures: list[Path], layout: str
) -> None:
    found = inspect(rebuilt(layout), scene_pictures[0])
    assert found.guessed
    with pytest.raises(ArtifactError, match=r"is a guess, not kept: .*--annotations|nor corners"):
        found.save()


def test_rows_that_are_stated_to_be_predictions(rebuilt: Any) -> None:
    with pytest.raises(ArtifactError, match=r"a YOLOX detector of 480x640 gives \(batch, 6300, 5"):
        Detector(rebuilt("rows_without_any"), override={"output.columns": "boxes,objectness,classes"})


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([(2.0, 0, None), (2.9, 0, None)], 0),  # a little more is no reason
        ([(2.0, 3, None), (1.5, 0, None)], 1),  # something in grey is one
        ([(2.0, 1, None), (0.1, 0, None)], 0),  # but a network that sees nothing is silent too
        ([(0.0, 0, None), (0.5, 0, None)], 1),
        ([(2.0, 0, 0.300), (2.0, 0, 0.315)], 0),
        ([(2.0, 0, 0.200), (1.0, 0, 0.315)], 1),
    ],
)
def test_what_is_recognised_gives_way_to_what_is_clearly_better(
    trials: list[tuple[float, int, float | None]], chosen: int
) -> None:
    tried = [Trial("", {}, 9, 1.0, scores, in_grey, ap) for scores, in_grey, ap in trials]
    assert choose(tried) is tried[chosen]


def test_what_is_stated_is_not_doubted(
    rebuilt: Any, scene_pictures: list[Path], expected: list[Detections]
) -> None:
    stated = {
        "legacy": {"input": InputConvention.legacy()},
        "corners": {"boxes": "corners"},
        "logits": {"output.logits": True},
        "multiplied": {"output.columns": ("boxes", "classes"), "class_names": tuple("abcdef")},
        "transposed": {"output": {"columns_first": True}},
        "pinto": {"output.columns": "batch,class,score,x1,y1,x2,y2", "class_names": tuple("abcdef")},
    }
    for layout, override in stated.items():
        detector, said = opened(rebuilt(layout), override=override)
        with detector:
            found = detector.predict(scene_pictures[0])
            assert same(found, expected[0], iou=0.9, share=0.8), layout
        for phrase in ("normalised", "corners", "sigmoid", "multiplied", "nothing tells"):
            assert phrase not in said, layout


@pytest.mark.parametrize(
    ("layout", "override", "message"),
    [
        ("logits", {"output.logits": False}, "score columns hold"),
        ("raw", {"output.tensors": "other"}, "the outputs output; output.tensors names 'other'"),
        ("raw", {"output.columns": "boxes,colours"}, "output.columns is boxes,colours; expected boxes"),
        ("raw", {"output.logit": True}, "did you mean output.logits"),
        ("corners", {"class_names": ("a",)}, "1 class names for the 6 classes|6 classes.*1 class names"),
        ("deepstream", {"class_names": ("a", "b")}, "answers class ., and there are 2 class names"),
    ],
)
def test_what_cannot_be_is_an_error(
    rebuilt: Any, scene_pictures: list[Path], layout: str, override: dict[str, Any], message: str
) -> None:
    with (
        pytest.raises((ArtifactError, ValueError), match=message),
        warnings.catch_warnings(action="ignore"),
        Detector(rebuilt(layout), threads=1, override=override) as detector,
    ):
        detector.predict(scene_pictures[0])


def test_first_weights_tell_normalised_pixels(rebuilt: Any, nano_onnx: Path) -> None:
    for right in (nano_onnx, rebuilt("nhwc"), rebuilt("nchw_uint8")):
        weight = stem_weight(right)
        assert weight is not None
        assert weight < UNCERTAIN_WEIGHT
    assert (stem_weight(rebuilt("legacy")) or 0) > 50 * (stem_weight(nano_onnx) or 1)
    assert stem_weight(nano_onnx.with_suffix(".engine")) is None


@pytest.mark.parametrize("content", [b"", b"\x08", b"\x3a\xff\xff\xff", b"{}", bytes(range(256))])
def test_weights_that_cannot_be_read_tell_nothing(tmp_path: Path, content: bytes) -> None:
    for suffix in (".onnx", ".xml", ".param"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(content)
        assert stem_weight(path) is None


def test_the_command_tells_tries_draws_and_keeps(
    rebuilt: Any, tmp_path: Path, scene_data: dict[str, Path], run: Any
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(rebuilt("boxes_and_scores").read_bytes())
    images, annotations = scene_data["images"], scene_data["annotations"]
    names = tmp_path / "names.txt"
    names.write_text("\n".join(Detector(rebuilt("raw")).class_names))
    done = run("inspect", path, "--images", images, "--save", "--out", tmp_path / "drawn")
    assert done.returncode == 0, done.stderr
    for text in (
        "input   images",
        "float32",
        "1 x 3 x 480 x 640",
        "its boxes are corners",
        "as it opens by itself",
    ):
        assert text in done.stdout
    assert len(list((tmp_path / "drawn").iterdir())) == 6
    quiet = run("predict", images, "--model", path, "--no-images", "--json")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert any(image["detections"] for image in json.loads(quiet.stdout)["images"])
    noisy = run("predict", images, "--model", rebuilt("corners"), "--no-images")
    assert (
        f"warning: {rebuilt('corners')}: it does not describe itself; recognised: its boxes are corners"
        in noisy.stderr
    )
    stated = run(
        "predict", images, "--model", rebuilt("corners"), "--no-images", "--override", "boxes=corners"
    )
    assert (stated.returncode, stated.stderr) == (0, "")
    refused = run(
        "inspect", rebuilt("four_points"), "--images", images, "--annotations", annotations, "--no-images"
    )
    assert refused.returncode == 4
    assert "four-point head" in refused.stderr


@pytest.fixture(scope="session")
def official_ap(shared: Path) -> float:
    data = shared / "real" / "coco_mini"
    with Detector(shared / "real" / "yolox_nano_official.onnx") as detector:
        return coco_ap(detector, data / "images", data / "instances.json")["AP"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_of_the_official_model_keeps_its_ap(
    shared: Path, tmp_path: Path, official_ap: float, layout: str
) -> None:
    data = shared / "real" / "coco_mini"
    path = rebuild(layout, shared / "real" / "yolox_nano_official.onnx", tmp_path / f"{layout}.onnx")
    inspect(path).save()
    detector, said = opened(path)
    with detector:
        assert said == SILENT
        ap = coco_ap(detector, data / "images", data / "instances.json")["AP"]
    assert official_ap == pytest.approx(0.312, abs=0.001)
    assert ap == pytest.approx(official_ap, abs=0.003)


def test_the_official_model_is_not_doubted(shared: Path) -> None:
    weight = stem_weight(shared / "real" / "yolox_nano_official.onnx")
    assert weight == pytest.approx(0.0053, abs=1e-4)
    assert weight < LEGACY_STEM_WEIGHT
    detector, said = opened(shared / "real" / "yolox_nano_official.onnx")
    with detector:
        assert said == SILENT
        grey = np.full((416, 416, 3), 114, np.uint8)
        assert len(detector.predict(grey)) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised_in_bytes_as_in_its_file(rebuilt: Any, layout: str) -> None:
    path: Path = rebuilt(layout)
    detector, _ = opened(path)
    with detector, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        with Detector(path.read_bytes(), format=".onnx", threads=1) as other:
            assert other.info.artifact == detector.info.artifact
            assert other.info.notes == detector.info.notes
