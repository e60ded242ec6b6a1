"""Damage is detected in every format that we write: model files, descriptions, checkpoints."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.conftest import Call, ToyModel
from yolox_deploy import Detector, inspect
from yolox_deploy.artifact import METADATA_KEY, ArtifactInfo, sidecar_path, write_sidecar
from yolox_deploy.converters.onnx_target import write_metadata
from yolox_deploy.errors import ArtifactError, CheckpointError
from yolox_deploy.integrity import KEY, check_onnx
from yolox_deploy.models.safe_load import LIMIT, safe_load
from yolox_deploy.types import InputConvention

INFO = ArtifactInfo("toy", ("a", "b", "c"), (64, 96))
ROWS = [(5, [0.0, 0.0, 1.0, 1.0, 0.9, 0.1, 0.9, 0.1])]
GREY = np.full((64, 96, 3), 90, np.uint8)


@pytest.fixture
def sealed(tmp_path: Path, toy_model: ToyModel) -> Path:
    """A small ONNX file with our description and checksum."""
    path = toy_model(tmp_path / "toy.onnx", ROWS)
    write_metadata(path, INFO)
    return path


def checked(model: Any, **options: Any) -> str:
    with Detector(model, **options) as detector:
        detector.predict(GREY)
        return detector.info.checked


def test_a_file_of_ours_is_checked_from_the_disk_and_from_memory(sealed: Path) -> None:
    assert checked(sealed) == "sha256"
    assert checked(sealed, backend="openvino") == "sha256"
    assert checked(sealed.read_bytes(), format=".onnx") == "sha256"


def test_an_export_is_checked_whoever_opens_it(nano_onnx: Path) -> None:
    assert check_onnx(nano_onnx) == "sha256"


def test_no_changed_byte_goes_unnoticed(sealed: Path, tmp_path: Path) -> None:
    content = sealed.read_bytes()
    own = content.index(b"yolox_deploy")
    places = [*range(own - 8, own + 40), *range(len(content) - 90, len(content)), *range(0, 40)]
    rng = random.Random(16)
    for place in [*places, *(rng.randrange(len(content)) for _ in range(400))]:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        with pytest.raises(ArtifactError):
            checked(bytes(changed), format=".onnx")


def test_no_cut_deleted_or_moved_block_goes_unnoticed(sealed: Path) -> None:
    content = sealed.read_bytes()
    rng = random.Random(17)
    for _ in range(150):
        first, second, third = sorted(rng.sample(range(1, len(content)), 3))
        for changed in (
            content[:first] + content[second:],
            content[:first] + content[second:third] + content[first:second] + content[third:],
            content[:first] + bytes(second - first) + content[second:],
            content[:second] + content[first:],
        ):
            if changed != content:
                with pytest.raises(ArtifactError):
                    checked(changed, format=".onnx")


def test_a_checksum_that_was_removed_is_missed(sealed: Path) -> None:
    model = onnx.load(str(sealed))
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != KEY}
    onnx.helper.set_model_props(model, kept)
    with pytest.raises(ArtifactError, match="inside it stands none"):
        check_onnx(sealed, model.SerializeToString())


def test_writing_the_same_content_again_keeps_it_valid(sealed: Path) -> None:
    onnx.save(onnx.load(str(sealed)), str(sealed))
    assert checked(sealed) == "sha256"


def test_a_description_can_be_stored_twice(sealed: Path) -> None:
    write_metadata(sealed, ArtifactInfo("other", ("a", "b", "c"), (64, 96)))
    assert checked(sealed) == "sha256"
    assert [entry.key for entry in onnx.load(str(sealed)).metadata_props] == [METADATA_KEY, KEY]


def test_files_without_a_checksum_stay_usable_and_say_so(tmp_path: Path, toy_model: ToyModel) -> None:
    old = toy_model(tmp_path / "old.onnx", ROWS, metadata={METADATA_KEY: INFO.to_json()})
    assert checked(old) == "unchecked"
    write_sidecar(old, INFO)
    assert checked(old) == "sha256"
    by_hand = json.loads(INFO.to_json()) | {"class_names": ["x", "y", "z"]}
    sidecar_path(old).write_text(json.dumps(by_hand))
    assert checked(old) == "unchecked"


def test_a_file_that_a_tool_changed_can_be_kept(sealed: Path, call: Call) -> None:
    model = onnx.load(str(sealed))
    model.producer_name = "a tool that makes graphs smaller"
    onnx.save(model, str(sealed))
    with pytest.raises(
        ArtifactError, match=r"changed after its export.*yolox-deploy inspect .*toy\.onnx --save"
    ):
        Detector(sealed)
    with pytest.warns(UserWarning, match="its checksum does not fit"):
        detector = Detector(sealed, runtime_options={"verify": False})
    assert detector.info.checked == "unchecked"
    detector.close()

    found = inspect(sealed)
    assert found.checked == "unchecked"
    assert "its checksum does not fit" in found.seems
    code, _, err = call("inspect", sealed, "--save", "--no-images")
    assert code == 0, err
    assert checked(sealed) == "sha256"


def test_a_changed_description_beside_a_file_is_refused(tmp_path: Path, toy_model: ToyModel) -> None:
    path = toy_model(tmp_path / "theirs.onnx", ROWS)
    sidecar = write_sidecar(path, ArtifactInfo("toy", ("a", "b", "c"), (64, 96), input=InputConvention()))
    text = sidecar.read_text()
    sidecar.write_text(text.replace('"pad_value": 114', '"pad_value": 115'))
    with pytest.raises(ArtifactError, match=r'is damaged, or was edited.*remove the line "checksum"'):
        Detector(path)
    edited = [line for line in sidecar.read_text().splitlines() if '"checksum"' not in line]
    sidecar.write_text("\n".join(edited))
    with Detector(path) as detector:
        assert detector.info.artifact.input.pad_value == 115


@pytest.mark.parametrize("key", ["schema_version", "files", "checksum", "class_names", "boxes"])
def test_a_damaged_key_makes_a_sidecar_of_ours_no_other_tool_s(
    tmp_path: Path, toy_model: ToyModel, key: str
) -> None:
    path = toy_model(tmp_path / "theirs.onnx", ROWS)
    sidecar = write_sidecar(path, INFO)
    sidecar.write_text(sidecar.read_text().replace(f'"{key}"', f'"{key[:-1]}~"'))
    with pytest.raises(ArtifactError):
        Detector(path)


def save(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


WEIGHTS = {"model": {"weight": torch.arange(8.0), "bias": torch.arange(3)}, "epoch": 7}


def same(found: Any) -> bool:
    return (
        found.keys() == WEIGHTS.keys()
        and found["epoch"] == WEIGHTS["epoch"]
        and found["model"].keys() == WEIGHTS["model"].keys()
        and all(torch.equal(found["model"][name], value) for name, value in WEIGHTS["model"].items())
    )


def test_a_changed_byte_of_a_checkpoint_is_refused_or_changes_nothing() -> None:
    content = save(WEIGHTS)
    rng = random.Random(18)
    refused = 0
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        try:
            assert same(safe_load("changed.pth", bytes(changed))), place
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_a_changed_weight_of_a_checkpoint_is_refused(nano_weights: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(nano_weights, tmp_path / "nano.pth"))
    with Detector(path) as detector:
        assert detector.info.checked == "crc32"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not fit its checksum"):
        Detector(path)


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_checkpoint_that_unfolds_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed({"archive/data.pkl": b"", "archive/data/0": bytes(64 << 20)})
    with pytest.raises(CheckpointError, match=rf"would unfold to 67,108,864.*{LIMIT}"):
        safe_load("bomb.pth", bomb)
    monkeypatch.setenv(LIMIT, "100")
    with pytest.raises(CheckpointError, match="at most 100 are read"):
        safe_load("sound.pth", save(WEIGHTS))


def flat(value: torch.Tensor) -> torch.Tensor:
    return value.expand(10**6)


@pytest.mark.parametrize(
    "make", [flat, lambda value: value.expand(10**6).to_sparse(), lambda value: value.to("meta")]
)
def test_a_tensor_larger_than_its_numbers_is_refused(make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint that can be read safely"):
        safe_load("large.pth", save({"model": {"weight": make(torch.ones(1))}}))


def test_shared_values_cost_no_time() -> None:
    value: Any = [1.0]
    for _ in range(60):
        value = [value, value]
    assert safe_load("shared.pth", save({"notes": value})).keys() == {"notes"}  # type: ignore[attr-defined]
