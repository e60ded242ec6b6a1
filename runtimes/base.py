"""The contract of a runtime: named NumPy arrays in, named NumPy arrays out.

`Runtime` is a template. Its public methods check and translate once for every backend; an adapter overrides
`_load`, `_infer` and `_close` and declares its `Capabilities`, which the contract tests then hold it to.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo, files_of, read_sidecar
from yolox_deploy.errors import (
    ArtifactError,
    ClosedError,
    RuntimeFailure,
    UsageError,
    YoloxDeployError,
    refuse_unknown,
    translating,
)
from yolox_deploy.integrity import UNCHECKED, check_onnx
from yolox_deploy.models.zoo import check_input_size
from yolox_deploy.path_texts import short
from yolox_deploy.runtimes import forks
from yolox_deploy.runtimes.refusals import explain
from yolox_deploy.signatures import contradiction
from yolox_deploy.types import TensorSpec, as_size, is_whole

MOST_THREADS = 512
"""More than any machine's cores: a backend really starts as many as it is told, and the machine hangs."""

CHANGED = "its checksum does not fit: it was damaged, or changed after its export"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Capabilities:
    """What an adapter promises; the contract tests run whatever is declared.

    Attributes:
        suffixes: file names that it opens.
        devices: kinds of device ("cpu", "cuda", "mps", …).
        precisions: of the files that it runs.
        dynamic_batch: whether a file may leave its batch free.
        concurrent: whether `infer` may run in several threads at once (else calls queue on a lock).
        in_memory: those of `suffixes` whose models it also opens from bytes, and then writes nothing to a disk
            unless it is asked to.
        file_sets: suffix -> those of the further files that a model file needs beside it, where
            `artifact.FILE_SETS` does not tell.
    """

    suffixes: tuple[str, ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    dynamic_batch: bool = False
    concurrent: bool = False
    in_memory: tuple[str, ...] = ()
    file_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class RuntimeOptions:
    """What every runtime takes; an adapter with settings of its own extends it.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:1", …
        threads: CPU threads for one inference, None for the backend's own choice.
        imgsz: (H, W) to run a file at that leaves its size free; None for the size it was made for.
        verify: refuse an ONNX file whose checksum does not fit; else it counts as unchecked, and a note says so.
    """

    device: str = "auto"
    threads: int | None = None
    imgsz: tuple[int, int] | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise UsageError(f"device is {self.device!r}; expected a text such as 'auto', 'cpu' or 'cuda:0'")
        threads = self.threads
        if threads is not None and (not is_whole(threads) or not 1 <= threads <= MOST_THREADS):
            raise UsageError(
                f"threads is {threads!r}; expected 1 to {MOST_THREADS}, or None for the backend's default"
            )
        if not isinstance(self.verify, bool):
            raise UsageError(f"verify is {self.verify!r}; expected True or False")
        if self.imgsz is not None:
            object.__setattr__(self, "imgsz", check_input_size(as_size(self.imgsz)))

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> RuntimeOptions:
        """These options from keyword arguments; an unknown name is an error with a suggestion."""
        known = [f.name for f in fields(cls)]
        refuse_unknown("runtime option", values, known)
        return cls(**values)


@dataclass(frozen=True)
class Loaded:
    """What `_load` found in the file and obtained from the backend.

    Attributes:
        device: the device obtained, never the one asked for.
        precision: the precision in force at execution.
        metadata: texts stored in the file itself.
        details: versions, providers, threads and the like, for `Detector.info` and benchmark reports.
        artifact: the description, where the adapter makes it from the file itself.
        max_batch: most images at a time where the batch is free, None for any number.
        notes: sentences on what was recognised in a file that does not say it itself; people are told them.
        checked: the checksum in the file that was compared, "crc32"; None where there is none.
        survives_fork: whether a model on the CPU still answers in a process that is forked from this one.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    device: str
    precision: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    artifact: ArtifactInfo | None = None
    max_batch: int | None = None
    notes: tuple[str, ...] = ()
    checked: str | None = None
    survives_fork: bool = True


class Runtime(ABC):
    """One loaded model on one backend; also a context manager.

    Args:
        path: the model file; for a model in memory what messages call it, with the suffix that tells its format.
        options: an instance of `options_type`.
        content: the model itself, where it is in memory; `_load` then reads `self.content`, as there is no file.

    Raises:
        ArtifactError: the file is missing, damaged, of another format or cannot run on this machine.
        MissingExtraError: the backend's package is not installed.
        UsageError: an option that this backend cannot honour.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    options_type: ClassVar[type[RuntimeOptions]] = RuntimeOptions

    def __init__(
        self, path: str | Path, options: RuntimeOptions | None = None, *, content: bytes | None = None
    ) -> None:
        self.path = Path(path)
        self.content = content
        self.options = options if options is not None else self.options_type()
        self._closed = True  # until the file is loaded, so that a failed load closes nothing
        self._lock = threading.Lock()
        self._check_file()
        sidecar = read_sidecar(self.path) if content is None else None
        self.artifact = sidecar.info if sidecar is not None else None
        self.checked, doubts = ("sha256", ()) if sidecar and sidecar.vouches else self._check_content()
        with self._translated(ArtifactError, "load"):
            loaded = self._load(self.path)
        self.loaded = replace(loaded, notes=(*doubts, *loaded.notes))
        if self.checked == UNCHECKED and loaded.checked is not None:
            self.checked = loaded.checked
        self._process = os.getpid()
        forks.watch(self)
        self._closed = False
        self._call = repr(str(self.path)) if content is None else f"CONTENT, format={self.path.suffix!r}"
        self.inputs, self.outputs = self.loaded.inputs, self.loaded.outputs
        if self.artifact is None and METADATA_KEY in self.loaded.metadata:
            self.artifact = ArtifactInfo.from_json(self.loaded.metadata[METADATA_KEY])
        self.artifact = self.artifact or self.loaded.artifact

    @property
    def files(self) -> tuple[Path, ...]:
        """The model file and those that belong to it, in the order of their table."""
        return files_of(self.path, self.capabilities.file_sets)

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the network once, synchronously.

        Args:
            inputs: one array an input, by name, of the dtype and shape in `self.inputs`.

        Returns:
            One array an output, by name. They are the caller's: the next call does not overwrite them.

        Raises:
            ClosedError: after `close()`.
            UsageError: a wrong name, dtype or shape, or a process that was forked after the model was opened, in which
                this backend cannot run.
            RuntimeFailure: the backend failed; its own exception is `__cause__`.
        """
        self._check_open()
        self._check_inputs(inputs)
        with nullcontext() if self.capabilities.concurrent else self._lock:
            self._check_open()
            with self._translated(RuntimeFailure, "run"):
                return self._infer({name: np.ascontiguousarray(array) for name, array in inputs.items()})

    def last_device_ms(self) -> float | None:
        """Milliseconds that the network took on the device in the latest `infer`; None where it cannot tell."""
        return None

    def close(self) -> None:
        """Free the model and its memory; calling it twice is harmless."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if (
                    self._process == os.getpid()
                ):  # else its threads are not here, and freeing it would wait for them
                    self._close()

    def __enter__(self) -> Runtime:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"a loaded model cannot be pickled: open one in each process with Detector({self._call})"
        )

    @classmethod
    def probe(cls) -> dict[str, str]:
        """What this backend finds on this machine (version, devices), for `yolox-deploy doctor`.

        Raises:
            YoloxDeployError: it cannot run here; the message says why and what mends it.
        """
        return {"devices": ", ".join(cls.capabilities.devices)}

    @abstractmethod
    def _load(self, path: Path) -> Loaded:
        """Open `path` under `self.options`; keep the handles on `self`."""

    @abstractmethod
    def _infer(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on checked, contiguous arrays; return arrays that the backend does not own."""

    @abstractmethod
    def _close(self) -> None:
        """Drop the handles; called at most once, and only after a successful load."""

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.path.name} was closed; open it again with Detector({self._call})")
        if self._process != os.getpid() and not (self.loaded.survives_fork and self.loaded.device == "cpu"):
            raise UsageError(
                f"{self.path.name} was opened by {self.name} in process {self._process} and cannot run in "
                f"{os.getpid()}, which was forked from it and has none of its threads; {forks.CURE}"
            )

    def _check_file(self) -> None:
        with translating(ArtifactError, f"{short(self.path)} cannot be a model file"):
            missing = self.content is None and not self.path.exists()
        if missing:
            raise ArtifactError(
                f"no model file at {self.path}; expected a file that exists, such as `yolox-deploy export` writes"
            )
        on_disk = self.content is None and self.path.is_file() and self.path.stat().st_size > 0
        if not (self.content or on_disk):
            raise ArtifactError(f"{self.path} is empty or not a file; expected a model")
        if self.path.suffix not in self.capabilities.suffixes:
            expected = ", ".join(self.capabilities.suffixes)
            raise ArtifactError(f"{self.name} opens {expected}; {self.path.name} is none of these")
        if self.content is not None and self.path.suffix not in self.capabilities.in_memory:
            files = " and ".join(file.suffix for file in self.files)
            raise UsageError(
                f"{self.name} opens {files} from files alone, not from bytes: give the path, or the bytes of an ONNX "
                "file with format='.onnx' (yolox-deploy export MODEL --to onnx --weights FILE)"
            )
        for file in self.files if self.content is None else (self.path,):
            if (wrong := contradiction(file, content=self.content)) is not None:
                raise ArtifactError(f"{file} {wrong}")

    def _check_content(self) -> tuple[str, tuple[str, ...]]:
        """What the checksum inside an ONNX file says, and a sentence where it does not fit and nobody minds."""
        if self.path.suffix != ".onnx":
            return UNCHECKED, ()
        try:
            return check_onnx(self.path, self.content), ()
        except ArtifactError:
            if self.options.verify:
                raise
            return UNCHECKED, (CHANGED,)

    def _check_inputs(self, inputs: Arrays) -> None:
        if not isinstance(inputs, Mapping) or set(inputs) != {spec.name for spec in self.inputs}:
            got = sorted(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise UsageError(f"expected inputs {[spec.name for spec in self.inputs]}, got {got}")
        for spec in self.inputs:
            spec.check(inputs[spec.name])

    @contextmanager
    def _translated(self, kind: type[YoloxDeployError], verb: str) -> Iterator[None]:
        """Turn whatever the vendor raises into `kind`; our own errors pass unchanged."""
        try:
            yield
        except (YoloxDeployError, MemoryError):
            raise
        except Exception as error:
            if kind is RuntimeFailure:
                self._check_open()  # another thread may have closed it meanwhile
            reason = self._reason(error)
            if verb == "load":
                reason = explain(self.path, reason, self.content)
            raise kind(f"{self.name} could not {verb} {self.path}: {reason}") from error

    def _reason(self, error: Exception) -> str:
        """The part of a vendor's message that tells people what went wrong."""
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
