"""NCNN: `.param` and `.bin` pairs, on the CPU.

NCNN trusts its files: a size that does not fit reads memory that is not its own. So the pair is read and checked here
first; one that no sidecar vouches for is run once in a process of its own; and only then it is handed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import ArtifactError, RuntimeFailure, UsageError, require
from yolox_deploy.integrity import UNCHECKED
from yolox_deploy.models.zoo import check_input_size
from yolox_deploy.runtimes import forks
from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
from yolox_deploy.runtimes.ncnn_files import (
    EXPORT_AGAIN,
    blob_names,
    check_layers,
    input_channels,
    input_size,
    param_text,
    parse_param,
    read_storage,
)
from yolox_deploy.runtimes.ncnn_focus import open_focus
from yolox_deploy.runtimes.ncnn_geometry import read_graph
from yolox_deploy.runtimes.ncnn_trial import Pair, try_pair
from yolox_deploy.types import TensorSpec

ANY_SIZE = (320, 320)
"""(H, W) at which a file that takes any size is tried."""


@dataclass(frozen=True)
class NcnnOptions(RuntimeOptions):
    """Options of NCNN.

    Attributes:
        half_arithmetic: compute in half precision on a CPU for which NCNN can: faster, and results change.
    """

    half_arithmetic: bool = False


class NcnnRuntime(Runtime):
    """Runs `.param` files with their `.bin` beside them, one image a call.

    Inputs and outputs are called as the graph's blobs. Calls may run in several threads at once.
    """

    name = "ncnn"
    capabilities = Capabilities(
        suffixes=(".param",), devices=("cpu",), precisions=("fp32", "fp16"), concurrent=True
    )
    options_type = NcnnOptions
    options: NcnnOptions

    @classmethod
    def probe(cls) -> dict[str, str]:
        ncnn = require("ncnn", "ncnn")
        return {"version": ncnn.__version__, "devices": "cpu"}

    def _load(self, path: Path) -> Loaded:
        ncnn = require("ncnn", "ncnn")
        if self.options.device not in ("auto", "cpu"):
            raise UsageError(f"device is {self.options.device!r}; the ncnn backend takes auto and cpu")
        forks.check_pool(self.options.threads)
        layers, notes = open_focus(parse_param(path))
        check_layers(layers, path, ncnn)
        graph = read_graph(layers)
        _, weights = self.files
        storage = read_storage(graph.layers, weights, path)
        input_name, output_names = blob_names(layers, path, self.artifact)
        height, width = input_size(layers, path, self.artifact, self.options.imgsz)
        channels = self.artifact.input.channels if self.artifact else input_channels(layers)
        self._ncnn, self._input_name, self._output_names = ncnn, input_name, output_names
        self._free_size = height is None
        shape = (channels, height or ANY_SIZE[0], width or ANY_SIZE[1])
        self._pair = Pair(path, graph.layers, weights, input_name, output_names)
        self._graph = graph
        self._followed: set[tuple[int, ...]] = set()
        notes = (*notes, *self._check(shape))
        # An operation that works in place would write into the caller's array, or crash on it.
        borrowing = ("Convolution", "Reorg")
        self._borrow = all(layer.type in borrowing for layer in layers if input_name in layer.inputs)
        self._net = make_net(ncnn, self.options)
        if self._net.load_param_mem(param_text(graph.layers)) != 0 or self._net.load_model(str(weights)) != 0:
            raise ArtifactError(f"ncnn refused {path} (its reason is on stderr); {EXPORT_AGAIN}")
        half = self.options.half_arithmetic
        if half and not any(layer.support_fp16_storage for layer in self._net.layers()):
            raise UsageError("half_arithmetic was asked for; ncnn has none for this CPU: leave it out")
        threads = self._net.opt.num_threads
        if threads > 1:
            forks.started_pool()
        classes = 5 + len(self.artifact.class_names) if self.artifact else None
        float32 = np.dtype(np.float32)
        return Loaded(
            inputs=(TensorSpec(input_name, (1, channels, height, width), float32),),
            outputs=tuple(TensorSpec(name, (1, None, classes), float32) for name in output_names),
            device="cpu",
            precision="fp16" if half else "fp32",
            details={"ncnn": ncnn.__version__, "threads": threads, "weights": storage},
            notes=notes,
            survives_fork=threads == 1,
        )

    def _check(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Follow the shapes from (channels, height, width) on, once; sentences for people.

        A file for which no sidecar vouches is also tried: when it is opened, and at each further size where there are
        layers that cannot be followed.
        """
        geometry = self._graph.follow(self._input_name, shape)
        first, notes = not self._followed, []
        if self.checked == UNCHECKED and (first or geometry.unfollowed):
            notes += try_pair(self._pair, shape, geometry)
        self._followed.add(shape)
        return tuple(notes)

    def _infer(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        image = inputs[self._input_name][0]
        if self._free_size:
            check_input_size((image.shape[1], image.shape[2]))
            if image.shape not in self._followed:
                self._check(image.shape)
        net = self._net
        self._check_open()  # after `net` is held: another thread may close in between
        mat = self._ncnn.Mat(image)
        extractor = net.create_extractor()
        if extractor.input(self._input_name, mat if self._borrow else mat.clone()) != 0:
            raise RuntimeFailure(f"ncnn did not take the input {self._input_name!r} of {self.path}")
        outputs: dict[str, NDArray[Any]] = {}
        for name in self._output_names:
            code, result = extractor.extract(name)
            if code != 0 or result.empty():
                raise RuntimeFailure(f"ncnn could not run {self.path} on {image.shape}: {name!r} gave {code}")
            outputs[name] = np.array(result, dtype=np.float32)[None]
        return outputs

    def _close(self) -> None:
        # Never `Net.clear()`: memory that a running call still uses would go. References free it in order.
        self._net = None


def make_net(ncnn: Any, options: NcnnOptions) -> Any:
    """An empty network with every switch of precision and device set, none left to NCNN's defaults."""
    net = ncnn.Net()
    half = options.half_arithmetic
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    net.opt.use_bf16_storage = False  # costs 0.006 AP on YOLOX-Nano
    net.opt.use_vulkan_compute = False
    if options.threads is not None:
        net.opt.num_threads = options.threads
    return net
