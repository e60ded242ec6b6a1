"""Checkpoints of every kind: official ones load, everything else gives an error that helps."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from yolox_deploy.errors import CheckpointError
from yolox_deploy.models import ZOO, build_model, load_checkpoint, read_checkpoint
from yolox_deploy.models.checkpoint import identify
from yolox_deploy.models.safe_load import safe_load
from yolox_deploy.models.yolox import YOLOX


class MakeFolder:
    """Makes a folder when it is unpickled: a hostile checkpoint could as well run a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLOX-Nano of 3 classes as `{"model": ...}`."""
    path = tmp_path_factory.mktemp("checkpoint") / "nano3.pth"
    torch.save({"model": build_model("yolox_nano", 3).state_dict()}, path)
    return path


def write(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def assert_refused(model: YOLOX, path: Path, match: str) -> None:
    """Loading fails with a message that matches, and the model is as it was."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(model, path)
    assert str(path) in str(caught.value)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_loads_the_real_checkpoint(shared: Path, nano: YOLOX) -> None:
    path = shared / "real" / "yolox_nano.pth"
    info = load_checkpoint(nano, path)
    assert (info.model_name, info.num_classes, info.class_names) == ("yolox_nano", 80, None)
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    official = torch.load(path, weights_only=True)["model"]
    assert all(torch.equal(tensor, official[key]) for key, tensor in nano.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"imgsz": [96, 160]}, (96, 160)),
        ({"imgsz": None}, None),
        ({"imgsz": [100, 160]}, None),
        ({"imgsz": 96}, None),
        ("foreign", None),
    ],
)
def test_the_size_of_training_is_told(
    saved: Path, tmp_path: Path, settings: object, size: tuple[int, int] | None
) -> None:
    """Settings of others may have any shape."""
    weights = torch.load(saved, weights_only=True)["model"]
    path = write(tmp_path / "sized.pth", {"model": weights, "config": settings})
    assert read_checkpoint(path).input_size == size
    assert load_checkpoint(build_model("yolox_nano", 3), path).input_size == size


def test_truncated_real_checkpoint(shared: Path, nano: YOLOX, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes((shared / "real" / "yolox_nano.pth").read_bytes()[:1_000_000])
    assert_refused(nano, path, r"is truncated or damaged \(1,000,000 bytes")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
def test_official_kind_with_numpy_scalars(nano: YOLOX, tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "official.pth"
    content = {
        "start_epoch": 300,
        "model": OrderedDict(nano.state_dict()),
        "optimizer": {
            "state": {0: {"momentum_buffer": torch.zeros(2)}},
            "param_groups": [{"lr": np.float64(0.01)}],
        },
        "best_ap": np.float64(0.258),
        "curr_ap": np.float32(0.25),
        "amp": None,
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    loaded = safe_load(path)
    assert isinstance(loaded, dict)
    assert loaded["best_ap"] == np.float64(0.258)
    assert loaded["curr_ap"].dtype == np.float32
    assert load_checkpoint(nano, path).model_name == "yolox_nano"


def test_numpy_scalar_under_its_name_before_numpy_2(tmp_path: Path) -> None:
    new = write(tmp_path / "new.pth", {"best_ap": np.float64(0.258)})
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for entry in source.infolist():
            renamed = source.read(entry).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            target.writestr(entry.filename, renamed)
    assert safe_load(old) == {"best_ap": 0.258}


def test_bare_state_dict_and_class_names(tmp_path: Path) -> None:
    model = build_model("yolox_tiny", 2)
    bare = read_checkpoint(write(tmp_path / "bare.pth", model.state_dict()))
    assert (bare.model_name, bare.num_classes, bare.class_names) == ("yolox_tiny", 2, None)
    named = {"model": model.state_dict(), "class_names": ["cat", "dog"]}
    assert read_checkpoint(write(tmp_path / "named.pth", named)).class_names == ("cat", "dog")
    named["class_names"] = ["cat"]
    with pytest.raises(CheckpointError, match="names 1 classes but its weights predict 2"):
        read_checkpoint(write(tmp_path / "short.pth", named))


@pytest.mark.parametrize("name", ZOO)
def test_identify_recognises_every_model(name: str) -> None:
    with torch.device("meta"):
        state = build_model(name, 3).state_dict()
    assert identify(state) == (name, 3)
    state.popitem()
    assert identify(state) is None


def test_identify_of_something_else() -> None:
    assert identify(torch.nn.Linear(2, 2).state_dict()) is None


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
def test_hostile_pickle_is_refused_and_not_run(nano: YOLOX, tmp_path: Path, legacy: bool) -> None:
    path, proof = tmp_path / "hostile.pth", tmp_path / "proof"
    content = {"model": nano.state_dict(), "optimizer": MakeFolder(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_refused(nano, path, r"asks to load the Python object (posix|nt)\.mkdir, and loading that could")
    assert not proof.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_plain_pickle_is_refused_and_not_run(nano: YOLOX, tmp_path: Path, protocol: int) -> None:
    path, proof = tmp_path / "hostile.pkl", tmp_path / "proof"
    path.write_bytes(pickle.dumps({"model": MakeFolder(proof)}, protocol))
    assert_refused(
        nano, path, "asks to load the Python object|is not a PyTorch checkpoint that can be read safely"
    )
    assert not proof.exists()


def test_pickled_module_is_refused_by_name(nano: YOLOX, tmp_path: Path) -> None:
    path = write(tmp_path / "module.pth", torch.nn.Linear(2, 2))
    assert_refused(nano, path, r"object torch\.nn\.modules\.linear\.Linear, and loading that could run code")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG picture"),
        (b"\x08\x06\x12\x07pytorch", "ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"just some text\n", "not a PyTorch checkpoint"),
        (b"\x80\x02", "not a PyTorch checkpoint"),
    ],
    ids=["empty", "jpeg", "onnx", "lfs", "text", "cut-pickle"],
)
def test_files_of_other_kinds(nano: YOLOX, tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    assert_refused(nano, path, match)


def test_missing_file_and_folder(nano: YOLOX, tmp_path: Path) -> None:
    assert_refused(nano, tmp_path / "nothing.pth", "does not exist")
    assert_refused(nano, tmp_path, "is a folder")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"weights": {}, "epoch": 3}, r"a dict with 2 \(weights, epoch\)"),
        ({"model": {"layer": 3}}, r"a dict with 1 \(model\)"),
        ({}, "a dict with 0"),
        ([1, 2], "list"),
    ],
)
def test_checkpoint_without_weights(nano: YOLOX, tmp_path: Path, content: object, found: str) -> None:
    assert_refused(nano, write(tmp_path / "none.pth", content), f"holds no weights.*found {found}")


def test_wrong_class_count(nano: YOLOX, saved: Path) -> None:
    assert_refused(nano, saved, "predicts 3 classes, the yolox_nano here 80.*num_classes=3")


def test_another_model_of_the_zoo(saved: Path) -> None:
    match = "does not fit yolox_tiny with 3 classes: it looks like yolox_nano with 3 classes: build_model"
    assert_refused(build_model("yolox_tiny", 3), saved, match)


def test_missing_and_foreign_keys(nano: YOLOX, tmp_path: Path) -> None:
    state = nano.state_dict()
    del state["head.stems.0.conv.weight"]
    state["extra.weight"] = torch.zeros(1)
    match = r"none of the zoo.*missing: 1 \(head.stems.0.conv.weight\); foreign: 1 \(extra.weight\)"
    assert_refused(nano, write(tmp_path / "odd.pth", state), match)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(nano: YOLOX, tmp_path: Path, value: float) -> None:
    state = {key: tensor.clone() for key, tensor in nano.state_dict().items()}
    state["head.stems.1.conv.weight"][3, 2] = value
    assert_refused(nano, write(tmp_path / "nan.pth", state), "head.stems.1.conv.weight holds NaN or infinite")


def test_weights_that_are_not_dense(nano: YOLOX, tmp_path: Path) -> None:
    state = {**nano.state_dict(), "head.stems.1.bn.weight": torch.ones(64, dtype=torch.complex64)}
    assert_refused(nano, write(tmp_path / "complex.pth", state), "expected dense numbers")


def test_half_precision_weights_are_cast(nano: YOLOX, tmp_path: Path) -> None:
    path = write(tmp_path / "half.pth", {"model": nano.half().state_dict()})
    model = build_model("yolox_nano")
    load_checkpoint(model, path)
    assert next(model.parameters()).dtype == torch.float32
