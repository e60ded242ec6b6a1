"""What a file is, told by its first bytes: a file that cannot be opened is often of another kind than its name says.

A kind is named only where the bytes are plainly its own; of all others nothing is said, so no right file is refused.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

HEAD = 512
"""Bytes that tell."""


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes:
        name: with its article, such as "a Git LFS pointer".
        cure: what to do where something else was expected; `{renamed}` stands for the file under its right suffix.
        family: "model", "picture", "video", "document", "archive", "text", or "stray" (nothing that anybody wants).
        suffixes: of model files that are of this kind by right, the usual one first.
    """

    name: str
    cure: str
    family: str = "document"
    suffixes: tuple[str, ...] = ()

    def instead_of(self, expected: str, path: object) -> str:
        """The rest of a sentence that begins with `path`: what it is, what was expected, and what to do."""
        return f"is {self.name}, not {expected}: {self.mend(path)}"

    def mend(self, path: object) -> str:
        """What to do with `path` where something else was expected."""
        return self.cure.format(renamed=self._renamed(path))

    def _renamed(self, path: object) -> str:
        """The name of `path` under the right suffix: "last.pth" for last.pth.tar and for last.onnx."""
        stem = PurePath(str(path)).stem
        return stem if PurePath(stem).suffix in self.suffixes else stem + "".join(self.suffixes[:1])


EXPECTED = {
    ".onnx": "an ONNX file",
    ".xml": "an OpenVINO IR",
    ".param": "an NCNN .param text",
    ".engine": "a TensorRT engine",
    ".pth": "a PyTorch checkpoint",
    ".pt": "a PyTorch checkpoint",
}
"""Suffix -> what a model file under it is."""

_ELSEWHERE = "no backend here runs it; export the model to ONNX where it was made"
_UNPACK = "unpack it"
_ANOTHER = "name another file"

POINTER = Kind("a Git LFS pointer", "fetch the file itself with: git lfs pull", "stray")
PAGE = Kind("a web page (HTML)", "download it again by its raw address", "stray")
EMPTY = Kind("empty (0 bytes)", "copy or download it again")
ZEROS = Kind("zeros only at its beginning", "its copy or download broke off: fetch it again")
ZIP = Kind("a zip archive", _UNPACK, "archive")
TORCH = Kind(
    "a PyTorch checkpoint",
    "rename it to {renamed}, or export it with: yolox-deploy export MODEL --weights {renamed}",
    "model",
    (".pth", ".pt"),
)
TORCHSCRIPT = Kind("a TorchScript program", "name the checkpoint (.pth) that it was made from", "model")
SAFETENSORS = Kind(
    "a safetensors file",
    "make a checkpoint of it: torch.save({{'model': safetensors.torch.load_file(FILE)}}, 'model.pth')",
    "model",
)
ONNX = Kind("an ONNX file", "rename it to {renamed}", "model", (".onnx",))
OPENVINO = Kind("an OpenVINO IR", "rename it to {renamed}, and its weights alike (.bin)", "model", (".xml",))
NCNN = Kind(
    "an NCNN .param text", "rename it to {renamed}, and its weights alike (.bin)", "model", (".param",)
)
NCNN_BINARY = Kind("NCNN's binary form of a .param", "give the text it was made from", "model")
ENGINE = Kind("a TensorRT engine", "rename it to {renamed}", "model", (".engine",))

_BEGINNINGS = (
    (b"version https://git-lfs", POINTER),
    (b"\xdd\x85\x76\x00", NCNN_BINARY),
    (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        TORCH,
    ),  # the magic number that torch.save wrote before its zip
    (b"RKNN", Kind("an RKNN model", _ELSEWHERE, "model")),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file (Keras)", _ELSEWHERE, "model")),
    (b"\x1f\x8b\x08", Kind("a gzip archive", _UNPACK, "archive")),
    (b"\xfd7zXZ\x00", Kind("an xz archive", _UNPACK, "archive")),
    (b"BZh9", Kind("a bzip2 archive", _UNPACK, "archive")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK, "archive")),
    (b"Rar!\x1a\x07", Kind("a RAR archive", _UNPACK, "archive")),
    (b"\xff\xd8\xff", Kind("a JPEG picture", _ANOTHER, "picture")),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG picture", _ANOTHER, "picture")),
    (b"GIF8", Kind("a GIF picture", _ANOTHER, "picture")),
    (b"%PDF-", Kind("a PDF document", _ANOTHER)),
    (b"\x93NUMPY", Kind("a NumPy array", _ANOTHER)),
)
_LATER = (
    (1, b"trt\x00\x00\x00\x00", ENGINE),  # "ftrt", "ptrt" or "vtrt" and the high bytes of a small number
    (4, b"TFL3", Kind("a TensorFlow Lite model", _ELSEWHERE, "model")),
    (8, b"WEBPVP8", Kind("a WebP picture", _ANOTHER, "picture")),
    (4, b"ftyphei", Kind("a HEIF picture", "convert it to JPEG or PNG")),
    (4, b"ftypmif1", Kind("a HEIF picture", "convert it to JPEG or PNG")),
    (4, b"ftypavi", Kind("an AVIF picture", _ANOTHER, "picture")),
    (4, b"ftyp", Kind("an MP4 video", _ANOTHER, "video")),
    (257, b"ustar", Kind("a tar archive", _UNPACK, "archive")),
)
_ONNX_TAGS = b"\x12\x1a\x22\x28\x32\x3a\x42\x72\x7a"
"""What may follow the version in an ONNX file: the tags of its other fields."""


def identify(head: bytes) -> Kind | None:
    """What a file that begins with `head` (its first `HEAD` bytes, or more) plainly is; None where they do not tell."""
    head = head[:HEAD]
    if not head:
        return EMPTY
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    for offset, mark, kind in _LATER:
        if head.startswith(mark, offset):
            return kind
    if head.startswith(b"PK\x03\x04"):
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return TORCH if first.endswith(b"/data.pkl") else ZIP
    if len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 32 and head[2] in _ONNX_TAGS:
        return ONNX
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 27:
        return SAFETENSORS
    if len(head) == HEAD and not any(head):
        return ZEROS
    return _identify_text(head)


def of_file(path: Path, content: bytes | None = None) -> Kind | None:
    """What `path` plainly is; of a zip archive, what is in it. None where it does not tell or cannot be read.

    Args:
        content: what the file would hold, where it is in memory.
    """
    try:
        with path.open("rb") if content is None else io.BytesIO(content) as file:
            kind = identify(file.read(HEAD))
            return _identify_zip(file) if kind is ZIP else kind
    except OSError:
        return None


def contradiction(path: Path, suffix: str | None = None, content: bytes | None = None) -> str | None:
    """The rest of a sentence on a model file that plainly is no such file; None for all others.

    Args:
        suffix: the one that tells what it should be; None for its own. Under one that is not in `EXPECTED` anything
            may be right, but for pointers and web pages, and but for texts under `.bin`.
        content: what the file would hold, where it is in memory.
    """
    suffix = path.suffix if suffix is None else suffix
    kind = of_file(path, content)
    if kind is None or suffix in kind.suffixes:
        return None
    if suffix in EXPECTED or kind.family == "stray" or (suffix == ".bin" and kind.family == "text"):
        return kind.instead_of(
            EXPECTED.get(suffix, "a file of weights" if suffix == ".bin" else "what was expected"), path
        )
    return None


def _identify_zip(file: BinaryIO) -> Kind:
    """What a zip archive holds; a checkpoint is one, too."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return Kind("a zip archive that breaks off", "copy or download it again", "archive")
    inside = {PurePath(name).name for name in names}
    if "constants.pkl" in inside:
        return TORCHSCRIPT
    if "data.pkl" in inside:
        return TORCH
    models = [name for name in names if PurePath(name).suffix in EXPECTED]
    if models:
        return Kind(f"a zip archive with {models[0]} in it", "unpack it and open that", "archive")
    return ZIP


def _identify_text(head: bytes) -> Kind | None:
    text = _decoded(head)
    if text is None or not all(character.isprintable() or character.isspace() for character in text):
        return None
    begin = text.lstrip().lower()
    if begin.startswith("7767517"):
        return NCNN
    if begin.startswith("<"):
        if begin.startswith(("<!doctype html", "<head", "<body", "<script")) or "<html" in begin:
            return PAGE
        return (
            OPENVINO
            if "<net" in begin
            else Kind("an XML text", "copy or download it again", "text", (".xml",))
        )
    what = "a JSON text" if begin.startswith(("{", "[")) else "a text"
    line = " ".join(text.split())
    shown = f"{line[:40]}…" if len(line) > 40 else line
    return Kind(f"{what} ({shown!r})", "copy or download it again", "text")


def _decoded(head: bytes) -> str | None:
    """The text in UTF-8, without a last character that was cut; None for what is none."""
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return head[: error.start].decode("utf-8-sig") if error.start > HEAD - 4 else None
