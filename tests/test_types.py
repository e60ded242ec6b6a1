"""The values that flow between the parts, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from yolox_deploy import Detections
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.types import InputConvention, TensorSpec

NAMES = ("cat", "dog", "bird")


def detections(**changes: Any) -> Detections:
    fields: dict[str, Any] = {
        "boxes": np.array([[10, 20, 50, 80], [1.5, 2, 3, 4.25]], np.float32),
        "scores": np.array([0.75, 0.5], np.float32),
        "class_ids": np.array([2, 0]),
        "class_names": NAMES,
    }
    return Detections(**{**fields, **changes})


SPEC = TensorSpec("images", (None, 3, 32, 64), np.dtype(np.float32))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_free_dimension_takes_any_size(batch: int) -> None:
    SPEC.check(np.zeros((batch, 3, 32, 64), np.float32))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 3, 32, 64)), "expected dtype float32, got float64"),
        (np.zeros((1, 3, 64, 32), np.float32), r"expected shape \('any', 3, 32, 64\), got \(1, 3, 64, 32\)"),
        (np.zeros((3, 32, 64), np.float32), r"got \(3, 32, 64\)"),
        (np.float32(1), "expected a NumPy array, got float32"),
        ([[0.0]], "expected a NumPy array, got list"),
    ],
)
def test_a_wrong_tensor_is_refused_with_both_sides_named(array: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SPEC.check(array)


def test_the_default_convention_changes_no_pixel_and_the_legacy_one_does() -> None:
    assert InputConvention().is_identity
    legacy = InputConvention.legacy()
    assert not legacy.is_identity
    assert legacy.color_order == "RGB"


@pytest.mark.parametrize(
    "fields",
    [
        {"layout": "NCWH"},
        {"dtype": "float64"},
        {"color_order": "GBR"},
        {"resize": "crop"},
        {"pad_value": 256},
        {"pad_value": -1},
        {"std": (1.0, 0.0, 1.0)},
        {"layout": "NHWC", "dtype": "uint8", "scale": 0.5},
        {"dtype": "uint8", "mean": (1.0, 2.0, 3.0)},
        {"color_order": "GRAY", "dtype": "uint8", "std": (2.0,)},
    ],
)
def test_an_impossible_convention_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        InputConvention(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"layout": "CHW", "dtype": "int8"},
            "input is CHW int8; expected NCHW or NHWC, of float32, float16 or",
        ),
        ({"color_order": "YUV"}, "colour order is 'YUV'; expected 'BGR', 'RGB', 'GRAY', 'BGRA', 'RGBA'"),
        ({"resize": "center"}, "resize is 'center'; expected 'letterbox', 'letterbox_center', 'stretch'"),
        ({"mean": (1.0, 2.0)}, "mean has 2 values; expected 3, one a channel of BGR, or one for all"),
        ({"std": ()}, "std has 0 values"),
        (
            {"color_order": "GRAY", "std": (57.0, 57.0, 57.0)},
            "std has 3 values; expected 1, one a channel of GRAY",
        ),
        ({"color_order": "RGBA", "mean": (1.0, 1.0, 1.0)}, "mean has 3 values; expected 4"),
    ],
)
def test_a_refused_convention_says_what_is_possible(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        InputConvention(**fields)


@pytest.mark.parametrize(
    ("order", "channels", "of_pictures"),
    [("BGR", 3, 3), ("RGB", 3, 3), ("GRAY", 1, 3), ("BGRA", 4, 4), ("RGBA", 4, 4)],
)
def test_channels_follow_from_the_colour_order(order: str, channels: int, of_pictures: int) -> None:
    convention = InputConvention(color_order=order)
    assert (convention.channels, convention.picture_channels) == (channels, of_pictures)
    assert convention.is_identity  # three neutral values stand for any number of channels
    assert InputConvention(color_order=order, mean=(0.0,) * channels, std=(1.0,)).is_identity
    assert not InputConvention(color_order=order, mean=(5.0,)).is_identity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((2, 5), np.float32)}, r"boxes is float32 \(2, 5\), expected float32 \(2, 4\)"),
        ({"boxes": np.zeros((2, 4))}, "boxes is float64"),
        ({"boxes": [[0, 0, 1, 1]] * 2}, "boxes is a list, expected a NumPy array"),
        ({"scores": np.array([0.5], np.float32)}, "expected float32"),
        ({"scores": np.array([0.5, 0.75], np.float32)}, "not in descending order"),
        ({"scores": np.array([np.nan, 0.5], np.float32)}, "not finite"),
        ({"boxes": np.full((2, 4), np.inf, np.float32)}, "not finite"),
        ({"class_ids": np.array([0, 1], np.int32)}, "class_ids is int32"),
        ({"class_ids": np.array([0, 3])}, "class ids are 0 to 3, with 3 class names"),
        ({"class_ids": np.array([-1, 0])}, "class ids are -1 to 0"),
        ({"class_names": ()}, "0 class names"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        detections(**changes)


def test_fields_cannot_be_replaced() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        detections().scores = np.zeros(0, np.float32)  # type: ignore[misc]


def test_nothing_found_is_an_empty_result() -> None:
    nothing = Detections.empty(NAMES)
    assert len(nothing) == 0
    assert list(nothing) == []
    assert nothing.boxes.shape == (0, 4)
    assert nothing.to_dict() == {"detections": []}
    assert nothing.to_coco(1, [7, 8, 9]) == []


def test_iteration_names_each_object() -> None:
    first, second = detections()
    assert first == ((10, 20, 50, 80), 0.75, 2, "bird")
    assert second.class_name == "cat"
    assert isinstance(first.score, float)
    assert isinstance(first.class_id, int)


def test_json_is_the_dictionary() -> None:
    found = detections()
    assert json.loads(found.to_json()) == found.to_dict()
    assert found.to_dict()["detections"][1] == {
        "box": [1.5, 2.0, 3.0, 4.25],
        "score": 0.5,
        "class_id": 0,
        "class_name": "cat",
    }


def test_coco_rows_hold_corner_and_size_and_the_category_of_the_data_set() -> None:
    rows = detections().to_coco(42, [90, 5, 17])
    assert rows[0] == {"image_id": 42, "category_id": 17, "bbox": [10, 20, 40, 60], "score": 0.75}
    assert rows[1]["category_id"] == 90
    json.dumps(rows)


def test_supervision_gets_copies_of_the_same_values() -> None:
    pytest.importorskip("supervision")
    found = detections()
    other = found.to_supervision()
    np.testing.assert_array_equal(other.xyxy, found.boxes)
    np.testing.assert_array_equal(other.confidence, found.scores)
    np.testing.assert_array_equal(other.class_id, found.class_ids)
    assert list(other.data["class_name"]) == ["bird", "cat"]
    other.xyxy[:] = 0
    assert found.boxes.any()
    assert len(Detections.empty(NAMES).to_supervision()) == 0


def test_plot_draws_on_a_copy() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    assert detections().plot(image).any()
    assert not image.any()
