"""The same ONNX graph computed in half precision, with its float32 inputs and outputs kept.

TensorRT 11 builds only what the file says (strong typing), so the types must stand in the file; ONNX
Runtime's CUDA and TensorRT providers take the same file. onnxconverter-common does this too, but what it makes
of a graph with a uint8 input, or of a Resize in half precision, is no valid ONNX, and it knows nothing of the
scales of Q/DQ pairs.

What stays float32: box decoding and all that follows it. Half precision has 11 significant bits: a coordinate
beyond 512 pixels moves in steps of half a pixel, and exp(12) is already infinite.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolox_deploy.errors import ArtifactError, UsageError, require

if TYPE_CHECKING:
    import onnx

FLOAT_OPERANDS = {"Resize": (1, 2)}
"""Operands that the ONNX standard wants in float32 whatever the type of the rest."""

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
"""Their second operand is a scale, which must not become zero."""

FLOAT_NODES = ("Constant", "ConstantOfShape", "NonMaxSuppression", "Range", "TopK")

OPSETS = {"fp16": 19, "bf16": 22}
"""The lowest opset whose operators take the type: half scales of Q/DQ came with 19, bfloat16 Conv with 22."""


def cast_file(source: Path, target: Path, precision: str = "fp16") -> None:
    """Write the ONNX file `source` to `target` in `precision`; see `cast_model`."""
    onnx = require("onnx", "export")
    onnx.save(cast_model(onnx.load(str(source)), precision), str(target))


def cast_model(model: onnx.ModelProto, precision: str = "fp16") -> onnx.ModelProto:
    """A copy of `model` whose inner float32 tensors are "fp16" or "bf16"; float32 inputs and outputs stay.

    Raises:
        ArtifactError: a weight is too large for half precision (65504), or the result is no valid ONNX.
        UsageError: another precision.
    """
    onnx = require("onnx", "export")
    if precision not in OPSETS:
        raise UsageError(f"cannot cast to {precision!r}; expected one of {', '.join(OPSETS)}")
    inferred = onnx.shape_inference.infer_shapes(model)
    half = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16
    cast = _Cast(inferred, half)
    cast.run()
    for opset in inferred.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, OPSETS[precision])
    try:
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"the graph cannot be cast to {precision}: {reason}") from error
    return inferred


def decoding_nodes(graph: onnx.GraphProto) -> set[int]:
    """Positions of the nodes that decode boxes and of all that follow: users of the tensor that exp uses."""
    producer = {name: node for node in graph.node for name in node.output}
    reached = {
        producer[node.input[0]].input[0]
        for node in graph.node
        if node.op_type == "Exp" and node.input[0] in producer
    }
    positions: set[int] = set()
    for position, node in enumerate(graph.node):
        if reached.intersection(node.input):
            positions.add(position)
            reached.update(node.output)
    return positions


@dataclass
class _Cast:
    """One pass over a graph in topological order; casts appear where a node wants the other type."""

    model: onnx.ModelProto
    half: int
    casts: dict[tuple[str, int], str] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        import onnx

        self.float = int(onnx.TensorProto.FLOAT)
        graph = self.model.graph
        self.weights = {w.name: w for w in graph.initializer if w.data_type == self.float}
        self.scales = {node.input[1] for node in graph.node if node.op_type in QUANTIZERS}
        values = (*graph.value_info, *graph.input, *graph.output)
        floats = {v.name for v in values if v.type.tensor_type.elem_type == self.float}
        self.types = dict.fromkeys((*floats, *self.weights), self.float)  # of float tensors, as they become
        self.outputs = {v.name for v in graph.output} & floats

    def run(self) -> None:
        """Rewrite the graph in place."""
        graph = self.model.graph
        kept = decoding_nodes(graph)
        for position, node in enumerate(list(graph.node)):
            stays = position in kept or node.op_type in FLOAT_NODES
            self._node(node, self.float if stays else self.half)
        del graph.node[:], graph.value_info[:]  # the latter names the old types
        graph.node.extend(self.nodes)
        used = {name for node in graph.node for name in node.input}
        weights = [w for w in graph.initializer if w.name in used]
        del graph.initializer[:]
        graph.initializer.extend(weights)

    def _node(self, node: Any, wanted: int) -> None:
        for index, name in enumerate(node.input):
            if name in self.types and index not in FLOAT_OPERANDS.get(node.op_type, ()):
                node.input[index] = self._in_type(name, wanted)
        if node.op_type == "Cast":
            target = next(a for a in node.attribute if a.name == "to")
            target.i = wanted if target.i == self.float else target.i
        self.nodes.append(node)
        for index, name in enumerate(node.output):
            if name in self.types:
                self.types[name] = wanted
                if name in self.outputs and wanted != self.float:
                    self._restore_output(node, index, name)

    def _in_type(self, name: str, wanted: int) -> str:
        """The name under which float tensor `name` exists in type `wanted`, made where it does not yet."""
        if self.types[name] == wanted:
            return name
        key = (name, wanted)
        if key not in self.casts:
            self.casts[key] = f"{name}_as_{_type_name(wanted)}"
            if name in self.weights:
                weight = _cast_weight(self.weights[name], wanted, self.casts[key], name in self.scales)
                self.model.graph.initializer.append(weight)
            else:
                self._append_cast(name, self.casts[key], wanted)
        return self.casts[key]

    def _restore_output(self, node: Any, index: int, name: str) -> None:
        """Give the graph's output its float32 back and let inner users take the half tensor beside it."""
        inner = f"{name}_as_{_type_name(self.half)}"
        node.output[index] = inner
        self.casts[name, self.half] = inner
        self.types[name] = self.float
        self._append_cast(inner, name, self.float)

    def _append_cast(self, source: str, target: str, wanted: int) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=wanted))


def _cast_weight(weight: onnx.TensorProto, wanted: int, name: str, is_scale: bool) -> onnx.TensorProto:
    from onnx import helper, numpy_helper

    values = numpy_helper.to_array(weight)
    if is_scale:  # a channel of vanishing weights: 127 times the smallest half number is still nothing
        values = np.maximum(values, np.finfo(np.float16).smallest_subnormal.astype(np.float32))
    with np.errstate(over="ignore"):
        cast = values.astype(helper.tensor_dtype_to_np_dtype(wanted))
    if not np.isfinite(cast.astype(np.float32)).all():
        raise ArtifactError(
            f"{weight.name} reaches {np.abs(values).max():g}, beyond half precision's 65504 or not finite; "
            "export in fp32 or bf16"
        )
    return numpy_helper.from_array(cast, name)


def _type_name(wanted: int) -> str:
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(wanted)).lower()
