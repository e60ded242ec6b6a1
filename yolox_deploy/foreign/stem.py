"""The weights that pixels meet first: they tell a network of normalised pixels from one of pixels 0-255.

A network that reads 0-255 has small weights in its first convolution, BatchNorm folded in: a mean absolute value of
0.0005 to 0.0076 in sixteen YOLOX files. One that reads normalised pixels has 50 times larger ones, as the files from
before YOLOX 0.1.1: 0.303.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.documents import parse_xml, read
from yolox_deploy.protobuf import fields
from yolox_deploy.runtimes.ncnn_files import STORAGE, WEIGHTED, constant_length, parse_param
from yolox_deploy.runtimes.ncnn_focus import open_focus

UNCERTAIN_WEIGHT = 0.01
"""Mean absolute weight from which the first convolution may read normalised pixels; see `types.LEGACY_STEM_WEIGHT`."""

ONNX_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
"""Numbers of TensorProto.DataType that weights come in."""

IR_TYPES = {"f32": "<f4", "f16": "<f2", "f64": "<f8"}

MOVES_PIXELS = (
    *("Cast", "Concat", "Convert", "Gather", "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split"),
    *("Squeeze", "StridedSlice", "Transpose", "Unsqueeze", "VariadicSplit"),
    *("Permute", "Reorg"),
)
"""Operations that leave each pixel's value as it is. After any other one, the first convolution tells nothing."""


class Node(NamedTuple):
    """One operation of a graph, of ONNX or of an OpenVINO file; `inputs` and `outputs` are names of tensors."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def stem_weight(path: Path, content: bytes | None = None) -> float | None:
    """The mean absolute weight of the convolution that reads the pixels as they are; None where that cannot be told.

    Reads `.onnx`, and `.xml` and `.param` with their `.bin`; only these weights, so a large file costs no more.

    Args:
        content: of an ONNX file that is in memory; `path` then tells its format alone.
    """
    readers: dict[str, Callable[[Path], NDArray[np.generic] | None]] = {
        ".onnx": partial(_of_onnx, content=content),
        ".xml": _of_ir,
        ".param": _of_ncnn,
    }
    reader = readers.get(path.suffix)
    try:
        weights = reader(path) if reader else None
    except MemoryError:
        raise
    except Exception:
        return None  # whoever runs the file says what is wrong with it
    return float(np.abs(weights.astype(np.float64)).mean()) if weights is not None and weights.size else None


def _first_weights(nodes: Iterator[Node], pixels: set[str]) -> str | None:
    """The name of the weights of the first convolution on `pixels` or on tensors that hold the same values."""
    for node in nodes:
        if not pixels.intersection(node.inputs):
            continue
        if node.kind in ("Conv", "Convolution"):
            return node.inputs[1] if node.inputs[0] in pixels else None
        if node.kind in MOVES_PIXELS:
            pixels |= set(node.outputs)
    return None


def _of_onnx(path: Path, content: bytes | None) -> NDArray[np.generic] | None:
    """ONNX is protobuf: a model's field 7 is the graph; its 1, 5 and 11 are nodes, initializers and inputs."""
    whole = memoryview(np.memmap(path, np.uint8, "r") if content is None else content)  # type: ignore[arg-type]
    graph = next(field.value for field in fields(whole) if field.number == 7)
    parts: dict[int, list[memoryview]] = {1: [], 5: [], 11: []}
    for field in fields(graph):
        if field.number in parts:
            parts[field.number].append(field.value)
    named = {_text(tensor, 8): tensor for tensor in parts[5]}
    inputs = {_text(value, 1) for value in parts[11]} - named.keys()
    name = _first_weights((_onnx_node(node) for node in parts[1]), inputs)
    return _onnx_tensor(named[name]) if name in named else None


def _onnx_node(node: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: []}
    for field in fields(node):
        if field.number in texts:
            texts[field.number].append(bytes(field.value).decode())
    return Node(texts[4][0], tuple(texts[1]), tuple(texts[2]))


def _onnx_tensor(tensor: memoryview) -> NDArray[np.generic] | None:
    """The numbers of a TensorProto: field 2 is the type, 9 the raw bytes, 4 packed floats."""
    values: dict[int, Any] = {field.number: field.value for field in fields(tensor)}
    kind = ONNX_TYPES.get(values.get(2, 0))
    if kind is None or not (9 in values or 4 in values):
        return None
    return np.frombuffer(bytes(values[9]), kind) if 9 in values else np.frombuffer(bytes(values[4]), "<f4")


def _text(message: memoryview, number: int) -> str:
    return next(bytes(field.value).decode() for field in fields(message) if field.number == number)


def _of_ir(path: Path) -> NDArray[np.generic] | None:
    """OpenVINO's XML names each layer's inputs by edges, and a constant by its place in the `.bin`."""
    net = parse_xml(read(path))
    layers = {layer.attrib["id"]: layer for layer in net.iterfind("layers/layer")}
    sources: dict[str, list[str]] = {name: [] for name in layers}
    for edge in sorted(net.iterfind("edges/edge"), key=lambda item: int(item.attrib["to-port"])):
        sources[edge.attrib["to-layer"]].append(edge.attrib["from-layer"])
    pixels = {name for name, layer in layers.items() if layer.attrib["type"] == "Parameter"}
    nodes = (Node(layer.attrib["type"], tuple(sources[name]), (name,)) for name, layer in layers.items())
    name = _first_weights(nodes, pixels)
    for _ in layers:  # as many at most, where a damaged file leads round and round
        if name is None or layers[name].attrib["type"] not in ("Convert", "Reshape"):
            break
        name = sources[name][0]
    data = layers[name].find("data") if name is not None else None
    if name is None or data is None or layers[name].attrib["type"] != "Const":
        return None
    count, offset = int(data.attrib["size"]), int(data.attrib["offset"])
    with path.with_suffix(".bin").open("rb") as file:
        file.seek(offset)
        return np.frombuffer(_read_weights(file, count), IR_TYPES[data.attrib["element_type"]])


def _of_ncnn(path: Path) -> NDArray[np.generic] | None:
    """NCNN's `.bin` holds the weights in the order of the layers, each after four bytes on how they are stored."""
    layers, _ = open_focus(parse_param(path))
    pixels = {name for layer in layers if layer.type == "Input" for name in layer.outputs}
    nodes = (Node(layer.type, (*layer.inputs, layer.name), layer.outputs) for layer in layers)
    first = next(layer for layer in layers if layer.type in WEIGHTED)
    if _first_weights(nodes, pixels) != first.name:
        return None
    with path.with_suffix(".bin").open("rb") as file:
        file.seek(sum(map(constant_length, layers[: layers.index(first)])))
        storage = STORAGE[int.from_bytes(file.read(4), "little")]
        kind = np.dtype("<f2" if storage == "fp16" else "<f4")
        return np.frombuffer(_read_weights(file, kind.itemsize * first.number(6)), kind)


def _read_weights(file: BinaryIO, count: int) -> bytes:
    if not 0 < count <= os.fstat(file.fileno()).st_size:
        raise ValueError(f"{count} bytes of weights")
    return file.read(count)
