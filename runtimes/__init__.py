"""What runs a model file: one adapter a backend, all behind one contract.

A runtime of your own is a subclass of `Runtime`, found by the entry-point group `yolox_deploy.runtimes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.runtimes.base import Capabilities, Loaded, Runtime, RuntimeOptions
    from yolox_deploy.runtimes.registry import open_runtime

__all__ = ["Capabilities", "Loaded", "Runtime", "RuntimeOptions", "open_runtime"]

__getattr__, __dir__ = lazy_face(
    __name__, {"base": ("Capabilities", "Loaded", "Runtime", "RuntimeOptions"), "registry": ("open_runtime",)}
)
