"""The gate lets equal files pass and holds back those that differ, in numbers or in detections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.cli.export import parity_rows
from yolox_deploy.errors import GateError
from yolox_deploy.exporter import parity as verify_module
from yolox_deploy.exporter.feeding import Network, chunks
from yolox_deploy.exporter.numbers import RAW_TOLERANCE
from yolox_deploy.exporter.parity import GATES, verify
from yolox_deploy.files import packaged_photographs
from yolox_deploy.images import load_image
from yolox_deploy.matching import Boxes, iou_matrix, match
from yolox_deploy.postprocess import decode
from yolox_deploy.runtimes import Runtime, open_runtime
from yolox_deploy.types import InputConvention

SIZE = (64, 96)
ROWS = [
    (14, [0.5, 0.5, 0.7, 0.7, 0.9, 1, 0, 0]),
    (52, [0.5, 0.5, 1.1, 0.9, 0.8, 0, 1, 0]),
    (80, [0.2, 0.1, 1.0, 1.4, 0.7, 0, 0, 1]),
]


def answer(change: Callable[[np.ndarray], None] = lambda rows: None) -> np.ndarray:
    """What the toy network answers, (1, 126, 8), with a change."""
    rows = np.zeros((1, 126, 8), np.float32)
    rows[..., 5:] = 0.1
    for index, row in ROWS:
        rows[0, index] = row
    change(rows)
    return rows


def network(change: Callable[[np.ndarray], None] = lambda rows: None) -> Network:
    """A reference that answers the same whatever the picture."""
    return lambda tensor: np.repeat(answer(change), len(tensor), axis=0)


def info(**fields: Any) -> ArtifactInfo:
    return ArtifactInfo(**{"model": "toy", "class_names": ("a", "b", "c"), "input_size": SIZE, **fields})


@pytest.fixture
def compare(toy_model: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Writes a toy file, runs it, and compares it with a reference."""

    def run(
        reference: Network, rows: Any = ROWS, exact: Network | None = None, **fields: Any
    ) -> dict[str, Any]:
        described = info(**fields)
        path = toy_model(
            tmp_path / "toy.onnx",
            rows,
            batch=described.batch,
            nhwc=described.input.layout == "NHWC",
            dtype=described.input.dtype,
            channels=described.input.channels,
            decoded=described.boxes == "decoded",
        )
        with open_runtime(path, "onnxruntime", threads=1) as runtime:
            return verify(runtime, described, reference, exact=exact)

    return run


def test_the_package_has_three_photographs() -> None:
    assert [path.name for path in packaged_photographs()] == ["astronaut.jpg", "chelsea.jpg", "coffee.jpg"]


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1]), (None, [1, 3]), (4, [4])])
def test_an_equal_file_passes_at_each_batch_size(
    compare: Callable[..., dict[str, Any]], batch: int | None, sizes: list[int]
) -> None:
    figures = compare(network(), batch=batch)
    assert figures["passed"] is True
    assert figures["verified"] is True
    assert figures["kind"] == "numbers"
    assert figures["batches"] == sizes
    assert figures["photographs"] == 3
    assert figures["max_error_boxes"] == figures["max_error_scores"] == 0
    assert figures["backend"] == "onnxruntime"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("order", "channels"), [("GRAY", 1), ("BGR", 3), ("BGRA", 4)])
def test_the_reference_gets_the_channels_of_the_file_first(
    compare: Callable[..., dict[str, Any]], layout: str, order: str, channels: int, precision: str
) -> None:
    """Photographs have no fourth channel: there it is opaque."""
    tensors: list[np.ndarray] = []

    def reference(tensor: np.ndarray) -> np.ndarray:
        tensors.append(tensor)
        return network()(tensor)

    figures = compare(reference, input=InputConvention(layout, color_order=order), precision=precision)
    assert figures["passed"] is True
    assert {(tensor.shape, str(tensor.dtype)) for tensor in tensors} == {((1, channels, *SIZE), "float32")}
    assert tensors[0].flags.c_contiguous
    if channels == 4:
        assert tensors[0][0, 3, 0].tolist() == [255] * 64 + [114] * 32


def test_decoded_boxes_are_compared_with_the_decoded_reference(
    compare: Callable[..., dict[str, Any]],
) -> None:
    decoded = decode(answer(), SIZE)[0]
    rows = [(index, decoded[index].tolist()) for index in range(len(decoded))]
    figures = compare(network(), rows, boxes="decoded")
    assert figures["passed"] is True
    assert figures["max_error_boxes"] < 1e-6


@pytest.mark.parametrize(
    ("column", "part"), [(0, "max_error_boxes"), (3, "max_error_boxes"), (4, "max_error_scores")]
)
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_difference_over_the_tolerance_fails(
    compare: Callable[..., dict[str, Any]], column: int, part: str, factor: float
) -> None:
    def change(rows: np.ndarray) -> None:
        rows[0, 100, column] += factor * RAW_TOLERANCE

    figures = compare(network(change))
    assert figures[part] == pytest.approx(factor * RAW_TOLERANCE, rel=1e-3)
    assert figures["passed"] is (factor < 1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_errors_of_decoded_boxes_count_in_strides(
    compare: Callable[..., dict[str, Any]], factor: float
) -> None:
    """Near the left edge a centre is near 0, and a stride's worth of the error of its code is no large error."""

    def change(rows: np.ndarray) -> None:
        rows[0, -2, 0] = -1  # in column 1 of stride 32: a centre at 0

    def differ(rows: np.ndarray) -> None:
        change(rows)
        rows[0, -2, 0] += factor * RAW_TOLERANCE

    decoded = decode(answer(change), SIZE)[0]
    assert decoded[-2, 0] == 0
    rows = [(index, decoded[index].tolist()) for index in range(len(decoded))]
    figures = compare(network(differ), rows, boxes="decoded")
    assert figures["max_error_boxes"] == pytest.approx(factor * RAW_TOLERANCE, rel=1e-3)
    assert figures["passed"] is (factor < 1)


@pytest.mark.parametrize(
    ("rounding", "error", "column", "passed"),
    [
        (1.0, 3.5, 2, True),
        (1.0, 4.5, 2, False),
        (1.0, 3.5, 4, False),  # the boxes round, the scores do not
        (0.0, 1.5, 2, False),
        (0.1, 0.9, 2, True),
        (11.0, 12.0, 2, False),  # nothing can be told any more
        (np.nan, 1.5, 2, False),
    ],
)
def test_a_file_may_differ_by_as_much_as_float32_rounds(
    compare: Callable[..., dict[str, Any]], rounding: float, error: float, column: int, passed: bool
) -> None:
    """Errors in tolerances; a network of huge numbers rounds by more than one itself."""

    def differ(rows: np.ndarray) -> None:
        rows[0, 100, column] += error * RAW_TOLERANCE

    def round_off(rows: np.ndarray) -> None:
        differ(rows)
        rows[0, 100, 2] += rounding * RAW_TOLERANCE

    figures = compare(network(differ), exact=network(round_off))
    assert figures["passed"] is passed
    assert ("rounding_boxes" in figures) is (error > 1)
    assert figures["limits"]["max_error"] == RAW_TOLERANCE
    if passed and error > 1:
        assert figures["limits"]["max_error_boxes"] == pytest.approx(4 * rounding * RAW_TOLERANCE, rel=1e-3)
        assert ("rounding of PyTorch, boxes", "1.0e-03", None) in parity_rows(figures)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 4, 7])
def test_numbers_that_are_not_finite_never_pass(
    compare: Callable[..., dict[str, Any]], column: int, value: float
) -> None:
    broken = [0.0] * 8
    broken[column] = value
    assert compare(network(), [*ROWS, (100, broken)])["passed"] is False


def test_the_scale_of_large_numbers_counts(compare: Callable[..., dict[str, Any]]) -> None:
    def change(rows: np.ndarray) -> None:
        rows[0, 100, 0] = 1000.5

    assert compare(network(change), [*ROWS, (100, [1000.0, 0, 0, 0, 0, 0.1, 0.1, 0.1])])["passed"] is True


def shift(pixels: float) -> Callable[[np.ndarray], None]:
    def change(rows: np.ndarray) -> None:
        rows[0, :, 0] += pixels / 8

    return change


def rename(rows: np.ndarray) -> None:
    rows[0, :, 5:] = rows[0, :, [6, 7, 5]].T


def dim(rows: np.ndarray) -> None:
    rows[0, :, 4] *= 0.85


def lose_two(rows: np.ndarray) -> None:
    rows[0, [14, 52], 4] = 0


def invent(rows: np.ndarray) -> None:
    rows[0, [5, 60, 90]] = [0.5, 0.5, 0.5, 0.5, 0.9, 1, 0, 0]


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_reduced_precision_is_compared_by_detections(
    compare: Callable[..., dict[str, Any]], precision: str
) -> None:
    figures = compare(network(), precision=precision)
    assert figures["kind"] == "detections"
    assert figures["passed"] is True
    assert figures["share_matched"] == figures["class_agreement"] == 1
    assert figures["mean_matched_iou"] == pytest.approx(1)
    assert figures["mean_score_difference"] == 0
    assert figures["detections"] >= 9  # three boxes in each of three photographs
    assert figures["limits"]["match_iou"] == GATES[precision].match_iou


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
@pytest.mark.parametrize(
    "change",
    [shift(6), rename, dim, lose_two, invent],
    ids=["moved", "renamed", "dimmed", "lost", "invented"],
)
def test_detections_that_differ_fail(
    compare: Callable[..., dict[str, Any]],
    precision: str,
    change: Callable[[np.ndarray], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify_module, "FEWEST_DETECTIONS", 1)  # the toy has few boxes, the rest scores 0
    assert compare(network(change), precision=precision)["passed"] is False


def test_harmless_differences_pass_where_numbers_would_not(compare: Callable[..., dict[str, Any]]) -> None:
    assert compare(network(shift(0.1)))["passed"] is False
    assert compare(network(shift(0.1)), precision="bf16")["passed"] is True


def test_an_output_of_nan_fails_in_reduced_precision(compare: Callable[..., dict[str, Any]]) -> None:
    rows = [(index, [np.nan] * 8) for index in range(126)]
    assert compare(network(), rows, precision="fp16")["passed"] is False


def test_pictures_of_ones_own_are_used(toy_model: Any, tmp_path: Path, photographs: list[Path]) -> None:
    path = toy_model(tmp_path / "toy.onnx", ROWS)
    with open_runtime(path, "onnxruntime", threads=1) as runtime:
        assert verify(runtime, info(), network(), photographs[:2])["photographs"] == 2


def boxes(*rows: tuple[float, float, float, float], class_ids: tuple[int, ...] | None = None) -> Boxes:
    ids = np.array(class_ids if class_ids is not None else [0] * len(rows), np.int64)
    return Boxes(np.array(rows, np.float32).reshape(-1, 4), np.ones(len(rows), np.float32), ids)


def test_iou_of_known_pairs() -> None:
    left = boxes((0, 0, 10, 10), (0, 0, 0, 0)).boxes
    right = boxes((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30), (0, 0, 0, 0)).boxes
    assert iou_matrix(left, right) == pytest.approx(np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0]]))


def test_the_best_pairs_are_made_first_and_each_box_once() -> None:
    left = boxes((0, 0, 10, 10), (1, 0, 11, 10))
    right = boxes((1, 0, 11, 10), (50, 50, 60, 60))
    a, b, overlaps = match(left, right, 0.5)
    assert (a.tolist(), b.tolist(), overlaps.tolist()) == ([1], [0], [1.0])


def test_one_place_under_two_labels_finds_both_labels() -> None:
    left = boxes((0, 0, 10, 10), (0, 0, 10, 10), class_ids=(0, 1))
    right = boxes((0, 0, 10, 10), (0, 0, 10, 10), class_ids=(1, 0))
    a, b, _ = match(left, right, 0.5)
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(("left", "right"), [((), ((0, 0, 1, 1),)), (((0, 0, 1, 1),), ()), ((), ())])
def test_nothing_matches_nothing(left: Any, right: Any) -> None:
    assert [len(part) for part in match(boxes(*left), boxes(*right), 0.5)] == [0, 0, 0]


class Tampered:
    """A runtime whose output is changed on its way."""

    def __init__(self, runtime: Runtime, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.name, self.inputs, self.outputs = runtime.name, runtime.inputs, runtime.outputs
        self.loaded, self._runtime, self._change = runtime.loaded, runtime, change

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: self._change(array) for name, array in self._runtime.infer(inputs).items()}


def only_last(output: np.ndarray) -> np.ndarray:
    if output.ndim == 2:
        return output[output[:, 0] == output[:, 0].max()]
    return np.concatenate([np.full_like(output[:-1], np.nan), output[-1:]])


def reverse(output: np.ndarray) -> np.ndarray:
    if output.ndim == 2:
        output = output.copy()
        output[:, 0] = output[:, 0].max() - output[:, 0]
        return output
    return output[::-1].copy()


def lose_the_last(output: np.ndarray) -> np.ndarray:
    if output.ndim == 2:
        return output[output[:, 0] != output[:, 0].max()]
    return np.concatenate([output[:-1], np.full_like(output[-1:], np.nan)])


@pytest.mark.parametrize("options", [{"fp16": True}, {"nms": True}], ids=["fp16", "nms"])
def test_every_slot_of_a_batch_is_compared(
    nano_weights: Path, scene_pictures: list[Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    from yolox_deploy import export
    from yolox_deploy.exporter.source_model import load_source_model

    conf = {"conf": 0.01} if "nms" in options else {}
    size = {"imgsz": 416, "batch": 3, "verify": False}
    artifact = export("yolox_nano", weights=nano_weights, out=tmp_path / "b.onnx", **size, **options, **conf)
    reference = load_source_model("yolox_nano", nano_weights, None).run
    with open_runtime(artifact.path, threads=1) as runtime:
        sound = verify(runtime, artifact.info, reference, scene_pictures)
        assert sound["passed"] is True, sound
        assert sound["worst_slot_share"] > 0.5
        for change in (only_last, reverse, lose_the_last):
            tampered = cast("Runtime", Tampered(runtime, change))
            figures = verify(tampered, artifact.info, reference, scene_pictures)
            assert figures["passed"] is False, (change.__name__, figures)


def test_altered_copies_fill_a_batch(photographs: list[Path]) -> None:
    pictures = [load_image(path)[:48, :64] for path in photographs[:2]]
    (chunk,) = chunks(pictures, 32)
    assert len({picture.tobytes() for picture in chunk}) == 32


@pytest.mark.parametrize(("most", "sizes"), [(1, [1]), (2, [1, 2]), (None, [1, 3])])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_free_batch_is_tried_no_larger_than_the_file_takes(
    toy_model: Any, tmp_path: Path, most: int | None, sizes: list[int], precision: str
) -> None:
    path = toy_model(tmp_path / "toy.onnx", ROWS, batch=None)
    with open_runtime(path, "onnxruntime", threads=1) as runtime:
        runtime.loaded = replace(runtime.loaded, max_batch=most)
        figures = verify(runtime, info(batch=None, precision=precision), network())
    assert figures["passed"] is True
    assert figures["batches"] == sizes


def test_a_graph_that_had_nothing_to_answer_is_not_proven(nano_weights: Path, tmp_path: Path) -> None:
    from yolox_deploy import export

    with pytest.raises(GateError, match=r"nothing was compared: at conf 1.0 .*best score .*--images DIR"):
        export("yolox_nano", weights=nano_weights, out=tmp_path / "n.onnx", nms=True, conf=1.0)
    assert list(tmp_path.iterdir()) == []
