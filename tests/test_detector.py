"""The Detector on networks whose answers are known, and on real photographs."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from yolox_deploy import Detections, Detector
from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo
from yolox_deploy.errors import ArtifactError, ClosedError, InputError, UsageError
from yolox_deploy.evaluation import coco_ap
from yolox_deploy.images import load_image
from yolox_deploy.postprocess import decode
from yolox_deploy.types import InputConvention

SIZE = (64, 96)  # of the toy models: 8 x 12 cells of 8 pixels, then 4 x 6 of 16, then 2 x 3 of 32


def cell(cx: float, cy: float, w: float, h: float, *scores: float) -> tuple[int, list[float]]:
    """An undecoded answer of the stride-8 cell that holds the centre; all values in input pixels."""
    column, row = int(cx // 8), int(cy // 8)
    return row * 12 + column, [cx / 8 - column, cy / 8 - row, np.log(w / 8), np.log(h / 8), *scores]


TWO = (cell(20, 12, 16, 8, 0.5, 0, 1, 0), cell(60, 44, 24, 32, 0.8, 1, 0, 0))
"""Class 1 with score 0.5 at (12, 8, 28, 16), class 0 with score 0.8 at (48, 28, 72, 60)."""

CORNERS = np.array([[48, 28, 72, 60], [12, 8, 28, 16]], np.float32)


def black(height: int = 64, width: int = 96) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def described(**fields: Any) -> dict[str, str]:
    """Metadata of a toy model."""
    values: dict[str, Any] = {"model": "toy", "class_names": ("cat", "dog", "bird"), "input_size": SIZE}
    return {METADATA_KEY: ArtifactInfo(**{**values, **fields}).to_json()}


@pytest.fixture
def two(toy_model: Any, tmp_path: Path) -> Iterator[Detector]:
    with Detector(toy_model(tmp_path / "two.onnx", TWO), threads=1) as detector:
        yield detector


def test_boxes_scores_and_classes_best_first(two: Detector) -> None:
    found = two.predict(black())
    np.testing.assert_allclose(found.boxes, CORNERS, atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.8, 0.5])
    assert found.class_ids.tolist() == [0, 1]
    assert [item.class_name for item in found] == ["class_0", "class_1"]


@pytest.mark.parametrize(("height", "width"), [(128, 192), (32, 48), (640, 960)])
def test_boxes_are_in_pixels_of_the_source_image(two: Detector, height: int, width: int) -> None:
    found = two.predict(black(height, width))
    np.testing.assert_allclose(found.boxes, CORNERS * (height / 64), rtol=1e-5)


def test_boxes_are_clipped_and_those_in_the_padding_vanish(two: Detector) -> None:
    wide = two.predict(black(32, 96))  # fills the upper half: rows 32 to 63 are padding
    np.testing.assert_allclose(wide.boxes, [[48, 28, 72, 32], [12, 8, 28, 16]], atol=1e-4)
    low = two.predict(black(16, 96))
    np.testing.assert_allclose(low.boxes, [[12, 8, 28, 16]], atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 12_000), (12_000, 1), (3, 12_000)])
def test_extreme_pictures_give_boxes_inside_them(two: Detector, height: int, width: int) -> None:
    found = two.predict(black(height, width))
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, 2] <= width).all()
    assert (found.boxes[:, 3] <= height).all()


def test_nothing_above_the_threshold_is_an_empty_result(two: Detector) -> None:
    nothing = two.predict(black(), conf=0.9)
    assert isinstance(nothing, Detections)
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.class_names == two.class_names


def test_thresholds_of_one_call_do_not_stay(two: Detector) -> None:
    assert len(two.predict(black(), conf=0.6)) == 1
    assert len(two.predict(black(), max_detections=1)) == 1
    assert len(two.predict(black())) == 2


@pytest.mark.parametrize("batch", [1, 2, None])
def test_batches_and_streams_take_thresholds_for_one_call(
    toy_model: Any, tmp_path: Path, batch: int | None
) -> None:
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), black())
    with Detector(toy_model(tmp_path / "two.onnx", TWO, batch=batch), threads=1) as detector:
        for changed, count in (({"conf": 0.6}, 1), ({}, 2)):
            assert [len(found) for found in detector.predict_batch([black()] * 3, **changed)] == [count] * 3
            streamed = detector.stream(tmp_path / "*.png", **changed)
            assert [len(frame.detections) for frame in streamed] == [count] * 2
        with pytest.raises(UsageError, match=r"unknown threshold 'confidence'.*'conf'"):
            detector.predict_batch([black()] * 3, confidence=0.6)
        with pytest.raises(UsageError, match=r"unknown threshold 'confidence'.*'conf'"):
            next(detector.stream(tmp_path, confidence=0.6))


OVERLAPPING = (
    cell(36, 36, 20, 20, 0.9, 1, 0, 0),
    cell(44, 36, 20, 20, 0.8, 0, 1, 0.9),
    cell(36, 28, 20, 20, 0.7, 1, 0, 0),
)
"""Three boxes, each of which covers 3/7 of its neighbours' union; the second is of another class."""


@pytest.mark.parametrize(
    ("options", "class_ids"),
    [
        ({}, [0, 1, 0]),
        ({"iou": 0.4}, [0, 1]),
        ({"iou": 0.4, "class_agnostic": True}, [0]),
        ({"multi_label": True}, [0, 1, 2, 0]),
        ({"max_detections": 2}, [0, 1]),
        ({"conf": 0.85}, [0]),
        ({"max_detections": None, "conf": 0.0, "iou": 1.0}, None),
    ],
)
def test_options_decide_what_is_kept(
    toy_model: Any, tmp_path: Path, options: dict[str, Any], class_ids: list[int] | None
) -> None:
    with Detector(toy_model(tmp_path / "toy.onnx", OVERLAPPING), **options) as detector:
        found = detector.predict(black()).class_ids.tolist()
    assert found == class_ids if class_ids is not None else len(found) == 126


@pytest.mark.parametrize(
    ("classes", "class_ids"),
    [("class_1", [1]), (["CLASS 1", 0], [0, 1, 0]), (2, []), (("1",), [1]), ((np.int64(0),), [0, 0])],
)
def test_chosen_classes_alone_are_found(
    toy_model: Any, tmp_path: Path, classes: Any, class_ids: list[int]
) -> None:
    path = toy_model(tmp_path / "toy.onnx", OVERLAPPING, batch=None)
    with Detector(path, classes=classes) as chosen, Detector(path) as every:
        assert chosen.predict(black()).class_ids.tolist() == class_ids
        for found in (
            every.predict(black(), classes=classes),
            *every.predict_batch([black()] * 2, classes=classes),
            every.predict(black()).filter(classes=classes),
        ):
            assert found == chosen.predict(black())
        assert chosen.predict(black(), classes=None) == every.predict(black())


def test_an_iterator_of_classes_serves_every_frame_of_a_stream(
    toy_model: Any, photographs: list[Path], tmp_path: Path
) -> None:
    with Detector(toy_model(tmp_path / "toy.onnx", OVERLAPPING)) as detector:
        found = [each.detections for each in detector.stream(photographs[:2], classes=iter(["class_1"]))]
        assert found == [detector.predict(path, classes="class_1") for path in photographs[:2]]
    assert all(len(each) for each in found)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "no class is named; expected some of 'class_0'"),
        (("clas_1",), "no class 'clas_1'; .* did you mean 'class_"),
        ((3,), "no class 3; expected a name, or an id from 0 to 2"),
    ],
)
def test_classes_that_the_model_does_not_have_are_refused(
    toy_model: Any, tmp_path: Path, classes: Any, message: str
) -> None:
    path = toy_model(tmp_path / "toy.onnx")
    with pytest.raises(UsageError, match=message):
        Detector(path, classes=classes)
    with Detector(path) as detector, pytest.raises(UsageError, match=message):
        detector.predict_batch([], classes=classes)


def test_a_model_that_needs_no_suppression_keeps_overlapping_boxes(toy_model: Any, tmp_path: Path) -> None:
    path = toy_model(tmp_path / "toy.onnx", OVERLAPPING, metadata=described(suppression="not_needed"))
    with Detector(path, iou=0.1) as detector:
        assert len(detector.predict(black())) == 3


@pytest.mark.parametrize(
    "options", [{"conf": -0.1}, {"conf": 1.1}, {"iou": 2}, {"max_detections": 0}, {"threads": 0}]
)
def test_impossible_options_are_refused(toy_model: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Detector(toy_model(tmp_path / "toy.onnx"), **options)


def test_an_image_may_be_an_array_a_path_bytes_or_a_pil_image(
    nano_onnx: Path, scene_pictures: list[Path]
) -> None:
    image = pytest.importorskip("PIL.Image")
    path = scene_pictures[0]
    with Detector(nano_onnx, conf=0.01) as detector, image.open(path) as picture:
        expected = detector.predict(load_image(path))
        assert len(expected) > 0
        for source in (path, str(path), path.read_bytes()):
            np.testing.assert_array_equal(detector.predict(source).boxes, expected.boxes)
        assert isinstance(detector.predict(picture), Detections)  # PIL decodes JPEG a little differently


def test_pictures_of_too_many_pixels_are_refused(toy_model: Any, tmp_path: Path, picture: Path) -> None:
    path = toy_model(tmp_path / "toy.onnx")
    with Detector(path, max_pixels=100) as detector:
        for predict in (detector.predict, lambda source: detector.predict_batch([source])):
            with pytest.raises(InputError, match=r" pixels .*more than the 100 that are decoded"):
                predict(picture)
        assert isinstance(detector.predict(load_image(picture)), Detections)
    with pytest.raises(UsageError, match="max_pixels is 0"):
        Detector(path, max_pixels=0)


@pytest.mark.parametrize(
    "source",
    [
        None,
        5,
        [1, 2],
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        b"no picture",
        "nowhere.jpg",
    ],
)
def test_what_is_no_image_is_refused(two: Detector, source: Any) -> None:
    with pytest.raises(InputError):
        two.predict(source)


@pytest.mark.parametrize("batch", [1, 2, 4, None])
def test_a_batch_gives_what_single_calls_give(toy_model: Any, tmp_path: Path, batch: int | None) -> None:
    index, row = cell(20, 36, 10, 10, 0.1, 0, 0, 1)
    path = toy_model(tmp_path / "lit.onnx", (*TWO, (index, row)), batch=batch, lit=[index])
    images = [np.full((64 + 8 * i, 96 + 8 * i, 3), 50 * i, np.uint8) for i in range(5)]
    with Detector(path, conf=0.0, iou=1.0, max_detections=None) as detector:
        single = [detector.predict(image) for image in images]
        together = detector.predict_batch(iter(images))
    assert len(together) == len(images)
    for one, other in zip(single, together, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-4)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    assert len({tuple(one.scores[:3].tolist()) for one in single}) == 5, "the pictures answer alike"


def test_an_empty_batch_is_an_empty_list(two: Detector) -> None:
    assert two.predict_batch([]) == []


PNG = cv2.imencode(".png", black())[1].tobytes()


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (black(), r"one array of shape \(64, 96, 3\)"),
        (black()[:, :, 0], r"one array of shape \(64, 96\)"),
        (black().transpose(2, 0, 1), r"one array of shape \(3, 64, 96\)"),
        ("street.jpg", "str"),
        (Path("street.jpg"), "PosixPath|WindowsPath"),
        (PNG, "bytes"),
        (bytearray(PNG), "bytearray"),
        (memoryview(PNG), "memoryview"),
        (io.BytesIO(PNG), "BytesIO"),
    ],
)
def test_one_picture_is_no_batch(two: Detector, images: Any, found: str) -> None:
    """Its rows, letters or lines would be taken for pictures."""
    expected = rf"found ({found}); for one picture call predict\(image\), or predict_batch\(\[image\]\)"
    with pytest.raises(UsageError, match=expected):
        two.predict_batch(images)


def test_one_pil_image_is_no_batch(two: Detector) -> None:
    image = pytest.importorskip("PIL.Image").new("RGB", (96, 64))
    with pytest.raises(UsageError, match="found Image; for one picture call"):
        two.predict_batch(image)
    assert two.predict_batch([image]) == [two.predict(black())]


@pytest.mark.parametrize("images", [None, 3, True, two, {"a.jpg": PNG}])
def test_what_holds_no_pictures_is_no_batch(two: Detector, images: Any) -> None:
    with pytest.raises(UsageError, match=r"takes several pictures, found \w+; pass a list of them"):
        two.predict_batch(images)


def test_several_pictures_of_any_kind(two: Detector, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    sources = (black(), PNG, io.BytesIO(PNG), tmp_path / "a.png")
    expected = [two.predict(black())] * 4
    for images in (sources, list(sources), iter(sources), (each for each in sources)):
        assert two.predict_batch(images) == expected
    assert two.predict_batch(np.stack([black()] * 4)) == expected
    assert [two.predict(image) for image in sources] == expected
    with pytest.raises(InputError, match=r"from list; .*predict_batch takes several"):
        two.predict([black()])  # type: ignore[arg-type]


def lit_model(toy_model: Any, path: Path, **options: Any) -> Path:
    """Finds one object whose score is the brightness of the picture."""
    index, row = cell(20, 36, 10, 10, 0, 1)
    written: Path = toy_model(path, [(index, row)], lit=[index], **options)
    return written


def brightness(detector: Detector, level: int) -> float:
    found = detector.predict(np.full((64, 96, 3), level, np.uint8), conf=0.0)
    return float(found.scores[0])


def test_one_detector_serves_several_threads(toy_model: Any, tmp_path: Path) -> None:
    levels = [int(value) for value in np.random.default_rng(0).integers(20, 255, 400)]
    with (
        Detector(lit_model(toy_model, tmp_path / "lit.onnx"), threads=1) as detector,
        ThreadPoolExecutor(4) as pool,
    ):
        scores = list(pool.map(lambda level: brightness(detector, level), levels))
    np.testing.assert_allclose(scores, np.array(levels) / 255, atol=1e-5)


def test_two_detectors_do_not_disturb_each_other(toy_model: Any, tmp_path: Path) -> None:
    small = lit_model(toy_model, tmp_path / "small.onnx")
    with Detector(small) as first, Detector(toy_model(tmp_path / "two.onnx", TWO)) as second:
        for level in (255, 51):
            assert brightness(first, level) == pytest.approx(level / 255)
            assert len(second.predict(black())) == 2


def test_results_stay_when_the_detector_goes_on(toy_model: Any, tmp_path: Path) -> None:
    with Detector(lit_model(toy_model, tmp_path / "lit.onnx"), conf=0.1) as detector:
        bright = detector.predict(np.full((64, 96, 3), 255, np.uint8))
        kept = bright.to_dict()
        detector.predict(np.full((32, 20, 3), 100, np.uint8))
    assert bright.to_dict() == kept


def test_a_stream_yields_frames_and_what_is_in_them(two: Detector, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(folder / name), black())
    results = list(two.stream(folder))
    assert [Path(frame.name).name for frame, _ in results] == ["a.png", "b.png"]
    assert all(len(found) == 2 for _, found in results)


def test_metadata_in_the_file_is_obeyed(toy_model: Any, tmp_path: Path) -> None:
    rows = [(10, [50.0, 30.0, 20.0, 10.0, 0.9, 0, 1, 0])]
    path = toy_model(tmp_path / "toy.onnx", rows, decoded=True, metadata=described(boxes="decoded"))
    with Detector(path) as detector:
        (item,) = detector.predict(black())
        assert item.box == pytest.approx((40, 25, 60, 35))
        assert item.class_name == "dog"
        assert detector.info.artifact.origin == "metadata"


@pytest.mark.parametrize("nhwc", [False, True], ids=["nchw float32", "nhwc uint8"])
def test_both_layouts_give_the_same(toy_model: Any, tmp_path: Path, nhwc: bool) -> None:
    with Detector(lit_model(toy_model, tmp_path / "lit.onnx", nhwc=nhwc)) as detector:
        assert brightness(detector, 204) == pytest.approx(0.8)
        tensor = detector.prepare(black()).tensor
    assert tensor.shape == ((1, *SIZE, 3) if nhwc else (1, 3, *SIZE))


def test_conventions_may_be_overridden(toy_model: Any, tmp_path: Path) -> None:
    path = toy_model(tmp_path / "toy.onnx", TWO)
    override = {"input": InputConvention.legacy(), "class_names": ("cat", "dog", "bird")}
    with Detector(path, override=override) as detector:
        tensor = detector.prepare(np.full((64, 96, 3), (10, 20, 30), np.uint8)).tensor.copy()
        assert [item.class_name for item in detector.predict(black())] == ["cat", "dog"]
    red = (30 / 255 - 0.485) / 0.229
    assert tensor[0, 0, 0, 0] == pytest.approx(red)


RESIZES = ("letterbox", "letterbox_center", "stretch")


@pytest.mark.parametrize(
    ("resize", "boxes"),
    [
        ("letterbox", [[100, 58.333, 150, 100], [25, 16.667, 58.333, 33.333]]),
        # 46 of 64 rows hold the picture, from row 9 on: 96 / 201 of 97 rows is 46.3.
        ("letterbox_center", [[100.5, 40.065, 150.75, 97], [25.125, 0, 58.625, 14.761]]),
        ("stretch", [[100.5, 42.4375, 150.75, 90.9375], [25.125, 12.125, 58.625, 24.25]]),
    ],
)
def test_boxes_come_back_from_each_way_to_resize(
    toy_model: Any, tmp_path: Path, resize: str, boxes: list[list[float]]
) -> None:
    shape = (100, 200) if resize == "letterbox" else (97, 201)
    override = {"input": InputConvention(resize=resize)}
    with Detector(toy_model(tmp_path / "two.onnx", TWO, batch=None), override=override) as detector:
        both = detector.predict_batch([black(*shape), black()])
        np.testing.assert_array_equal(detector.predict(black(*shape)).boxes, both[0].boxes)
    np.testing.assert_allclose(both[0].boxes, boxes, atol=1e-3)
    np.testing.assert_allclose(both[1].boxes, CORNERS, atol=1e-4)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", [(61, 45), (45, 61), (33, 95), (63, 97), (203, 331)])
def test_what_is_drawn_in_a_picture_comes_back_where_it_was(
    toy_model: Any, tmp_path: Path, resize: str, shape: tuple[int, int]
) -> None:
    """The box that the network sees is taken from its input tensor, as a perfect network would."""
    height, width = shape
    drawn = np.array([width // 5, height // 6, width - 7, height - 5])
    image = black(*shape)
    image[drawn[1] : drawn[3], drawn[0] : drawn[2]] = 255
    override = {"input": InputConvention(resize=resize, pad_value=0)}
    with Detector(toy_model(tmp_path / "toy.onnx", decoded=True), override=override) as detector:
        prepared = detector.prepare(image)
        rows, columns = (np.flatnonzero((prepared.tensor[0, 0] > 127).any(axis=axis)) for axis in (1, 0))
        x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        answer = np.zeros((126, 8), np.float32)
        answer[5] = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 1, 0, 0, 1]
        (found,) = detector.finish(answer, prepared)
    pixel = max(1.0, height / SIZE[0], width / SIZE[1])  # of the picture, or of an input that is smaller
    assert np.abs(found.box - drawn).max() <= pixel


FORMS = [("NCHW", "float16"), ("NCHW", "uint8"), ("NHWC", "float32"), ("NHWC", "float16"), ("NHWC", "uint8")]


@pytest.mark.parametrize(("layout", "dtype"), FORMS)
def test_every_form_of_input_gives_the_same(toy_model: Any, tmp_path: Path, layout: str, dtype: str) -> None:
    convention = InputConvention(layout, dtype)
    form = {"nhwc": layout == "NHWC", "dtype": dtype}
    path = lit_model(toy_model, tmp_path / "lit.onnx", metadata=described(input=convention), **form)
    with Detector(path) as detector:
        assert brightness(detector, 204) == pytest.approx(0.8, abs=1e-3)
        assert detector.prepare(black()).tensor.dtype == dtype


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_grey_model_takes_any_picture(toy_model: Any, tmp_path: Path, layout: str) -> None:
    convention = InputConvention(layout, color_order="GRAY", scale=1 / 255)
    form = {"nhwc": layout == "NHWC", "dtype": "float32", "channels": 1}
    path = lit_model(toy_model, tmp_path / "grey.onnx", metadata=described(input=convention), **form)
    with Detector(path, conf=0) as detector:
        detector.warmup(1)
        assert detector.prepare(np.full((64, 96, 3), (255, 0, 0), np.uint8)).tensor.max() == pytest.approx(
            29 / 255
        )
        for picture in (np.full((64, 96), 51, np.uint8), np.full((64, 96, 4), 51, np.uint8)):
            assert detector.predict(picture).scores[0] == pytest.approx(0.2 / 255, rel=1e-4)


def four_channels(toy_model: Any, path: Path, batch: int | None = 1) -> Path:
    """Its score is the mean of all four channels."""
    metadata = described(input=InputConvention(color_order="BGRA"), batch=batch)
    return lit_model(toy_model, path, metadata=metadata, channels=4, batch=batch)


@pytest.mark.parametrize("batch", [1, 2, None])
def test_a_model_of_four_channels_sees_the_fourth(toy_model: Any, tmp_path: Path, batch: int | None) -> None:
    picture = np.full((64, 96, 4), (0, 0, 0, 204), np.uint8)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    with Detector(four_channels(toy_model, tmp_path / "four.onnx", batch), conf=0.1) as detector:
        detector.warmup(1)
        found = [detector.predict(picture), detector.predict(tmp_path / "a.png")]
        found += detector.predict_batch([picture, tmp_path / "b.png", picture])
        found += [frame.detections for frame in detector.stream(tmp_path / "*.png")]
    assert [item.scores[0] for item in found] == pytest.approx([0.2] * 7)


def test_a_model_of_four_channels_needs_the_fourth(toy_model: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "plain.png"), black())
    with Detector(four_channels(toy_model, tmp_path / "four.onnx")) as detector:
        for picture in (black(), black()[:, :, 0], tmp_path / "plain.png"):
            with pytest.raises(InputError, match="has no fourth channel, which the model takes"):
                detector.predict(picture)
            with pytest.raises(InputError, match="has no fourth channel"):
                detector.predict_batch([picture])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"names": ("a",)}, "no convention called 'names'.*did you mean class_names"),
        ({"class_names": ("a", "b")}, "2 class names for the 3 classes"),
        ({"input_size": (128, 96)}, "takes images of 64x96 only .* 128x96 was asked for"),
        ({"input": InputConvention("NHWC", "uint8")}, "described as uint8"),
        ({"input": InputConvention(color_order="GRAY")}, r"described as float32 \(1, 1, 64, 96\)"),
        ({"batch": 4}, "described as"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(
    toy_model: Any, tmp_path: Path, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Detector(toy_model(tmp_path / "toy.onnx"), override=override)


@pytest.mark.parametrize(
    "fields",
    [{"class_names": ("a",)}, {"input_size": (96, 64)}, {"batch": 2}],
    ids=lambda fields: next(iter(fields)),
)
def test_metadata_of_another_file_is_refused(toy_model: Any, tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        Detector(toy_model(tmp_path / "toy.onnx", metadata=described(**fields)))


def test_damaged_metadata_is_refused(toy_model: Any, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="metadata"):
        Detector(toy_model(tmp_path / "toy.onnx", metadata={METADATA_KEY: "{}"}))


def test_info_tells_what_runs_where(nano_onnx: Path) -> None:
    with Detector(nano_onnx) as detector:
        info = detector.info
    assert (info.backend, info.device, info.precision) == ("onnxruntime", "cpu", "fp32")
    assert info.path == str(nano_onnx)
    assert info.artifact.model == "yolox_nano"
    assert info.artifact.parity is not None
    assert info.artifact.parity["passed"] is True
    assert json.loads(json.dumps(info.to_dict()))["artifact"]["input_size"] == [480, 640]


def test_after_closing_every_use_says_so(toy_model: Any, tmp_path: Path) -> None:
    detector = Detector(toy_model(tmp_path / "toy.onnx"))
    detector.warmup(1)
    detector.close()
    detector.close()
    for use in (lambda: detector.predict(black()), lambda: detector.warmup(), lambda: detector.__enter__()):
        with pytest.raises(ClosedError, match="was closed"):
            use()
    with pytest.raises(ClosedError):
        list(detector.predict_batch([black(), black()]))
    assert detector.info.artifact.model == "unknown"


@pytest.fixture
def suppressing(toy_model: Any, tmp_path: Path) -> Path:
    """The two objects of `TWO`, one of them twice, behind suppression at conf 0.4 and IoU 0.6 in the graph."""
    from yolox_deploy.converters import ExportOptions
    from yolox_deploy.converters.onnx_nms import add_nms, describe

    rows = decode(np.stack([_row(*TWO, cell(65, 44, 24, 32, 0.45, 1, 0, 0))]), SIZE)[0]
    answers = [(index, row.tolist()) for index, row in enumerate(rows)]
    options = ExportOptions(nms=True, conf=0.4, iou=0.6)
    info = describe(ArtifactInfo("toy", ("cat", "dog", "bird"), SIZE, boxes="decoded"), options)
    path: Path = toy_model(
        tmp_path / "nms.onnx", answers, decoded=True, metadata={METADATA_KEY: info.to_json()}
    )
    add_nms(path, options)
    return path


def _row(*rows: tuple[int, list[float]]) -> np.ndarray:
    answer = np.zeros((126, 8), np.float32)
    for index, row in rows:
        answer[index] = row
    return answer


def test_a_graph_with_suppression_gives_its_thresholds_to_whoever_asks_for_none(suppressing: Path) -> None:
    with Detector(suppressing, threads=1) as detector:
        assert (detector.thresholds.conf, detector.thresholds.iou) == (0.4, 0.6)
        np.testing.assert_allclose(detector.predict(black()).boxes, CORNERS, atol=1e-3)
        assert len(detector.predict(black(), conf=0.6)) == 1
        assert len(detector.predict(black(), iou=0.6, multi_label=True, max_detections=1)) == 1
    with Detector(suppressing, conf=0.6, iou=0.6, threads=1) as detector:
        assert len(detector.predict(black())) == 1


def test_a_graph_with_suppression_gives_chosen_classes_and_tiles(suppressing: Path) -> None:
    with Detector(suppressing, threads=1) as detector:
        for chosen in ("cat", "dog", "bird"):
            assert detector.predict(black(), classes=chosen) == detector.predict(black()).filter(
                classes=chosen
            )
        found = detector.predict(black(128, 96), tiles=SIZE, overlap=0)
        assert found.class_ids.tolist() == [
            0,
            0,
            1,
            1,
            1,
        ]  # the cat of the whole picture would lie in its padding
        assert detector.predict(black(128, 96), tiles=SIZE, overlap=0, max_detections=3) == found[:3]
        with pytest.raises(UsageError, match=r"iou 0\.3 cannot be had"):
            detector.predict(black(), tiles=64, iou=0.3)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"conf": 0.01}, "conf 0.01 cannot be had"),
        ({"iou": 0.65}, r"nms\.onnx suppresses .* conf 0.4 and iou 0.6; iou 0.65 cannot be had"),
        ({"conf": 0.1, "iou": 0.1}, "conf 0.1 and iou 0.1"),
        ({"class_agnostic": True}, "class_agnostic True cannot be had from it.*without --nms"),
    ],
)
def test_what_suppression_in_the_graph_cannot_give_is_an_error(
    suppressing: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Detector(suppressing, **asked)
    with Detector(suppressing, threads=1) as detector, pytest.raises(UsageError, match=message):
        detector.predict(black(), **asked)


def test_evaluation_of_a_graph_with_suppression_says_what_it_lacks(suppressing: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), black())
    names = [{"id": 1 + index, "name": name} for index, name in enumerate(("cat", "dog", "bird"))]
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": names}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with (
        Detector(suppressing, threads=1) as detector,
        pytest.raises(UsageError, match=r"conf 0\.01 and iou 0\.65 cannot be had"),
    ):
        coco_ap(detector, tmp_path, tmp_path / "a.json")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda file: Detector(file).predict(black(), confidence=0.3),
            "unknown threshold 'confidence'.*'conf'",
        ),
        (lambda file: Detector(file, conf="0.3"), "conf is '0.3'; expected a number"),
        (lambda file: Detector(file, max_detections="9"), "max_detections is '9'"),
        (lambda file: Detector(file, threads="4"), "threads is '4'; expected 1 to"),
        (lambda file: Detector(file, device=None), "device is None; expected a text"),
        (lambda file: Detector(file, device=0), "device is 0; expected a text such as 'auto'"),
        (
            lambda file: Detector(file, override={"input": "RGB"}),
            "no convention called 'input'.*input.pad_value",
        ),
        (lambda file: Detector(file, override={"input": {"color": "RGB"}}), "did you mean input.color_order"),
        (
            lambda file: Detector(file, override={"input_size": "wide"}),
            "input_size is 'wide'; expected two whole",
        ),
        (lambda file: Detector(file, override={"input_sise": (64, 64)}), "did you mean input_size"),
    ],
)
def test_slips_are_usage_errors(toy_model: Any, tmp_path: Path, use: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        use(toy_model(tmp_path / "toy.onnx"))


def free_sides(path: Path) -> Path:
    """The same file with height and width left free, as some exporters write it."""
    model = onnx.load(str(path))
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, str(path))
    return path


def test_a_foreign_file_that_leaves_its_size_free_is_told_it(toy_model: Any, tmp_path: Path) -> None:
    path = free_sides(toy_model(tmp_path / "free.onnx", TWO))
    with pytest.raises(ArtifactError, match=r'give the size it was made for: .*override=\{"input_size"'):
        Detector(path)
    with Detector(path, override={"input_size": SIZE}) as detector:
        np.testing.assert_allclose(detector.predict(black()).boxes, CORNERS, atol=1e-4)
    with Detector(path, override={"input_size": SIZE, "boxes": "decoded"}) as detector:
        assert detector.info.artifact.boxes == "decoded"


def test_a_foreign_file_that_takes_half_floats(toy_model: Any, tmp_path: Path) -> None:
    path = toy_model(tmp_path / "half.onnx", TWO, batch=None)
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, str(path))
    with Detector(path) as detector:
        assert detector.info.artifact.input.dtype == "float16"
        for found in (detector.predict(black()), *detector.predict_batch([black(), black(100, 50)])[:1]):
            np.testing.assert_allclose(found.boxes, CORNERS, atol=1e-4)


def test_a_free_batch_takes_a_stream_a_few_at_a_time(toy_model: Any, tmp_path: Path) -> None:
    alive: list[int] = []
    sizes: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for index in range(40):
            alive.append(index)
            yield np.full((64, 96, 3), 5 * index, np.uint8)

    with Detector(lit_model(toy_model, tmp_path / "lit.onnx", batch=None), conf=0.0, threads=1) as detector:
        run = detector.run
        detector.run = lambda tensor: (sizes.append(len(tensor)), run(tensor))[1]  # type: ignore[method-assign]
        found = detector.predict_batch(pictures())
    assert sizes == [16, 16, 8]
    assert len(alive) == len(found) == 40
    scores = [float(item.scores[0]) for item in found]
    assert scores == sorted(scores)


def test_pickling_names_what_to_do_instead(two: Detector) -> None:
    with pytest.raises(UsageError, match="open one in each process"):
        pickle.dumps(two)


def test_the_steps_alone_give_what_predict_gives(nano_onnx: Path, scene_pictures: list[Path]) -> None:
    image = load_image(scene_pictures[1])
    with Detector(nano_onnx, conf=0.05) as detector:
        prepared = detector.prepare(image)
        found = detector.finish(detector.run(prepared.tensor)[0], prepared)
        assert len(found) > 0
        assert found.to_dict() == detector.predict(image).to_dict()


@pytest.mark.parametrize("name", ["coco_nano_onnx", "official"])
def test_real_weights_find_what_is_in_the_photographs(
    request: pytest.FixtureRequest, shared: Path, photographs: list[Path], name: str
) -> None:
    official = shared / "real" / "yolox_nano_official.onnx"
    model = official if name == "official" else request.getfixturevalue(name)
    expected = {"astronaut.jpg": "person", "chelsea.jpg": "cat", "coffee.jpg": "cup"}
    with Detector(model) as detector:
        found = {path.name: detector.predict(path) for path in photographs}
    for picture, class_name in expected.items():
        assert class_name in [item.class_name for item in found[picture]], picture
