"""A third party's runtime, as small as one can be: it answers every image with the array in its file.

Its format has two files: `model.npy`, and `model.scale.npy` with what the array is multiplied by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime
from yolox_deploy.types import TensorSpec


class ConstantRuntime(Runtime):
    name = "constant"
    capabilities = Capabilities(
        suffixes=(".npy",), devices=("cpu",), precisions=("fp32",), file_sets={".npy": (".scale.npy",)}
    )

    def _load(self, path: Path) -> Loaded:
        answer, scale = (np.load(file) for file in self.files)
        self._answer = answer * scale
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
