"""What every runtime must do: each row of the registry against each check, one test a pair.

A new runtime is tested without touching this file: it is found by the table, its file is made by the target
that names it, and what it declares in its `Capabilities` decides what it is held to.
"""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolox_deploy.errors import (
    ArtifactError,
    ClosedError,
    DeviceError,
    MissingExtraError,
    UsageError,
    YoloxDeployError,
)
from yolox_deploy.runtimes import Runtime, RuntimeOptions, open_runtime
from yolox_deploy.runtimes.registry import RuntimeEntry, entries, find
from yolox_deploy.synthetic.scenes import CLASS_NAMES

ENTRIES = entries()
Arrays = dict[str, np.ndarray]


@dataclass
class Case:
    """One runtime, and where its checks find what they need."""

    entry: RuntimeEntry
    folder: Path
    request: pytest.FixtureRequest

    @property
    def runtime_class(self) -> type[Runtime]:
        return self.entry.load()

    def file(self) -> Any:
        """A copy of the runtime's model file with its siblings (a `ModelFile`), to be damaged at will."""
        made = self.request.getfixturevalue("model_file")(self.entry)
        return made.copy(self.folder / "model")

    def open(self, path: Path, **options: Any) -> Runtime:
        return open_runtime(path, self.entry.name, **options)

    def shared(self) -> Runtime:
        """A loaded runtime that the checks share; it is not to be closed."""
        runtime: Runtime = self.request.getfixturevalue("loaded")(self.entry)
        return runtime


@pytest.fixture(scope="module")
def loaded(model_file: Any) -> Iterator[Callable[[RuntimeEntry], Runtime]]:
    """Opens each runtime once."""
    opened: dict[str, Runtime] = {}

    def get(entry: RuntimeEntry) -> Runtime:
        if entry.name not in opened:
            opened[entry.name] = open_runtime(model_file(entry).path, entry.name)
        return opened[entry.name]

    yield get
    for runtime in opened.values():
        runtime.close()


def example(runtime: Runtime, seed: int = 0, batch: int = 1) -> Arrays:
    """A random picture of the right name, dtype and shape; `batch` where it is free."""
    rng = np.random.default_rng(seed)
    shapes = {
        spec.name: tuple(batch if size is None else size for size in spec.shape) for spec in runtime.inputs
    }
    return {spec.name: rng.integers(0, 256, shapes[spec.name]).astype(spec.dtype) for spec in runtime.inputs}


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-3)


# Checks of the class and its row in the table: nothing is loaded.


def check_row_and_class_agree(case: Case) -> None:
    capabilities = case.runtime_class.capabilities
    assert case.runtime_class.name == case.entry.name
    assert capabilities.suffixes == case.entry.suffixes
    assert all(suffix.startswith(".") for suffix in capabilities.suffixes)
    assert capabilities.devices
    assert capabilities.precisions


def check_options_extend_the_common_ones(case: Case) -> None:
    options = case.runtime_class.options_type
    assert issubclass(options, RuntimeOptions)
    assert is_dataclass(options)
    assert {"device", "threads"} <= {field.name for field in fields(options)}
    assert options().device == "auto"


def check_probe_answers_or_says_what_is_missing(case: Case) -> None:
    try:
        found = case.runtime_class.probe()
    except YoloxDeployError as error:
        found = {"reason": str(error)}
    assert found
    assert all(isinstance(key, str) and isinstance(value, str) and value for key, value in found.items())


def check_unknown_option_is_refused_with_a_suggestion(case: Case) -> None:
    with pytest.raises(UsageError, match=r"unknown runtime option 'devise'; .*did you mean 'device'\?"):
        case.open(case.folder / f"any{case.entry.suffixes[0]}", devise="cpu")


def check_no_threads_are_refused(case: Case) -> None:
    with pytest.raises(UsageError, match="threads is 0"):
        case.open(case.folder / f"any{case.entry.suffixes[0]}", threads=0)


def check_its_own_suffixes_find_it(case: Case) -> None:
    for suffix in case.entry.suffixes:
        assert find(Path(f"model{suffix}"), case.entry.name) == case.entry
        assert suffix in find(Path(f"model{suffix}")).suffixes


def check_missing_file(case: Case) -> None:
    path = case.folder / f"missing{case.entry.suffixes[0]}"
    with pytest.raises(ArtifactError, match=r"no model file at .*missing"):
        case.open(path)


def check_empty_file(case: Case) -> None:
    path = case.folder / f"nothing{case.entry.suffixes[0]}"
    path.touch()
    with pytest.raises(ArtifactError, match=r"nothing.* is empty"):
        case.open(path)


def check_folder_instead_of_a_file(case: Case) -> None:
    path = case.folder / f"folder{case.entry.suffixes[0]}"
    path.mkdir()
    with pytest.raises(ArtifactError, match="not a file"):
        case.open(path)


def check_foreign_suffix(case: Case) -> None:
    path = case.folder / "model.foreign"
    path.write_bytes(b"something")
    with pytest.raises(ArtifactError, match=r"opens .*model\.foreign is none of these"):
        case.open(path)
    with pytest.raises(ArtifactError, match=r"no backend opens '\.foreign'"):
        open_runtime(path)


# Checks on model files that must not load: the package must be installed, the device need not be here.


def refused(case: Case, path: Path) -> str:
    """The message of the refusal; the test ends as skipped where the device is missed before the file is read."""
    with pytest.raises(ArtifactError) as caught:
        case.open(path).close()
    if isinstance(caught.value, DeviceError):
        pytest.skip(f"{case.entry.name} looks into the file on its device only: {caught.value}")
    assert path.stem in str(caught.value), "the message names the file"
    return str(caught.value)


def check_corrupt_file(case: Case) -> None:
    for number, content in enumerate(
        (b"\0" * 5000, b"no model " * 500, bytes(range(256)) * 40, b"{", b"7767517\n")
    ):
        path = case.folder / f"corrupt{number}{case.entry.suffixes[0]}"
        path.write_bytes(content)
        refused(case, path)


def check_truncated_file(case: Case) -> None:
    file = case.file()
    content = file.path.read_bytes()
    for described in (True, False):
        if not described:
            file.sidecar.unlink(missing_ok=True)
        for share in (0.01, 0.5, 0.99):
            file.path.write_bytes(content[: int(len(content) * share)])
            refused(case, file.path)


def check_missing_sibling(case: Case) -> None:
    file = case.file()
    siblings = file.siblings
    if not siblings:
        pytest.skip("the format is one file")
    for sibling in siblings:
        sibling.unlink()
    assert siblings[0].name in refused(case, file.path)
    file.sidecar.unlink()
    assert siblings[0].name in refused(case, file.path)


def check_truncated_sibling(case: Case) -> None:
    file = case.file()
    if not file.siblings:
        pytest.skip("the format is one file")
    sibling = file.siblings[0]
    sibling.write_bytes(sibling.read_bytes()[:-1000])
    assert sibling.name in refused(case, file.path)
    file.sidecar.unlink()
    refused(case, file.path)


def check_damaged_sidecar(case: Case) -> None:
    file = case.file()
    for content in (b"", b'{"schema_version": 1}', b"\xff\xfe"):
        file.sidecar.write_bytes(content)
        with pytest.raises(ArtifactError, match=file.sidecar.name):
            case.open(file.path).close()


def check_file_of_another_backend(case: Case) -> None:
    tried = 0
    for other in ENTRIES:
        try:
            foreign = case.request.getfixturevalue("model_file")(other)
        except pytest.skip.Exception:
            continue
        if foreign.path.suffix in case.entry.suffixes:
            continue
        for suffix in case.entry.suffixes:
            path = case.folder / f"{other.name}{suffix}"
            path.write_bytes(foreign.path.read_bytes())
            refused(case, path)
            tried += 1
    assert tried


# Checks on a loaded model.


def check_declares_what_it_loaded(case: Case) -> None:
    runtime = case.shared()
    capabilities = runtime.capabilities
    assert runtime.loaded.device.split(":")[0].split(".")[0] in capabilities.devices
    assert runtime.loaded.precision in capabilities.precisions
    assert runtime.loaded.details, "versions and settings belong in the details"
    assert all(spec.name and spec.shape for spec in (*runtime.inputs, *runtime.outputs))


def check_description_travels_with_the_file(case: Case) -> None:
    artifact = case.shared().artifact
    assert artifact is not None
    assert (artifact.model, artifact.input_size, artifact.boxes) == ("yolox_nano", (480, 640), "raw")
    assert artifact.precision == "fp32"
    assert artifact.class_names == CLASS_NAMES
    assert artifact.weights_sha256 is not None


def check_answers_as_declared(case: Case) -> None:
    runtime = case.shared()
    outputs = runtime.infer(example(runtime))
    assert list(outputs) == [spec.name for spec in runtime.outputs]
    for spec in runtime.outputs:
        spec.check(outputs[spec.name])
        assert outputs[spec.name].shape == (1, 6300, 5 + len(CLASS_NAMES))
        assert np.isfinite(outputs[spec.name]).all()


def check_wrong_name(case: Case) -> None:
    runtime = case.shared()
    (name, array), *_ = example(runtime).items()
    for inputs in ({"nothing": array}, {}, {name: array, "more": array}):
        with pytest.raises(UsageError, match="expected inputs"):
            runtime.infer(inputs)


def check_wrong_dtype(case: Case) -> None:
    runtime = case.shared()
    name = runtime.inputs[0].name
    for dtype in (np.float64, np.float16, np.int32):
        with pytest.raises(UsageError, match="expected dtype"):
            runtime.infer({name: example(runtime)[name].astype(dtype)})


def check_wrong_shape(case: Case) -> None:
    runtime = case.shared()
    spec = runtime.inputs[0]
    array = example(runtime)[spec.name]
    wrong = [array[0], array[..., :-32], array[..., :-1, :], array[:, :2], array[None]]
    wrong += [np.concatenate([array, array])] if spec.shape[0] == 1 else []
    for other in wrong:
        with pytest.raises(UsageError, match="expected shape"):
            runtime.infer({spec.name: other})


def check_not_a_mapping_of_arrays(case: Case) -> None:
    runtime = case.shared()
    inputs = example(runtime)
    (name, array), *_ = inputs.items()
    for other in (array, [array], None, list(inputs.items())):
        with pytest.raises(UsageError, match="expected inputs"):
            runtime.infer(other)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected a NumPy array"):
        runtime.infer({name: array.tolist()})


def check_an_error_leaves_it_usable(case: Case) -> None:
    runtime = case.shared()
    expected = runtime.infer(example(runtime))
    with pytest.raises(UsageError):
        runtime.infer({})
    assert_same(runtime.infer(example(runtime)), expected)


def check_input_in_another_memory_order(case: Case) -> None:
    runtime = case.shared()
    inputs = example(runtime)
    strided = {name: np.asfortranarray(array) for name, array in inputs.items()}
    assert_same(runtime.infer(strided), runtime.infer(inputs))


def check_input_stays_as_it_was(case: Case) -> None:
    runtime = case.shared()
    inputs = example(runtime)
    before = {name: array.copy() for name, array in inputs.items()}
    for array in inputs.values():
        array.flags.writeable = False
    runtime.infer(inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


def check_results_are_not_overwritten_by_the_next_call(case: Case) -> None:
    runtime = case.shared()
    first = runtime.infer(example(runtime, 1))
    kept = {name: array.copy() for name, array in first.items()}
    second = runtime.infer(example(runtime, 2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])
        assert not np.array_equal(array, second[name])
        assert not np.shares_memory(array, second[name])
        assert array.flags.writeable, "the results are the caller's to change"


def check_two_threads(case: Case) -> None:
    runtime = case.shared()
    inputs = [example(runtime, seed) for seed in range(6)]
    expected = [copy.deepcopy(runtime.infer(one)) for one in inputs]
    start = threading.Barrier(2)

    def work(order: list[int]) -> list[Arrays]:
        start.wait(10)
        return [runtime.infer(inputs[index]) for index in order]

    with ThreadPoolExecutor(2) as pool:
        forward, backward = pool.map(work, ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]))
    for found, other, right in zip(forward, reversed(backward), expected, strict=True):
        assert_same(found, right)
        assert_same(other, right)


def check_two_at_once_and_closing_one(case: Case) -> None:
    shared = case.shared()
    inputs = [example(shared, seed) for seed in range(2)]
    expected = [shared.infer(one) for one in inputs]
    with case.open(shared.path) as second:
        for one, right in zip(inputs, expected, strict=True):
            assert_same(second.infer(one), right)
            assert_same(shared.infer(one), right)
    assert_same(shared.infer(inputs[0]), expected[0])


def check_closing(case: Case) -> None:
    """`with` closes; afterwards each use says so, and closing again is harmless."""
    with case.open(case.shared().path) as runtime:
        inputs = example(runtime)
    assert runtime.inputs, "the description stays readable"
    for use in (lambda: runtime.infer(inputs), lambda: runtime.infer({}), lambda: runtime.__enter__()):
        with pytest.raises(ClosedError, match="was closed; open it again"):
            use()
    runtime.close()
    runtime.close()


def check_closing_while_another_thread_runs(case: Case) -> None:
    runtime = case.open(case.shared().path)
    inputs = example(runtime)
    expected = runtime.infer(inputs)
    running = threading.Event()

    def work() -> None:
        for _ in range(1000):
            found = runtime.infer(inputs)
            running.set()
            assert_same(found, expected)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(work) for _ in range(2)]
        assert running.wait(20)
        runtime.close()
        for job in jobs:
            with pytest.raises(ClosedError):
                job.result(30)


def check_pickling_is_refused_clearly(case: Case) -> None:
    runtime = case.shared()
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UsageError, match="cannot be pickled: open one in each process"):
            copier(runtime)


def check_unknown_device(case: Case) -> None:
    for device in ("toaster", "cpu:x", ""):
        with pytest.raises(UsageError, match="device"):
            case.open(case.shared().path, device=device).close()


def check_threads_option(case: Case) -> None:
    if "cpu" not in case.runtime_class.capabilities.devices:
        pytest.skip("threads are for CPUs")
    shared = case.shared()
    with case.open(shared.path, threads=1, device="cpu") as runtime:
        assert_same(runtime.infer(example(runtime)), shared.infer(example(shared)))


def check_path_with_spaces_and_letters_of_any_script(case: Case) -> None:
    shared = case.shared()
    made = case.request.getfixturevalue("model_file")(case.entry)
    file = made.copy(case.folder / "my models" / "modèle 犬")
    with case.open(file.path) as runtime:
        assert_same(runtime.infer(example(runtime)), shared.infer(example(shared)))


def check_free_batch(case: Case) -> None:
    """A batch answers what its pictures answer alone."""
    if not case.runtime_class.capabilities.dynamic_batch:
        pytest.skip("declares no dynamic batch")
    runtime = case.shared()
    if runtime.inputs[0].shape[0] is not None:
        file = case.request.getfixturevalue("free_batch_file")(case.entry)
        runtime = case.open(file.path)
    name, output = runtime.inputs[0].name, runtime.outputs[0].name
    assert runtime.inputs[0].shape[0] is None
    singles = [example(runtime, seed)[name] for seed in range(3)]
    expected = [runtime.infer({name: single})[output] for single in singles]
    for batch in (1, 2, 3):
        found = runtime.infer({name: np.concatenate(singles[:batch])})[output]
        np.testing.assert_allclose(found, np.concatenate(expected[:batch]), rtol=1e-3, atol=1e-3)


CLASS_CHECKS = (
    check_row_and_class_agree,
    check_options_extend_the_common_ones,
    check_probe_answers_or_says_what_is_missing,
    check_unknown_option_is_refused_with_a_suggestion,
    check_no_threads_are_refused,
    check_its_own_suffixes_find_it,
    check_missing_file,
    check_empty_file,
    check_folder_instead_of_a_file,
    check_foreign_suffix,
)
FILE_CHECKS = (
    check_corrupt_file,
    check_truncated_file,
    check_missing_sibling,
    check_truncated_sibling,
    check_damaged_sidecar,
    check_file_of_another_backend,
)
MODEL_CHECKS = (
    check_declares_what_it_loaded,
    check_description_travels_with_the_file,
    check_answers_as_declared,
    check_wrong_name,
    check_wrong_dtype,
    check_wrong_shape,
    check_not_a_mapping_of_arrays,
    check_an_error_leaves_it_usable,
    check_input_in_another_memory_order,
    check_input_stays_as_it_was,
    check_results_are_not_overwritten_by_the_next_call,
    check_two_threads,
    check_two_at_once_and_closing_one,
    check_closing,
    check_closing_while_another_thread_runs,
    check_pickling_is_refused_clearly,
    check_unknown_device,
    check_threads_option,
    check_path_with_spaces_and_letters_of_any_script,
    check_free_batch,
)
KNOWN_FAILURES: dict[tuple[str, str], str] = {}
"""(runtime, check) -> why it fails; the test fails when it no longer does."""


def pairs() -> list[Any]:
    """Each runtime with each check, known failures marked."""
    found = []
    for entry in ENTRIES:
        for check in (*CLASS_CHECKS, *FILE_CHECKS, *MODEL_CHECKS):
            name = check.__name__.removeprefix("check_")
            reason = KNOWN_FAILURES.get((entry.name, name))
            marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
            found.append(pytest.param(entry, check, id=f"{entry.name}-{name}", marks=marks))
    return found


@pytest.mark.parametrize(("entry", "check"), pairs())
def test_runtime(
    entry: RuntimeEntry, check: Callable[[Case], None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    try:
        probe = entry.load().probe
        if check in MODEL_CHECKS:
            probe()
    except (MissingExtraError, DeviceError) as error:
        pytest.skip(f"{entry.name} cannot run here: {error}")
    try:
        check(Case(entry, tmp_path, request))
    except MissingExtraError as error:
        pytest.skip(f"{entry.name} is not installed: {error}")


def test_names_and_checks_are_unique() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    checks = [check.__name__ for check in (*CLASS_CHECKS, *FILE_CHECKS, *MODEL_CHECKS)]
    assert sorted(checks) == sorted(name for name in globals() if name.startswith("check_"))


def test_an_unknown_backend_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no backend 'onnx'; expected one of .*onnxruntime"):
        open_runtime(tmp_path / "a.onnx", "onnx")
