"""What travels with a model file survives the journey, and what does not fit is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.artifact import (
    SCHEMA_VERSION,
    ArtifactInfo,
    Sidecar,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from yolox_deploy.errors import ArtifactError
from yolox_deploy.files import sha256
from yolox_deploy.types import InputConvention

FULL = ArtifactInfo(
    model="yolox_s",
    class_names=("Katze", "犬"),
    input_size=(480, 640),
    batch=None,
    input=InputConvention.legacy(),
    boxes="decoded",
    suppression="in_graph",
    precision="int8",
    format="openvino",
    weights_sha256="ab" * 32,
    versions={"openvino": "2026.4"},
    parity={"verified": True, "ap": 0.31},
    details={"compute_capability": [8, 6]},
)
SMALL = ArtifactInfo("yolox_nano", ("a",), (64, 64))


def damaged(**changes: Any) -> str:
    return json.dumps({**json.loads(SMALL.to_json()), **changes})


@pytest.mark.parametrize("info", [FULL, SMALL], ids=["full", "small"])
def test_a_description_is_read_back_equal(info: ArtifactInfo) -> None:
    assert ArtifactInfo.from_json(info.to_json()) == info


def test_the_text_names_its_schema_and_ignores_what_it_does_not_know() -> None:
    text = SMALL.to_json(files={"a": "b"})
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION
    assert ArtifactInfo.from_json(text) == SMALL
    assert ArtifactInfo.from_json(damaged(a_field_of_tomorrow=1)) == SMALL


def test_a_newer_schema_says_to_update() -> None:
    with pytest.raises(ArtifactError, match="pip install -U yolox-deploy"):
        ArtifactInfo.from_json(damaged(schema_version=SCHEMA_VERSION + 1))


@pytest.mark.parametrize("text", ["", "null", "5", "[]", "[[1, 2]]", '"text"', "{", "{}"])
def test_a_text_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        ArtifactInfo.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": "one"},
        {"class_names": None},
        {"class_names": []},
        {"class_names": [1, 2]},
        {"input_size": 64},
        {"input_size": [64]},
        {"input_size": [64, 0]},
        {"input_size": [64, "x"]},
        {"batch": 0},
        {"batch": "two"},
        {"boxes": "polygons"},
        {"suppression": "maybe"},
        {"precision": "fp8"},
        {"input": None},
        {"input": []},
        {"input": {"layout": "NCWH"}},
        {"output": {"columns": ["boxes"]}},
        {"output": {"columns": ["x1", "y1", "x2", "y2", "score", "class", "colour"]}},
        {"input": {"pad_value": "x"}},
        {"input": {"a_field_of_nobody": 1}},
    ],
)
def test_damaged_fields_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        ArtifactInfo.from_json(damaged(**changes))


def test_missing_fields_are_refused() -> None:
    values = json.loads(SMALL.to_json())
    for name in ("schema_version", "model", "class_names", "input_size", "input"):
        with pytest.raises(ArtifactError):
            ArtifactInfo.from_json(json.dumps({k: v for k, v in values.items() if k != name}))


def test_sha256_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    file = tmp_path / "file"
    file.write_bytes(content)
    assert sha256(file) == hashlib.sha256(content).hexdigest()


@pytest.fixture
def model_set(tmp_path: Path) -> Path:
    """`model.xml` with its `model.bin` and their sidecar."""
    path, weights = tmp_path / "model.xml", tmp_path / "model.bin"
    path.write_text("<net/>")
    weights.write_bytes(b"weights")
    write_sidecar(path, FULL)
    return path


def test_a_sidecar_holds_the_description(model_set: Path, tmp_path: Path) -> None:
    assert read_sidecar(model_set) == Sidecar(FULL, True)
    assert sidecar_path(model_set) == tmp_path / "model.xml.json"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml", "model.xml.json"]


def test_without_a_sidecar_there_is_no_description(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "model.xml") is None


def test_a_set_may_move_together(model_set: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in list(tmp_path.glob("model.*")):
        file.rename(moved / file.name)
    assert read_sidecar(moved / model_set.name) == Sidecar(FULL, True)


def test_a_missing_sibling_is_named(model_set: Path) -> None:
    model_set.with_suffix(".bin").unlink()
    with pytest.raises(ArtifactError, match=r"needs model\.bin beside it, which is missing"):
        read_sidecar(model_set)


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_file_that_was_replaced_is_noticed(model_set: Path, name: str) -> None:
    model_set.with_name(name).write_bytes(b"another")
    with pytest.raises(ArtifactError, match=f"{name} is damaged or was replaced"):
        read_sidecar(model_set)


@pytest.mark.parametrize("files", [None, [], ["model.bin"], {"model.bin": 5}])
def test_a_sidecar_with_a_damaged_list_of_files_is_refused(model_set: Path, files: Any) -> None:
    sidecar_path(model_set).write_text(FULL.to_json(files=files))
    with pytest.raises(ArtifactError, match="damaged"):
        read_sidecar(model_set)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{"])
def test_a_sidecar_that_is_no_text_of_ours_is_refused(model_set: Path, content: bytes) -> None:
    sidecar_path(model_set).write_bytes(content)
    with pytest.raises(ArtifactError):
        read_sidecar(model_set)


def test_a_set_that_was_renamed_together_is_the_same_set(model_set: Path) -> None:
    files = list(model_set.parent.glob(f"{model_set.stem}*"))
    assert len(files) == 3
    for file in files:
        file.rename(file.with_name(file.name.replace(model_set.stem, "front_door", 1)))
    renamed = model_set.with_name(f"front_door{model_set.suffix}")
    assert read_sidecar(renamed) == Sidecar(FULL, True)
    renamed.with_suffix(".bin").unlink()
    with pytest.raises(ArtifactError, match=r"needs front_door\.bin beside it"):
        read_sidecar(renamed)


@pytest.mark.parametrize("content", ['{"classes": ["a"]}', "[1, 2]", "null"])
def test_a_json_of_another_tool_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.xml"
    sidecar_path(path).write_text(content)
    assert read_sidecar(path) is None


@pytest.mark.parametrize("suffix", [".onnx", ".pth", ".pt"])
def test_files_with_room_of_their_own_may_have_a_sidecar(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"weights")
    write_sidecar(path, FULL)
    assert read_sidecar(path) == Sidecar(FULL, True)
    path.write_bytes(b"other weights")
    with pytest.raises(ArtifactError, match="damaged or was replaced"):
        read_sidecar(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_nmaes": ["a"]}, "no field called 'class_nmaes'.*did you mean class_names"),
        ({"output": {"logit": True}}, "no field called 'output.logit'.*did you mean output.logits"),
    ],
)
def test_a_misspelt_field_of_a_sidecar_is_refused(
    model_set: Path, changes: dict[str, Any], message: str
) -> None:
    sidecar = sidecar_path(model_set)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))
    with pytest.raises(ArtifactError, match=message):
        read_sidecar(model_set)


@pytest.mark.parametrize("content", ["{", '{"schema_version": 99}', '{"schema_version": 1, "input": 3}'])
def test_errors_name_the_sidecar(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.xml"
    sidecar_path(path).write_text(content)
    with pytest.raises(ArtifactError, match=r"model\.xml\.json"):
        read_sidecar(path)
