"""A third party's runtime, as small as one can be: it answers every image with the array in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime
from yolox_deploy.types import TensorSpec


class ConstantRuntime(Runtime):
    name = "constant"
    capabilities = Capabilities(suffixes=(".npy",), devices=("cpu",), precisions=("fp32",))

    def _load(self, path: Path) -> Loaded:
        self._answer = np.load(path)
        float32 = np.dtype(np.float32)
        return Loaded(
            inputs=(TensorSpec("images", (1, 3, 64, 64), float32),),
            outputs=(TensorSpec("output", self._answer.shape, float32),),
            device="cpu",
            precision="fp32",
        )

    def _infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"output": self._answer.copy()}

    def _close(self) -> None:
        del self._answer
