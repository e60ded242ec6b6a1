"""From PyTorch to a model file: one target a format, all with one set of options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.converters.base import Converted, ExportOptions, Source, Target

__all__ = ["Converted", "ExportOptions", "Source", "Target"]

__getattr__, __dir__ = lazy_face(__name__, {"base": ("Converted", "ExportOptions", "Source", "Target")})
