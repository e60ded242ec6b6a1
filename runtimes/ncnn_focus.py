"""Opens the Focus stems of older YOLOX files: NCNN has no layer for them, its built-in ones do the same.

Focus takes every second pixel four times and stacks these pictures as channels: top-left, bottom-left, top-right,
bottom-right. NCNN's Reorg does so row by row, so the middle two change places.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from yolox_deploy.runtimes.ncnn_files import Layer

FOCUS = re.compile(r"(?:yolo(?:v5|x)?)?focus", re.IGNORECASE)
"""Names of the custom layer: YoloV5Focus in the authors' files, YoloXFocus in others'."""
QUARTERS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""(row, column) where the four pictures begin, in the order of Focus."""
CROPPED = "the Focus stem, whose steps of two the conversion to NCNN lost, is run as a whole Focus"
CROPS = ("Crop", "Tensor.slice")
BEGINS = {"1,0": 0, "1,1": 1}
"""One number of an array parameter, as NCNN writes it."""
TO_THE_END = "1,2147483647"


def open_focus(layers: Sequence[Layer]) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The layers with each Focus made of built-in ones, and a sentence where one had to be recognised.

    That is so where the file was converted and not edited as the authors' README says: a converter leaves Crop or
    Tensor.slice layers that have lost their step, and NCNN refuses them or answers for four times the anchor points.
    """
    opened, notes = list(layers), []
    if (stem := _cropped_stem(layers)) is not None:
        split, crops, concat = stem
        focus = Layer("YoloV5Focus", concat.name, split.inputs, concat.outputs, {})
        gone = {id(layer) for layer in (split, *crops)}
        opened = [focus if layer is concat else layer for layer in layers if id(layer) not in gone]
        notes.append(CROPPED)
    pictures = [layer.outputs for layer in layers if layer.type == "Input"]
    return tuple(part for layer in opened for part in _built_in(layer, pictures)), tuple(notes)


def _built_in(layer: Layer, pictures: Collection[tuple[str, ...]]) -> tuple[Layer, ...]:
    """Reorg, Slice and Concat in place of a Focus of the picture; any other layer as it is."""
    if not FOCUS.fullmatch(layer.type) or layer.inputs not in pictures or len(layer.outputs) != 1:
        return (layer,)
    name, (output,) = layer.name, layer.outputs
    rows = f"{output}_rows"
    first, second, third, fourth = parts = tuple(f"{rows}_{number}" for number in range(4))
    return (
        Layer("Reorg", f"{name}_rows", layer.inputs, (rows,), {"0": "2", "1": "1"}),
        Layer("Slice", f"{name}_parts", (rows,), parts, {"-23300": "4,-233,-233,-233,-233", "1": "0"}),
        Layer("Concat", name, (first, third, second, fourth), layer.outputs, {"0": "0"}),
    )


def _cropped_stem(layers: Sequence[Layer]) -> tuple[Layer, list[Layer], Layer] | None:
    """The Split of the input, the crops and the Concat that a converter makes of a Focus; None for another stem."""
    maker = {blob: layer for layer in layers for blob in layer.outputs}
    for split in layers:
        if split.type != "Split" or maker[split.inputs[0]].type != "Input":
            continue
        for concat in (layer for layer in layers if layer.type == "Concat"):
            chains = [_crops_before(blob, maker) for blob in concat.inputs]
            begins = {chain[0].inputs[0] for chain in chains if chain}
            if begins == set(split.outputs) and len(chains) == len(begins) and _are_quarters(chains):
                return split, [crop for chain in chains for crop in chain], concat
    return None


def _crops_before(blob: str, maker: Mapping[str, Layer]) -> list[Layer]:
    """The crops that lead to `blob`, the first one first."""
    chain: list[Layer] = []
    while blob in maker and maker[blob].type in CROPS and len(maker[blob].inputs) == 1:
        chain.insert(0, maker[blob])
        blob = maker[blob].inputs[0]
    return chain


def _are_quarters(chains: Sequence[Sequence[Layer]]) -> bool:
    """Whether the crops begin where those of a Focus do, or have lost that too (as pnnx writes them)."""
    if all(len(chain) == 1 and not chain[0].parameters for chain in chains):
        return len(chains) == len(QUARTERS)
    return tuple(map(_corner, chains)) == QUARTERS


def _corner(chain: Sequence[Layer]) -> tuple[int, int] | None:
    """(row, column) where a crop of rows and one of columns, both to the end, begin; None for other crops."""
    begins = {}
    for crop in chain:
        begin, end, axis = (crop.parameters.get(key) for key in ("-23309", "-23310", "-23311"))
        if end != TO_THE_END or begin not in BEGINS:
            return None
        begins[axis] = BEGINS[begin]
    return (begins["1,1"], begins["1,2"]) if begins.keys() == {"1,1", "1,2"} else None
