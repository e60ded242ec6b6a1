"""What the first bytes of a file say, on files by their real writers, and what people are told of them."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from yolox_deploy import Detector
from yolox_deploy.capture import open_capture
from yolox_deploy.errors import ArtifactError, InputError
from yolox_deploy.files import read_lines
from yolox_deploy.images import load_image
from yolox_deploy.records import ANNOTATIONS, read
from yolox_deploy.signatures import HEAD, contradiction, identify, of_file

if TYPE_CHECKING:
    from tests.conftest import Call

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665f1c2\nsize 3678356\n"
PAGE = b'\n<!DOCTYPE html>\n<html lang="en"><head><title>yolox_nano.onnx</title></head></html>'
IR = b'<?xml version="1.0"?>\n<net name="model" version="11">\n\t<layers></layers></net>'
ENGINE = b"ftrt\0\0\0\0\xe8\0\0\0" + bytes(range(100))


def saved(**options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": {"weight": torch.zeros(2)}}, buffer, **options)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 2, 1)), buffer)
    return buffer.getvalue()


def safetensors() -> bytes:
    return pytest.importorskip("safetensors.torch").save({"weight": torch.zeros(2)})


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, bytes(100))
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("best.onnx"))
    return buffer.getvalue()


def picture(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.zeros((32, 32, 3), np.uint8))[1].tobytes()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def onnx_file() -> bytes:
    from onnx import helper

    graph = helper.make_graph([], "toy", [], [])
    return helper.make_model(graph, producer_name="pytorch").SerializeToString()


WRITERS: dict[str, Callable[[], bytes]] = {
    "a Git LFS pointer": lambda: POINTER,
    "a web page (HTML)": lambda: PAGE,
    'a JSON text (\'{"message": "Not Found"}\')': lambda: json.dumps({"message": "Not Found"}).encode(),
    "a text ('404: Not Found')": lambda: b"404: Not Found",
    "an XML text": lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a zip archive": lambda: zipped("a.txt"),
    "a zip archive with nano/best.onnx in it": lambda: zipped("readme.txt", "nano/best.onnx"),
    "a zip archive that breaks off": lambda: zipped("readme.txt", "best.onnx")[:-30],
    "a gzip archive": lambda: gzip.compress(bytes(10)),
    "an xz archive": lambda: lzma.compress(bytes(10)),
    "a tar archive": tarred,
    "a PyTorch checkpoint": saved,
    "a TorchScript program": scripted,
    "a safetensors file": safetensors,
    "an ONNX file": onnx_file,
    "an OpenVINO IR": lambda: IR,
    "an NCNN .param text": lambda: b"7767517\n2 2\nInput in 0 1 images\n",
    "NCNN's binary form of a .param": lambda: (7767517).to_bytes(4, "little") + bytes(60),
    "a TensorRT engine": lambda: ENGINE,
    "a TensorFlow Lite model": lambda: b"\x1c\0\0\0TFL3" + bytes(24),
    "an HDF5 file (Keras)": lambda: b"\x89HDF\r\n\x1a\n" + bytes(24),
    "a JPEG picture": lambda: picture(".jpg"),
    "a PNG picture": lambda: picture(".png"),
    "a WebP picture": lambda: picture(".webp"),
    "an AVIF picture": lambda: b"\0\0\0\x1cftypavif" + bytes(40),
    "a PDF document": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "a NumPy array": array,
    "zeros only at its beginning": lambda: bytes(5000),
    "empty (0 bytes)": lambda: b"",
}
SUFFIXES = {
    ".onnx": "ONNX",
    ".xml": "OpenVINO",
    ".param": "NCNN .param",
    ".pth": "PyTorch",
    ".engine": "TensorRT",
}
WRONG = [
    (suffix, name)
    for suffix, expected in SUFFIXES.items()
    for name in WRITERS
    if expected not in name and name != "empty (0 bytes)" and (suffix, name) != (".xml", "an XML text")
]
NOT_FOUND_IN_A_HEAD = ("a zip archive with", "a zip archive that", "a TorchScript")


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return {name: write() for name, write in WRITERS.items()}


@pytest.mark.parametrize("name", WRITERS)
def test_each_kind_is_named(name: str, contents: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(contents[name])
    kind = of_file(path)
    assert kind is not None
    assert kind.name == name
    if not name.startswith(NOT_FOUND_IN_A_HEAD):
        assert identify(contents[name][:HEAD]) == kind


def test_older_checkpoints_and_other_beginnings_of_texts() -> None:
    for content, name in {
        saved(_use_new_zipfile_serialization=False): "a PyTorch checkpoint",
        b"\xef\xbb\xbf  <html>": "a web page (HTML)",
        b"<!-- saved page -->\n<html>": "a web page (HTML)",
        b"<net name='a'>": "an OpenVINO IR",
        b"\xef\xbb\xbf7767517\r\n": "an NCNN .param text",
        ("ä" * HEAD).encode()[: HEAD + 1]: f"a text ('{'ä' * 40}…')",
        b"a" + ("ä" * HEAD).encode(): f"a text ('a{'ä' * 39}…')",  # cut inside a character
    }.items():
        kind = identify(content)
        assert kind is not None, content[:20]
        assert kind.name == name


@pytest.mark.parametrize(
    "content",
    [
        b"\x12\x07pytorch\x08\x06",  # an ONNX file whose fields stand in another order
        b":\xf6\xc0\xe0\x01\x0am\x0a\x06images",
        bytes(range(256)),
        b"\0\0\0\0" + np.linspace(-1, 1, 200, dtype=np.float32).tobytes(),
        np.random.default_rng(0).bytes(5000),
        "größe".encode("latin-1"),
    ],
)
def test_of_what_does_not_tell_nothing_is_said(content: bytes, tmp_path: Path) -> None:
    assert identify(content) is None
    for suffix in (*SUFFIXES, ".bin", ".other"):
        path = tmp_path / f"file{suffix}"
        path.write_bytes(content)
        assert contradiction(path) is None


def test_right_files_are_right(contents: dict[str, bytes], tmp_path: Path) -> None:
    right = {
        ".onnx": ["an ONNX file"],
        ".xml": ["an OpenVINO IR", "an XML text"],  # the adapter looks on
        ".param": ["an NCNN .param text"],
        ".pth": ["a PyTorch checkpoint"],
        ".engine": ["a TensorRT engine"],
        ".bin": [
            "zeros only at its beginning",
            "empty (0 bytes)",
            "a gzip archive",
        ],  # weights may begin anyhow
        ".other": [name for name in WRITERS if name not in ("a Git LFS pointer", "a web page (HTML)")],
    }
    for suffix, names in right.items():
        for name in names:
            path = tmp_path / f"file{suffix}"
            path.write_bytes(contents[name])
            assert contradiction(path) is None, (suffix, name)
    assert contradiction(tmp_path / "missing.onnx") is None


def test_real_files_are_right(nano_weights: Path, nano_onnx: Path) -> None:
    assert contradiction(nano_weights) is contradiction(nano_onnx) is None


def test_the_authors_files_are_right(shared: Path) -> None:
    for file in (shared / "real").glob("yolox_nano*"):
        assert contradiction(file) is None


@pytest.mark.parametrize(("suffix", "name"), WRONG)
def test_a_model_file_that_is_something_else_is_named_and_mended(
    suffix: str, name: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"nano{suffix}"
    path.write_bytes(contents[name])
    path.with_suffix(".bin").write_bytes(bytes(8))
    with pytest.raises(ArtifactError) as caught:
        Detector(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is {name}")
    assert SUFFIXES[suffix] in message.partition(", not ")[2]
    assert message.rpartition(": ")[2]


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("a Git LFS pointer", "git lfs pull"),
        ("a web page (HTML)", "download it again by its raw address"),
        ("a PyTorch checkpoint", r"rename it to nano\.pth, or export it with: .* --weights nano\.pth"),
        ("an OpenVINO IR", r"rename it to nano\.xml, and its weights alike"),
        ("a zip archive with nano/best.onnx in it", "unpack it and open that"),
        ("a TensorFlow Lite model", "export the model to ONNX"),
        ("a safetensors file", r"torch\.save\(\{'model': safetensors\.torch\.load_file"),
    ],
)
def test_each_has_its_cure(name: str, cure: str, contents: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "nano.onnx"
    path.write_bytes(contents[name])
    with pytest.raises(ArtifactError, match=cure):
        Detector(path)


@pytest.mark.parametrize("suffix", [".xml", ".param"])
@pytest.mark.parametrize("content", [POINTER, PAGE, b"404: Not Found"])
def test_weights_beside_the_model_are_looked_at(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"nano{suffix}"
    path.write_bytes(IR if suffix == ".xml" else b"7767517\n1 1\nInput in 0 1 images\n")
    path.with_suffix(".bin").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"nano\.bin is a .*, not a file of weights: "):
        Detector(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("latest_ckpt.pth.tar", "a PyTorch checkpoint", r"rename it to latest_ckpt\.pth,"),
        ("model.onnx.1", "an ONNX file", r"rename it to model\.onnx$"),
        ("model.ONNX", "an ONNX file", r"rename it to model\.onnx$"),
        ("model.zip", "a zip archive with nano/best.onnx in it", "unpack it and open that"),
    ],
)
def test_a_suffix_that_no_backend_opens(
    name: str, content: str, says: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(contents[content])
    with pytest.raises(ArtifactError, match=f"no backend opens .*{says}"):
        Detector(path)


def test_the_command_line_says_it_with_exit_code_4(
    call: Call, tmp_path: Path, photographs: list[Path]
) -> None:
    path = tmp_path / "nano.onnx"
    path.write_bytes(POINTER)
    code, _, err = call("predict", photographs[0], "--model", path)
    assert code == 4
    assert "is a Git LFS pointer" in err
    assert "git lfs pull" in err


def test_pictures_that_are_something_else(contents: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "street.jpg"
    for name in ("a Git LFS pointer", "a web page (HTML)", "a zip archive", "a PDF document"):
        path.write_bytes(contents[name])
        with pytest.raises(InputError) as caught:
            load_image(path)
        assert f"{path} is {name}, not a picture: " in str(caught.value)
    with pytest.raises(
        InputError, match=r"no image format that OpenCV reads: it is a text \('404: Not Found'\)"
    ):
        load_image(b"404: Not Found")
    with pytest.raises(InputError, match=r"is broken, breaks off or is no image format that OpenCV reads$"):
        load_image(contents["a JPEG picture"][:30])


def test_annotations_that_are_something_else(contents: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "instances_val2017.json"
    for name in ("a Git LFS pointer", "a web page (HTML)", "a zip archive", "a gzip archive"):
        path.write_bytes(contents[name])
        with pytest.raises(InputError) as caught:
            read(path, ANNOTATIONS)
        assert f"{path} is not JSON (it is {name}: " in str(caught.value)
    path.write_bytes(b"{broken")
    with pytest.raises(InputError, match="is not JSON"):
        read(path, ANNOTATIONS)


@pytest.mark.parametrize("name", ["a Git LFS pointer", "a web page (HTML)", "a zip archive"])
def test_videos_and_lists_that_are_something_else(
    name: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    for file, expected, read_file in (("a.mp4", "a video", open_capture), ("a.txt", "a text", read_lines)):
        path = tmp_path / file
        path.write_bytes(contents[name])
        with pytest.raises(InputError) as caught:
            read_file(path)
        assert str(caught.value).startswith(f"{path} is {name}, not {expected}: ")


def test_a_video_that_breaks_off_is_not_called_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(InputError, match=r"a\.mp4 cannot be opened as a video, camera or stream"):
        open_capture(tmp_path / "a.mp4")


def test_an_empty_list_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    assert read_lines(tmp_path / "a.txt") == []
