"""The values that flow between the parts, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.types import InputConvention, TensorSpec

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
        ({"color_order": "YUV"}, "input.color_order is 'YUV'; expected 'BGR', 'RGB', 'GRAY', 'BGRA', 'RGBA'"),
        (
            {"resize": "center"},
            "input.resize is 'center'; expected 'letterbox', 'letterbox_center', 'stretch'",
        ),
        ({"mean": (1.0, 2.0)}, "input.mean has 2 values; expected 3, one a channel of BGR, or one for all"),
        ({"std": ()}, "std has 0 values"),
        (
            {"color_order": "GRAY", "std": (57.0, 57.0, 57.0)},
            "std has 3 values; expected 1, one a channel of GRAY",
        ),
        ({"color_order": "RGBA", "mean": (1.0, 1.0, 1.0)}, "input.mean has 3 values; expected 4"),
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
