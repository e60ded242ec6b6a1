"""The layouts in which YOLOX models arrive, rebuilt from one file that is right.

Each is the same network with a few nodes cut or added, so each must give the same boxes once its conventions are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from yolox_deploy.postprocess import anchor_grid

IMAGENET = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
MOST = 300


class Surgery:
    """A YOLOX graph cut at its three maps, before the sigmoids; `op` adds nodes and `save` writes the new file.

    Attributes:
        maps: of each level the undecoded boxes (1, 4, h, w), objectness logits and class logits, by name.
        size: (H, W) of the input.
    """

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(str(path))
        del self.model.metadata_props[:]
        graph = self.model.graph
        makers = {name: node for node in graph.node for name in node.output}
        sigmoids = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Sigmoid"}
        self.maps = [
            (node.input[0], *(sigmoids[name] for name in node.input[1:]))
            for node in graph.node
            if node.op_type == "Concat"
            and len(node.input) == 3
            and all(n in sigmoids for n in node.input[1:])
        ]
        assert len(self.maps) == 3
        shape = graph.input[0].type.tensor_type.shape.dim
        self.size = shape[2].dim_value, shape[3].dim_value
        self._drop(makers, graph.output[0].name)
        self.outputs: list[Any] = []
        self._count = 0

    def op(self, kind: str, *inputs: str | NDArray[Any], outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; arrays become constants. Returns the name of its output, or of all of several."""
        names = [self.constant(value) if isinstance(value, np.ndarray) else value for value in inputs]
        made = [self._name(kind) for _ in range(outputs)]
        self.model.graph.node.append(helper.make_node(kind, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value: NDArray[Any]) -> str:
        """A new initializer."""
        name = self._name("constant")
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def rows(self, *, sigmoid: bool = True) -> str:
        """(1, N, 5 + C) with boxes undecoded, as the authors' own files have it."""
        return str(self.op("Concat", *(self.flat(level) for level in self.levels(sigmoid=sigmoid)), axis=1))

    def levels(self, *, sigmoid: bool = True) -> list[str]:
        """The three maps (1, 5 + C, h, w)."""
        scores = [
            [self.op("Sigmoid", name) if sigmoid else name for name in level[1:]] for level in self.maps
        ]
        return [
            self.op("Concat", boxes[0], *rest, axis=1) for boxes, rest in zip(self.maps, scores, strict=True)
        ]

    def flat(self, level: str) -> str:
        """(1, rows, columns) of (1, columns, h, w)."""
        flat = self.op("Reshape", level, np.array([0, 0, -1]))
        return str(self.op("Transpose", flat, perm=[0, 2, 1]))

    def parts(self, *, corners: bool = False) -> tuple[str, str, str]:
        """Decoded boxes (1, N, 4), objectness (1, N, 1), class scores (1, N, C)."""
        rows = self.rows()
        grid = anchor_grid(self.size)
        codes, extents = self.columns(rows, 0, 2), self.columns(rows, 2, 4)
        strides = grid.strides[:, None].copy()
        centers = self.op("Mul", self.op("Add", codes, grid.offsets.copy()), strides)
        sizes = self.op("Mul", self.op("Exp", extents), strides)
        if corners:
            half = self.op("Mul", sizes, np.array(0.5, np.float32))
            centers, sizes = self.op("Sub", centers, half), self.op("Add", centers, half)
        boxes = self.op("Concat", centers, sizes, axis=2)
        return boxes, self.columns(rows, 4, 5), self.columns(rows, 5, 1 << 30)

    def columns(self, rows: str, start: int, end: int) -> str:
        """A slice of the last axis."""
        return str(self.op("Slice", rows, np.array([start]), np.array([end]), np.array([-1])))

    def best(self) -> tuple[str, str, str]:
        """Corners (1, N, 4), the best class score (1, N, 1) and its class (1, N, 1) as a number."""
        boxes, objectness, classes = self.parts(corners=True)
        scores = self.op("Mul", objectness, classes)
        score, label = self.op("TopK", scores, np.array([1]), outputs=2, axis=2)
        return boxes, score, str(self.op("Cast", label, to=TensorProto.FLOAT))

    def suppressed(self, conf: float = 0.01, iou: float = 0.65) -> str:
        """(K, 7): batch, class, score, x1, y1, x2, y2, of the best class of each anchor point."""
        boxes, score, label = self.best()
        shift = self.op("Mul", label, np.array(4096, np.float32))  # no box overlaps one of another class
        apart = self.op("Add", boxes, shift)
        flat = self.op("Transpose", score, perm=[0, 2, 1])
        numbers = [np.array([value], kind) for value, kind in ((MOST * 10, np.int64), (iou, np.float32))]
        kept = self.op("NonMaxSuppression", apart, flat, *numbers, np.array([conf], np.float32))
        place, index = self.columns(kept, 0, 1), self.columns(kept, 2, 3)
        rows = self.op("Concat", label, score, boxes, axis=2)
        found = self.op("GatherND", rows, self.op("Concat", place, index, axis=1))
        return str(self.op("Concat", self.op("Cast", place, to=TensorProto.FLOAT), found, axis=1))

    def out(self, name: str, shape: list[int | str], *, named: str, kind: int = TensorProto.FLOAT) -> None:
        """Make the tensor `name` an output called `named`."""
        self.model.graph.node.append(helper.make_node("Identity", [name], [named]))
        self.outputs.append(helper.make_tensor_value_info(named, kind, shape))

    def save(self, path: Path) -> Path:
        """Write the file."""
        graph = self.model.graph
        del graph.output[:]
        graph.output.extend(self.outputs)
        del graph.value_info[:]
        onnx.checker.check_model(self.model)
        onnx.save(self.model, str(path))
        return path

    @property
    def count(self) -> int:
        """N, anchor points."""
        return len(anchor_grid(self.size))

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}_added"

    def _drop(self, makers: Mapping[str, Any], output: str) -> None:
        """Remove the nodes behind the maps, of which nothing else is made."""
        cut = {name for level in self.maps for name in level}
        stack, gone = [output], []
        while stack:
            name = stack.pop()
            if name in makers and name not in cut and makers[name] not in gone:
                gone.append(makers[name])
                stack += makers[name].input
        for node in gone:
            self.model.graph.node.remove(node)


def raw(cut: Surgery) -> None:
    """As the authors' exporter writes it."""
    cut.out(cut.rows(), [1, cut.count, "columns"], named="output")


def decoded(cut: Surgery) -> None:
    """--decode_in_inference of the authors' exporter."""
    cut.out(cut.op("Concat", *cut.parts(), axis=2), [1, cut.count, "columns"], named="output")


def corners(cut: Surgery) -> None:
    """Decoded, boxes as x1, y1, x2, y2."""
    cut.out(cut.op("Concat", *cut.parts(corners=True), axis=2), [1, cut.count, "columns"], named="output")


def normalized(cut: Surgery) -> None:
    """Decoded, boxes as shares of the input's size, as converters to TensorFlow leave them."""
    boxes, *scores = cut.parts()
    size = np.array((cut.size[1], cut.size[0]) * 2, np.float32)
    rows = cut.op("Concat", cut.op("Div", boxes, size), *scores, axis=2)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def logits(cut: Surgery) -> None:
    """The sigmoids left outside."""
    cut.out(cut.rows(sigmoid=False), [1, cut.count, "columns"], named="output")


def multiplied(cut: Surgery) -> None:
    """4 + C columns: class scores with objectness in them."""
    boxes, objectness, classes = cut.parts()
    rows = cut.op("Concat", boxes, cut.op("Mul", objectness, classes), axis=2)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def transposed(cut: Surgery) -> None:
    """(1, 5 + C, N)."""
    rows = cut.op("Transpose", cut.op("Concat", *cut.parts(), axis=2), perm=[0, 2, 1])
    cut.out(rows, [1, "columns", cut.count], named="output")


def boxes_and_scores(cut: Surgery) -> None:
    """Two tensors, corners and scores."""
    boxes, objectness, classes = cut.parts(corners=True)
    cut.out(boxes, [1, cut.count, 4], named="boxes")
    cut.out(cut.op("Mul", objectness, classes), [1, cut.count, "classes"], named="scores")


def three_levels(cut: Surgery) -> None:
    """A map (1, 5 + C, h, w) a level."""
    for stride, level in zip((8, 16, 32), cut.levels(), strict=True):
        shape = [1, "columns", cut.size[0] // stride, cut.size[1] // stride]
        cut.out(level, shape, named=f"level_{stride}")


def nine_maps(cut: Surgery) -> None:
    """Class logits, boxes and objectness logits of each level apart, as mmdetection's head and RKNN have them."""
    for index, name in ((2, "cls"), (0, "reg"), (1, "obj")):
        for stride, level in zip((8, 16, 32), cut.maps, strict=True):
            shape = [1, f"{name}_columns", cut.size[0] // stride, cut.size[1] // stride]
            cut.out(level[index], shape, named=f"{name}_{stride}")


def deepstream(cut: Surgery) -> None:
    """(1, N, 6) x1, y1, x2, y2, score, label, not suppressed."""
    cut.out(cut.op("Concat", *cut.best(), axis=2), [1, cut.count, 6], named="output")


def pinto(cut: Surgery) -> None:
    """(K, 7) batch, class, score, x1, y1, x2, y2, suppressed in the graph."""
    cut.out(cut.suppressed(), ["detections", 7], named="batchno_classid_score_x1y1x2y2")


def mmdeploy(cut: Surgery) -> None:
    """`dets` (1, K, 5) and `labels` (1, K), suppressed in the graph."""
    rows = cut.op("Reshape", cut.suppressed(), np.array([1, -1, 7]))
    dets = cut.op("Concat", cut.columns(rows, 3, 7), cut.columns(rows, 2, 3), axis=2)
    labels = cut.op("Reshape", cut.columns(rows, 1, 2), np.array([1, -1]))
    cut.out(dets, [1, "detections", 5], named="dets")
    cut.out(
        cut.op("Cast", labels, to=TensorProto.INT64),
        [1, "detections"],
        named="labels",
        kind=TensorProto.INT64,
    )


def nhwc(cut: Surgery) -> None:
    """(1, H, W, 3) float32."""
    _transposed_input(cut, TensorProto.FLOAT)


def nhwc_uint8(cut: Surgery) -> None:
    """(1, H, W, 3) uint8."""
    _transposed_input(cut, TensorProto.UINT8)


def nchw_uint8(cut: Surgery) -> None:
    """(1, 3, H, W) uint8."""
    _new_input(cut, "Cast", [1, 3, *cut.size], TensorProto.UINT8, to=TensorProto.FLOAT)
    raw(cut)


def _transposed_input(cut: Surgery, kind: int) -> None:
    moved = "images_moved"
    _new_input(cut, "Transpose", [1, *cut.size, 3], kind, perm=[0, 3, 1, 2], source=moved)
    cut.model.graph.node.insert(0, helper.make_node("Cast", ["pixels"], [moved], to=TensorProto.FLOAT))
    raw(cut)


def _new_input(
    cut: Surgery, op: str, shape: list[int], kind: int, *, source: str = "pixels", **attributes: Any
) -> None:
    old = cut.model.graph.input[0].name
    del cut.model.graph.input[:]
    cut.model.graph.input.append(helper.make_tensor_value_info("pixels", kind, shape))
    cut.model.graph.node.insert(0, helper.make_node(op, [source], [old], **attributes))


def legacy(cut: Surgery) -> None:
    """From before YOLOX 0.1.1: the first convolution reads RGB, /255, ImageNet mean and deviation."""
    normalised_pixels(cut)
    raw(cut)


def normalised_pixels(cut: Surgery) -> None:
    """Rewrite the first convolution for the pixels of `legacy`."""
    stem = next(node for node in cut.model.graph.node if node.op_type == "Conv")
    tensors = {tensor.name: tensor for tensor in cut.model.graph.initializer}
    weight, bias = (numpy_helper.to_array(tensors[name]).astype(np.float64) for name in stem.input[1:3])
    mean, std = (np.resize(values[::-1], weight.shape[1])[None, :, None, None] for values in IMAGENET)
    bias = bias + (weight * mean).sum((1, 2, 3))
    scaled = (weight * std).reshape(len(weight), -1, 3, *weight.shape[2:])[:, :, ::-1].reshape(weight.shape)
    for name, value in zip(stem.input[1:3], (scaled, bias), strict=True):
        tensors[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))


LAYOUTS: dict[str, Callable[[Surgery], None]] = {
    layout.__name__: layout
    for layout in (
        *(raw, decoded, corners, normalized, logits, multiplied, transposed, boxes_and_scores, three_levels),
        *(nine_maps, deepstream, pinto, mmdeploy, nhwc, nhwc_uint8, nchw_uint8, legacy),
    )
}


def objectness_last(cut: Surgery) -> None:
    """Boxes, classes, objectness."""
    boxes, objectness, classes = cut.parts()
    cut.out(cut.op("Concat", boxes, classes, objectness, axis=2), [1, cut.count, "columns"], named="output")


def boxes_and_all_scores(cut: Surgery) -> None:
    """Two tensors, boxes and objectness with the class scores."""
    boxes, *scores = cut.parts()
    cut.out(boxes, [1, cut.count, 4], named="boxes")
    cut.out(cut.op("Concat", *scores, axis=2), [1, cut.count, "columns"], named="scores")


def three_apart(cut: Surgery) -> None:
    """Boxes, objectness and class scores apart, under numbers for names."""
    for name, part in zip(("812", "813", "814"), cut.parts(), strict=True):
        cut.out(part, [1, cut.count, f"columns_{name}"], named=name)


def coarse_first(cut: Surgery) -> None:
    """The levels in the order of stride 32, 16, 8."""
    rows = cut.op("Concat", *(cut.flat(level) for level in cut.levels()[::-1]), axis=1)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def levels_channels_last(cut: Surgery) -> None:
    """A map (1, h, w, 5 + C) a level."""
    for stride, level in zip((8, 16, 32), cut.levels(), strict=True):
        shape = [1, cut.size[0] // stride, cut.size[1] // stride, "columns"]
        cut.out(cut.op("Transpose", level, perm=[0, 2, 3, 1]), shape, named=f"level_{stride}")


def emptied(cut: Surgery) -> None:
    """Decoded, rows of little objectness set to zero."""
    rows = cut.op("Concat", *cut.parts(), axis=2)
    kept = cut.op("Greater", cut.columns(rows, 4, 5), np.array(0.1, np.float32))
    rows = cut.op("Mul", rows, cut.op("Cast", kept, to=TensorProto.FLOAT))
    cut.out(rows, [1, cut.count, "columns"], named="output")


def corner_shares(cut: Surgery) -> None:
    """Corners as shares of the input's size."""
    boxes, *scores = cut.parts(corners=True)
    size = np.array((cut.size[1], cut.size[0]) * 2, np.float32)
    rows = cut.op("Concat", cut.op("Div", boxes, size), *scores, axis=2)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def unit_pixels(cut: Surgery) -> None:
    """Pixels 0-1, multiplied by 255 in the graph."""
    scale = cut.constant(np.array(255, np.float32))
    old = cut.model.graph.input[0].name
    _new_input(cut, "Identity", [1, 3, *cut.size], TensorProto.FLOAT, source="scaled")
    cut.model.graph.node.insert(0, helper.make_node("Mul", ["pixels", scale], ["scaled"]))
    assert cut.model.graph.node[1].output[0] == old
    raw(cut)


FURTHER: dict[str, Callable[[Surgery], None]] = {
    layout.__name__: layout
    for layout in (
        *(objectness_last, boxes_and_all_scores, three_apart, coarse_first, levels_channels_last, emptied),
        *(corner_shares, unit_pixels),
    )
}
"""Rarer layouts, opened as well."""


def four_points(cut: Surgery) -> None:
    """Four corner points (8 columns), objectness, two colours, classes: robotics heads."""
    boxes, objectness, classes = cut.parts(corners=True)
    rows = cut.op("Concat", boxes, boxes, objectness, cut.columns(classes, 0, 2), classes, axis=2)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def four_undecoded_points(cut: Surgery) -> None:
    """The same, points undecoded and sigmoids outside."""
    rows = cut.rows(sigmoid=False)
    points = cut.columns(rows, 0, 4)
    joined = cut.op("Concat", points, points, cut.columns(rows, 4, 1 << 30), axis=2)
    cut.out(joined, [1, cut.count, "columns"], named="output")


def swapped(cut: Surgery) -> None:
    """Decoded, boxes as centre y, centre x, height, width."""
    boxes, *scores = cut.parts()
    order = [cut.columns(boxes, index, index + 1) for index in (1, 0, 3, 2)]
    cut.out(cut.op("Concat", *order, *scores, axis=2), [1, cut.count, "columns"], named="output")


def swapped_shares(cut: Surgery) -> None:
    """Boxes as y1, x1, y2, x2 in shares of the input's size."""
    boxes, *scores = cut.parts(corners=True)
    order = [cut.columns(boxes, index, index + 1) for index in (1, 0, 3, 2)]
    size = np.array((cut.size[0], cut.size[1]) * 2, np.float32)
    rows = cut.op("Concat", cut.op("Div", cut.op("Concat", *order, axis=2), size), *scores, axis=2)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def left_and_top(cut: Surgery) -> None:
    """Boxes as left, top, width, height."""
    corner, extents = cut.parts(corners=True)[0], cut.parts()
    boxes = cut.columns(corner, 0, 2), cut.columns(extents[0], 2, 4)
    cut.out(cut.op("Concat", *boxes, *extents[1:], axis=2), [1, cut.count, "columns"], named="output")


def columns_of_cells(cut: Surgery) -> None:
    """Undecoded, the rows of a level from column to column."""
    turned = [cut.op("Transpose", level, perm=[0, 1, 3, 2]) for level in cut.levels()]
    rows = cut.op("Concat", *map(cut.flat, turned), axis=1)
    cut.out(rows, [1, cut.count, "columns"], named="output")


def sigmoid_twice(cut: Surgery) -> None:
    """The sigmoid applied twice."""
    rows = cut.rows()
    scores = cut.op("Sigmoid", cut.columns(rows, 4, 1 << 30))
    cut.out(
        cut.op("Concat", cut.columns(rows, 0, 4), scores, axis=2), [1, cut.count, "columns"], named="output"
    )


def rows_y_first(cut: Surgery) -> None:
    """Finished rows y1, x1, y2, x2, score, class, as TensorFlow has boxes."""
    rows = cut.suppressed()
    order = [cut.columns(rows, index, index + 1) for index in (4, 3, 6, 5, 2, 1)]
    cut.out(cut.op("Concat", *order, axis=1), ["detections", 6], named="output")


def a_number_beside(cut: Surgery) -> None:
    """A single number beside the rows."""
    rows = cut.rows()
    cut.out(rows, [1, cut.count, "columns"], named="output")
    cut.out(cut.op("ReduceMax", rows, keepdims=0), [], named="highest")


def overflowing(cut: Surgery) -> None:
    """Half precision that overflows: NaN."""
    rows = cut.op("Concat", *cut.parts(), axis=2)
    cut.out(cut.op("Sqrt", cut.op("Neg", rows)), [1, cut.count, "columns"], named="output")


def three_anchors(cut: Surgery) -> None:
    """Three anchor boxes a location: YOLOv3, v5, v7."""
    rows = cut.op("Concat", *cut.parts(), axis=2)
    cut.out(cut.op("Concat", rows, rows, rows, axis=1), [1, 3 * cut.count, "columns"], named="output")


def ultralytics(cut: Surgery) -> None:
    """(1, 4 + C, N) of Ultralytics, as its metadata says."""
    boxes, objectness, classes = cut.parts()
    rows = cut.op("Concat", boxes, cut.op("Mul", objectness, classes), axis=2)
    cut.out(cut.op("Transpose", rows, perm=[0, 2, 1]), [1, "columns", cut.count], named="output0")
    helper.set_model_props(cut.model, {"author": "Ultralytics", "task": "detect"})


def rows_without_any(cut: Surgery) -> None:
    """Rows of 7 columns that a photograph gives none of: nothing tells their order."""
    cut.out(cut.suppressed(conf=0.999), ["detections", 7], named="output")


def segments(cut: Surgery) -> None:
    """A map of masks beside the rows."""
    cut.out(cut.op("Concat", *cut.parts(), axis=2), [1, cut.count, "columns"], named="output")
    shape = [1, "masks", cut.size[0] // 8, cut.size[1] // 8]
    cut.out(cut.maps[0][2], shape, named="masks")


REFUSED: dict[str, Callable[[Surgery], None]] = {
    layout.__name__: layout
    for layout in (
        *(four_points, four_undecoded_points, swapped, swapped_shares, left_and_top, columns_of_cells),
        *(sigmoid_twice, overflowing, three_anchors, ultralytics, rows_without_any, rows_y_first),
        *(segments, a_number_beside),
    )
}
"""Layouts that no convention opens: each has to be refused."""


def rebuild(
    layout: str, source: Path, path: Path, *, normalised: bool = False, classes: int = 0, batch: int = 1
) -> Path:
    """Write `source`, a file of ours or of the authors, in another layout.

    Args:
        normalised: with the first convolution of `legacy`.
        classes: how many of its classes to keep, 0 for all.
        batch: pictures that it takes.
    """
    cut = Surgery(source)
    if normalised:
        normalised_pixels(cut)
    if classes:
        part = np.array([0]), np.array([classes]), np.array([1])
        cut.maps = [(*level[:2], cut.op("Slice", level[2], *part)) for level in cut.maps]
    cut.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    (LAYOUTS | FURTHER | REFUSED)[layout](cut)
    if batch > 1:
        for output in cut.outputs:
            if output.type.tensor_type.shape.dim[0].dim_value == 1:
                output.type.tensor_type.shape.dim[0].dim_value = batch
    return cut.save(path)
