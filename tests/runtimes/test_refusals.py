"""Model files whose beginning is right and that no backend opens all the same: what people are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import openvino as ov
import pytest

from yolox_deploy.errors import ArtifactError
from yolox_deploy.runtimes.refusals import explain
from yolox_deploy.runtimes.registry import open_runtime

if TYPE_CHECKING:
    from tests.conftest import ToyModel

BACKENDS = ("onnxruntime", "openvino")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665f1c2\nsize 3678356\n"


@pytest.fixture
def toy(toy_model: ToyModel, tmp_path: Path) -> Path:
    return toy_model(tmp_path / "toy.onnx")


@pytest.fixture
def outside(toy: Path) -> tuple[Path, Path]:
    """The toy with its weights in a file beside it, as torch's exporter leaves large models."""
    path = toy.with_name("outside.onnx")
    onnx.save(
        onnx.load(toy), path, save_as_external_data=True, location="outside.onnx.data", size_threshold=64
    )
    return path, path.with_name("outside.onnx.data")


def refusal(path: Path, backend: str) -> str:
    with pytest.raises(ArtifactError) as caught:
        open_runtime(path, backend)
    assert caught.value.__cause__ is not None, "the vendor's own words stay within reach"
    assert f"{backend} could not load {path}: " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_truncated_onnx_file(toy: Path, backend: str, share: float) -> None:
    content = toy.read_bytes()
    length = int(len(content) * share)
    toy.write_bytes(content[:length])
    message = refusal(toy, backend)
    assert f"it is truncated or damaged ({length:,} bytes)" in message
    with pytest.raises(ArtifactError) as caught:
        open_runtime(content[:length], backend, format=".onnx")
    assert f"it is truncated or damaged ({length:,} bytes)" in str(caught.value)
    assert "copy or download it again" in message


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "in outside.onnx.data, which is missing beside it; copy it too"),
        (POINTER, "in outside.onnx.data, which is a Git LFS pointer"),
        (bytes(100), "in outside.onnx.data (100 bytes) are truncated or of another model"),
    ],
)
def test_weights_in_a_file_of_their_own(
    outside: tuple[Path, Path], backend: str, content: bytes | None, says: str
) -> None:
    path, data = outside
    open_runtime(path, backend).close()
    if content is None:
        data.unlink()
    else:
        data.write_bytes(content)
    assert says in refusal(path, backend)


def change_ir(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def change_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def change_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "TRTBatchedNMS", "mmdeploy"


@pytest.mark.parametrize(
    ("backend", "change", "says"),
    [
        ("onnxruntime", change_ir, "IR version 99, this onnxruntime reads up to"),
        ("onnxruntime", change_opset, "opset 99, this onnxruntime reads up to"),
        ("onnxruntime", change_operator, "holds TRTBatchedNMS, an operator of mmdeploy that this backend"),
        ("openvino", change_operator, "holds mmdeploy.TRTBatchedNMS, an operator that this backend"),
    ],
)
def test_onnx_files_beyond_the_backend(
    toy: Path, backend: str, change: Callable[[onnx.ModelProto], None], says: str
) -> None:
    model = onnx.load(toy)
    change(model)
    onnx.save(model, toy)
    message = refusal(toy, backend)
    assert says in message
    assert ("pip install -U onnxruntime" in message) == ("reads up to" in says)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda xml, weights: (xml, weights[:-4]),
            r"its weights are truncated or of another model \([\d,]+ bytes",
        ),
        (lambda xml, weights: (xml[:-200], weights), r"it is truncated or damaged from byte \d+ on"),
        (
            lambda xml, weights: (xml.replace(b'version="11"', b'version="99"', 1), weights),
            r"newer than this openvino reads: .*pip install -U openvino",
        ),
    ],
    ids=["weights", "text", "version"],
)
def test_a_damaged_openvino_ir(
    toy: Path, damage: Callable[[bytes, bytes], tuple[bytes, bytes]], says: str
) -> None:
    path = toy.with_suffix(".xml")
    ov.save_model(ov.Core().read_model(toy), path)
    weights = path.with_suffix(".bin")
    texts = damage(path.read_bytes(), weights.read_bytes())
    path.write_bytes(texts[0])
    weights.write_bytes(texts[1])
    with pytest.raises(ArtifactError, match=says):
        open_runtime(path)


def test_other_reasons_stay_as_the_vendor_gave_them(toy: Path, tmp_path: Path) -> None:
    assert explain(toy, "no such provider") == "no such provider"
    assert explain(toy, "external power failed") == "external power failed"
    assert "of unknown size" in explain(tmp_path / "gone.onnx", "Protobuf parsing failed.")
