"""What docs/security.md promises: files, names and folders of strangers run nothing, reach nothing and show nothing."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from yolox_deploy import Detector
from yolox_deploy.cli.common import plain
from yolox_deploy.errors import ArtifactError, UsageError, YoloxDeployError
from yolox_deploy.files import cache_dir, make_cache
from yolox_deploy.models.safe_load import safe_load

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and permissions are POSIX's")
both = pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])

Run = Callable[..., tuple[int, str, str]]

TERMINAL = "\x1b]0;owned\x07\x1b[31m[red]\u202egpj.exe"
"""Sets the window's title, rings, paints, means markup to rich, and turns the direction of what follows."""


def keep_outside(source: Path, location: str, path: Path) -> Path:
    """Write the model `source` to `path` with the largest of its weights at `location`."""
    model = onnx.load(str(source))
    del model.metadata_props[:]  # with our checksum it would be refused for that
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    length = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


@both
@pytest.mark.parametrize("way", ["upwards", "absolute", "link"])
def test_an_onnx_file_reads_no_file_outside_its_folder(
    nano_onnx: Path, tmp_path: Path, backend: str, way: str
) -> None:
    secret, folder = tmp_path / "secret.bin", tmp_path / "models"
    folder.mkdir()
    secret.write_bytes(bytes(8_000_000))
    (folder / "link.bin").symlink_to(secret)
    location = {"upwards": "../secret.bin", "absolute": str(secret), "link": "link.bin"}[way]
    with pytest.raises(ArtifactError, match="outside"):
        Detector(keep_outside(nano_onnx, location, folder / "model.onnx"), backend=backend)


@both
def test_an_onnx_file_with_an_operator_of_its_own_is_refused(
    nano_onnx: Path, tmp_path: Path, backend: str
) -> None:
    model = onnx.load(str(nano_onnx))
    del model.metadata_props[:]
    model.graph.node[0].domain = "strangers"
    model.graph.node[0].op_type = "Run"
    model.opset_import.add(domain="strangers", version=1)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(YoloxDeployError):
        Detector(tmp_path / "model.onnx", backend=backend)


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "old pickle"])
def test_a_checkpoint_runs_no_code(tmp_path: Path, archive: bool) -> None:
    bomb, marker = tmp_path / "bomb.pth", tmp_path / "marker"
    torch.save({"model": Bomb(marker)}, bomb, _use_new_zipfile_serialization=archive)
    with pytest.raises(ArtifactError):
        safe_load(bomb)
    bomb.write_bytes(pickle.dumps({"model": Bomb(marker)}))
    with pytest.raises(ArtifactError):
        safe_load(bomb)
    assert not marker.exists()


def test_an_exp_file_is_read_and_never_run(call: Run, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    exp = tmp_path / "exp.py"
    exp.write_text(
        f"open({str(marker)!r}, 'w')\n"
        "from yolox.exp import Exp as Base\n"
        "class Exp(Base):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        open({str(marker)!r}, 'w')\n"
        "        self.num_classes = 3\n"
    )
    call("migrate", str(exp))
    assert not marker.exists()


SILENT = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        sys.stderr.write(f"{event} {arguments}")
        sys.stderr.flush()
        import os
        os._exit(9)
sys.addaudithook(refuse)
from yolox_deploy import Detector
from yolox_deploy.files import packaged_photographs
for backend in ("onnxruntime", "openvino"):
    with Detector(sys.argv[1], backend=backend) as detector:
        detector.predict(packaged_photographs()[0])
"""


def test_loading_and_predicting_connect_to_nobody(nano_onnx: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    told = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    done = subprocess.run(
        [sys.executable, "-c", SILENT, str(nano_onnx)],
        env={
            **told,
            "HOME": str(home),
            "TMPDIR": str(home),
            "YOLOX_DEPLOY_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == [], "what native senders keep: an id, a queue of events"


@posix
def test_a_cache_that_all_may_write_is_refused_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for mode in (0o777, 0o1777):
        shared.chmod(mode)
        monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(shared))
        with pytest.raises(UsageError, match=f"chmod o-w {shared}.*YOLOX_DEPLOY_CACHE={shared}/own"):
            cache_dir()
        monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(shared / "own"))
        assert make_cache(cache_dir()).stat().st_mode & 0o777 == 0o700
    shared.chmod(0o755)
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(shared))
    assert cache_dir() == shared


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone gives folders away")
def test_a_cache_of_another_user_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache_dir() == tmp_path
    os.chown(tmp_path, 12345, 12345)
    try:
        with pytest.warns(UserWarning, match=re.escape(f"{tmp_path} keeps models and is another user's")):
            cache_dir()
    finally:
        os.chown(tmp_path, 0, 0)


@posix
def test_names_of_files_do_nothing_to_the_terminal(
    call: Run, nano_onnx: Path, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"in{TERMINAL}"
    folder.mkdir()
    shutil.copy(photographs[0], folder / f"whole{TERMINAL}.jpg")
    (folder / f"broken{TERMINAL}.jpg").write_bytes(b"no picture")
    (folder / os.fsdecode(b"half\xff.jpg")).write_bytes(b"no picture")
    code, out, err = call("predict", folder, "--model", nano_onnx, "--out", tmp_path / f"out{TERMINAL}")
    assert code == 2
    assert "2 of 3 pictures could not be read" in err
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out + err)
    assert r"\x1b[31m[red]" in out
    assert r"\x1b[31m[red]" in err


def test_plain_text_stays_as_it_is() -> None:
    text = "straße 猫 [red]\n\tשלום 👩‍🚒"
    assert plain(text) == text
