"""Which runtime opens which file: one table row a runtime, and the entry points of third parties."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from yolox_deploy.artifact import files_of
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.runtimes.base import Runtime
from yolox_deploy.signatures import of_file

Content: TypeAlias = bytes | bytearray | memoryview
"""A model in memory."""

ENTRY_POINT_GROUP = "yolox_deploy.runtimes"


@dataclass(frozen=True)
class RuntimeEntry:
    """A runtime that may or may not be installed: `target` is "module:Class", `package` what it imports."""

    name: str
    suffixes: tuple[str, ...]
    target: str
    extra: str
    package: str

    @property
    def installed(self) -> bool:
        """Whether its package can be found (nothing is imported)."""
        return importlib.util.find_spec(self.package) is not None

    def load(self) -> type[Runtime]:
        """Import the adapter's class; its vendor SDK is imported only when a file is opened."""
        module, _, name = self.target.partition(":")
        runtime: type[Runtime] = getattr(importlib.import_module(module), name)
        return runtime


BUILT_IN = (
    RuntimeEntry(
        "onnxruntime",
        (".onnx",),
        "yolox_deploy.runtimes.onnxruntime_adapter:OnnxRuntime",
        "onnxruntime",
        "onnxruntime",
    ),
    RuntimeEntry(
        "openvino",
        (".xml", ".onnx"),
        "yolox_deploy.runtimes.openvino_adapter:OpenVino",
        "openvino",
        "openvino",
    ),
    RuntimeEntry("ncnn", (".param",), "yolox_deploy.runtimes.ncnn_adapter:NcnnRuntime", "ncnn", "ncnn"),
    RuntimeEntry(
        "tensorrt", (".engine",), "yolox_deploy.runtimes.tensorrt_adapter:TensorRT", "tensorrt", "numpy"
    ),
    RuntimeEntry(
        "torch", (".pth", ".pt"), "yolox_deploy.runtimes.torch_adapter:TorchRuntime", "export", "torch"
    ),
)


def entries() -> tuple[RuntimeEntry, ...]:
    """The built-in runtimes, then those that other packages offer under `ENTRY_POINT_GROUP`."""
    return (*BUILT_IN, *(entry for point in _entry_points() if (entry := _from_entry_point(point))))


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def _from_entry_point(point: importlib.metadata.EntryPoint) -> RuntimeEntry | None:
    """A third party's runtime; a broken one is named in a warning and does not take the others with it."""
    package = point.module.partition(".")[0]
    extra = point.dist.name if point.dist else point.name
    try:
        runtime = point.load()
    except Exception as error:
        warnings.warn(f"the runtime {point.name!r} of {extra} cannot be imported: {error}", stacklevel=2)
        return None
    return RuntimeEntry(point.name, runtime.capabilities.suffixes, point.value, extra, package)


def find(path: Path, backend: str | None = None) -> RuntimeEntry:
    """The runtime for `path`: the one named, else the first installed one that opens its suffix.

    Raises:
        UsageError: no runtime has that name.
        ArtifactError: no runtime opens that suffix.
    """
    known = entries()
    if backend is not None:
        for entry in known:
            if entry.name == backend:
                return entry
        raise UsageError(f"no backend {backend!r}; expected one of {', '.join(e.name for e in known)}")
    fitting = [entry for entry in known if path.suffix in entry.suffixes]
    if not fitting:
        suffixes = sorted({suffix for entry in known for suffix in entry.suffixes})
        kind = of_file(path) if path.is_file() else None
        seems = f"; it is {kind.name}: {kind.mend(path)}" if kind is not None else ""
        raise ArtifactError(
            f"{path.name}: no backend opens {path.suffix!r}; expected {', '.join(suffixes)}{seems}"
        )
    return next((entry for entry in fitting if entry.installed), fitting[0])


def present_files(path: Path) -> tuple[Path, ...]:
    """What there is of a model file, which comes first, and of those that any runtime for it needs beside it."""
    runtimes = (entry.load() for entry in entries() if path.suffix in entry.suffixes)
    files = files_of(path, *(runtime.capabilities.file_sets for runtime in runtimes))
    return tuple(file for file in files if file.is_file())


def open_runtime(
    path: str | Path | Content, backend: str | None = None, *, format: str | None = None, **options: Any
) -> Runtime:
    """Load a model on the backend named, or on the one that its suffix names.

    Args:
        path: of the model; or its bytes, whose `format` is then a suffix such as ".onnx".
        options: `device`, `threads` and whatever the backend's `options_type` knows.
    """
    if not isinstance(path, Content):
        if format is not None:
            raise UsageError(f"format is for a model given as bytes; the suffix of {path} tells it")
        runtime = find(Path(path), backend).load()
        return runtime(path, runtime.options_type.build(options))
    name = Path(f"<bytes>{_suffix(format)}")
    runtime = find(name, backend).load()
    return runtime(name, runtime.options_type.build(options), content=bytes(path))


def _suffix(format: object) -> str:
    """The suffix that a format names, "onnx" or ".onnx".

    Raises:
        UsageError: there is none such.
    """
    known = sorted({suffix for entry in entries() for suffix in entry.suffixes})
    suffix = f".{format.removeprefix('.').lower()}" if isinstance(format, str) else ""
    if suffix not in known:
        raise UsageError(
            f"the format of a model given as bytes is {format!r}; expected one of {', '.join(known)}, such as "
            "Detector(content, format='.onnx')"
        )
    return suffix
