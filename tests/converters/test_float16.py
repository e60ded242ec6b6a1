"""Half-precision ONNX: what becomes half, what stays float32, and that the numbers survive (ONNX Runtime)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from yolox_deploy.converters.float16 import cast_file, cast_model, decoding_nodes
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.images import load_image
from yolox_deploy.postprocess import decode, postprocess
from yolox_deploy.preprocess import letterbox

FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def graph(
    nodes: list[Any], weights: dict[str, Any], shape: list[int], out: list[int], dtype: int = FLOAT
) -> onnx.ModelProto:
    """A checked model from `x` to `y` (float32) at opset 18."""
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    result: np.ndarray = ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]
    return result


def weight_types(model: onnx.ModelProto) -> dict[str, int]:
    return {weight.name: weight.data_type for weight in model.graph.initializer}


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def decoder() -> onnx.ModelProto:
    """A 1x1 convolution followed by the decoding of boxes on a row of anchor points."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="head"),
        helper.make_node("Split", ["c", "parts"], ["xy", "wh"], name="split", axis=1),
        helper.make_node("Add", ["xy", "grid"], ["center"], name="add"),
        helper.make_node("Mul", ["center", "stride"], ["cxcy"], name="mul"),
        helper.make_node("Exp", ["wh"], ["e"], name="exp"),
        helper.make_node("Mul", ["e", "stride"], ["size"], name="mul2"),
        helper.make_node("Concat", ["cxcy", "size"], ["y"], name="cat", axis=1),
    ]
    weights = {
        "w": np.eye(4, dtype=np.float32)[:, :, None, None],
        "parts": np.array([2, 2]),
        "grid": np.arange(80, dtype=np.float32)[None, None, None],
        "stride": np.float32(8.0),
    }
    return graph(nodes, weights, [1, 4, 1, 80], [1, 4, 1, 80])


def test_convolutions_are_half_inputs_and_outputs_are_not() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="c"),
        helper.make_node("Sigmoid", ["c"], ["s"], name="s"),
        helper.make_node("Mul", ["c", "s"], ["y"], name="m"),
    ]
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "b": np.ones(4, np.float32)}
    model = graph(nodes, weights, [1, 3, 8, 8], [1, 4, 6, 6])
    cast = cast_model(model)
    assert set(weight_types(cast).values()) == {HALF}
    assert cast.graph.input[0].type.tensor_type.elem_type == FLOAT
    assert cast.graph.output[0].type.tensor_type.elem_type == FLOAT
    assert operators(cast) == ["Cast", "Conv", "Sigmoid", "Mul", "Cast"]
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(cast, x), run(model, x), rtol=5e-3, atol=5e-3)
    assert weight_types(model) == {"w": FLOAT, "b": FLOAT}, "the given model is not changed"


def test_decoding_keeps_its_coordinates_exact() -> None:
    model = decoder()
    cast = cast_model(model)
    names = [model.graph.node[position].name for position in sorted(decoding_nodes(model.graph))]
    assert names == ["split", "add", "mul", "exp", "mul2", "cat"]
    assert operators(cast) == ["Cast", "Conv", "Cast", "Split", "Add", "Mul", "Exp", "Mul", "Concat"]
    assert weight_types(cast)["grid"] == FLOAT
    x = np.full((1, 4, 1, 80), 1 / 32, np.float32)  # exact in half precision, so only decoding could lose
    np.testing.assert_array_equal(run(cast, x), run(model, x))
    assert run(cast, x)[0, 0, 0, -1] == 632.25
    assert np.float16(632.25) == 632.0, "what half precision would have made of it"


def test_exponential_beyond_half_precision_stays_finite() -> None:
    x = np.full((1, 4, 1, 80), 12.0, np.float32)  # exp(12) = 162755 > 65504
    assert np.isfinite(run(cast_model(decoder()), x)).all()


def test_uint8_input_becomes_half_without_a_detour() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="t", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["f"], name="f", to=FLOAT),
        helper.make_node("Conv", ["f", "w"], ["y"], name="c"),
    ]
    weights = {"w": np.full((1, 3, 1, 1), 0.5, np.float32)}
    model = graph(nodes, weights, [1, 2, 2, 3], [1, 1, 2, 2], TensorProto.UINT8)
    cast = cast_model(model)
    assert operators(cast) == ["Transpose", "Cast", "Conv", "Cast"]
    x = np.array([0, 1, 127, 128, 254, 255] * 2, np.uint8).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(run(cast, x), run(model, x))


def test_resize_keeps_float_scales_and_half_data() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="r"),
        helper.make_node("Resize", ["r", "", "scales"], ["u"], name="u", mode="nearest"),
        helper.make_node("Relu", ["u"], ["y"], name="z"),
    ]
    model = graph(nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}, [1, 1, 2, 2], [1, 1, 4, 4])
    cast = cast_model(model)
    assert weight_types(cast) == {"scales": FLOAT}
    assert operators(cast) == ["Cast", "Relu", "Resize", "Relu", "Cast"]
    np.testing.assert_array_equal(run(cast, np.ones((1, 1, 2, 2), np.float32)), 1)


def test_output_that_the_graph_goes_on_using() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], name="r"),
        helper.make_node("Neg", ["y"], ["unused"], name="n"),
    ]
    cast = cast_model(graph(nodes, {}, [2], [2]))
    users = {node.op_type: node.input[0] for node in cast.graph.node}
    assert users["Neg"] == "y_as_float16"
    np.testing.assert_array_equal(run(cast, np.array([-1, 2], np.float32)), [0, 2])


def test_scales_of_quantisers_never_vanish() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d"),
        helper.make_node("Relu", ["d"], ["y"], name="r"),
    ]
    weights = {"scale": np.float32(1e-10), "zero": np.int8(0)}
    cast = cast_model(graph(nodes, weights, [2], [2]))
    scale = next(w for w in cast.graph.initializer if w.data_type == HALF)
    assert 0 < numpy_helper.to_array(scale) < 1e-7
    assert cast.opset_import[0].version == 19, "the first whose Q/DQ take half scales"


def test_bfloat16_is_valid_onnx() -> None:
    cast = cast_model(decoder(), "bf16")
    assert weight_types(cast)["w_as_bfloat16"] == BF16
    assert cast.opset_import[0].version == 22


@pytest.mark.parametrize("value", [1e5, np.inf])
def test_weight_beyond_half_precision_is_refused(value: float) -> None:
    model = graph([helper.make_node("Mul", ["x", "w"], ["y"])], {"w": np.float32(value)}, [2], [2])
    with pytest.raises(ArtifactError, match="65504"):
        cast_model(model)


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="fp16, bf16"):
        cast_model(decoder(), "fp8")


def test_trained_weights_find_the_same_objects(
    nano_onnx: Path, scene_pictures: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "half.onnx"
    cast_file(nano_onnx, target)
    assert target.stat().st_size < 0.55 * nano_onnx.stat().st_size
    picture = load_image(scene_pictures[0])
    canvas, _ = letterbox(picture, (480, 640))
    tensor = canvas.transpose(2, 0, 1)[None].astype(np.float32)
    found = []
    for path in (nano_onnx, target):
        output = ort.InferenceSession(str(path)).run(None, {"images": tensor})[0]
        found.append(postprocess(decode(output, (480, 640))[0], conf=0.25, iou=0.45))
    (boxes, scores, classes), (half_boxes, half_scores, half_classes) = found
    assert len(scores) > 4
    np.testing.assert_array_equal(half_classes, classes)
    np.testing.assert_allclose(half_boxes, boxes, atol=1)
    np.testing.assert_allclose(half_scores, scores, atol=0.01)
