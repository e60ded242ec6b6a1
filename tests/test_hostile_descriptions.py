"""Descriptions of model files with anything in any field: refused by the field's name, or a model that answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import ToyModel
from yolox_deploy import Detections, Detector
from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo, sidecar_path
from yolox_deploy.errors import ArtifactError, UsageError, YoloxDeployError

PICTURE = np.full((50, 70, 3), 90, np.uint8)
FULL = json.loads(
    ArtifactInfo(
        "yolox_nano",
        ("a", "b", "c"),
        (64, 96),
        parity={"verified": True},
        versions={"onnx": "1"},
        details={"nms": {"conf": 0.3, "iou": 0.5, "max_detections": 9}},
        weights_sha256="ab" * 32,
    ).to_json()
)
VALUES = st.sampled_from(
    [
        *(
            None,
            True,
            -1,
            0,
            1,
            2,
            1e-320,
            1e308,
            -1e308,
            10**9,
            10**30,
            0.5,
            "",
            "x",
            "../../x",
            "N/A",
            "\n",
        ),
        *("\ud800", "x" * 5000, "1e999", [], {}, [[]], [0, None, 0], [1e308] * 3, [0.0], [64, 96], [64] * 4),
        *(
            ["a"] * 2,
            ["a"] * 3,
            ["../x", "", "con"],
            ["boxes"],
            {"nms": {"conf": "x", "iou": 0}},
            {"nms": []},
        ),
        *(
            {"a": 1},
            64,
            32,
            96,
            "RGB",
            "GRAY",
            "uint8",
            "NHWC",
            "stretch",
            "corners",
            "in_graph",
            "not_needed",
        ),
    ]
)


def _places(table: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from _places(value, (*at, key))


def _with(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    values = copy.deepcopy(FULL)
    table = values
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    return values


@given(st.sampled_from(list(_places(FULL))), VALUES)
@settings(derandomize=True, max_examples=300, deadline=None)
def test_a_field_is_refused_by_its_name_or_survives(place: tuple[str, ...], value: Any) -> None:
    text = json.dumps(_with(place, value))
    told = _error_of(lambda: ArtifactInfo.from_json(text))
    if told is None:
        info = ArtifactInfo.from_json(text)
        assert ArtifactInfo.from_json(info.to_json()) == info
    else:
        told = told.replace("schema version", "schema_version")
        assert place[-1] in told or place[0] in told
        assert len(told) < 600


def _error_of(block: Callable[[], object]) -> str | None:
    """What an error of ours says that the block raises; any other one fails the test."""
    try:
        block()
    except YoloxDeployError as error:
        return str(error)
    return None


@given(place=st.sampled_from(list(_places(FULL))), value=VALUES, beside=st.booleans())
@settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_model_of_any_description_answers_or_is_refused(
    toy_model: ToyModel, tmp_path: Path, place: tuple[str, ...], value: Any, beside: bool
) -> None:
    text = json.dumps(_with(place, value))
    file = toy_model(
        tmp_path / "toy.onnx",
        [(3, (0, 0, 1, 1, 0.9, 0.1, 0.8, 0.1))],
        metadata={} if beside else {METADATA_KEY: text},
    )
    sidecar_path(file).unlink(missing_ok=True)
    if beside:
        sidecar_path(file).write_text(text)

    def predict() -> None:
        with Detector(file) as detector:
            assert isinstance(detector.predict(PICTURE), Detections)

    assert len(_error_of(predict) or "") < 1000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input.mean": (0, None, 0)}, "input.mean"),
        ({"input.std": (1.0, float("inf"), 1.0)}, "input.std"),
        ({"input.std": "0"}, "input.std"),
        ({"input.scale": float("nan")}, "input.scale"),
        ({"input.scale": 1e-320}, "input.scale"),
        ({"input.scale": "1" + "0" * 400 + "/1"}, "input.scale"),
        ({"input.pad_value": True}, "input.pad_value"),
        ({"priors": 10**9}, "priors"),
        ({"batch": 10**9}, "described as float32 .1000000000, 3"),
        ({"input_size": (32, 10**9)}, "takes images of"),
        ({"class_names": ["a", "b\n", "c"]}, r"class_names\[1\]"),
        ({"class_names": ["a", "b"]}, "2 class names for the 3 classes"),
        ({"output.tensors": ["output"] * 1000}, "output.tensors"),
    ],
)
def test_what_is_stated_is_checked_alike(
    toy_model: ToyModel, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    file = toy_model(tmp_path / "toy.onnx")
    with pytest.raises((UsageError, ArtifactError), match=said):
        Detector(file, override=changes)


def test_fewer_names_than_classes_are_noticed_where_the_output_has_no_size(
    toy_model: ToyModel, tmp_path: Path
) -> None:
    import onnx

    text = json.dumps({**FULL, "class_names": ["a", "b"]})
    model = onnx.load(toy_model(tmp_path / "toy.onnx", metadata={METADATA_KEY: text}))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "columns"
    onnx.save(model, tmp_path / "free.onnx")
    with pytest.raises(ArtifactError, match=r"8 columns; expected 5 \+ 2|2 class names for the 3"):
        Detector(tmp_path / "free.onnx").predict(PICTURE)
