"""Any value in any argument: a result, or an error of ours that says what is wrong."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ToyModel
from yolox_deploy import Detections, Detector, Tracker
from yolox_deploy.errors import UsageError, YoloxDeployError
from yolox_deploy.images import load_image
from yolox_deploy.thresholds import ThresholdFields

LONG = "a" * 6000
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 10**30, 0.5, -0.5, float("nan"), float("inf"), 1j),
    *("", "no", "0.5", LONG, "\0", "\ud800", "../x", b"x", b""),
    *([], [None], [1, 2, 3], (1,), {}, {"a": 1}, {1: 2}, set(), range(3), slice(1)),
    *(object(), type, len, io.BytesIO(b"x"), Path(LONG), Path("/dev/null"), Path(__file__).parent),
    *(np.array(3), np.array([object()]), np.float32(0.3), np.bool_(True), np.zeros((0, 4), np.float32)),
)
GREY = np.full((64, 96, 3), 90, np.uint8)
ONE = {
    "boxes": np.zeros((1, 4), np.float32),
    "scores": np.ones(1, np.float32),
    "class_ids": np.zeros(1, np.int64),
    "class_names": ("a",),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, toy_model: ToyModel) -> Path:
    rows = [(5, [0.0, 0.0, 1.0, 1.0, 0.9, 0.1, 0.9, 0.1])]
    return toy_model(tmp_path_factory.mktemp("hostile") / "toy.onnx", rows)


@pytest.fixture(scope="module")
def detector(model: Path) -> Iterator[Detector]:
    with Detector(model) as opened:
        yield opened


def survives(call: Callable[[Any], object]) -> None:
    """Call with each hostile value; anything but a result and an error of ours fails."""
    raw = {}
    for value in HOSTILE:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                call(value)
            except YoloxDeployError as error:
                said = str(error)
                raw |= {repr(value)[:40]: f"{len(said)} letters"} if len(said) > 1000 else {}
            except Exception as error:
                raw[repr(value)[:40]] = f"{type(error).__name__}: {error}"[:200]
    assert not raw


def has_cameras(value: object) -> bool:
    """Whether it numbers cameras, which may be there."""
    return isinstance(value, int | list | tuple | range) or (isinstance(value, str) and value.isdecimal())


OPENING = [name for name in inspect.signature(Detector).parameters if name != "model"]
CALLING = list(ThresholdFields.__annotations__)


def test_the_model(detector: Detector) -> None:
    survives(lambda value: Detector(value).close())


@pytest.mark.parametrize("name", OPENING)
def test_each_argument_of_a_detector(model: Path, name: str) -> None:
    survives(lambda value: Detector(model, **{name: value}).close())


@pytest.mark.parametrize("name", CALLING)
def test_each_argument_of_predict(detector: Detector, name: str) -> None:
    survives(lambda value: detector.predict(GREY, **{name: value}))


@pytest.mark.parametrize(
    "call",
    [
        lambda d, value: d.predict(value),
        lambda d, value: d.predict_batch(value),
        lambda d, value: d.predict_batch([value]),
        lambda d, value: d.prepare(value) if isinstance(value, np.ndarray) and value.ndim == 3 else None,
        lambda d, value: d.run(value),
        lambda d, value: d.finish(value, d.prepare(GREY)),
        lambda d, value: d.finish(d.run(d.prepare(GREY).tensor)[0], value),
        lambda d, value: list(islice(d.stream(value), 2)) if not has_cameras(value) else None,
        lambda d, value: d.warmup(value) if not isinstance(value, int) or value < 9 else None,
        lambda d, value: Tracker(value),
        lambda d, value: Tracker(d, config=value),
        lambda d, value: Tracker(d, conf=value),
        lambda d, value: Tracker(d).update(value),
        lambda d, value: Tracker(d).update(GREY, time=value),
    ],
    ids=str,
)
def test_each_argument_of_the_steps(detector: Detector, call: Callable[[Detector, Any], object]) -> None:
    survives(lambda value: call(detector, value) if not isinstance(value, np.ndarray) else None)


@pytest.mark.parametrize("name", ["source", "channels", "max_pixels"])
def test_each_argument_of_load_image(name: str) -> None:
    survives(lambda value: load_image(**{"source": GREY, name: value}))


@pytest.mark.parametrize("name", ["classes", "conf", "min_area"])
def test_each_argument_of_filter(name: str) -> None:
    survives(lambda value: Detections(**ONE).filter(**{name: value}))


@pytest.mark.parametrize("name", [*ONE, "track_ids", "image_size"])
def test_each_field_of_detections(name: str) -> None:
    survives(lambda value: Detections(**{**ONE, name: value}))


@pytest.mark.parametrize("call", [Detections.merge, Detections.from_dict, Detections(**ONE).crops], ids=str)
def test_what_detections_are_made_of(call: Callable[[Any], object]) -> None:
    survives(call)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conf", True),
        ("iou", np.nan),
        ("overlap", True),
        ("max_detections", True),
        ("class_agnostic", "no"),
        ("class_agnostic", 1),
        ("multi_label", "no"),
        ("threads", True),
    ],
)
def test_what_only_looks_like_a_value_is_refused(model: Path, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        Detector(model, **{name: value})
