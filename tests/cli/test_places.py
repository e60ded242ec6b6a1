"""Where commands write: a file where a folder is wanted, a folder where a file is, and a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]

RANDOM = ("--weights", "random", "--imgsz", "64")
SWEEP = (
    "stream",
    "scenes",
    "--sweep",
    "--pictures",
    "1",
    "--seconds",
    "1",
    "--rate",
    "5",
    "--model",
    "MODEL",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with a file `file` and a folder `folder.SUFFIX` of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    for suffix in ("onnx", "xml", "json", "toml", "png", "mp4", "jsonl"):
        (tmp_path / f"folder.{suffix}").mkdir()
    (tmp_path / "exp.py").write_text("class Exp:\n    pass\n")
    return tmp_path


def refused(call: Call, place: Path, words: tuple[str, ...], files: dict[str, Path]) -> str:
    """What the command says; it changes nothing."""
    before = sorted(place.rglob("*"))
    code, out, err = call(*(files.get(word, word) for word in words))
    assert (code, out) == (2, ""), err
    assert sorted(place.rglob("*")) == before
    assert (place / "file").read_text() == "kept"
    return err


@pytest.mark.parametrize(
    "words",
    [
        ("export", "yolox_nano", *RANDOM, "--out", "folder.onnx"),
        ("export", "yolox_nano", *RANDOM, "--to", "openvino", "--out", "folder.xml"),
        ("bench", "MODEL", "--quick", "--out", "folder.json"),
        ("tune", "MODEL", "--out", "folder.json"),
        ("priors", "DATA", "--out", "folder.json"),
        ("migrate", "exp.py", "--out", "folder.toml"),
        ("stream", "PICTURES", "--model", "MODEL", "--out", "folder.mp4"),
        ("stream", "PICTURES", "--model", "MODEL", "--save-events", "folder.jsonl"),
        (*SWEEP, "--out", "folder.png"),
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_a_folder_where_a_file_is_wanted_is_refused_before_any_work(
    call: Call, place: Path, nano_onnx: Path, scene_data: dict[str, Path], words: tuple[str, ...]
) -> None:
    images = scene_data["images"]
    err = refused(call, place, words, {"MODEL": nano_onnx, "DATA": images.parent, "PICTURES": images})
    assert f"{words[-1]} is a folder; expected" in err


@pytest.mark.parametrize("target", ["file", "file/below"])
@pytest.mark.parametrize(
    "words",
    [
        ("eval", "MODEL", "--data", "DATA", "--report"),
        ("convert", "DATA", "--to", "yolo", "--out"),
        ("inspect", "MODEL", "--images", "PICTURES", "--out"),
        ("scenes",),
        ("assign", "PICTURES", "--weights", "any.pth", "--box", "0,1,1,9,9", "--out"),
        ("train", "--model", "yolox_nano", "--data", "DATA", "--out"),
        ("ablate", "--data", "DATA", "--out"),
        ("demo", "--out"),
    ],
    ids=lambda words: words[0],
)
def test_a_file_where_a_folder_is_wanted_is_refused_before_any_work(
    call: Call, place: Path, nano_onnx: Path, scene_data: dict[str, Path], words: tuple[str, ...], target: str
) -> None:
    images = scene_data["images"]
    files = {"MODEL": nano_onnx, "DATA": images.parent, "PICTURES": images}
    assert "file is a file; expected a folder" in refused(call, place, (*words, target), files)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
del sys.argv[1]
from yolox_deploy.cli import main
main()
"""
TRAIN = ("train", "--model", "yolox_nano", "--epochs", "1", "--batch", "2", "--imgsz", "64", "--workers", "0")


@pytest.mark.skipif(sys.platform == "win32", reason="the limit of a file's size is POSIX's")
@pytest.mark.parametrize(
    ("limit", "words", "named"),
    [
        (10_000, ("export", "yolox_nano", *RANDOM, "--no-verify", "--out", "a.onnx"), "a.onnx"),
        (100, ("eval", "MODEL", "--data", "DATA", "--report", "report"), "report/pr_curve.png"),
        (100, ("convert", "DATA", "--to", "yolo", "--out", "made"), "made"),
        (100, ("inspect", "MODEL", "--images", "PICTURES", "--out", "drawn"), "drawn/000001.jpg"),
        (100, ("scenes", "made", "--train", "1", "--val", "1"), "made"),
        (
            10,
            ("stream", "PICTURES", "--model", "MODEL", "--rate", "0", "--save-events", "e.jsonl"),
            "e.jsonl",
        ),
        (400_000, (*TRAIN, "--data", "DATA", "--device", "cpu", "--out", "run"), "run/best.pth"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(value),
)
def test_a_full_disk_is_one_message_with_the_place_and_a_cure(
    limit: int,
    words: tuple[str, ...],
    named: str,
    nano_onnx: Path,
    scene_data: dict[str, Path],
    tmp_path: Path,
) -> None:
    """A limit on a file's size stands for it: the same call of the system fails, by another number."""
    images = scene_data["images"]
    files = {"MODEL": nano_onnx, "DATA": images.parent, "PICTURES": images}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *(str(files.get(word, word)) for word in words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert last.startswith("error: ")
    assert f"{named}: File too large; free some space there, or name another place" in last
    assert "Traceback" not in done.stderr
