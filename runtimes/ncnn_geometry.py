"""Follows shapes through NCNN's graph, from the picture to the outputs, before NCNN does.

NCNN trusts its files: weights that do not fill a kernel, a padding around a 1x1 convolution or maps that do not fit
each other end in a signal or in wrong answers, and large numbers in gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from yolox_deploy.errors import ArtifactError
from yolox_deploy.runtimes.ncnn_files import EXPORT_AGAIN, Layer
from yolox_deploy.runtimes.ncnn_parameters import KNOWN, Misfit, Values, read_values, spell
from yolox_deploy.runtimes.ncnn_shapes import RULES, Shape, Unfollowed

MOST_LAYERS = 5_000
"""NCNN calls itself once a layer, on the stack of the thread that runs it."""
MOST_BYTES = 2 << 30
"""Of all blobs that are held at a time: what yolox_x takes for 3840x2176 pixels."""
MOST_WORK = 1 << 42
"""Multiplications of one image: 1.5 times those of yolox_x at 3840x2176 pixels."""


@dataclass(frozen=True)
class Geometry:
    """What a graph takes for one size.

    Attributes:
        memory: the most bytes of blobs that are held at a time.
        work: multiplications in convolutions, comparisons in poolings.
        unfollowed: types of layers whose shapes, and those of all behind them, could not be followed.
    """

    memory: int
    work: int
    unfollowed: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Layers whose parameters were read; `values` has one entry a layer, None for a type that is not known."""

    layers: tuple[Layer, ...]
    values: tuple[Values | None, ...]

    def follow(self, picture: str, shape: Shape) -> Geometry:
        """What it takes to run on an input `picture` of `shape` (channels, height, width).

        Raises:
            ArtifactError: a layer does not fit what it is given, or it takes too much; names the layer.
        """
        shapes: dict[str, Shape | None] = {picture: shape}
        held, most, work = 4 * prod(shape), 0, 0
        unfollowed: set[str] = set()
        if held > MOST_BYTES:
            raise _too_much("the picture", shape, held, work)
        for layer, values in zip(self.layers, self.values, strict=True):
            if layer.type == "Input":
                shapes.setdefault(layer.outputs[0], None)
                continue
            given = [shapes.pop(name) for name in layer.inputs]
            try:
                made = _shapes(layer, values, given)
            except Misfit as misfit:
                raise _told(layer, misfit) from None
            if made is None:
                unfollowed.update(() if None in given else {layer.type})
                shapes.update(dict.fromkeys(layer.outputs))
                continue
            shapes.update(zip(layer.outputs, made, strict=True))
            held += _bytes(made) if layer.type != "Split" else 0
            most = max(most, held)
            held -= _bytes(given) if layer.type != "Split" else 0
            work += _work(layer, values, made)
            if most > MOST_BYTES or work > MOST_WORK:
                raise _too_much(f"layer {layer.name} ({layer.type})", shape, most, work)
        return Geometry(most, work, tuple(sorted(unfollowed)))


def read_graph(layers: Sequence[Layer]) -> Graph:
    """Check the parameters and the number of blobs of each layer; the result's parameters are spelled for NCNN.

    Raises:
        ArtifactError: one is wrong; names the layer, what was found and what was expected.
    """
    if len(layers) > MOST_LAYERS:
        raise ArtifactError(f"the .param text has {len(layers)} layers; expected {MOST_LAYERS} at most")
    spelled, read = [], []
    for layer in layers:
        parameters = spell(layer.type, layer.parameters)
        try:
            read.append(read_values(layer.type, parameters) if layer.type in KNOWN else None)
            _check_blobs(layer)
        except Misfit as misfit:
            raise _told(layer, misfit) from None
        changed = parameters is not layer.parameters
        spelled.append(replace(layer, parameters=parameters) if changed else layer)
    return Graph(tuple(spelled), tuple(read))


def _check_blobs(layer: Layer) -> None:
    if layer.type == "Input":
        fits = (len(layer.inputs), len(layer.outputs)) == (0, 1)
    elif layer.type in RULES:
        _, inputs, outputs = RULES[layer.type]
        fits = len(layer.inputs) in inputs and len(layer.outputs) in outputs
    else:
        fits = bool(layer.inputs and layer.outputs)
    if not fits:
        raise Misfit(f"it has {len(layer.inputs)} inputs and {len(layer.outputs)} outputs")


def _shapes(layer: Layer, values: Values | None, given: Sequence[Shape | None]) -> Sequence[Shape] | None:
    """The shapes of its outputs; None where they cannot be told."""
    known = [shape for shape in given if shape is not None]
    if values is None or len(known) != len(given):
        return None
    try:
        return RULES[layer.type][0](values, known, len(layer.outputs))
    except Unfollowed:
        return None


def _bytes(shapes: Sequence[Shape | None]) -> int:
    return sum(4 * prod(shape) for shape in shapes if shape is not None)


def _work(layer: Layer, values: Values | None, made: Sequence[Shape]) -> int:
    if values is None or layer.type not in ("Convolution", "ConvolutionDepthWise", "Pooling"):
        return prod(made[0])
    if layer.type == "Pooling":
        return prod(made[0]) * max(1, _side(values, 1) * _side(values, 11))
    return _side(values, 6) * prod(made[0][1:])


def _side(values: Mapping[int, object], key: int) -> int:
    value = values[key]
    return value if isinstance(value, int) else 0


def _too_much(what: str, shape: Shape, memory: int, work: int) -> ArtifactError:
    size = "x".join(map(str, shape))
    return ArtifactError(
        f"{what} takes {memory:,} bytes and {work:,} multiplications at an input of {size} (channels, height, width); "
        f"expected at most {MOST_BYTES:,} and {MOST_WORK:,}: run it at a smaller size, or {EXPORT_AGAIN}"
    )


def _told(layer: Layer, misfit: Misfit) -> ArtifactError:
    return ArtifactError(f"layer {layer.name} ({layer.type}): {misfit}; {EXPORT_AGAIN}")
