"""Reads and checks NCNN's `.param` and `.bin` files before NCNN does.

NCNN trusts its files: a size that does not fit reads memory that is not its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_deploy.artifact import ArtifactInfo
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.models.zoo import STRIDES, check_input_size

MAGIC = "7767517"
EXPORT_AGAIN = "export the checkpoint again with: yolox-deploy export MODEL --to ncnn --weights FILE"
LONGEST_TEXT = 4 << 20
LONGEST_NAME = 255
"""Bytes of the name of a blob or layer that NCNN reads."""
STORAGE = {0x00000000: "fp32", 0x0002C056: "fp32", 0x01306B47: "fp16"}
"""How a layer's weights are stored, by the four bytes before them."""
WEIGHTED = ("Convolution", "ConvolutionDepthWise")
CONSTANT = "MemoryData"
WEIGHTLESS = re.compile(
    "BinaryOp|Concat|Crop|Input|Interp|Permute|Pooling|ReLU|Reorg|Reshape|Sigmoid|Slice|Softmax|Split|Swish|UnaryOp"
)


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file; `inputs` and `outputs` are names of blobs."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, str]

    def number(self, key: int) -> int:
        """The integer parameter `key`, 0 where it is absent.

        Raises:
            ArtifactError: it is no count.
        """
        text = self.parameters.get(str(key), "0")
        if text.isdigit() and text.isascii() and len(text) <= 10:
            return int(text)
        if not re.fullmatch(r"-[0-9]{1,10}", text):
            raise ArtifactError(f"layer {self.name}: parameter {key} is {text!r}; expected an integer")
        return int(text)


def parse_param(path: Path) -> tuple[Layer, ...]:
    """Read the layers of a `.param` text.

    Raises:
        ArtifactError: it is no such text, is truncated, or is wired wrongly: NCNN makes each blob once and
            uses it once (Split multiplies).
    """
    if (size := path.stat().st_size) > LONGEST_TEXT:
        raise ArtifactError(
            f"{path} has {size:,} bytes; a .param text of YOLOX has some 25,000: {EXPORT_AGAIN}"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if lines[0].strip() != MAGIC:
        raise ArtifactError(f"{path} is no NCNN .param text: line 1 is not {MAGIC}; {EXPORT_AGAIN}")
    try:
        layer_count, blob_count = (int(field) for field in lines[1].split())
        layers = tuple(_parse_line(line.split()) for line in lines[2:] if line.strip())
    except (ValueError, IndexError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); {EXPORT_AGAIN}") from error
    unused: set[str] = set()
    made: set[str] = set()
    for layer in layers:
        if not unused.issuperset(layer.inputs) or len(set(layer.inputs)) < len(layer.inputs):
            raise ArtifactError(f"{path}: {layer.name} uses a blob not made above or used up; {EXPORT_AGAIN}")
        if not made.isdisjoint(layer.outputs) or len(set(layer.outputs)) < len(layer.outputs):
            raise ArtifactError(f"{path}: {layer.name} makes a blob that was made above; {EXPORT_AGAIN}")
        unused.difference_update(layer.inputs)
        unused.update(layer.outputs)
        made.update(layer.outputs)
    # More blobs than there are do no harm, and the authors' README tells people to leave them when they edit a file.
    if len(layers) != layer_count or len(made) > blob_count:
        raise ArtifactError(
            f"{path} announces {layer_count} layers and {blob_count} blobs and has {len(layers)} and "
            f"{len(made)}: it is truncated, or was edited without its second line; copy it again, write "
            f"'{len(layers)} {len(made)}' there if its last line is the output, or {EXPORT_AGAIN}"
        )
    return layers


def param_text(layers: Sequence[Layer]) -> str:
    """The `.param` text of `layers`, for NCNN to read from memory: nothing in it was not checked."""
    blobs = sum(len(layer.outputs) for layer in layers)
    lines = [MAGIC, f"{len(layers)} {blobs}"]
    for layer in layers:
        counts = (str(len(layer.inputs)), str(len(layer.outputs)))
        parameters = (f"{key}={value}" for key, value in layer.parameters.items())
        lines.append(" ".join((layer.type, layer.name, *counts, *layer.inputs, *layer.outputs, *parameters)))
    return "\n".join(lines) + "\n"


def _parse_line(fields: Sequence[str]) -> Layer:
    inputs, outputs = int(fields[2]), int(fields[3])
    blobs, parameters = fields[4 : 4 + inputs + outputs], fields[4 + inputs + outputs :]
    if min(inputs, outputs) < 0 or len(blobs) != inputs + outputs:
        raise ValueError(f"layer {fields[1]} lacks blobs")
    names = " ".join((fields[1], *blobs))
    if "\0" in names or (
        len(names) > LONGEST_NAME // 4 and len(max(names.encode().split(), key=len)) > LONGEST_NAME
    ):
        raise ValueError(
            f"layer {fields[1][:40]} has a name of more than {LONGEST_NAME} bytes or with a zero byte"
        )
    pairs = dict(pair.split("=", 1) for pair in parameters)
    if len(pairs) != len(parameters):
        raise ValueError(f"layer {fields[1]} has a parameter twice")
    return Layer(fields[0], fields[1], tuple(blobs[:inputs]), tuple(blobs[inputs:]), pairs)


def check_layers(layers: Sequence[Layer], path: Path, ncnn: Any) -> None:
    """Refuse layers that NCNN does not have.

    Raises:
        ArtifactError: names them.
    """
    unknown = sorted({layer.type for layer in layers if ncnn.layer_to_index(layer.type) < 0})
    if unknown:
        raise ArtifactError(
            f"{path} needs {', '.join(unknown)}, which ncnn does not have (a Focus is opened at the input only); "
            f"{EXPORT_AGAIN}"
        )


def read_storage(layers: Sequence[Layer], weights: Path, path: Path) -> str:
    """How the `.bin` stores its weights, "fp32" or "fp16", having checked that it is as long as it must be.

    "unknown" where some layer is neither in `WEIGHTED` nor `WEIGHTLESS`; NCNN itself checks the length then.

    Raises:
        ArtifactError: missing, truncated, of another model, or stored otherwise.
    """
    if not weights.is_file():
        raise ArtifactError(f"{path} needs {weights.name} beside it, which is missing; copy it too")
    if not all(_has_known_length(layer) for layer in layers):
        return "unknown"
    size, position, found = weights.stat().st_size, 0, set()
    with weights.open("rb") as file:
        for layer in (layer for layer in layers if layer.type in (*WEIGHTED, CONSTANT)):
            file.seek(position)
            storage, length = _stored(layer, int.from_bytes(file.read(4), "little"), weights)
            position += length
            found.add(storage)
    if position != size:
        raise ArtifactError(
            f"{weights} has {size} bytes, {path.name} describes {position}: it is truncated or of another "
            f"model; copy the pair again or {EXPORT_AGAIN}"
        )
    return "fp16" if "fp16" in found else "fp32"


def _has_known_length(layer: Layer) -> bool:
    if layer.type == CONSTANT:
        return layer.parameters.get("21", "1") == "1"  # else stored with a flag
    return layer.type in WEIGHTED or WEIGHTLESS.fullmatch(layer.type) is not None


def constant_length(layer: Layer) -> int:
    """How many bytes a constant takes in the `.bin`: float32 without a flag; 0 for any other layer."""
    sides = [side for key in (0, 1, 11, 2) if (side := layer.number(key)) > 0]
    return 4 * math.prod(sides) if sides and layer.type == CONSTANT else 0


def _stored(layer: Layer, flag: int, weights: Path) -> tuple[str, int]:
    """Storage and length in bytes of one layer's flag, weights (padded to four bytes) and float32 biases.

    A constant is float32 without a flag.
    """
    if layer.type == CONSTANT:
        return "fp32", constant_length(layer)
    count, biases, has_bias = (layer.number(key) for key in (6, 0, 5))
    if flag not in STORAGE or min(count, biases, has_bias) < 0:
        raise ArtifactError(
            f"{weights}: weights of {layer.name} are neither float32 nor float16: the file is damaged, of "
            f"another model or quantised; copy the pair again or {EXPORT_AGAIN}"
        )
    words = -(-count // 2) if STORAGE[flag] == "fp16" else count
    return STORAGE[flag], 4 * (1 + words + biases * (has_bias != 0))


def blob_names(
    layers: Sequence[Layer], path: Path, artifact: ArtifactInfo | None
) -> tuple[str, tuple[str, ...]]:
    """The input's and the outputs' names: those that the export recorded, else those that the graph leaves.

    Raises:
        ArtifactError: the graph lacks them, or has other than one input.
    """
    inputs = [name for layer in layers if layer.type == "Input" for name in layer.outputs]
    inner = {name for layer in layers for name in layer.inputs}
    inner.update(name for layer in layers if layer.type == CONSTANT for name in layer.outputs)
    made = [name for layer in layers for name in layer.outputs]
    outputs = [name for name in made if name not in inner]
    if artifact is not None and "output_name" in artifact.details:
        outputs = [name for name in made if name == artifact.details["output_name"]]
        inputs = [name for name in inputs if name == artifact.details.get("input_name", name)]
    if len(inputs) != 1 or not outputs or inputs == outputs:
        raise ArtifactError(
            f"{path} has the inputs {inputs} and outputs {outputs}; expected one input and what its sidecar "
            f"names; {EXPORT_AGAIN}"
        )
    return inputs[0], tuple(outputs)


def input_channels(layers: Sequence[Layer]) -> int:
    """How many channels the Input layer says that a picture has, 3 where it says nothing."""
    return max(0, next(layer for layer in layers if layer.type == "Input").number(2)) or 3


def input_size(
    layers: Sequence[Layer], path: Path, artifact: ArtifactInfo | None, asked: tuple[int, int] | None
) -> tuple[int, int] | tuple[None, None]:
    """(H, W) that the file is made for, or None twice where it takes any multiple of 32.

    The sidecar says it, or the Input layer. Where neither does but the head's Reshape layers count the cells
    of their maps, the area is known: NCNN does not compare it and would read beyond the maps.

    Raises:
        UsageError: `asked` is another size, or the size is needed.
    """
    entry = next(layer for layer in layers if layer.type == "Input")
    recorded = artifact.input_size if artifact else (entry.number(1), entry.number(0))
    area = min(STRIDES) ** 2 * max(
        [0, *(layer.number(0) for layer in layers if layer.type == "Reshape" and layer.number(1) > 0)]
    )
    size = recorded if min(recorded) > 0 else asked
    if size is None and area > 0 and math.isqrt(area) ** 2 == area:
        size = (math.isqrt(area), math.isqrt(area))
    if size is None and area == 0:
        return None, None
    if size is None or (asked or size) != size or (area > 0 and size[0] * size[1] != area):
        fits = f"{size[0]}x{size[1]}" if size and size != asked else f"a height and width of {area} pixels"
        raise UsageError(
            f"{path} takes images of {fits} only; imgsz is {asked}: set it with --imgsz HxW, in Python "
            "Detector(..., runtime_options={'imgsz': (H, W)}), or export the checkpoint at another size"
        )
    return check_input_size(size)
