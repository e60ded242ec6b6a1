"""Files without our metadata: their conventions are read from the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.class_names import CLASS_NAMES
from yolox_deploy.errors import ArtifactError, YoloxDeployError
from yolox_deploy.foreign.conventions import recognise
from yolox_deploy.runtimes import open_runtime
from yolox_deploy.types import InputConvention


def inferred(path: Path) -> ArtifactInfo:
    with open_runtime(path, "onnxruntime", threads=1) as runtime:
        return recognise(runtime, {}).info


@pytest.mark.parametrize("decoded", [False, True], ids=["raw", "decoded"])
@pytest.mark.parametrize("size", [(64, 64), (64, 160), (96, 32)])
def test_size_classes_and_box_encoding(
    toy_model: Any, tmp_path: Path, size: tuple[int, int], decoded: bool
) -> None:
    info = inferred(toy_model(tmp_path / "toy.onnx", size=size, classes=4, decoded=decoded))
    assert info.input_size == size
    assert info.boxes == ("decoded" if decoded else "raw")
    assert info.class_names == ("class_0", "class_1", "class_2", "class_3")
    assert info.origin == "inferred"
    assert info.batch == 1
    assert info.input == InputConvention()
    assert info.parity is None


def test_80_classes_are_those_of_coco(toy_model: Any, tmp_path: Path) -> None:
    assert inferred(toy_model(tmp_path / "toy.onnx", classes=80)).class_names == CLASS_NAMES


@pytest.mark.parametrize("batch", [None, 4])
def test_batch(toy_model: Any, tmp_path: Path, batch: int | None) -> None:
    assert inferred(toy_model(tmp_path / "toy.onnx", batch=batch)).batch == batch


def test_a_uint8_input(toy_model: Any, tmp_path: Path) -> None:
    info = inferred(toy_model(tmp_path / "toy.onnx", nhwc=True))
    assert info.input == InputConvention("NHWC", "uint8")
    assert info.input_size == (64, 96)


def test_the_official_file(shared: Path) -> None:
    info = inferred(shared / "real" / "yolox_nano_official.onnx")
    assert (info.input_size, info.boxes, info.batch) == ((416, 416), "raw", 1)
    assert info.class_names == CLASS_NAMES
    assert info.input == InputConvention()


def identity(path: Path, shape: list[int], *, outputs: int = 1, kind: int = TensorProto.FLOAT) -> Path:
    """A network that returns its input, once or more."""
    names = [f"output{index}" for index in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], [name]) for name in names],
        "identity",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (
            [1, 3, 64, 64],
            {"outputs": 2},
            r"the output is output0 \(1, 3, 64, 64\), output1 .*yolox-deploy inspect",
        ),
        ([1, 3, 64, 64], {}, r"a YOLOX detector of 64x64 gives \(batch, 84, 5 \+ classes\)"),
        ([1, 1000], {}, "expected \\(batch, 3, H, W\\)"),
        ([1, 5, 64, 64], {}, "expected \\(batch, 3, H, W\\)"),
        ([1, 3, 64, 64], {"kind": TensorProto.INT32}, "input.dtype|int32"),
        ([1, 3, 100, 100], {}, "both sides must be multiples of 32"),
    ],
)
def test_another_network_is_refused(
    tmp_path: Path, shape: list[int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(YoloxDeployError, match=message):
        inferred(identity(tmp_path / "other.onnx", shape, **options))


def test_a_row_of_too_few_columns_is_refused(tmp_path: Path) -> None:
    """(1, 84, 4) has no class at all."""
    constant = helper.make_node(
        "Constant", [], ["output"], value=onnx.numpy_helper.from_array(np.zeros((1, 84, 4), np.float32))
    )
    use = helper.make_node("Identity", ["images"], ["unused"])
    graph = helper.make_graph(
        [constant, use],
        "boxes only",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 84, 4])],
    )
    path = tmp_path / "boxes.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    with pytest.raises(ArtifactError, match="5 \\+ classes"):
        inferred(path)


def test_a_model_that_finds_something_in_grey_is_not_taken_for_a_legacy_one(
    toy_model: Any, tmp_path: Path
) -> None:
    """Normalised pixels silence any network of 0-255; that alone says nothing where no weights can be read."""
    found = inferred(toy_model(tmp_path / "toy.onnx", [(5, [0, 0, 0, 0, 0, 0.9, 0, 0])], lit=[5]))
    assert found.input == InputConvention()


def test_boxes_of_hardly_any_row_are_not_guessed(toy_model: Any, tmp_path: Path) -> None:
    """A single undecoded box may lie as near to its anchor point as a decoded one."""
    rows = [(index, [0.0] * 7) for index in range(84)]
    path = toy_model(tmp_path / "toy.onnx", [*rows, (10, [0, 0, 0, 0, 0.9, 1, 0])], size=(64, 64), classes=2)
    with pytest.raises(ArtifactError, match=r"almost nothing but zeros \(2 rows.*--override boxes=raw"):
        inferred(path)
